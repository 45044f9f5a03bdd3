/**
 * The load generator's half of the protocol: everything a server can see is real, and everything else is as cheap
 * as can be, so that two cores measure the vault and not the client. It is no client: its code is never wrong
 * because it has none, its ephemeral scalars are all 2, and its HPKE contexts can be made before they are needed. A site
 * answers only one start of each context; other messages share one.
 */
import {
  createECDH,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { concat, fromHex, uintBE, utf8 } from "../../src/base/bytes.ts";
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  envelopeInfo,
  joinRequest,
  KEY_LABEL,
  NONCE_LABEL,
  RESPONSE_LABEL,
  splitAnswer,
} from "../../src/crypto/envelope.ts";
import { decrypt, encrypt } from "../../src/crypto/node/aes-gcm.ts";
import { expand, extract } from "../../src/crypto/node/hkdf.ts";
import { addPoints, compressPoint, decompressPoint, GENERATOR } from "../../src/crypto/node/p256.ts";
import { MAX_EARLIER_ATTEMPTS } from "../../src/vault/record.ts";
import { type Manifest, manifestKey } from "../../src/wire/manifest.ts";
import {
  type Answers,
  decodeAnswer,
  ENVELOPE_CONTENT_TYPE,
  encodeRequest,
  envelopeHeader,
  type VaultRequest,
} from "../../src/wire/messages.ts";
import { type Account, clientIdentity, receiptMessage } from "../../src/wire/transcripts.ts";
import { createPoster } from "./load-socket.ts";

const EMPTY = new Uint8Array(0);
const KEM_SUITE = concat(utf8("KEM"), uintBE(0x10, 2));
const HPKE_SUITE = concat(utf8("HPKE"), uintBE(0x10, 2), uintBE(1, 2), uintBE(2, 2));
/** 2·G: the ephemeral and the static public key of every account here. */
const TWO = addPoints(GENERATOR, GENERATOR);

const labeledExtract = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
  extract(salt, utf8("HPKE-v1"), suite, utf8(label), ikm);
const labeledExpand = (suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, n: number) =>
  expand(prk, n, uintBE(n, 2), utf8("HPKE-v1"), suite, utf8(label), info);

/** RFC 9180 §5.1, base mode. */
function hpkeContext(fleet: string, recipient: Uint8Array) {
  const pair = createECDH("prime256v1");
  const enc = Uint8Array.from(pair.generateKeys());
  const dh = Uint8Array.from(pair.computeSecret(recipient));
  const prk = labeledExtract(KEM_SUITE, EMPTY, "eae_prk", dh);
  const shared = labeledExpand(KEM_SUITE, prk, "shared_secret", concat(enc, recipient), 32);
  const context = concat(
    Uint8Array.of(0),
    labeledExtract(HPKE_SUITE, EMPTY, "psk_id_hash", EMPTY),
    labeledExtract(HPKE_SUITE, EMPTY, "info_hash", envelopeInfo(fleet)),
  );
  const secret = labeledExtract(HPKE_SUITE, shared, "secret", EMPTY);
  const exporter = labeledExpand(HPKE_SUITE, secret, "exp", context, 32);
  return {
    enc,
    key: labeledExpand(HPKE_SUITE, secret, "key", context, AEAD_KEY_BYTES),
    nonce: labeledExpand(HPKE_SUITE, secret, "base_nonce", context, AEAD_NONCE_BYTES),
    answerSecret: labeledExpand(HPKE_SUITE, exporter, "sec", RESPONSE_LABEL, AEAD_KEY_BYTES),
  };
}

/** An account of the load: what it registered, and its next attempt's blinded element. */
export interface LoadAccount {
  readonly account: Account;
  token: string;
  next: number;
}

export interface LoadClient {
  /** Makes the HPKE contexts of so many operations, which would otherwise be made on the way. */
  prepare(operations: number): void;
  /** Both messages; resolves when the acknowledgment is here. */
  register(account: LoadAccount): Promise<void>;
  /** Both messages; resolves when the sealed backup key is here. */
  recover(account: LoadAccount): Promise<void>;
  close(): void;
}

