/** node:crypto's X509Certificate for the page: certificates of P-256 keys, signed with ECDSA over SHA-256. */
import "reflect-metadata";
import { p256 } from "@noble/curves/nist.js";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as Parsed,
  SubjectKeyIdentifierExtension,
} from "@peculiar/x509";
import { equal, fromHex, toBase64Url } from "../../base/bytes.ts";
import { Buffer } from "./buffer.ts";

/** SubjectPublicKeyInfo of a P-256 key, up to the point (RFC 5480). */
const SPKI_PREFIX = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
const POINT_BYTES = 65;

interface Jwk {
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
}

/** Keys of other kinds have no point. */
class CertifiedKey {
  readonly type = "public";
  readonly #spki: Uint8Array;

  constructor(spki: Uint8Array) {
    this.#spki = spki;
  }
  get point(): Uint8Array | undefined {
    const isP256 =
      this.#spki.length === SPKI_PREFIX.length + POINT_BYTES &&
      equal(this.#spki.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX);
    const point = this.#spki.subarray(SPKI_PREFIX.length);
    return isP256 && p256.utils.isValidPublicKey(point, false) ? point : undefined;
  }
  export(): Jwk {
    const { point } = this;
    if (!point) return {};
    return { crv: "P-256", x: toBase64Url(point.subarray(1, 33)), y: toBase64Url(point.subarray(33)) };
  }
}

/** The length of a DER value whose length takes two bytes or less (X.690 §8.1.3). */
function derLength(der: Uint8Array): number {
  const [, first = 0, high = 0, low = 0] = der;
  if (first < 0x80) return 2 + first;
  if (first === 0x81) return 3 + high;
  return first === 0x82 ? 4 + (high << 8) + low : -1;
}

export class X509Certificate {
  readonly #parsed: Parsed;
  readonly raw: Uint8Array;
  readonly publicKey: CertifiedKey;
  readonly ca: boolean;

  /** @throws TypeError for what is no certificate, or has something behind it */
  constructor(der: Uint8Array) {
    if (derLength(der) !== der.length) throw new TypeError("not one DER value");
    this.#parsed = new Parsed(Uint8Array.from(der));
    this.raw = Buffer.from(der);
    this.publicKey = new CertifiedKey(new Uint8Array(this.#parsed.publicKey.rawData));
    this.ca = this.#parsed.getExtension(BasicConstraintsExtension)?.ca === true;
  }
  get subject(): string {
    return this.#parsed.subject;
  }
  get issuer(): string {
    return this.#parsed.issuer;
  }
  get validFrom(): string {
    return this.#parsed.notBefore.toUTCString();
  }
  get validTo(): string {
    return this.#parsed.notAfter.toUTCString();
  }
  /** Names, key identifiers and the use of the issuer's key fit together (RFC 5280 §6.1.3, 6.1.4). */
  checkIssued(issuer: X509Certificate): boolean {
    const named = this.#parsed.getExtension(AuthorityKeyIdentifierExtension)?.keyId;
    const known = issuer.#parsed.getExtension(SubjectKeyIdentifierExtension)?.keyId;
    const usages = issuer.#parsed.getExtension(KeyUsagesExtension)?.usages;
    return (
      equal(
        new Uint8Array(this.#parsed.issuerName.toArrayBuffer()),
        new Uint8Array(issuer.#parsed.subjectName.toArrayBuffer()),
      ) &&
      (named === undefined || known === undefined || named === known) &&
      (usages === undefined || (usages & KeyUsageFlags.keyCertSign) !== 0)
    );
  }
  /** The signature, by another certificate's key. */
  verify({ point }: CertifiedKey): boolean {
    const { signatureAlgorithm, signature, tbs } = signedParts(this.#parsed);
    if (!point || signatureAlgorithm !== "ECDSA SHA-256") return false;
    try {
      return p256.verify(signature, tbs, point, { lowS: false, format: "der" });
    } catch {
      return false;
    }
  }
}

function signedParts(parsed: Parsed): {
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  readonly tbs: Uint8Array;
} {
  const { name, hash } = parsed.signatureAlgorithm as {
    readonly name: string;
    readonly hash?: { readonly name: string };
  };
  return {
    signatureAlgorithm: `${name} ${hash?.name ?? ""}`,
    signature: new Uint8Array(parsed.signature),
    // The bytes that were signed, which the library keeps to itself but for its own check.
    tbs: tbsOf(new Uint8Array(parsed.rawData)),
  };
}

/** The first value in the certificate's sequence (RFC 5280 §4.1). */
function tbsOf(der: Uint8Array): Uint8Array {
  const head = der[1] === 0x82 ? 4 : der[1] === 0x81 ? 3 : 2;
  const inner = der.subarray(head);
  return inner.subarray(0, derLength(inner));
}
