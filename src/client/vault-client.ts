/**
 * Protects a backup key with a recovery code, and gets it back (design §6). Runs in browsers.
 *
 * Trust comes from the manifest alone, pinned by its exact bytes: requests are sealed to the sites' session keys,
 * OPAQUE must meet the fleet's ake key, acknowledgments must be signed by the site's identity key.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { equal, framed, toHex, wipe } from "../base/bytes.ts";
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
import { manifestPoint } from "../crypto/manifest-point.ts";
import { MAX_ACCOUNT_TOKEN_BYTES } from "../wire/limits.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";
import type { RecoverFinished, RecoverStarted, RegisterFinished, StatusAnswer } from "../wire/messages.ts";
import { type Account, acknowledgmentMessage, clientIdentity, receiptMessage } from "../wire/transcripts.ts";
import {
  type KeyStretching,
  type LoggingIn,
  type OpaqueLogin,
  type OpaqueOptions,
  startLogin,
  startRegistration,
} from "./opaque.ts";
import { parseNewRecoveryCode, parseRecoveryCode } from "./recovery-code.ts";
import { wrongCode } from "./told.ts";
import { createTransport, type TransportOptions } from "./transport.ts";

const BACKUP_KEY_BYTES = 32;

export interface VaultClientOptions extends TransportOptions {
  /** The exact bytes of the fleet's manifest. */
  readonly manifest: Uint8Array;
  /** SHA-256 of the manifest, lower-case hex; required unless the bytes themselves were shipped with the app. */
  readonly manifestSha256?: string | undefined;
  readonly account: Account;
  /**
   * A fresh token of the app's issuer (JWT) for the account; asked for before every request and every retry. What it
   * throws ends the call as it is.
   */
  readonly accountToken: () => Promise<string> | string;
  /** The same on all devices and for as long as a registration lives, else every code is wrong; see `KeyStretching`. */
  readonly keyStretching?: KeyStretching | undefined;
}

export interface Registered {
  /** 32 bytes: a copy of what was given, else the new one. A secret. */
  readonly backupKey: Uint8Array<ArrayBuffer>;
  /** From 1; grows with every registration of the account. */
  readonly generation: number;
}

export interface Recovered {
  /** 32 bytes. A secret. */
  readonly backupKey: Uint8Array<ArrayBuffer>;
  readonly generation: number;
  /** Attempts left now that the success has reset the counter. */
  readonly attemptsLeft: number;
}

export interface VaultClient {
  /**
   * Protects `backupKey` (32 bytes, a new random one by default) with the code, in place of whatever was registered. After
   * `unavailable`, or where it was given up, the registration may be in force all the same: `recover` shows which one is.
   * @throws recovery-code-invalid, usage, the wire's codes, manifest-invalid for a vault that is not the manifest's
   */
  register(recoveryCode: string, backupKey?: Uint8Array): Promise<Registered>;
  /**
   * One attempt for each call, however often it is repeated on the way; a success gives all of them back.
   * @throws wrong-recovery-code with `details.attemptsLeft`; recovery-code-invalid; the wire's codes
   */
  recover(recoveryCode: string): Promise<Recovered>;
  /** @throws the wire's codes */
  status(): Promise<StatusAnswer>;
  /**
   * @param generation what is to be deleted; whatever is registered now by default
   * @throws the wire's codes; conflict where something else is registered
   */
  delete(generation?: number): Promise<void>;
}

function pinned(bytes: Uint8Array, pin: string | undefined): Manifest {
  if (pin !== undefined && toHex(sha256(bytes)) !== pin)
    throw new StrongroomError("manifest-invalid", "the manifest is not the one that is pinned", {
      hint: "get the manifest and its SHA-256 from a source that you trust",
    });
  return decodeManifest(bytes);
}

