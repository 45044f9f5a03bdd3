/**
 * The sealed envelope (design §6), as sender and recipient both see it: HPKE (RFC 9180) base mode,
 * DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the answer under a key exported from the same context,
 * as RFC 9458 §4.4 does it. Runs in browsers.
 *
 *     request  = version 1 ‖ kid 8 ‖ enc 65 ‖ ciphertext      aad = version ‖ kid
 *     answer   = version 1 ‖ response_nonce 32 ‖ ciphertext   aad empty
 */
import { concat, framed, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { KEY_ID_BYTES, UNCOMPRESSED_POINT_BYTES } from "../wire/limits.ts";
import { ENVELOPE_VERSION, envelopeHeader } from "../wire/messages.ts";

export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;
/** max(Nn, Nk) of the AEAD (RFC 9458 §4.4). */
export const RESPONSE_NONCE_BYTES = 32;
const HEADER_BYTES = 1 + KEY_ID_BYTES;

/** The exporter_context of the answer's secret, and the labels that turn it into a key and a nonce. */
export const RESPONSE_LABEL: Uint8Array = utf8("strongroom response");
export const KEY_LABEL: Uint8Array = utf8("key");
export const NONCE_LABEL: Uint8Array = utf8("nonce");

/** HPKE's `info`: an envelope opens only in the fleet it was sealed for. */
export function envelopeInfo(fleet: string): Uint8Array {
  return framed("strongroom/vault/v1", fleet);
}

export interface SealedRequest {
  readonly kid: Uint8Array;
  /** The KEM's encapsulated key: an uncompressed point, not yet checked. */
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
  /** What the ciphertext is bound to. */
  readonly aad: Uint8Array;
}

export function joinRequest(kid: Uint8Array, enc: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return concat(envelopeHeader(kid), enc, ciphertext);
}

/** @throws decode-failed */
export function splitRequest(body: Uint8Array): SealedRequest {
  const start = HEADER_BYTES + UNCOMPRESSED_POINT_BYTES;
  if (body.length < start + AEAD_TAG_BYTES || body[0] !== ENVELOPE_VERSION)
    throw new StrongroomError("decode-failed", "not a sealed request of this version");
  return {
    kid: body.subarray(1, HEADER_BYTES),
    enc: body.subarray(HEADER_BYTES, start),
    ciphertext: body.subarray(start),
    aad: body.subarray(0, HEADER_BYTES),
  };
}

export function joinAnswer(responseNonce: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(ENVELOPE_VERSION), responseNonce, ciphertext);
}

/** @throws decode-failed */
export function splitAnswer(body: Uint8Array): { responseNonce: Uint8Array; ciphertext: Uint8Array } {
  const start = 1 + RESPONSE_NONCE_BYTES;
  if (body.length < start + AEAD_TAG_BYTES || body[0] !== ENVELOPE_VERSION)
    throw new StrongroomError("decode-failed", "not a sealed answer of this version");
  return { responseNonce: body.subarray(1, start), ciphertext: body.subarray(start) };
}
