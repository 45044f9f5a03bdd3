/**
 * The server of OPAQUE-3DH, RFC 9807, for P256-SHA256 / HKDF-SHA-256 / HMAC-SHA-256 (§7), without the two steps
 * that need its long-term secrets: those run in the token, and their results, the evaluated element k·B and the
 * static Diffie-Hellman product, are arguments here. Pure apart from fresh randomness, which vectors replace.
 *
 * Names in comments are the RFC's. Sizes: Noe = Npk = 33, Nn = Nseed = 32, Nh = Nm = Nx = 32.
 */
import { timingSafeEqual } from "node:crypto";
import { p256_oprf } from "@noble/curves/nist.js";
import { concat, uintBE, utf8, wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { HASH_BYTES, KE1_BYTES, POINT_BYTES, REGISTRATION_RECORD_BYTES } from "../../wire/limits.ts";
import { agree, randomScalar } from "./ephemeral.ts";
import { expand, extract, hash, hmac } from "./hkdf.ts";
import { compressPoint, decompressPoint } from "./p256.ts";
import { randomBytes } from "./random.ts";

const NONCE_BYTES = 32;
const EMPTY = new Uint8Array(0);

/** KE1 (RFC 9807 §6.1): CredentialRequest ‖ AuthRequest. */
export interface Ke1 {
  /** The message itself, 98 bytes. */
  readonly bytes: Uint8Array;
  /** credential_request.blinded_message, uncompressed, 65 bytes. */
  readonly blindedElement: Uint8Array;
  /** auth_request.client_nonce, 32 bytes. */
  readonly clientNonce: Uint8Array;
  /** auth_request.client_public_keyshare, uncompressed, 65 bytes. */
  readonly clientKeyshare: Uint8Array;
}

/** RegistrationRecord (RFC 9807 §5.1). */
export interface RegistrationRecord {
  /** client_public_key, uncompressed, 65 bytes. */
  readonly clientPublicKey: Uint8Array;
  /** masking_key, 32 bytes. */
  readonly maskingKey: Uint8Array;
  /** envelope: envelope_nonce 32 ‖ auth_tag 32. */
  readonly envelope: Uint8Array;
}

/** What a login draws at random (RFC 9807 §6.2.2, §6.4.4); given only to reproduce vectors. */
interface LoginRandomness {
  readonly maskingNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
  /** server_keyshare_seed. */
  readonly keyshareSeed: Uint8Array;
}

export interface LoginInput {
  readonly ke1: Ke1;
  readonly registrationRecord: Uint8Array;
  /** k·blindedElement, uncompressed, 65 bytes. */
  readonly evaluatedElement: Uint8Array;
  /** The ake key, uncompressed, 65 bytes. */
  readonly serverPublicKey: Uint8Array;
  /** ake·clientKeyshare, uncompressed, 65 bytes. The caller wipes it. */
  readonly staticDh: Uint8Array;
  /**
   * client_identity and server_identity (RFC 9807 §10.3); text stands for its UTF-8. Always given: the RFC's
   * default, the public keys, would bind a login to no account.
   */
  readonly clientIdentity: string | Uint8Array;
  readonly serverIdentity: string | Uint8Array;
  /** The application's context (RFC 9807 §6.4.2.1); empty where absent. */
  readonly context?: Uint8Array | undefined;
  readonly randomness?: LoginRandomness | undefined;
}

export interface LoginStarted {
  /** KE2, 259 bytes. */
  readonly ke2: Uint8Array;
  /** What KE3 must be, 32 bytes; secret until the client has proved itself. */
  readonly expectedClientMac: Uint8Array;
  /** session_key, 32 bytes. */
  readonly sessionKey: Uint8Array;
}

function requireLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length)
    throw new StrongroomError("decode-failed", `${what} must be ${length} bytes, not ${bytes.length}`);
}

/** @throws decode-failed for a wrong length; point-invalid unless both points are on the curve */
export function parseKe1(ke1: Uint8Array): Ke1 {
  requireLength(ke1, KE1_BYTES, "KE1");
  return {
    bytes: ke1,
    blindedElement: decompressPoint(ke1.subarray(0, POINT_BYTES)),
    clientNonce: Uint8Array.from(ke1.subarray(POINT_BYTES, POINT_BYTES + NONCE_BYTES)),
    clientKeyshare: decompressPoint(ke1.subarray(POINT_BYTES + NONCE_BYTES)),
  };
}

/** @throws decode-failed for a wrong length; point-invalid unless the client's public key is on the curve */
export function parseRegistrationRecord(record: Uint8Array): RegistrationRecord {
  requireLength(record, REGISTRATION_RECORD_BYTES, "the registration record");
  return {
    clientPublicKey: decompressPoint(record.subarray(0, POINT_BYTES)),
    maskingKey: Uint8Array.from(record.subarray(POINT_BYTES, POINT_BYTES + HASH_BYTES)),
    envelope: Uint8Array.from(record.subarray(POINT_BYTES + HASH_BYTES)),
  };
}

