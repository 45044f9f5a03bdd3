/** The client's half of the sealed envelope (envelope.ts). Runs in browsers: WebCrypto and @noble only. */
import { expand, extract } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { concat, wipe } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { envelopeHeader } from "../wire/messages.ts";
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  envelopeInfo,
  joinRequest,
  KEY_LABEL,
  NONCE_LABEL,
  RESPONSE_LABEL,
  splitAnswer,
} from "./envelope.ts";
import { decrypt } from "./web-aead.ts";

const suite = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
const EMPTY = new Uint8Array(0);

export interface SealedEnvelope {
  /** What to POST. */
  readonly body: Uint8Array;
  /** Opens the answer to this very envelope. @throws decode-failed, decrypt-failed */
  readonly openAnswer: (body: Uint8Array) => Promise<Uint8Array>;
}

/**
 * Seals a request to a site's session key.
 *
 * @param options.kid       `keyId(publicKey)`, 8 bytes
 * @param options.publicKey uncompressed point, 65 bytes, from a manifest that was verified
 * @throws point-invalid
 */
export async function sealEnvelope(options: {
  readonly fleet: string;
  readonly kid: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly plaintext: Uint8Array;
}): Promise<SealedEnvelope> {
  const publicKey = await suite.DeserializePublicKey(options.publicKey).catch((cause: unknown) => {
    throw new StrongroomError("point-invalid", "not a session key", { cause });
  });
  const { encapsulatedSecret: enc, ctx } = await suite.SetupSender(publicKey, {
    info: envelopeInfo(options.fleet),
  });
  const ciphertext = await ctx.Seal(options.plaintext, envelopeHeader(options.kid));
  return {
    body: joinRequest(options.kid, enc, ciphertext),
    openAnswer: async (body) => {
      const { responseNonce, ciphertext: sealed } = splitAnswer(body);
      const secret = await ctx.Export(RESPONSE_LABEL, AEAD_KEY_BYTES);
      const prk = extract(sha256, secret, concat(enc, responseNonce));
      const key = expand(sha256, prk, KEY_LABEL, AEAD_KEY_BYTES);
      const nonce = expand(sha256, prk, NONCE_LABEL, AEAD_NONCE_BYTES);
      try {
        return await decrypt(key, nonce, sealed, EMPTY);
      } finally {
        wipe(secret, prk, key);
      }
    },
  };
}
