/** What the token's answers are compared with: the same operations by OpenSSL, on the host. */
import { createCipheriv, createECDH, createHmac } from "node:crypto";
import { concat } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import type { WrapFormat } from "../profile.ts";

const CURVE = "prime256v1";

export interface HostKey {
  /** b·G, uncompressed. */
  readonly point: Uint8Array;
  /** x(b·P). */
  multiplyX(point: Uint8Array): Uint8Array;
}

/** A fresh scalar b on the host. */
export function hostKey(): HostKey {
  const ecdh = createECDH(CURVE);
  const point = Uint8Array.from(ecdh.generateKeys());
  return { point, multiplyX: (other) => Uint8Array.from(ecdh.computeSecret(other)) };
}

/**
 * A host key whose product with `publicKey` starts with a zero byte. If K = k·G is the token's key and P = b·G,
 * then k·P = b·K, so the host can look for such a P although it does not know k: one b in 256 will do.
 */
export function hostKeyWithLeadingZero(publicKey: Uint8Array): { key: HostKey; x: Uint8Array } {
  // 1 − (255/256)^20000 is 1 to thirty decimals.
  for (let tries = 0; tries < 20_000; tries++) {
    const key = hostKey();
    const x = key.multiplyX(publicKey);
    if (x[0] === 0) return { key, x };
  }
  throw new StrongroomError("internal", "no product with a leading zero byte found");
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac("sha256", key).update(data).digest());
}

/** `key` wrapped under the 32-byte `kek`; undefined for a vendor's format, which nobody else can compute. */
export function wrapped(format: WrapFormat, kek: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  if (format === "vendor") return undefined;
  // Initial values of RFC 5649 §3 and RFC 3394 §2.2.3.1.
  const [cipher, iv, data] =
    format === "rfc5649"
      ? (["id-aes256-wrap-pad", Buffer.from("a65959a6", "hex"), key] as const)
      : (["id-aes256-wrap", Buffer.alloc(8, 0xa6), pkcs7(key)] as const);
  const wrap = createCipheriv(cipher, kek, iv);
  return Uint8Array.from(Buffer.concat([wrap.update(data), wrap.final()]));
}

/** PKCS#7 padding to the 8-byte blocks of RFC 3394, as the modules do that mean it by CKM_AES_KEY_WRAP_PAD. */
function pkcs7(data: Uint8Array): Uint8Array {
  const padding = 8 - (data.length % 8);
  return concat(data, new Uint8Array(padding).fill(padding));
}

/** A point with coordinates in range that is not on the curve. */
export function offCurvePoint(): Uint8Array {
  const point = hostKey().point;
  point[64] = (point[64] ?? 0) ^ 1;
  return point;
}
