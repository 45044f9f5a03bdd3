/**
 * Protects a backup key with a recovery code, and gets it back (design §6). Runs in browsers.
 *
 * Trust comes from the manifest alone, pinned by its exact bytes: requests are sealed to the sites' session keys,
 * OPAQUE must meet the fleet's ake key, acknowledgments must be signed by the site's identity key.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { equal, framed, fromHex, toHex, wipe } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import {
  generateReceiptKeyPair,
  openBackupKey,
  openReceiptKey,
  sealBackupKey,
  sealReceiptKey,
  signReceipt,
  verifySignature,
} from "../crypto/client-keys.ts";
import { decodeManifest, type Manifest, manifestKey } from "../wire/manifest.ts";
import type { RegisterFinished, StatusAnswer } from "../wire/messages.ts";
import { type Account, acknowledgmentMessage, clientIdentity, receiptMessage } from "../wire/transcripts.ts";
import { type Identities, startLogin, startRegistration } from "./opaque.ts";
import { parseNewRecoveryCode, parseRecoveryCode } from "./recovery-code.ts";
import { createTransport, type TransportOptions } from "./transport.ts";

const BACKUP_KEY_BYTES = 32;

export interface VaultClientOptions extends TransportOptions {
  /** The exact bytes of the fleet's manifest. */
  readonly manifest: Uint8Array;
  /** SHA-256 of the manifest, lower-case hex; required unless the bytes themselves were shipped with the app. */
  readonly manifestSha256?: string | undefined;
  readonly account: Account;
  /** A fresh token of the app's issuer (JWT) for the account; asked for before every request. */
  readonly accountToken: () => Promise<string> | string;
}

export interface Registered {
  /** 32 bytes. */
  readonly backupKey: Uint8Array;
  readonly generation: number;
}

export interface Recovered {
  /** 32 bytes. */
  readonly backupKey: Uint8Array;
  readonly generation: number;
  /** Attempts left now that the success has reset the counter. */
  readonly attemptsLeft: number;
}

export interface VaultClient {
  /**
   * Protects `backupKey` (a new random one by default) with the code, in place of whatever was registered.
   * @throws recovery-code-invalid, the wire's codes, manifest-invalid for a vault that is not the manifest's
   */
  register(recoveryCode: string, backupKey?: Uint8Array): Promise<Registered>;
  /** @throws wrong-recovery-code with `details.attemptsLeft`; recovery-code-invalid; the wire's codes */
  recover(recoveryCode: string): Promise<Recovered>;
  /** @throws the wire's codes */
  status(): Promise<StatusAnswer>;
  /** @throws the wire's codes */
  delete(): Promise<void>;
}

function pinned(bytes: Uint8Array, pin: string | undefined): Manifest {
  if (pin !== undefined && toHex(sha256(bytes)) !== pin)
    throw new StrongroomError("manifest-invalid", "the manifest is not the one that is pinned", {
      hint: "get the manifest and its SHA-256 from a source that you trust",
    });
  return decodeManifest(bytes);
}

function wrongCode(attemptsLeft: number): StrongroomError {
  const left = attemptsLeft === 1 ? "1 attempt left" : `${attemptsLeft} attempts left`;
  return new StrongroomError("wrong-recovery-code", `wrong recovery code, ${left}`, {
    details: { attemptsLeft },
    hint:
      attemptsLeft === 0
        ? "the record is destroyed; the backup key cannot be recovered by anybody"
        : "check the code before you try again; at 0 the record is destroyed for good",
  });
}