/** @param site who is asked, by its place in the manifest */
export function createLoadClient(url: string, manifest: Manifest, site: number = 0): LoadClient {
  const { fleet } = manifest;
  const session = manifestKey(manifest, "session", manifest.sites[site]?.name);
  const kid = fromHex(session.kid);
  const newContext = () => hpkeContext(fleet, fromHex(session.publicKey));
  const shared = newContext();
  const fresh: (typeof shared)[] = [];
  const akePoint = fromHex(manifestKey(manifest, "ake").publicKey);
  // dh2 = 2·S, and the same few blinded elements in turn: one that a record remembers would be a repeated request.
  const dh2 = compressPoint(addPoints(akePoint, akePoint));
  const blinded = Array.from({ length: MAX_EARLIER_ATTEMPTS + 2 }, (_, i) =>
    p256.Point.BASE.multiply(BigInt(11 + i)).toBytes(true),
  );
  const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const receiptKey: KeyObject = createPrivateKey(pair.privateKey.export({ format: "pem", type: "sec1" }));
  const spki = pair.publicKey.export({ format: "der", type: "spki" });
  const receiptPublicKey = compressPoint(Uint8Array.from(spki.subarray(-65)));
  const poster = createPoster(new URL("/v1/vault", url), ENVELOPE_CONTENT_TYPE);
  const aad = envelopeHeader(kid);

  async function post(body: Uint8Array): Promise<Uint8Array> {
    const answer = await poster.post(body);
    if (answer.status === 200) return answer.body;
    throw new Error(`HTTP ${answer.status}: ${Buffer.from(answer.body).toString()}`);
  }

  async function send<R extends VaultRequest>(message: R): Promise<Answers[R["op"]]> {
    const isStart = message.op === "register-start" || message.op === "recover-start";
    const hpke = isStart ? (fresh.pop() ?? newContext()) : shared;
    const ciphertext = encrypt(hpke.key, hpke.nonce, encodeRequest(message), aad);
    const sealed = splitAnswer(await post(joinRequest(kid, hpke.enc, ciphertext)));
    const prk = extract(concat(hpke.enc, sealed.responseNonce), hpke.answerSecret);
    const key = expand(prk, AEAD_KEY_BYTES, KEY_LABEL);
    const nonce = expand(prk, AEAD_NONCE_BYTES, NONCE_LABEL);
    const operation: R["op"] = message.op;
    const answer = decodeAnswer(operation, decrypt(key, nonce, sealed.ciphertext, EMPTY));
    if ("error" in answer) throw new Error(`${message.op}: ${answer.error}`);
    return answer;
  }

  const vector16 = (bytes: Uint8Array): Uint8Array => concat(uintBE(bytes.length, 2), bytes);
  const sha256 = (...parts: Uint8Array[]): Uint8Array => {
    const state = createHash("sha256");
    for (const part of parts) state.update(part);
    return Uint8Array.from(state.digest());
  };
  const derive = (secret: Uint8Array, label: string, transcript: Uint8Array): Uint8Array => {
    const name = utf8(`OPAQUE-${label}`);
    return expand(
      secret,
      32,
      uintBE(32, 2),
      uintBE(name.length, 1),
      name,
      uintBE(transcript.length, 1),
      transcript,
    );
  };
  const mac = (key: Uint8Array, data: Uint8Array): Uint8Array => extract(key, data);

  /** client_mac of RFC 9807 §6.4.3; with both scalars 2, dh1 = dh3 = 2·X_s. */
  function ke3(account: Account, ke1: Uint8Array, ke2: Uint8Array): Uint8Array {
    const share = decompressPoint(ke2.slice(194, 227));
    const dh = compressPoint(addPoints(share, share));
    const preamble = concat(
      utf8("OPAQUEv1-"),
      vector16(EMPTY),
      vector16(utf8(clientIdentity(account))),
      ke1,
      vector16(utf8(fleet)),
      ke2.slice(0, 227),
    );
    const handshake = derive(extract(EMPTY, dh, dh2, dh), "HandshakeSecret", sha256(preamble));
    return mac(derive(handshake, "ClientMAC", EMPTY), sha256(preamble, ke2.slice(227)));
  }

  return {
    prepare(operations) {
      while (fresh.length < operations) fresh.push(newContext());
    },

    async register({ token }) {
      const start = await send({
        op: "register-start",
        accountToken: token,
        blindedElement: blinded[0] ?? EMPTY,
        receiptPublicKey,
      });
      await send({
        op: "register-finish",
        accountToken: token,
        cookie: start.cookie,
        registrationRecord: concat(compressPoint(TWO), randomBytes(96)),
        sealedBackupKey: Uint8Array.from(randomBytes(60)),
        sealedReceiptKey: Uint8Array.from(randomBytes(60)),
      });
    },

    async recover(load) {
      const element = blinded[load.next++ % blinded.length] ?? EMPTY;
      const ke1 = concat(element, randomBytes(32), compressPoint(TWO));
      const start = await send({ op: "recover-start", accountToken: load.token, ke1 });
      const receipt = sign("sha256", receiptMessage({ fleet, ...start }), {
        key: receiptKey,
        dsaEncoding: "ieee-p1363",
      });
      await send({
        op: "recover-finish",
        accountToken: load.token,
        cookie: start.cookie,
        ke3: ke3(load.account, ke1, start.ke2),
        receipt: Uint8Array.from(receipt),
      });
    },

    close: () => poster.close(),
  };
}
