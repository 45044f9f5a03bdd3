/** Keys that a test has, of the two kinds that sign in a ceremony. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { EnvelopeSigner } from "../../src/ceremony/dsse.ts";

export interface EcPair {
  readonly privateKey: KeyObject;
  /** Uncompressed. */
  readonly point: Uint8Array;
}

export function ecPair(): EcPair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  return {
    privateKey,
    point: Uint8Array.from([4, ...Buffer.from(x, "base64url"), ...Buffer.from(y, "base64url")]),
  };
}

export function ecSigner({ privateKey, point }: EcPair): EnvelopeSigner {
  return {
    publicKey: point,
    sign: (pae) => Uint8Array.from(sign("sha256", pae, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
}

export interface PaperOfficer extends EnvelopeSigner {
  readonly name: string;
}

export function paperOfficer(name: string): PaperOfficer {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    name,
    publicKey: Uint8Array.from(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url")),
    sign: (pae) => Uint8Array.from(sign(null, pae, privateKey)),
  };
}
