/** The site's half of the sealed envelope (envelope.ts). */
import { concat, equal, wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  envelopeInfo,
  joinAnswer,
  KEY_LABEL,
  NONCE_LABEL,
  RESPONSE_LABEL,
  RESPONSE_NONCE_BYTES,
  splitRequest,
} from "../envelope.ts";
import { encrypt } from "./aes-gcm.ts";
import { expand, extract } from "./hkdf.ts";
import { recipientSuite, tokenKey } from "./hpke-suite.ts";
import { checkPoint } from "./p256.ts";
import { randomBytes } from "./random.ts";

const EMPTY = new Uint8Array(0);

/** The session key of a site, whose private half answers only through its token. */
export interface Recipient {
  /** `keyId(publicKey)`, 8 bytes. */
  readonly kid: Uint8Array;
  /** Uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** The x-coordinate (32 bytes) of the private key times `point`, uncompressed and on the curve. */
  ecdh(point: Uint8Array): Promise<Uint8Array>;
}

export interface OpenedEnvelope {
  /** The KEM's encapsulated key, 65 bytes: no two envelopes that were sealed have the same. */
  readonly enc: Uint8Array;
  readonly plaintext: Uint8Array;
  /** Seals the answer so that only the sender of this envelope can open it; once. */
  readonly sealAnswer: (plaintext: Uint8Array) => Uint8Array;
}

/**
 * Opens a request. Nothing reaches the token before version, key id and point have passed.
 *
 * @throws unknown-key where it is sealed to another key; decode-failed, point-invalid, decrypt-failed; and
 *   whatever `recipient.ecdh` throws
 */
export async function openEnvelope(
  body: Uint8Array,
  options: { readonly fleet: string; readonly recipient: Recipient },
): Promise<OpenedEnvelope> {
  const { fleet, recipient } = options;
  const { kid, enc, ciphertext, aad } = splitRequest(body);
  if (!equal(kid, recipient.kid))
    throw new StrongroomError("unknown-key", "sealed to a key that this site does not have");
  checkPoint(enc);
  const encapsulated = Uint8Array.from(enc);
  const dh = await recipient.ecdh(encapsulated);
  try {
    const context = await recipientSuite.SetupRecipient(tokenKey(dh, recipient.publicKey), encapsulated, {
      info: envelopeInfo(fleet),
    });
    const plaintext = await context.Open(ciphertext, aad).catch((cause: unknown) => {
      throw new StrongroomError("decrypt-failed", "the envelope does not open", { cause });
    });
    const secret = await context.Export(RESPONSE_LABEL, AEAD_KEY_BYTES);
    let answered = false;
    return {
      enc: encapsulated,
      plaintext,
      sealAnswer(answer) {
        if (answered) throw new StrongroomError("internal", "an envelope is answered once");
        answered = true;
        return sealAnswer(encapsulated, secret, answer);
      },
    };
  } finally {
    wipe(dh);
  }
}

/** RFC 9458 §4.4. The secret is of no more use then, and is wiped. */
function sealAnswer(enc: Uint8Array, secret: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const responseNonce = randomBytes(RESPONSE_NONCE_BYTES);
  const prk = extract(concat(enc, responseNonce), secret);
  const key = expand(prk, AEAD_KEY_BYTES, KEY_LABEL);
  const nonce = expand(prk, AEAD_NONCE_BYTES, NONCE_LABEL);
  const body = joinAnswer(responseNonce, encrypt(key, nonce, plaintext, EMPTY));
  wipe(secret, prk, key);
  return body;
}
