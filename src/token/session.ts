/**
 * What Strongroom does with a token over one session: objects, keys by name, and the operations on them.
 * Callers see handles as opaque values and never the binding.
 */
import { StrongroomError } from "../base/errors.ts";
import {
  ATTRIBUTES,
  type AttributeName,
  type AttributeValue,
  attributeList,
  OBJECT_CLASS,
  type Template,
} from "./attributes.ts";
import { isCkr } from "./ckr.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { CKD_NULL } from "./cryptoki.ts";
import {
  type AttributeList,
  asBuffer,
  type Handle,
  type Mechanism,
  type MechanismInfo,
  PARAMETER,
  type Pkcs11Module,
  type TokenInfo,
} from "./module.ts";
import { withPin } from "./pin.ts";
import { xCoordinate } from "./points.ts";
import type { DriverTraits } from "./profile.ts";
import type { KeyName } from "./token.ts";

/** A key that the session finds by name: what src/keys calls a KeySpec. */
export interface TokenKey {
  readonly name: KeyName;
  readonly role: string;
  /** CKA_LABEL. */
  readonly label: string;
}

export interface SessionOptions extends ConnectionOptions {
  readonly keys?: readonly TokenKey[] | undefined;
}

/** An object of the token; valid for the life of the session. */
export type ObjectHandle = Handle;

/**
 * The derived secret lives for a moment and is read at once: a plain session object without usage flags
 * (some devices refuse a readable value that could encrypt). PRIVATE=false spares the device from encrypting
 * a value under its own storage key only to decrypt it for us, and hides nothing less.
 */
const DERIVED: AttributeList = attributeList({
  CLASS: OBJECT_CLASS["secret key"],
  KEY_TYPE: 0x10,
  TOKEN: false,
  PRIVATE: false,
  SENSITIVE: false,
  EXTRACTABLE: true,
  VALUE_LEN: 32,
});
const VALUE = [ATTRIBUTES.VALUE.type];
const SECRECY = [ATTRIBUTES.SENSITIVE.type, ATTRIBUTES.EXTRACTABLE.type];

export class TokenSession {
  readonly traits: DriverTraits;
  readonly #connection: Connection;
  readonly #module: Pkcs11Module;
  readonly #specs: ReadonlyMap<KeyName, TokenKey>;
  readonly #handles = new Map<KeyName, ObjectHandle>();
  /** A session object could not be destroyed; only closing the session removes it for certain. */
  #leftovers = false;

  /** @throws module-failed, token-absent, pin-incorrect, pin-locked, pin-unavailable, token-failed */
  constructor(options: SessionOptions) {
    this.traits = options.traits;
    this.#specs = new Map((options.keys ?? []).map((key) => [key.name, key]));
    this.#connection = new Connection(options);
    this.#module = this.#connection.module;
  }

  close(): void {
    this.#handles.clear();
    this.#connection.close();
  }

  /** For metrics and doctors; shared by all sessions of the process with the module. */
  get module(): Pkcs11Module {
    return this.#module;
  }
  get slot(): Handle {
    return this.#connection.slot;
  }
  info(): TokenInfo {
    return this.#connection.tokenInfo();
  }
  mechanisms(): number[] {
    return this.#module.mechanisms(this.#connection.slot);
  }
  mechanismInfo(mechanism: number): MechanismInfo {
    return this.#module.mechanismInfo(this.#connection.slot, mechanism);
  }
  /** @throws token-absent */
  requirePresent(): void {
    this.#connection.requirePresent();
  }

  // Recovery, as ckr.ts asks for it.

