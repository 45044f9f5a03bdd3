/**
 * The steps of token.ts on one session. Every object that a step makes is destroyed in `finally`.
 *
 * A wrapped share comes from a record, and a record may be hostile: it chooses neither the mechanism (only
 * those of the profile) nor the attributes of the key it becomes (read back after every unwrap).
 */
import { concat, equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "./attributes.ts";
import { mechanismText, P256_PARAMS } from "./cryptoki.ts";
import { dataValues, writeData } from "./data-objects.ts";
import { chooseKeyWrap, wrapMechanism } from "./key-wrap.ts";
import type { AttributeList, Mechanism } from "./module.ts";
import { decodeEcPoint, encodePoint } from "./points.ts";
import type { KeyWrap } from "./profile.ts";
import type { ObjectHandle, TokenSession } from "./session.ts";
import type {
  CreatedShare,
  CreateShareStep,
  EvaluateShareStep,
  KeyName,
  ShareTag,
  TokenStep,
} from "./token.ts";

/** Roles of services that only sign: what a vault needs besides is not asked of their tokens. */
const SIGNING_ROLES: readonly string[] = ["audit", "checkpoint", "witness"];

/** Is it the token of an auditor or a witness? */
export function onlySigns(keys: readonly { readonly role: string }[]): boolean {
  return keys.length > 0 && keys.every(({ role }) => SIGNING_ROLES.includes(role));
}

/** What a step gives; `ResultOf` in token.ts says which for each step. */
export type StepResult = Uint8Array | readonly Uint8Array[] | CreatedShare;

const MAC_BYTES = 32;
const DIGEST_BYTES = 32;
const SIGNATURE_BYTES = 64;
const MAX_RANDOM_BYTES = 4096;

const SHARE_PUBLIC: Template = {
  CLASS: OBJECT_CLASS["public key"],
  KEY_TYPE: KEY_TYPE.EC,
  TOKEN: false,
  PRIVATE: false,
  EC_PARAMS: P256_PARAMS,
};
const SHARE_PRIVATE: Template = {
  CLASS: OBJECT_CLASS["private key"],
  KEY_TYPE: KEY_TYPE.EC,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
  DERIVE: true,
};
const NO_TAG = new Uint8Array(0);
const SEALED: Template = { SENSITIVE: true, EXTRACTABLE: false };

export class StepRunner {
  readonly #session: TokenSession;
  readonly #keygen: Mechanism;
  readonly #unwrapTemplate: AttributeList;
  readonly #wraps: ReadonlyMap<number, Mechanism>;
  #chosen: KeyWrap | undefined;

  constructor(session: TokenSession) {
    const { traits } = session;
    if (traits.secretOut !== "read" && !onlySigns(session.keys))
      throw new StrongroomError("token-unsuitable", "the token does not hand out derived secrets", {
        hint: "`strongroom token doctor` shows what a token must be able to do",
      });
    this.#session = session;
    this.#keygen = { mechanism: traits.mechanisms.ecKeygen };
    this.#unwrapTemplate = session.unwrapAttributes({ ...SHARE_PRIVATE, ...SEALED });
    this.#wraps = new Map(traits.keyWrap.map((wrap) => [wrap.mechanism, wrapMechanism(wrap)]));
  }

  /** Resolves every configured key and tests the key wrap if shares are kept. @throws key-missing, key-drift, token-unsuitable */
  prepare(): void {
    for (const { name } of this.#session.keys) this.#session.key(name);
    if (this.#session.keys.some(({ role }) => role === "share-kek")) this.#keyWrap();
  }

  /** @throws point-invalid, token-failed, token-refused, key-missing, and what ckr.ts makes of a failed call */
  run(step: TokenStep): StepResult {
    const session = this.#session;
    switch (step.op) {
      case "ecdh":
        return this.#derive(session.key(step.key), step.points);
      case "hmac":
        return this.#hmac(step.key, step.data);
      case "sign":
        if (step.digest.length !== DIGEST_BYTES)
          throw new StrongroomError("internal", "a digest to sign must have 32 bytes");
        return exactly(
          SIGNATURE_BYTES,
          session.sign(session.traits.mechanisms.ecdsa, session.key(step.key), step.digest, 128),
        );
      case "create-share":
        return this.#createShare(step);
      case "evaluate-share":
        return this.#evaluateShare(step);
      case "random":
        if (!(step.length > 0 && step.length <= MAX_RANDOM_BYTES))
          throw new StrongroomError("internal", `a step gives 1 to ${MAX_RANDOM_BYTES} random bytes`);
        return exactly(step.length, session.random(step.length));
      case "sign-message":
        return exactly(
          SIGNATURE_BYTES,
          session.sign(session.traits.mechanisms.eddsa, session.key(step.key), step.message, 128),
        );
      case "read-data":
        return dataValues(session, step.label).map(({ value }) => value);
      case "write-data":
        writeData(session, step);
        return [];
    }
  }

  #hmac(key: KeyName, data: Uint8Array): Uint8Array {
    const session = this.#session;
    return exactly(
      MAC_BYTES,
      session.sign(session.traits.mechanisms.hmac, session.key(key), data, MAC_BYTES),
    );
  }

  #tag({ key, before, after }: ShareTag, publicKey: Uint8Array): Uint8Array {
    return this.#hmac(key, concat(before, publicKey, after));
  }

  #derive(key: ObjectHandle, points: readonly Uint8Array[]): Uint8Array[] {
    const { traits } = this.#session;
    return points.map((point) => this.#session.derive(key, encodePoint(point, traits.pointSend)));
  }

  #createShare(step: CreateShareStep): CreatedShare {
    const session = this.#session;
    const kek = session.key(step.kek);
    const wrap = this.#keyWrap();
    const pair = session.generateKeyPair(this.#keygen, SHARE_PUBLIC, {
      ...SHARE_PRIVATE,
      EXTRACTABLE: true,
    });
    try {
      if (!session.secrecy(pair.privateKey).sensitive) {
        session.setAttributes(pair.privateKey, { SENSITIVE: true });
        if (!session.secrecy(pair.privateKey).sensitive) throw revealing();
      }
      const point = session.attribute(pair.publicKey, "EC_POINT");
      if (!(point instanceof Uint8Array))
        throw new StrongroomError("token-failed", "the token does not tell a public key");
      const publicKey = decodeEcPoint(point);
      return {
        publicKey,
        tag: step.tag ? this.#tag(step.tag, publicKey) : NO_TAG,
        xs: this.#derive(pair.privateKey, step.points),
        mechanism: wrap.mechanism,
        wrapped: session.wrap(wrapMechanism(wrap), kek, pair.privateKey),
      };
    } finally {
      session.discard(pair.privateKey, pair.publicKey);
    }
  }

  #evaluateShare(step: EvaluateShareStep): Uint8Array[] {
    const session = this.#session;
    const mechanism = this.#wraps.get(step.share.mechanism);
    if (!mechanism)
      throw new StrongroomError(
        "token-refused",
        `the profile does not list the key wrap ${mechanismText(step.share.mechanism)} of a stored share`,
        { hint: "add it to the profile if the token's shares were wrapped with it" },
      );
    if (step.tag && !equal(this.#tag(step.tag, step.tag.publicKey), step.tag.value))
      throw new StrongroomError("record-corrupt", "a share's tag does not verify");
    const key = session.unwrap(mechanism, session.key(step.kek), step.share.wrapped, this.#unwrapTemplate);
    try {
      this.#seal(key);
      return this.#derive(key, step.points);
    } finally {
      session.discard(key);
    }
  }

  /** Some modules ignore the template of an unwrap and make a key that anybody can read. @throws token-refused */
  #seal(key: ObjectHandle): void {
    const isSealed = (): boolean => {
      const { sensitive, extractable } = this.#session.secrecy(key);
      return sensitive && !extractable;
    };
    if (isSealed()) return;
    this.#session.setAttributes(key, SEALED);
    if (!isSealed()) throw revealing();
  }

  #keyWrap(): KeyWrap {
    this.#chosen ??= chooseKeyWrap(this.#session);
    return this.#chosen;
  }
}

function revealing(): StrongroomError {
  return new StrongroomError("token-refused", "the token made a key that it would reveal", {
    hint: "`strongroom token doctor` shows which attributes the token ignores",
  });
}

function exactly(length: number, bytes: Uint8Array): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new StrongroomError("token-failed", `the token gave ${bytes.length} bytes instead of ${length}`);
}
