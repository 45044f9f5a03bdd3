/**
 * Registration and recovery message by message, with the stock OPAQUE client: every request, cookie and key on the
 * way can be seen, repeated or spoilt.
 */
import { client, ready } from "@serenity-kit/opaque-p256";
import { concat, framed, fromBase64Url, toBase64Url } from "../../src/base/bytes.ts";
import {
  generateReceiptKeyPair,
  openBackupKey,
  openReceiptKey,
  sealBackupKey,
  sealReceiptKey,
  signReceipt,
} from "../../src/crypto/client-keys.ts";
import type { Operation, VaultRequest } from "../../src/wire/messages.ts";
import { clientIdentity, receiptMessage } from "../../src/wire/transcripts.ts";
import { FLEET, type Issuer, TENANT } from "./issuer.ts";
import { exchange, type Target } from "./sealed.ts";

/** As weak as Argon2 can be, so that a thousand flows take no time; strength is the SDK's matter. */
const keyStretching = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;

/** Where requests go, and who vouches for the account. */
export type FlowTarget = Target & Pick<Issuer, "issueToken">;

/** What flows have shown, by name: requests to be spoilt, secrets to be looked for. */
export interface Seen {
  readonly requests: Map<Operation, VaultRequest>;
  readonly secrets: { readonly name: string; readonly value: Uint8Array | string }[];
}

async function send<R extends VaultRequest>(site: FlowTarget, seen: Seen | undefined, request: R) {
  seen?.requests.set(request.op, request);
  seen?.secrets.push({ name: "account token", value: request.accountToken });
  const { answer } = await exchange(site, request);
  if ("error" in answer) throw new Error(`${request.op}: ${answer.error}`);
  return answer;
}

const identifiersOf = (subject: string) => ({
  client: clientIdentity({ tenant: TENANT, subject }),
  server: FLEET,
});
const aadOf = (subject: string): Uint8Array => framed("test", subject);

/** @param finishAt another site for the second message @returns the backup key that was protected */
export async function register(
  site: FlowTarget,
  subject: string,
  code: string,
  seen?: Seen,
  finishAt: FlowTarget = site,
): Promise<Uint8Array> {
  await ready;
  const opaque = client.startRegistration({ password: code });
  const receiptKey = generateReceiptKeyPair();
  const started = await send(site, seen, {
    op: "register-start",
    accountToken: await site.issueToken(subject),
    blindedElement: fromBase64Url(opaque.registrationRequest),
    receiptPublicKey: receiptKey.publicKey,
  });
  const finished = client.finishRegistration({
    password: code,
    clientRegistrationState: opaque.clientRegistrationState,
    registrationResponse: toBase64Url(concat(started.evaluatedElement, started.serverPublicKey)),
    identifiers: identifiersOf(subject),
    keyStretching,
  });
  const exportKey = fromBase64Url(finished.exportKey);
  const backupKey = crypto.getRandomValues(new Uint8Array(32));
  seen?.secrets.push(
    { name: "recovery code", value: code },
    { name: "subject", value: subject },
    { name: "backup key", value: backupKey },
    { name: "receipt key", value: receiptKey.privateKey },
    { name: "export key", value: exportKey },
    { name: "register cookie", value: started.cookie },
  );
  await send(finishAt, seen, {
    op: "register-finish",
    accountToken: await site.issueToken(subject),
    cookie: started.cookie,
    registrationRecord: fromBase64Url(finished.registrationRecord),
    sealedBackupKey: await sealBackupKey(exportKey, backupKey, aadOf(subject)),
    sealedReceiptKey: await sealReceiptKey(exportKey, receiptKey.privateKey, aadOf(subject)),
  });
  return backupKey;
}

/** @param finishAt another site for the second message @returns the backup key; undefined for a wrong code */
export async function recover(
  site: FlowTarget,
  subject: string,
  code: string,
  seen?: Seen,
  finishAt: FlowTarget = site,
): Promise<Uint8Array | undefined> {
  await ready;
  const opaque = client.startLogin({ password: code });
  const started = await send(site, seen, {
    op: "recover-start",
    accountToken: await site.issueToken(subject),
    ke1: fromBase64Url(opaque.startLoginRequest),
  });
  const login = client.finishLogin({
    clientLoginState: opaque.clientLoginState,
    loginResponse: toBase64Url(started.ke2),
    password: code,
    identifiers: identifiersOf(subject),
    keyStretching,
  });
  if (!login) return undefined;
  const exportKey = fromBase64Url(login.exportKey);
  seen?.secrets.push(
    { name: "recover cookie", value: started.cookie },
    { name: "session key", value: fromBase64Url(login.sessionKey) },
  );
  const { recordId, generation, seq } = started;
  const receiptKey = await openReceiptKey(exportKey, started.sealedReceiptKey, aadOf(subject));
  const finished = await send(finishAt, seen, {
    op: "recover-finish",
    accountToken: await site.issueToken(subject),
    cookie: started.cookie,
    ke3: fromBase64Url(login.finishLoginRequest),
    receipt: signReceipt(receiptKey, receiptMessage({ fleet: FLEET, recordId, generation, seq })),
  });
  return openBackupKey(exportKey, finished.sealedBackupKey, aadOf(subject));
}