/**
 * DeriveDiffieHellmanKeyPair (RFC 9807 §6.4.1.2) = DeriveKeyPair of RFC 9497 §3.2.1. Only vectors need it: a
 * random scalar has the same distribution and costs three milliseconds less.
 *
 * @returns private key, 32 bytes; public key, compressed
 */
export function deriveDiffieHellmanKeyPair(seed: Uint8Array): {
  privateKey: Uint8Array;
  publicKey: Uint8Array;
} {
  const pair = p256_oprf.oprf.deriveKeyPair(seed, utf8("OPAQUE-DeriveDiffieHellmanKeyPair"));
  return { privateKey: pair.secretKey, publicKey: pair.publicKey };
}

/** opaque<0..2^16-1>: two bytes of length, then the bytes. */
function vector16(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return concat(uintBE(bytes.length, 2), bytes);
}

/** Derive-Secret(secret, label, transcriptHash) by Expand-Label (RFC 9807 §6.4.2.1). */
function deriveSecret(secret: Uint8Array, label: string, transcriptHash: Uint8Array): Uint8Array {
  const name = utf8(`OPAQUE-${label}`);
  return expand(
    secret,
    HASH_BYTES,
    uintBE(HASH_BYTES, 2),
    uintBE(name.length, 1),
    name,
    uintBE(transcriptHash.length, 1),
    transcriptHash,
  );
}

/** masked_response of CreateCredentialResponse (RFC 9807 §6.3.2.2). */
function maskResponse(
  maskingKey: Uint8Array,
  maskingNonce: Uint8Array,
  serverPublicKey: Uint8Array,
  envelope: Uint8Array,
): Uint8Array {
  const response = concat(serverPublicKey, envelope);
  const pad = expand(maskingKey, response.length, maskingNonce, utf8("CredentialResponsePad"));
  for (const [i, byte] of pad.entries()) response[i] = (response[i] ?? 0) ^ byte;
  wipe(pad);
  return response;
}

/**
 * GenerateKE2 (RFC 9807 §6.2.2) = CreateCredentialResponse (§6.3.2.2) and AuthServerRespond (§6.4.4).
 *
 * For a client that does not exist give a fake record (§6.3.2.2): a random public key, a random masking key and
 * an envelope of zeros; nothing else differs.
 *
 * @throws decode-failed, point-invalid for a malformed record
 */
export function startLogin(input: LoginInput): LoginStarted {
  const record = parseRegistrationRecord(input.registrationRecord);

  const maskingNonce = input.randomness?.maskingNonce ?? randomBytes(NONCE_BYTES);
  const credentialResponse = concat(
    compressPoint(input.evaluatedElement),
    maskingNonce,
    maskResponse(record.maskingKey, maskingNonce, compressPoint(input.serverPublicKey), record.envelope),
  );

  const serverNonce = input.randomness?.serverNonce ?? randomBytes(NONCE_BYTES);
  const privateKeyshare = input.randomness
    ? deriveDiffieHellmanKeyPair(input.randomness.keyshareSeed).privateKey
    : randomScalar();
  const keyshare = agree(privateKeyshare, [input.ke1.clientKeyshare, record.clientPublicKey]);
  wipe(privateKeyshare, record.maskingKey);

  // Preamble (§6.4.2.1).
  const preamble = concat(
    utf8("OPAQUEv1-"),
    vector16(input.context ?? EMPTY),
    vector16(input.clientIdentity),
    input.ke1.bytes,
    vector16(input.serverIdentity),
    credentialResponse,
    serverNonce,
    keyshare.publicKey,
  );

  // ikm (§6.4.4): ephemeral·ephemeral, static·ephemeral, ephemeral·static.
  const [dh1 = EMPTY, dh3 = EMPTY] = keyshare.products;
  const dh2 = compressPoint(input.staticDh);
  const prk = extract(EMPTY, dh1, dh2, dh3);

  // DeriveKeys (§6.4.2.2).
  const transcriptHash = hash(preamble);
  const handshakeSecret = deriveSecret(prk, "HandshakeSecret", transcriptHash);
  const sessionKey = deriveSecret(prk, "SessionKey", transcriptHash);
  const km2 = deriveSecret(handshakeSecret, "ServerMAC", EMPTY);
  const km3 = deriveSecret(handshakeSecret, "ClientMAC", EMPTY);

  const serverMac = hmac(km2, transcriptHash);
  const expectedClientMac = hmac(km3, hash(preamble, serverMac));
  wipe(dh1, dh2, dh3, prk, handshakeSecret, km2, km3);
  return {
    ke2: concat(credentialResponse, serverNonce, keyshare.publicKey, serverMac),
    expectedClientMac,
    sessionKey,
  };
}

/** ServerFinish (RFC 9807 §6.2.4): whether KE3 is the expected client_mac, in constant time. */
export function verifyKe3(ke3: Uint8Array, expectedClientMac: Uint8Array): boolean {
  return (
    ke3.length === HASH_BYTES &&
    expectedClientMac.length === HASH_BYTES &&
    timingSafeEqual(ke3, expectedClientMac)
  );
}