/** @throws manifest-invalid */
export function createVaultClient(options: VaultClientOptions): VaultClient {
  const manifest = pinned(options.manifest, options.manifestSha256);
  const { fleet } = manifest;
  const transport = createTransport(manifest, options);
  const identities: Identities = { client: clientIdentity(options.account), server: fleet };
  const aad = framed("strongroom/client/v1", fleet, identities.client);
  const akePoint = fromHex(manifestKey(manifest, "ake").publicKey);

  function requireServerKey(compressed: Uint8Array): void {
    const parity = 2 + ((akePoint[64] ?? 0) & 1);
    if (compressed[0] === parity && equal(compressed.subarray(1), akePoint.subarray(1, 33))) return;
    throw new StrongroomError("manifest-invalid", "the vault's OPAQUE key is not the manifest's", {
      hint: "this is not the fleet that the manifest describes; do not enter the recovery code again",
    });
  }

  function requireAcknowledgment(
    answer: RegisterFinished,
    sent: {
      readonly registrationRecord: Uint8Array;
      readonly sealedBackupKey: Uint8Array;
      readonly sealedReceiptKey: Uint8Array;
    },
  ): void {
    const key = fromHex(manifestKey(manifest, "identity", answer.site).publicKey);
    const message = acknowledgmentMessage({ fleet, ...answer, ...sent });
    if (!verifySignature(key, message, answer.acknowledgment))
      throw new StrongroomError("manifest-invalid", "the acknowledgment is not signed by the site");
  }

  return {
    async register(recoveryCode, given) {
      const { text } = parseNewRecoveryCode(recoveryCode);
      const backupKey = given ?? crypto.getRandomValues(new Uint8Array(BACKUP_KEY_BYTES));
      if (backupKey.length !== BACKUP_KEY_BYTES)
        throw new StrongroomError("usage", `a backup key has ${BACKUP_KEY_BYTES} bytes`);
      const receiptKey = generateReceiptKeyPair();
      const opaque = await startRegistration(text, identities);
      const started = await transport.send({
        op: "register-start",
        accountToken: await options.accountToken(),
        blindedElement: opaque.blindedElement,
        receiptPublicKey: receiptKey.publicKey,
      });
      requireServerKey(started.serverPublicKey);
      const { exportKey, registrationRecord, serverPublicKey } = opaque.finish(
        started.evaluatedElement,
        started.serverPublicKey,
      );
      try {
        requireServerKey(serverPublicKey);
        const sent = {
          registrationRecord,
          sealedBackupKey: await sealBackupKey(exportKey, backupKey, aad),
          sealedReceiptKey: await sealReceiptKey(exportKey, receiptKey.privateKey, aad),
        };
        const answer = await transport.send({
          op: "register-finish",
          accountToken: await options.accountToken(),
          cookie: started.cookie,
          ...sent,
        });
        requireAcknowledgment(answer, sent);
        return { backupKey, generation: answer.generation };
      } finally {
        wipe(exportKey, receiptKey.privateKey);
      }
    },

    async recover(recoveryCode) {
      const { text } = parseRecoveryCode(recoveryCode);
      const opaque = await startLogin(text, identities);
      const started = await transport.send({
        op: "recover-start",
        accountToken: await options.accountToken(),
        ke1: opaque.ke1,
      });
      const login = opaque.finish(started.ke2);
      if (!login) throw wrongCode(started.attemptsLeft);
      const { recordId, generation, seq, cookie, sealedReceiptKey } = started;
      try {
        requireServerKey(login.serverPublicKey);
        const receiptKey = await openReceiptKey(login.exportKey, sealedReceiptKey, aad);
        const receipt = signReceipt(receiptKey, receiptMessage({ fleet, recordId, generation, seq }));
        wipe(receiptKey);
        const answer = await transport.send({
          op: "recover-finish",
          accountToken: await options.accountToken(),
          cookie,
          ke3: login.ke3,
          receipt,
        });
        const backupKey = await openBackupKey(login.exportKey, answer.sealedBackupKey, aad);
        return { backupKey, generation, attemptsLeft: answer.attemptsLeft };
      } catch (error) {
        if (isStrongroomError(error, "decrypt-failed"))
          throw new StrongroomError("record-corrupt", "the vault's record does not open under this code", {
            cause: error,
          });
        throw error;
      } finally {
        wipe(login.exportKey);
      }
    },

    async status() {
      return transport.send({ op: "status", accountToken: await options.accountToken() });
    },

    async delete() {
      await transport.send({ op: "delete", accountToken: await options.accountToken() });
    },
  };
}
