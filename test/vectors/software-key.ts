/** A P-256 key that answers as a token does: x-coordinates only, here from OpenSSL. */
import { createECDH } from "node:crypto";
import { derivationPoints, recoverProduct } from "../../src/crypto/node/point-recovery.ts";

export interface SoftwareKey {
  readonly privateKey: Uint8Array;
  /** Uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  readonly ecdh: (point: Uint8Array) => Uint8Array;
  /** The whole product, by way of x-coordinates. */
  readonly multiply: (point: Uint8Array) => Uint8Array;
}

export function softwareKey(privateKey?: Uint8Array): SoftwareKey {
  const key = createECDH("prime256v1");
  if (privateKey) key.setPrivateKey(privateKey);
  else key.generateKeys();
  const publicKey = Uint8Array.from(key.getPublicKey());
  const ecdh = (point: Uint8Array) => Uint8Array.from(key.computeSecret(point));
  return {
    // OpenSSL drops leading zeros here.
    privateKey: Uint8Array.from(Buffer.from(key.getPrivateKey("hex").padStart(64, "0"), "hex")),
    publicKey,
    ecdh,
    multiply: (point) => recoverProduct(point, publicKey, derivationPoints(point).map(ecdh)),
  };
}