/** @throws manifest-invalid */
export function createVaultClient(options: VaultClientOptions): VaultClient {
  const manifest = pinned(options.manifest, options.manifestSha256);
  const { fleet } = manifest;
  const transport = createTransport(manifest, options);
  const client = clientIdentity(options.account);
  const opaqueOptions: OpaqueOptions = {
    identifiers: { client, server: fleet },
    keyStretching: options.keyStretching,
  };
  const aad = framed("strongroom/client/v1", fleet, client);
  const akePoint = manifestPoint(manifest, "ake");

  async function accountToken(): Promise<string> {
    const token = await options.accountToken();
    if (typeof token === "string" && token !== "" && token.length <= MAX_ACCOUNT_TOKEN_BYTES) return token;
    throw new StrongroomError("usage", "accountToken gave no account token", {
      hint: `a JWT of at most ${MAX_ACCOUNT_TOKEN_BYTES} characters, for this account and fleet`,
    });
  }

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
    const key = manifestPoint(manifest, "identity", answer.site);
    const message = acknowledgmentMessage({ fleet, ...answer, ...sent });
    if (!verifySignature(key, message, answer.acknowledgment))
      throw new StrongroomError("manifest-invalid", "the acknowledgment is not signed by the site");
  }

  /** Whoever holds the receipt gives back the attempt it names, so it is signed only after KE2 has opened. */
  async function finishRecovery(started: RecoverStarted, login: OpaqueLogin): Promise<RecoverFinished> {
    const { recordId, generation, seq, cookie, sealedReceiptKey } = started;
    const receiptKey = await openReceiptKey(login.exportKey, sealedReceiptKey, aad);
    const receipt = signReceipt(receiptKey, receiptMessage({ fleet, recordId, generation, seq }));
    wipe(receiptKey);
    return transport.send(async () => ({
      op: "recover-finish",
      accountToken: await accountToken(),
      cookie,
      ke3: login.ke3,
      receipt,
    }));
  }

  /** @throws expired where the vault's cookie is too old; everything that `recover` throws */
  async function attempt(opaque: LoggingIn): Promise<Recovered> {
    const started = await transport.send(async () => ({
      op: "recover-start",
      accountToken: await accountToken(),
      ke1: opaque.ke1,
    }));
    const login = opaque.finish(started.ke2);
    if (!login) throw wrongCode(started.attemptsLeft);
    try {
      requireServerKey(login.serverPublicKey);
      const { sealedBackupKey, attemptsLeft } = await finishRecovery(started, login);
      const backupKey = await openBackupKey(login.exportKey, sealedBackupKey, aad);
      return { backupKey, generation: started.generation, attemptsLeft };
    } catch (error) {
      if (!isStrongroomError(error, "decrypt-failed")) throw error;
      throw new StrongroomError("record-corrupt", "the vault's record does not open under this code", {
        cause: error,
        hint: "the code is right, and no attempt was spent; report this to whoever runs the fleet",
      });
    } finally {
      wipe(login.exportKey);
    }
  }

  const status = (): Promise<StatusAnswer> =>
    transport.send(async () => ({ op: "status", accountToken: await accountToken() }));

  return {
    async register(recoveryCode, given) {
      const { text } = parseNewRecoveryCode(recoveryCode);
      if (given !== undefined && given.length !== BACKUP_KEY_BYTES)
        throw new StrongroomError("usage", `a backup key has ${BACKUP_KEY_BYTES} bytes`);
      // As WebCrypto takes it.
      const backupKey = given
        ? Uint8Array.from(given)
        : crypto.getRandomValues(new Uint8Array(BACKUP_KEY_BYTES));
      const receiptKey = generateReceiptKeyPair();
      const secrets = [receiptKey.privateKey];
      try {
        const opaque = await startRegistration(text, opaqueOptions);
        const started = await transport.send(async () => ({
          op: "register-start",
          accountToken: await accountToken(),
          blindedElement: opaque.blindedElement,
          receiptPublicKey: receiptKey.publicKey,
        }));
        requireServerKey(started.serverPublicKey);
        const done = opaque.finish(started.evaluatedElement, started.serverPublicKey);
        secrets.push(done.exportKey);
        requireServerKey(done.serverPublicKey);
        const sent = {
          registrationRecord: done.registrationRecord,
          sealedBackupKey: await sealBackupKey(done.exportKey, backupKey, aad),
          sealedReceiptKey: await sealReceiptKey(done.exportKey, receiptKey.privateKey, aad),
        };
        const answer = await transport.send(async () => ({
          op: "register-finish",
          accountToken: await accountToken(),
          cookie: started.cookie,
          ...sent,
        }));
        requireAcknowledgment(answer, sent);
        return { backupKey, generation: answer.generation };
      } finally {
        wipe(...secrets);
      }
    },

    async recover(recoveryCode) {
      const { text } = parseRecoveryCode(recoveryCode);
      const opaque = await startLogin(text, opaqueOptions);
      try {
        return await attempt(opaque);
      } catch (error) {
        // The same KE1 again is still the same attempt, and brings a fresh cookie.
        if (isStrongroomError(error, "expired")) return await attempt(opaque);
        throw error;
      }
    },

    status,

    async delete(given) {
      const generation = given ?? (await status()).generation;
      await transport.send(async () => ({
        op: "delete",
        accountToken: await accountToken(),
        generation,
      }));
    },
  };
}
