/**
 * DSSE envelopes (github.com/secure-systems-lab/dsse, protocol.md 1.0.2): a payload, what kind it is, and signatures
 * over both. Everything that is signed in a ceremony is in one; nothing else is ever signed by its keys.
 *
 * Stricter than the standard, since all envelopes are our own: the kind is asked for before anything is decoded (a
 * signature under one kind must never be taken for one under another), base64 is canonical, every signature names
 * its key, and no key signs twice. Two kinds of keys sign: P-256 keys in tokens (ECDSA over SHA-256, r ‖ s), known by
 * their uncompressed points, and the officers' Ed25519 keys.
 */
import { createPublicKey, verify } from "node:crypto";
import { z } from "zod";
import { concat, toBase64Url, toHex, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import { encodeJson } from "../wire/json.ts";
import { decodeJson } from "./json-bytes.ts";

export interface Envelope {
  /** Media type of the payload. */
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly EnvelopeSignature[];
}

export interface EnvelopeSignature {
  /** `keyIdOf` the key that signed. */
  readonly keyid: string;
  /** 64 bytes. */
  readonly sig: Uint8Array;
}

/** Whoever signs: a key in a token, an officer. */
export interface EnvelopeSigner {
  /** P-256: 65 bytes, uncompressed. Ed25519: 32 bytes. */
  readonly publicKey: Uint8Array;
  /** @param pae what is signed; ECDSA signs its SHA-256 */
  sign(pae: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

const ED25519_BYTES = 32;
const SIGNATURE_BYTES = 64;
const MAX_SIGNATURES = 64;

/** `application/vnd.strongroom.<name>+json`. */
export function payloadTypeOf(name: string): string {
  return `application/vnd.strongroom.${name}+json`;
}

/** The pre-authentication encoding: what a signature is over. */
export function pae(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  return concat(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload);
}

/** The first 8 bytes of SHA-256 of the public key, hex. */
export function keyIdOf(publicKey: Uint8Array): string {
  return toHex(sha256Of(publicKey).subarray(0, 8));
}

/**
 * @param signers none for a statement that is made before there is a key
 * @throws token-failed where a signature does not verify; what the signers throw
 */
export async function signEnvelope(
  payloadType: string,
  payload: Uint8Array,
  signers: readonly EnvelopeSigner[],
): Promise<Envelope> {
  let envelope: Envelope = { payloadType, payload, signatures: [] };
  for (const signer of signers) envelope = await addSignature(envelope, signer);
  return envelope;
}

/** One signature more, in the place of one by the same key. @throws token-failed; what the signer throws */
export async function addSignature(envelope: Envelope, signer: EnvelopeSigner): Promise<Envelope> {
  const { publicKey } = signer;
  const keyid = keyIdOf(publicKey);
  const sig = await signer.sign(pae(envelope.payloadType, envelope.payload));
  const others = envelope.signatures.filter((other) => other.keyid !== keyid);
  const signed = { ...envelope, signatures: [...others, { keyid, sig }] };
  // A signature that nobody can verify is found while the key is still at hand.
  if (!isSignedBy(signed, publicKey))
    throw new StrongroomError("token-failed", `the signature of key ${keyid} does not verify`);
  return signed;
}

/** Has the key signed it? False, never an error, for a key or a signature that is malformed. */
export function isSignedBy(envelope: Envelope, publicKey: Uint8Array): boolean {
  const keyid = keyIdOf(publicKey);
  const message = pae(envelope.payloadType, envelope.payload);
  return envelope.signatures.some(
    (signature) => signature.keyid === keyid && verifies(publicKey, message, signature.sig),
  );
}

function verifies(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ED25519_BYTES) return verifySignature(publicKey, message, signature);
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    const jwk = { kty: "OKP", crv: "Ed25519", x: toBase64Url(publicKey) };
    return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
  } catch {
    return false;
  }
}

const base64 = z.string().transform((text, context) => {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  if (Buffer.from(bytes).toString("base64") === text) return bytes;
  context.addIssue({ code: "custom", message: "not canonical base64" });
  return z.NEVER;
});

const envelopeSchema = z.strictObject({
  payload: base64,
  payloadType: z.string(),
  signatures: z
    .array(
      z.strictObject({
        keyid: z.string().regex(/^[0-9a-f]{16}$/),
        sig: base64.refine(({ length }) => length === SIGNATURE_BYTES, "not 64 bytes"),
      }),
    )
    .max(MAX_SIGNATURES)
    .refine((all) => new Set(all.map(({ keyid }) => keyid)).size === all.length, "a key signed twice"),
});

export function encodeEnvelope({ payload, payloadType, signatures }: Envelope): Uint8Array {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return encodeJson({
    payload: text(payload),
    payloadType,
    signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig: text(sig) })),
  });
}

/** Signatures are not verified here. @throws evidence-invalid for other bytes, and for a payload of another type */
export function decodeEnvelope(bytes: Uint8Array, payloadType: string): Envelope {
  const envelope = decodeJson(bytes, envelopeSchema, "a DSSE envelope");
  if (envelope.payloadType === payloadType) return envelope;
  throw new StrongroomError("evidence-invalid", `an envelope with ${payloadType} was expected`);
}
