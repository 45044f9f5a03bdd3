/**
 * HPKE base mode (RFC 9180 §5.1.1) to a site's session key, both halves, for whoever needs the contexts themselves:
 * channels between sites bind a signature to `enc` and go on with exported secrets. Clients' envelopes have a file of
 * their own (hpke-recipient.ts), with another `info`.
 */
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from "hpke";
import { wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import type { Recipient } from "./hpke-recipient.ts";
import { recipientSuite, tokenKey } from "./hpke-suite.ts";
import { checkPoint } from "./p256.ts";

const senderSuite = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

export interface SenderContext {
  /** The KEM's encapsulated key, 65 bytes. */
  readonly enc: Uint8Array;
  seal(plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
  /** RFC 9180 §5.3. */
  export(context: Uint8Array, length: number): Promise<Uint8Array>;
}

export interface RecipientContext {
  /** @throws decrypt-failed */
  open(ciphertext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
  export(context: Uint8Array, length: number): Promise<Uint8Array>;
}

/** @throws point-invalid */
export async function setupSender(publicKey: Uint8Array, info: Uint8Array): Promise<SenderContext> {
  const key = await senderSuite.DeserializePublicKey(publicKey).catch((cause: unknown) => {
    throw new StrongroomError("point-invalid", "not a session key", { cause });
  });
  const { encapsulatedSecret: enc, ctx } = await senderSuite.SetupSender(key, { info });
  return {
    enc,
    seal: (plaintext, aad) => ctx.Seal(plaintext, aad),
    export: (context, length) => ctx.Export(context, length),
  };
}

/**
 * One ECDH in the recipient's token, after the point has been checked.
 * @throws point-invalid; whatever `recipient.ecdh` throws
 */
export async function setupRecipient(
  recipient: Recipient,
  enc: Uint8Array,
  info: Uint8Array,
): Promise<RecipientContext> {
  checkPoint(enc);
  const encapsulated = Uint8Array.from(enc);
  const dh = await recipient.ecdh(encapsulated);
  try {
    const key = tokenKey(dh, recipient.publicKey);
    const context = await recipientSuite.SetupRecipient(key, encapsulated, { info });
    return {
      open: (ciphertext, aad) =>
        context.Open(ciphertext, aad).catch((cause: unknown) => {
          throw new StrongroomError("decrypt-failed", "it does not open", { cause });
        }),
      export: (exporterContext, length) => context.Export(exporterContext, length),
    };
  } finally {
    wipe(dh);
  }
}
