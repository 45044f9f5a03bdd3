/**
 * A token of paper: what a dry run takes its steps on, so that the calls of a ceremony can be listed before there is a
 * device. It behaves as the profile says the device does.
 *
 * It is no token. Its keys lie in the memory of the process, its PINs too, and nothing in it is protected from
 * anybody. Only the dry run may reach it; a test holds all other code to that.
 */
import { randomBytes } from "node:crypto";
import { KEY_TYPE, OBJECT_CLASS, type Template } from "./attributes.ts";
import type { Binding } from "./binding.ts";
import { CKF_RW_SESSION, CKF_TOKEN, CKM, CKU, P256_PARAMS } from "./cryptoki.ts";
import { type AttributeList, type Handle, type Mechanism, PARAMETER } from "./module.ts";
import {
  ecdhX,
  ecdsa,
  ecFromBytes,
  hmac,
  makeEc,
  makeRsa,
  type PaperSecret,
  secretBytes,
  unwrapAes,
  unwrapOaep,
  wrapAes,
  wrapOaep,
} from "./paper-crypto.ts";
import {
  attributeBytes,
  ckrError,
  isVisible,
  matches,
  type PaperAccess,
  type PaperObject,
  PaperRules,
  requireUse,
} from "./paper-objects.ts";
import { decodeEcPoint, encodePoint } from "./points.ts";
import { type DriverTraits, driverTraits, type Profile } from "./profile.ts";

interface PaperSession {
  readonly isReadWrite: boolean;
  found: number[];
  signing: { readonly mechanism: number; readonly key: PaperObject } | undefined;
}

const VERSION = { major: 0, minor: 0 };
const SLOT: Handle = Buffer.alloc(8);

export class PaperToken implements Binding {
  readonly #profile: Profile;
  readonly #traits: DriverTraits;
  readonly #rules: PaperRules;
  readonly #serial: string;
  #label: string | undefined;
  #pins: { so?: string; user?: string } = {};
  #user: PaperAccess["user"] = "none";
  readonly #sessions = new Map<number, PaperSession>();
  readonly #objects = new Map<number, PaperObject>();
  #handles = 0;

  /** A blank one. @param profile of the device that it stands for */
  constructor(profile: Profile, serial: string) {
    this.#profile = profile;
    this.#traits = driverTraits(profile);
    this.#rules = new PaperRules(profile);
    this.#serial = serial;
  }

