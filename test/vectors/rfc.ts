/** The RFC vectors as values, and the client's side of RFC 9497 in noble-curves: what the server code is held against. */
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { p256, p256_hasher, p256_oprf } from "@noble/curves/nist.js";
import { concat, fromHex, uintBE, utf8 } from "../../src/base/bytes.ts";
import { toBigInt } from "../../src/crypto/node/p256.ts";

export function loadJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
}

interface Rfc9497 {
  readonly groupDST: string;
  readonly keyInfo: string;
  readonly seed: string;
  readonly skSm: string;
  readonly vectors: readonly {
    readonly Blind: string;
    readonly BlindedElement: string;
    readonly EvaluationElement: string;
    readonly Input: string;
    readonly Output: string;
  }[];
}

interface Rfc9807Vector {
  readonly config: { readonly Context: string; readonly Fake: "True" | "False" };
  readonly inputs: Readonly<Record<string, string>>;
  readonly intermediates: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
}

export const rfc9497: Rfc9497 = loadJson("rfc9497-p256.json") as Rfc9497;
const rfc9807: readonly Rfc9807Vector[] = (
  loadJson("rfc9807-p256.json") as { vectors: readonly Rfc9807Vector[] }
).vectors;
export const realVectors: readonly Rfc9807Vector[] = rfc9807.filter((v) => v.config.Fake === "False");
export const fakeVectors: readonly Rfc9807Vector[] = rfc9807.filter((v) => v.config.Fake === "True");

/** A named value of a vector. */
export function value(fields: Readonly<Record<string, string>>, name: string): Uint8Array {
  const hex = fields[name];
  if (hex === undefined) throw new Error(`the vector has no ${name}`);
  return fromHex(hex);
}

/** DeriveKeyPair of RFC 9497 §3.2.1. */
export function deriveKey(seed: Uint8Array, info: Uint8Array): Uint8Array {
  return p256_oprf.oprf.deriveKeyPair(seed, info).secretKey;
}

/** The OPRF key of a credential (RFC 9807 §6.3.2.2). */
export function oprfKey(oprfSeed: Uint8Array, credentialIdentifier: Uint8Array): Uint8Array {
  // HKDF-Expand to one block.
  const seed = createHmac("sha256", oprfSeed).update(credentialIdentifier).update("OprfKey\u0001").digest();
  return deriveKey(Uint8Array.from(seed), utf8("OPAQUE-DeriveKeyPair"));
}

/** Blind (RFC 9497 §3.3.1) with a given blind: the compressed blinded element. */
export function blind(input: Uint8Array, blindScalar: Uint8Array): Uint8Array {
  const point = p256_hasher.hashToCurve(input, { DST: fromHex(rfc9497.groupDST) });
  return point.multiply(toBigInt(blindScalar)).toBytes(true);
}

/** Finalize (RFC 9497 §3.3.1). */
export function finalize(input: Uint8Array, blindScalar: Uint8Array, evaluated: Uint8Array): Uint8Array {
  const inverse = p256.Point.Fn.inv(toBigInt(blindScalar));
  const unblinded = p256.Point.fromBytes(evaluated).multiply(inverse).toBytes(true);
  const hashed = concat(
    uintBE(input.length, 2),
    input,
    uintBE(unblinded.length, 2),
    unblinded,
    utf8("Finalize"),
  );
  return Uint8Array.from(createHash("sha256").update(hashed).digest());
}
