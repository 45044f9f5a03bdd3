/** The RFC vectors as values, and the client's side of RFC 9497 in noble-curves: what the server code is held against. */
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { p256, p256_hasher, p256_oprf } from "@noble/curves/nist.js";
import { concat, fromHex, uintBE, utf8 } from "../../src/base/bytes.ts";
import { type LoginStarted, parseKe1, startLogin } from "../../src/crypto/node/opaque-server.ts";
import { compressPoint, decompressPoint, toBigInt } from "../../src/crypto/node/p256.ts";

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

export interface Rfc9807Vector {
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

/** A server key, in software or in a token: the whole product k·P, uncompressed. */
export interface ServerKey {
  /** Uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  multiply(point: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** RegistrationResponse for the vector's registration request. */
export async function reproduceRegistration(
  vector: Rfc9807Vector,
  oprf: ServerKey,
  ake: ServerKey,
): Promise<Uint8Array> {
  const request = decompressPoint(value(vector.outputs, "registration_request"));
  return concat(compressPoint(await oprf.multiply(request)), compressPoint(ake.publicKey));
}

/** The server's login with the vector's randomness; a fake vector has a fake record (RFC 9807 §6.3.2.2). */
export async function reproduceLogin(
  { config, inputs, intermediates, outputs }: Rfc9807Vector,
  oprf: ServerKey,
  ake: ServerKey,
): Promise<LoginStarted> {
  const fake = config.Fake === "True";
  const ke1 = fake ? value(inputs, "KE1") : value(outputs, "KE1");
  const { blindedElement, clientKeyshare } = parseKe1(ke1);
  return startLogin({
    ke1: parseKe1(ke1),
    registrationRecord: fake
      ? concat(value(inputs, "client_public_key"), value(inputs, "masking_key"), new Uint8Array(64))
      : value(outputs, "registration_upload"),
    evaluatedElement: await oprf.multiply(blindedElement),
    serverPublicKey: ake.publicKey,
    staticDh: await ake.multiply(clientKeyshare),
    // Where a vector names no identities, they are the public keys (RFC 9807 §10.3).
    clientIdentity: value(
      { client_identity: intermediates.client_public_key ?? "", ...inputs },
      "client_identity",
    ),
    serverIdentity: value({ server_identity: inputs.server_public_key ?? "", ...inputs }, "server_identity"),
    context: fromHex(config.Context),
    randomness: {
      maskingNonce: value(inputs, "masking_nonce"),
      serverNonce: value(inputs, "server_nonce"),
      keyshareSeed: value(inputs, "server_keyshare_seed"),
    },
  });
}