  C_Initialize(): void {}
  C_Finalize(): void {
    for (const session of this.#sessions.keys()) this.#end(session);
  }
  C_GetInfo(): ReturnType<Binding["C_GetInfo"]> {
    return {
      manufacturerID: "strongroom",
      libraryDescription: "paper",
      libraryVersion: VERSION,
      cryptokiVersion: VERSION,
    };
  }
  C_GetSlotList(): Handle[] {
    return [SLOT];
  }
  C_GetTokenInfo(_slot: Handle): ReturnType<Binding["C_GetTokenInfo"]> {
    const flag = (isSet: boolean, bit: number): number => (isSet ? bit : 0);
    return {
      label: this.#label ?? "",
      manufacturerID: "strongroom",
      model: "paper",
      serialNumber: this.#serial,
      flags:
        CKF_TOKEN.LOGIN_REQUIRED |
        flag(this.#label !== undefined, CKF_TOKEN.TOKEN_INITIALIZED) |
        flag(this.#pins.user !== undefined, CKF_TOKEN.USER_PIN_INITIALIZED) |
        flag(this.#traits.login === "protected-path", CKF_TOKEN.PROTECTED_AUTHENTICATION_PATH),
      firmwareVersion: VERSION,
    };
  }
  C_GetMechanismList(_slot: Handle): number[] {
    const { mechanisms, keyWrap } = this.#traits;
    return [
      ...Object.values(mechanisms),
      ...keyWrap.map(({ mechanism }) => mechanism),
      CKM.RSA_PKCS_KEY_PAIR_GEN,
      CKM.RSA_PKCS_OAEP,
    ];
  }
  C_GetMechanismInfo(slot: Handle, mechanism: number): ReturnType<Binding["C_GetMechanismInfo"]> {
    if (!this.C_GetMechanismList(slot).includes(mechanism)) throw ckrError("CKR_MECHANISM_INVALID");
    return { minKeySize: 0, maxKeySize: 4096, flags: 0 };
  }

  C_InitToken(_slot: Handle, pin: string, label: string): string {
    if (this.#sessions.size > 0) throw ckrError("CKR_SESSION_EXISTS");
    if (this.#pins.so !== undefined && this.#pins.so !== pin) throw ckrError("CKR_PIN_INCORRECT");
    this.#objects.clear();
    this.#pins = { so: pin };
    this.#label = label.trimEnd();
    return label;
  }
  C_InitPIN(_session: Handle, pin: string): void {
    if (this.#user !== "so") throw ckrError("CKR_USER_NOT_LOGGED_IN");
    this.#pins.user = pin;
  }
  C_SetPIN(session: Handle, oldPin: string, newPin: string): void {
    if (!this.#session(session).isReadWrite) throw ckrError("CKR_SESSION_READ_ONLY");
    const who = this.#user === "so" ? "so" : "user";
    if (this.#pins[who] !== oldPin) throw ckrError("CKR_PIN_INCORRECT");
    this.#pins[who] = newPin;
  }

  C_OpenSession(_slot: Handle, flags: number): Handle {
    if (this.#label === undefined) throw ckrError("CKR_TOKEN_NOT_RECOGNIZED");
    const isReadWrite = (flags & CKF_RW_SESSION) !== 0;
    if (!isReadWrite && this.#user === "so") throw ckrError("CKR_SESSION_READ_WRITE_SO_EXISTS");
    const session = ++this.#handles;
    this.#sessions.set(session, { isReadWrite, found: [], signing: undefined });
    return handleOf(session);
  }
  C_CloseSession(session: Handle): void {
    this.#session(session);
    this.#end(numberOf(session));
  }
  C_GetSessionInfo(session: Handle): { readonly state: number } {
    const { isReadWrite } = this.#session(session);
    if (this.#user === "so") return { state: 4 };
    return { state: (isReadWrite ? 2 : 0) + (this.#user === "user" ? 1 : 0) };
  }
  C_Login(session: Handle, userType: number, pin: string): void {
    this.#session(session);
    const who = userType === CKU.so ? "so" : "user";
    if (this.#user === who) throw ckrError("CKR_USER_ALREADY_LOGGED_IN");
    if (this.#user !== "none") throw ckrError("CKR_USER_ANOTHER_ALREADY_LOGGED_IN");
    const set = this.#pins[who];
    if (set === undefined) throw ckrError("CKR_USER_PIN_NOT_INITIALIZED");
    if (set !== pin) throw ckrError("CKR_PIN_INCORRECT");
    if (who === "so" && [...this.#sessions.values()].some(({ isReadWrite }) => !isReadWrite))
      throw ckrError("CKR_SESSION_READ_ONLY_EXISTS");
    this.#user = who;
  }
  C_Logout(session: Handle): void {
    this.#session(session);
    if (this.#user === "none") throw ckrError("CKR_USER_NOT_LOGGED_IN");
    this.#user = "none";
  }

  C_FindObjectsInit(session: Handle, template: AttributeList): void {
    const state = this.#session(session);
    const wanted = this.#rules.template(template);
    const access = this.#access(session);
    state.found = [...this.#objects]
      .filter(([, object]) => isVisible(object, access) && matches(object, wanted))
      .map(([handle]) => handle);
  }
  C_FindObjects(session: Handle, max: number): Handle[] {
    return this.#session(session).found.splice(0, max).map(handleOf);
  }
  C_FindObjectsFinal(session: Handle): void {
    this.#session(session).found = [];
  }
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    asked: { type: number }[],
  ): { type: number; value: Buffer }[] {
    const found = this.#object(session, object);
    return asked.map(({ type }) => ({ type, value: attributeBytes(found, type) }));
  }
  C_SetAttributeValue(session: Handle, object: Handle, template: AttributeList): void {
    this.#rules.change(this.#object(session, object), this.#rules.template(template), this.#access(session));
  }
  C_CreateObject(session: Handle, template: AttributeList): Handle {
    const { VALUE, ...rest } = this.#rules.template(template);
    const isSecret = rest.CLASS === OBJECT_CLASS["secret key"];
    if (rest.CLASS === OBJECT_CLASS["private key"] || (isSecret && !(VALUE instanceof Uint8Array)))
      throw ckrError("CKR_TEMPLATE_INCONSISTENT");
    if (isSecret && VALUE instanceof Uint8Array)
      return this.#add(session, rest, { VALUE_LEN: VALUE.length }, "created", {
        kind: "bytes",
        value: VALUE,
      });
    return this.#add(
      session,
      { ...rest, ...(VALUE === undefined ? {} : { VALUE }) },
      {},
      "created",
      undefined,
    );
  }
  C_CopyObject(session: Handle, object: Handle, template: AttributeList): Handle {
    const from = this.#object(session, object);
    const changes = this.#rules.template(template);
    return this.#keep(this.#rules.copy(from, changes, this.#access(session), numberOf(session)));
  }
  C_DestroyObject(session: Handle, object: Handle): void {
    this.#rules.requireMayDestroy(this.#object(session, object), this.#access(session));
    this.#objects.delete(numberOf(object));
  }

  C_GenerateKey(session: Handle, { mechanism }: Mechanism, list: AttributeList): Handle {
    const { aesKeygen, genericKeygen } = this.#traits.mechanisms;
    const template = this.#rules.template(list);
    const length = template.VALUE_LEN;
    if (mechanism !== aesKeygen && mechanism !== genericKeygen) throw ckrError("CKR_MECHANISM_INVALID");
    if (typeof length !== "number") throw ckrError("CKR_TEMPLATE_INCOMPLETE");
    if (length < 1 || length > 512) throw ckrError("CKR_ATTRIBUTE_VALUE_INVALID");
    const KIND = mechanism === aesKeygen ? KEY_TYPE.AES : KEY_TYPE["generic secret"];
    const facts = { CLASS: OBJECT_CLASS["secret key"], KEY_TYPE: KIND };
    const value = Uint8Array.from(randomBytes(length));
    return this.#add(session, template, facts, "generated", { kind: "bytes", value });
  }
  C_GenerateKeyPair(
    session: Handle,
    { mechanism }: Mechanism,
    publicList: AttributeList,
    privateList: AttributeList,
  ): { publicKey: Handle; privateKey: Handle } {
    const publicTemplate = this.#rules.template(publicList);
    const { secret, shared, half } = this.#makePair(mechanism, publicTemplate);
    const facts = (name: "public key" | "private key"): Template => ({
      CLASS: OBJECT_CLASS[name],
      ...shared,
    });
    const privateKey = this.#add(
      session,
      this.#rules.template(privateList),
      facts("private key"),
      "generated",
      secret,
    );
    try {
      const both = { ...facts("public key"), ...half };
      return { publicKey: this.#add(session, publicTemplate, both, "generated", undefined), privateKey };
    } catch (error) {
      this.#objects.delete(numberOf(privateKey));
      throw error;
    }
  }
  #makePair(
    mechanism: number,
    { EC_PARAMS, MODULUS_BITS, PUBLIC_EXPONENT }: Template,
  ): { secret: PaperSecret; shared: Template; half: Template } {
    if (mechanism === this.#traits.mechanisms.ecKeygen) {
      if (!(EC_PARAMS instanceof Uint8Array)) throw ckrError("CKR_TEMPLATE_INCOMPLETE");
      if (Buffer.compare(EC_PARAMS, P256_PARAMS) !== 0) throw ckrError("CKR_DOMAIN_PARAMS_INVALID");
      const { secret, point } = makeEc();
      const { read } = this.#profile.points;
      const EC_POINT = Uint8Array.from(encodePoint(point, read.value === "raw" ? "raw" : "der"));
      return { secret, shared: { KEY_TYPE: KEY_TYPE.EC, EC_PARAMS }, half: { EC_POINT } };
    }
    if (mechanism !== CKM.RSA_PKCS_KEY_PAIR_GEN) throw ckrError("CKR_MECHANISM_INVALID");
    if (typeof MODULUS_BITS !== "number" || !(PUBLIC_EXPONENT instanceof Uint8Array))
      throw ckrError("CKR_TEMPLATE_INCOMPLETE");
    if (MODULUS_BITS < 2048 || MODULUS_BITS > 4096) throw ckrError("CKR_KEY_SIZE_RANGE");
    const { secret, modulus } = makeRsa(MODULUS_BITS);
    return { secret, shared: { KEY_TYPE: KEY_TYPE.RSA, MODULUS: modulus, PUBLIC_EXPONENT }, half: {} };
  }
  C_DeriveKey(
    session: Handle,
    { mechanism, parameter }: Mechanism,
    base: Handle,
    list: AttributeList,
  ): Handle {
    const key = this.#object(session, base);
    if (mechanism !== this.#traits.mechanisms.ecdh) throw ckrError("CKR_MECHANISM_INVALID");
    requireUse(key, "DERIVE", "EC");
    if (key.secret?.kind !== "ec") throw ckrError("CKR_KEY_TYPE_INCONSISTENT");
    if (parameter === undefined || Buffer.isBuffer(parameter) || parameter.type !== PARAMETER.ecdh)
      throw ckrError("CKR_MECHANISM_PARAM_INVALID");
    const value = ecdhX(key.secret.value, decodeEcPoint(parameter.publicData));
    const facts = { CLASS: OBJECT_CLASS["secret key"], VALUE_LEN: value.length };
    return this.#add(session, this.#rules.template(list), facts, "derived", { kind: "bytes", value });
  }

  C_WrapKey(session: Handle, { mechanism, parameter }: Mechanism, wrapping: Handle, key: Handle): Buffer {
    const by = this.#object(session, wrapping);
    const { attributes, secret } = this.#object(session, key);
    requireUse(by, "WRAP", mechanism === CKM.RSA_PKCS_OAEP ? "RSA" : "AES");
    if (attributes.EXTRACTABLE !== true) throw ckrError("CKR_KEY_UNEXTRACTABLE");
    if (attributes.WRAP_WITH_TRUSTED === true && by.attributes.TRUSTED !== true)
      throw ckrError("CKR_KEY_NOT_WRAPPABLE");
    if (!secret) throw ckrError("CKR_KEY_NOT_WRAPPABLE");
    if (mechanism !== CKM.RSA_PKCS_OAEP)
      return Buffer.from(wrapAes(this.#keyWrap(mechanism), kekOf(by), secretBytes(secret)));
    if (secret.kind !== "bytes") throw ckrError("CKR_KEY_NOT_WRAPPABLE");
    const { MODULUS, PUBLIC_EXPONENT } = by.attributes;
    if (!(MODULUS instanceof Uint8Array && PUBLIC_EXPONENT instanceof Uint8Array))
      throw ckrError("CKR_WRAPPING_KEY_TYPE_INCONSISTENT");
    return Buffer.from(wrapOaep(MODULUS, PUBLIC_EXPONENT, hashOf(parameter), secret.value));
  }
  C_UnwrapKey(
    session: Handle,
    { mechanism, parameter }: Mechanism,
    unwrapping: Handle,
    wrapped: Buffer,
    list: AttributeList,
  ): Handle {
    const by = this.#object(session, unwrapping);
    const template = this.#rules.template(list);
    requireUse(by, "UNWRAP", mechanism === CKM.RSA_PKCS_OAEP ? "RSA" : "AES");
    const bytes =
      mechanism === CKM.RSA_PKCS_OAEP && by.secret?.kind === "rsa"
        ? unwrapOaep(by.secret.key, hashOf(parameter), wrapped)
        : unwrapAes(this.#keyWrap(mechanism), kekOf(by), wrapped);
    if (template.CLASS === OBJECT_CLASS["private key"])
      return this.#add(session, template, { EC_PARAMS: P256_PARAMS }, "unwrapped", ecFromBytes(bytes));
    return this.#add(session, template, {}, "unwrapped", { kind: "bytes", value: bytes });
  }
  #keyWrap(mechanism: number): DriverTraits["keyWrap"][number]["format"] {
    const found = this.#traits.keyWrap.find((keyWrap) => keyWrap.mechanism === mechanism);
    if (!found) throw ckrError("CKR_MECHANISM_INVALID");
    return found.format;
  }

  C_SignInit(session: Handle, { mechanism }: Mechanism, handle: Handle): void {
    const { hmac: mac, ecdsa: signature } = this.#traits.mechanisms;
    const key = this.#object(session, handle);
    if (mechanism !== mac && mechanism !== signature) throw ckrError("CKR_MECHANISM_INVALID");
    requireUse(key, "SIGN", mechanism === mac ? "generic secret" : "EC");
    this.#session(session).signing = { mechanism, key };
  }
  C_Sign(session: Handle, data: Buffer): Buffer {
    const state = this.#session(session);
    const { signing } = state;
    state.signing = undefined;
    const secret = signing?.key.secret;
    if (secret === undefined || secret.kind === "rsa") throw ckrError("CKR_OPERATION_NOT_INITIALIZED");
    return Buffer.from(secret.kind === "ec" ? ecdsa(secret.value, data) : hmac(secret.value, data));
  }
  /** No step of a ceremony encrypts. */
  C_EncryptInit(): void {
    throw ckrError("CKR_MECHANISM_INVALID");
  }
  C_Encrypt(): Buffer {
    throw ckrError("CKR_OPERATION_NOT_INITIALIZED");
  }
  C_GenerateRandom(_session: Handle, room: Buffer): Buffer {
    return randomBytes(room.length);
  }

  #session(handle: Handle): PaperSession {
    const session = this.#sessions.get(numberOf(handle));
    if (!session) throw ckrError("CKR_SESSION_HANDLE_INVALID");
    return session;
  }
  #access(handle: Handle): PaperAccess {
    return { user: this.#user, isReadWrite: this.#session(handle).isReadWrite };
  }
  #object(session: Handle, handle: Handle): PaperObject {
    const object = this.#objects.get(numberOf(handle));
    if (!object || !isVisible(object, this.#access(session))) throw ckrError("CKR_OBJECT_HANDLE_INVALID");
    return object;
  }
  #add(
    session: Handle,
    template: Template,
    facts: Template,
    origin: Parameters<PaperRules["make"]>[2],
    secret: PaperSecret | undefined,
  ): Handle {
    const access = this.#access(session);
    return this.#keep(this.#rules.make(template, facts, origin, secret, access, numberOf(session)));
  }
  #keep(object: PaperObject): Handle {
    const handle = ++this.#handles;
    this.#objects.set(handle, object);
    return handleOf(handle);
  }
  /** Session objects go with their session, and the login with the last one. */
  #end(session: number): void {
    this.#sessions.delete(session);
    for (const [handle, object] of this.#objects)
      if (object.session === session) this.#objects.delete(handle);
    if (this.#sessions.size === 0) this.#user = "none";
  }
}

function handleOf(number: number): Handle {
  const handle = Buffer.alloc(8);
  handle.writeUInt32LE(number);
  return handle;
}
const numberOf = (handle: Handle): number => handle.readUInt32LE();

function kekOf({ secret }: PaperObject): Uint8Array {
  if (secret?.kind !== "bytes") throw ckrError("CKR_KEY_TYPE_INCONSISTENT");
  return secret.value;
}

function hashOf(parameter: Mechanism["parameter"]): number {
  if (parameter === undefined || Buffer.isBuffer(parameter) || parameter.type !== PARAMETER.oaep)
    throw ckrError("CKR_MECHANISM_PARAM_INVALID");
  return parameter.hashAlg;
}
