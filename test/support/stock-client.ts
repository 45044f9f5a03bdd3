/**
 * The stock OPAQUE client (@serenity-kit/opaque-p256) speaking to a vault's operations directly: what the SDK does,
 * without its HTTP and with a light key stretching, so that a test can make many attempts.
 */
import { client, ready } from "@serenity-kit/opaque-p256";
import { equal, fromBase64Url, toBase64Url } from "../../src/base/bytes.ts";
import {
  generateReceiptKeyPair,
  openBackupKey,
  openReceiptKey,
  sealBackupKey,
  sealReceiptKey,
  signReceipt,
} from "../../src/crypto/client-keys.ts";
import type { Vault } from "../../src/vault/vault.ts";
import type { Answers } from "../../src/wire/messages.ts";
import { type Account, clientIdentity, receiptMessage } from "../../src/wire/transcripts.ts";

const LIGHT = {
  "argon2id-custom": { iterations: 1, memory: 64, parallelism: 1 },
};
const AAD = new Uint8Array(0);

export interface LoginBegun {
  readonly state: string;
  readonly ke1: Uint8Array;
}

/** What a login gave: undefined where the code was wrong. */
export interface LoginDone {
  readonly ke3: Uint8Array;
  readonly receipt: Uint8Array;
  readonly exportKey: Uint8Array;
}

export class StockClient {
  readonly account: Account;
  readonly #fleet: string;
  readonly #identifiers: { readonly client: string; readonly server: string };
  vault: Vault;

  static async create(vault: Vault, fleet: string, account: Account): Promise<StockClient> {
    await ready;
    return new StockClient(vault, fleet, account);
  }

  private constructor(vault: Vault, fleet: string, account: Account) {
    this.vault = vault;
    this.account = account;
    this.#fleet = fleet;
    this.#identifiers = { client: clientIdentity(account), server: fleet };
  }

  /** The first half; the returned function is the second, and may be called again. */
  async beginRegistration(
    code: string,
    backupKey: Uint8Array,
  ): Promise<() => Promise<Answers["register-finish"]>> {
    const { clientRegistrationState, registrationRequest } = client.startRegistration({ password: code });
    const receipt = generateReceiptKeyPair();
    const started = await this.vault.handle(this.account, {
      op: "register-start",
      accountToken: "t",
      blindedElement: fromBase64Url(registrationRequest),
      receiptPublicKey: receipt.publicKey,
    });
    const response = new Uint8Array([...started.evaluatedElement, ...started.serverPublicKey]);
    const { registrationRecord, exportKey } = client.finishRegistration({
      password: code,
      clientRegistrationState,
      registrationResponse: toBase64Url(response),
      identifiers: this.#identifiers,
      keyStretching: LIGHT,
    });
    const key = fromBase64Url(exportKey);
    const finish = {
      op: "register-finish",
      accountToken: "t",
      cookie: started.cookie,
      registrationRecord: fromBase64Url(registrationRecord),
      sealedBackupKey: await sealBackupKey(key, backupKey, AAD),
      sealedReceiptKey: await sealReceiptKey(key, receipt.privateKey, AAD),
    } as const;
    return () => this.vault.handle(this.account, finish);
  }

  async register(code: string, backupKey: Uint8Array): Promise<Answers["register-finish"]> {
    return (await this.beginRegistration(code, backupKey))();
  }

  beginLogin(code: string): LoginBegun {
    const { clientLoginState, startLoginRequest } = client.startLogin({ password: code });
    return { state: clientLoginState, ke1: fromBase64Url(startLoginRequest) };
  }

  recoverStart(login: LoginBegun): Promise<Answers["recover-start"]> {
    return this.vault.handle(this.account, { op: "recover-start", accountToken: "t", ke1: login.ke1 });
  }

  async finishLogin(
    code: string,
    login: LoginBegun,
    answer: Answers["recover-start"],
  ): Promise<LoginDone | undefined> {
    const done = client.finishLogin({
      password: code,
      clientLoginState: login.state,
      loginResponse: toBase64Url(answer.ke2),
      identifiers: this.#identifiers,
      keyStretching: LIGHT,
    });
    if (!done) return undefined;
    const exportKey = fromBase64Url(done.exportKey);
    const { recordId, generation, seq } = answer;
    const privateKey = await openReceiptKey(exportKey, answer.sealedReceiptKey, AAD);
    const receipt = signReceipt(
      privateKey,
      receiptMessage({ fleet: this.#fleet, recordId, generation, seq }),
    );
    return { ke3: fromBase64Url(done.finishLoginRequest), receipt, exportKey };
  }

  recoverFinish(answer: Answers["recover-start"], done: LoginDone): Promise<Answers["recover-finish"]> {
    const { ke3, receipt } = done;
    const { cookie } = answer;
    return this.vault.handle(this.account, { op: "recover-finish", accountToken: "t", cookie, ke3, receipt });
  }

  /** The backup key; undefined where the code was wrong. */
  async recover(code: string): Promise<Uint8Array | undefined> {
    const login = this.beginLogin(code);
    const answer = await this.recoverStart(login);
    const done = await this.finishLogin(code, login, answer);
    if (!done) return undefined;
    const { sealedBackupKey } = await this.recoverFinish(answer, done);
    return openBackupKey(done.exportKey, sealedBackupKey, AAD);
  }

  async recovers(code: string, backupKey: Uint8Array): Promise<boolean> {
    const found = await this.recover(code);
    return found !== undefined && equal(found, backupKey);
  }

  status(): Promise<Answers["status"]> {
    return this.vault.handle(this.account, { op: "status", accountToken: "t" });
  }

  async delete(): Promise<Answers["delete"]> {
    const { generation } = await this.status();
    return this.vault.handle(this.account, { op: "delete", accountToken: "t", generation });
  }
}
