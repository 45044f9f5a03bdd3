/**
 * The page's build puts this in the place of node:crypto. It has what the code that judges evidence asks of it, from
 * noble's libraries, and no more: SHA-256, P-256 (ECDH and ECDSA), Ed25519, certificates.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { equal, fromBase64Url, fromHex, utf8 } from "../../base/bytes.ts";
import { Buffer, type PageBuffer } from "./buffer.ts";

export { X509Certificate } from "./x509.ts";

class Hash {
  readonly #state = sha256.create();

  update(data: Uint8Array | string): this {
    this.#state.update(typeof data === "string" ? utf8(data) : data);
    return this;
  }
  digest(): PageBuffer;
  digest(encoding: "hex"): string;
  digest(encoding?: "hex"): PageBuffer | string {
    const digest = Buffer.from(this.#state.digest());
    return encoding === undefined ? digest : digest.toString(encoding);
  }
}

export function createHash(name: string): Hash {
  if (name !== "sha256") throw new RangeError(`no ${name} here`);
  return new Hash();
}

export function randomFillSync<T extends Uint8Array<ArrayBuffer>>(bytes: T): T {
  return crypto.getRandomValues(bytes);
}

export function randomBytes(length: number): PageBuffer {
  return randomFillSync(Buffer.alloc(length));
}

/** P-256 only. Its secrets are those of paper tokens, and scalars that evidence tells. */
export class ECDH {
  #secret: Uint8Array = new Uint8Array();

  static convertKey(
    point: Uint8Array,
    _curve: string,
    _in?: string,
    _out?: string,
    format?: string,
  ): PageBuffer {
    return Buffer.from(p256.Point.fromBytes(point).toBytes(format === "compressed"));
  }
  /** @throws RangeError for what is no scalar */
  setPrivateKey(scalar: Uint8Array): void {
    const secret = new Uint8Array(32);
    if (scalar.length > 32) throw new RangeError("not a P-256 scalar");
    secret.set(scalar, 32 - scalar.length);
    if (!p256.utils.isValidSecretKey(secret)) throw new RangeError("not a P-256 scalar");
    this.#secret = secret;
  }
  getPublicKey(_encoding?: null, format?: "compressed"): PageBuffer {
    return Buffer.from(p256.getPublicKey(this.#secret, format === "compressed"));
  }
  computeSecret(point: Uint8Array): PageBuffer {
    return Buffer.from(p256.getSharedSecret(this.#secret, point).subarray(1));
  }
}

export function createECDH(_curve: "prime256v1"): ECDH {
  return new ECDH();
}

interface Jwk {
  readonly format: "jwk";
  readonly key: { readonly crv: string; readonly x: string };
}

interface PublicKey {
  readonly kind: "P-256" | "Ed25519";
  /** A point, compressed or not; or 32 bytes. */
  readonly bytes: Uint8Array;
}

interface Spki {
  readonly format: "der";
  readonly key: Uint8Array;
}

/** SubjectPublicKeyInfo of a P-256 key: what comes before its point, whose length is the one thing that varies. */
const SPKI_HEAD_BYTES = 26;
const SPKI_ALGORITHM = fromHex("301306072a8648ce3d020106082a8648ce3d030107");

export function createPublicKey(given: Spki | Jwk): PublicKey {
  if (given.format === "der") {
    if (!equal(given.key.subarray(2, 2 + SPKI_ALGORITHM.length), SPKI_ALGORITHM))
      throw new RangeError("no such keys here");
    return { kind: "P-256", bytes: given.key.subarray(SPKI_HEAD_BYTES) };
  }
  const { crv, x } = given.key;
  if (crv !== "Ed25519") throw new RangeError("no such keys here");
  return { kind: crv, bytes: fromBase64Url(x) };
}

/** ECDSA: r ‖ s over SHA-256. Ed25519: RFC 8032 as OpenSSL checks it, without the cofactor. */
export function verify(
  hash: "sha256" | null,
  message: Uint8Array,
  given: PublicKey | { readonly key: PublicKey },
  signature: Uint8Array,
): boolean {
  const { kind, bytes } = "key" in given ? given.key : given;
  if ((hash === null) !== (kind === "Ed25519")) throw new RangeError("a hash that the key does not use");
  return kind === "Ed25519"
    ? ed25519.verify(signature, message, bytes, { zip215: false })
    : p256.verify(signature, message, bytes, { lowS: false });
}