  reopen(): void {
    this.#handles.clear();
    this.#leftovers = false;
    this.#connection.reopen();
  }
  login(): void {
    this.#connection.login();
  }
  /** From now on a login that is needed again fails, and the token is not asked. */
  forbidLogin(): void {
    this.#connection.forbidLogin();
  }
  /** Looks every key up again when it is next used. */
  forgetKeys(): void {
    this.#handles.clear();
    this.#connection.ensureLogin();
  }
  /** Removes what `discard` could not, by closing the session that owns it. */
  sweep(): void {
    if (this.#leftovers) this.reopen();
  }

  // Keys by name.

  /** Every key that this session was told of. */
  get keys(): readonly TokenKey[] {
    return [...this.#specs.values()];
  }

  /**
   * The private or secret key of that name. A key that could leave the token is refused: serving with it
   * would make every promise about it void.
   * @throws key-missing; key-drift where several have its label or it is not sealed; token-absent
   */
  key(name: KeyName): ObjectHandle {
    const cached = this.#handles.get(name);
    if (cached) return cached;
    const spec = this.#specs.get(name);
    if (!spec) throw new StrongroomError("key-missing", `no key ${name} is configured`);
    const found = [OBJECT_CLASS["private key"], OBJECT_CLASS["secret key"]].flatMap((CLASS) =>
      this.find({ CLASS, TOKEN: true, LABEL: spec.label }),
    );
    const [handle, other] = found;
    if (!handle) {
      // A token that was pulled out answers like one without keys.
      this.requirePresent();
      throw new StrongroomError("key-missing", `the token has no key ${spec.label}`, {
        hint: "strongroom token provision",
        details: { key: name },
      });
    }
    if (other)
      throw new StrongroomError("key-drift", `the token has ${found.length} keys ${spec.label}`, {
        hint: "`strongroom token inventory` lists them; only one may stay",
        details: { key: name },
      });
    const { sensitive, extractable } = this.secrecy(handle);
    if (!sensitive || extractable)
      throw new StrongroomError("key-drift", `the key ${spec.label} is not sealed`, {
        hint: "`strongroom token provision --dry-run` shows what differs",
        details: { key: name, sensitive, extractable },
      });
    this.#handles.set(name, handle);
    return handle;
  }

  // Objects.

  find(template: Template): ObjectHandle[] {
    return this.#module.findObjects(this.#connection.session, attributeList(template));
  }

  /**
   * One attribute, decoded by its kind; undefined where the object or the device does not have it.
   * @throws token-refused with `details.ckr` CKR_ATTRIBUTE_SENSITIVE where it may not be read
   */
  attribute(object: ObjectHandle, name: AttributeName): AttributeValue | undefined {
    const { type, kind } = ATTRIBUTES[name];
    let bytes: Buffer | undefined;
    try {
      bytes = this.#module.getAttributes(this.#connection.session, object, [type])[0];
    } catch (error) {
      if (isCkr(error, "CKR_ATTRIBUTE_TYPE_INVALID")) return undefined;
      throw error;
    }
    if (bytes === undefined) return undefined;
    if (kind === "boolean") return bytes.length === 1 ? bytes[0] !== 0 : undefined;
    if (kind === "text") return bytes.toString("utf8");
    if (kind === "bytes") return Uint8Array.from(bytes);
    // CK_ULONG is four or eight bytes, in the byte order of the machine; numbers here need four.
    return bytes.length >= 4 ? bytes.readUInt32LE(0) : undefined;
  }

  /** SENSITIVE and EXTRACTABLE, read back from the device. */
  secrecy(object: ObjectHandle): { readonly sensitive: boolean; readonly extractable: boolean } {
    const values = this.#module.getAttributes(this.#connection.session, object, SECRECY);
    return { sensitive: values[0]?.[0] === 1, extractable: values[1]?.[0] !== 0 };
  }

  setAttributes(object: ObjectHandle, template: Template): void {
    this.#module.setAttributes(this.#connection.session, object, attributeList(template));
  }
  createObject(template: Template): ObjectHandle {
    return this.#module.createObject(this.#connection.session, attributeList(template));
  }
  copy(object: ObjectHandle, template: Template): ObjectHandle {
    return this.#module.copyObject(this.#connection.session, object, attributeList(template));
  }
  destroy(object: ObjectHandle): void {
    this.#module.destroyObject(this.#connection.session, object);
  }

  /** For `finally`: never throws, so that it cannot hide the error that led there; see `sweep`. */
  discard(...objects: readonly (ObjectHandle | undefined)[]): void {
    for (const object of objects) {
      if (!object) continue;
      try {
        this.#module.destroyObject(this.#connection.session, object);
      } catch {
        this.#leftovers = true;
      }
    }
  }

  // Making keys.

  generateKey(mechanism: Mechanism, template: Template): ObjectHandle {
    return this.#module.generateKey(this.#connection.session, mechanism, attributeList(template));
  }
  generateKeyPair(
    mechanism: Mechanism,
    publicTemplate: Template,
    privateTemplate: Template,
  ): { publicKey: ObjectHandle; privateKey: ObjectHandle } {
    return this.#module.generateKeyPair(
      this.#connection.session,
      mechanism,
      attributeList(publicTemplate),
      attributeList(privateTemplate),
    );
  }
  wrap(mechanism: Mechanism, wrappingKey: ObjectHandle, key: ObjectHandle): Uint8Array {
    return this.#module.wrapKey(this.#connection.session, mechanism, wrappingKey, key, 1024);
  }
  /**
   * @param template without the attributes that the profile omits, with those it adds
   */
  unwrap(
    mechanism: Mechanism,
    unwrappingKey: ObjectHandle,
    wrapped: Uint8Array,
    template: Template | AttributeList,
  ): ObjectHandle {
    const list = Array.isArray(template) ? template : this.unwrapAttributes(template as Template);
    return this.#module.unwrapKey(this.#connection.session, mechanism, unwrappingKey, wrapped, list);
  }
  /** The template as this device takes it; for callers that unwrap often. */
  unwrapAttributes(template: Template): AttributeList {
    const { unwrapOmit, unwrapExtra } = this.traits;
    return [
      ...attributeList(template).filter(({ type }) => !unwrapOmit.includes(type)),
      ...unwrapExtra.map(({ attribute, value }) => ({ type: attribute, value: Buffer.from(value, "hex") })),
    ];
  }

  // Using keys.

  /**
   * The x-coordinate of key · point: CKM_ECDH1_DERIVE with CKD_NULL, read and destroyed.
   * @param point uncompressed, as the profile wants it sent (`encodePoint` in points.ts); its caller has checked it
   * @returns 32 bytes
   */
  derive(key: ObjectHandle, point: Uint8Array): Uint8Array {
    const session = this.#connection.session;
    const derived = this.#module.deriveKey(
      session,
      {
        mechanism: this.traits.mechanisms.ecdh,
        parameter: { type: PARAMETER.ecdh, kdf: CKD_NULL, publicData: asBuffer(point) },
      },
      key,
      DERIVED,
    );
    try {
      return xCoordinate(this.#module.getAttributes(session, derived, VALUE)[0]);
    } finally {
      this.discard(derived);
    }
  }

  /** The same derivation into a key with a template of its own, which stays until it is destroyed. */
  deriveKey(key: ObjectHandle, point: Uint8Array, template: Template): ObjectHandle {
    return this.#module.deriveKey(
      this.#connection.session,
      {
        mechanism: this.traits.mechanisms.ecdh,
        parameter: { type: PARAMETER.ecdh, kdf: CKD_NULL, publicData: asBuffer(point) },
      },
      key,
      attributeList(template),
    );
  }

  /** @param room bytes that the result may take */
  sign(mechanism: number, key: ObjectHandle, data: Uint8Array, room: number = 512): Uint8Array {
    return this.#module.sign(this.#connection.session, { mechanism }, key, data, room);
  }
  encrypt(mechanism: Mechanism, key: ObjectHandle, data: Uint8Array, room: number): Uint8Array {
    return this.#module.encrypt(this.#connection.session, mechanism, key, data, room);
  }
  /** Changes the PIN of whoever is logged in. The caller wipes both. */
  changePin(old: Uint8Array, pin: Uint8Array): void {
    withPin(Uint8Array.from(old), (oldText) =>
      withPin(Uint8Array.from(pin), (text) => this.#module.setPin(this.#connection.session, oldText, text)),
    );
  }
  random(length: number): Uint8Array {
    return this.#module.random(this.#connection.session, length);
  }
}
