/**
 * A loaded PKCS#11 module, and the only place that calls the native binding.
 *
 * Facts about pkcs11js 2.1.7 that shape this file:
 * - Its asynchronous calls leak and use memory after it was freed: only synchronous ones are here.
 * - When the binding's object is collected, the library is unloaded under everybody's feet: modules stay
 *   referenced for the life of the process.
 * - A type error in the middle of a template frees memory that was never set: attributes are checked first.
 * - C_GetAttributeValue writes its answers into the template that it was given: that is a fresh one each time.
 */
import { StrongroomError } from "../base/errors.ts";
import { type Binding, loadBinding } from "./binding.ts";
import { type BeforeCall, type CallListener, recordCalls } from "./call-record.ts";
import { ckrOf, tokenError } from "./ckr.ts";

/** CK_SLOT_ID, CK_SESSION_HANDLE and CK_OBJECT_HANDLE: eight opaque bytes. */
export type Handle = Buffer;

/** A mechanism with the parameters that Strongroom uses; bytes where a device wants its own structure. */
export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: Buffer | EcdhParameter | OaepParameter;
}
export interface EcdhParameter {
  readonly type: typeof PARAMETER.ecdh;
  readonly kdf: number;
  readonly publicData: Buffer;
}
export interface OaepParameter {
  readonly type: typeof PARAMETER.oaep;
  readonly hashAlg: number;
  readonly mgf: number;
  readonly source: number;
}
/** The binding's tags of parameter structures (CK_PARAMS_EC_DH, CK_PARAMS_RSA_OAEP). */
export const PARAMETER = { ecdh: 6, oaep: 4 } as const;

export interface TokenInfo {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  /** CKF_TOKEN bits. */
  readonly flags: number;
  readonly firmware: string;
}

export interface ModuleInfo {
  readonly manufacturer: string;
  readonly description: string;
  readonly version: string;
  readonly cryptoki: string;
}

export interface MechanismInfo {
  readonly minKeySize: number;
  readonly maxKeySize: number;
  readonly flags: number;
}

/** Calls since the last look, by function and return code. */
export type CallCount = readonly [fn: string, ckr: string, count: number];

const CKF_OS_LOCKING_OK = 2;
/** Blank-padded, the standard says; some libraries write zeros instead. */
const unpadded = (text: string): string => text.replaceAll("\0", " ").trim();
const version = (v: { major: number; minor: number }): string => `${v.major}.${v.minor}`;

/** Attributes by number, as `attributeList` in attributes.ts makes them. */
interface ListedAttribute {
  type: number;
  value: boolean | number | string | Buffer;
}
export type AttributeList = ListedAttribute[];

function checked(list: AttributeList): AttributeList {
  for (const { type, value } of list) {
    const valid =
      typeof value === "boolean" ||
      typeof value === "string" ||
      (typeof value === "number" ? isUint32(value) : Buffer.isBuffer(value));
    if (!valid || !isUint32(type))
      throw new StrongroomError("internal", "attribute template with a value of a wrong type");
  }
  return list;
}

const isUint32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0xffffffff;

/** Every function throws a StrongroomError whose `details.ckr` is the return code. */
export class Pkcs11Module {
  readonly path: string;
  readonly #binding: Binding;
  /** What is called: the binding, or whoever writes calls down on their way there. */
  #p: Binding;
  readonly #ok = new Map<string, number>();
  readonly #failed = new Map<string, number>();

  /**
   * @param binding instead of the library at `path`; for dry runs
   * @throws module-failed
   */
  constructor(path: string, binding?: Binding) {
    this.path = path;
    try {
      this.#binding = binding ?? loadBinding(path);
      this.#p = this.#binding;
    } catch (cause) {
      throw new StrongroomError("module-failed", `cannot load the PKCS#11 module ${path}`, {
        hint: "check module-path, and that the file is a PKCS#11 library for this machine",
        cause,
      });
    }
  }

  /** For another library's objects over the same module; what they call is neither counted nor observed. */
  get binding(): Binding {
    return this.#binding;
  }

  /** @param parameters the string that NSS wants; the binding loses the last character of it */
  initialize(parameters?: string): void {
    const options = { flags: CKF_OS_LOCKING_OK };
    this.#call("C_Initialize", () =>
      this.#p.C_Initialize(
        parameters === undefined ? options : { ...options, libraryParameters: `${parameters} ` },
      ),
    );
  }
  finalize(): void {
    this.#call("C_Finalize", () => this.#p.C_Finalize());
  }

  /**
   * From now on tells every call that call-record.ts knows, but those of `NOT_RECORDED`; objects are named anew.
   * @param listener told of a call when it has returned; undefined to stop
   * @param before   told of it before it is made
   */
  observe(listener: CallListener | undefined, before?: BeforeCall): void {
    this.#p = listener === undefined ? this.#binding : recordCalls(this.#binding, listener, before);
  }

  /** Hands over the counts since the last time and starts again. */
  takeCounts(): CallCount[] {
    const counts: CallCount[] = [];
    for (const [fn, count] of this.#ok) counts.push([fn, "CKR_OK", count]);
    for (const [key, count] of this.#failed) {
      const [fn = "", ckr = ""] = key.split(" ");
      counts.push([fn, ckr, count]);
    }
    this.#ok.clear();
    this.#failed.clear();
    return counts;
  }

  moduleInfo(): ModuleInfo {
    const info = this.#call("C_GetInfo", () => this.#p.C_GetInfo());
    return {
      manufacturer: unpadded(info.manufacturerID),
      description: unpadded(info.libraryDescription),
      version: version(info.libraryVersion),
      cryptoki: version(info.cryptokiVersion),
    };
  }
  slots(): Handle[] {
    return this.#call("C_GetSlotList", () => this.#p.C_GetSlotList(true));
  }
  tokenInfo(slot: Handle): TokenInfo {
    const info = this.#call("C_GetTokenInfo", () => this.#p.C_GetTokenInfo(slot));
    return {
      label: unpadded(info.label),
      manufacturer: unpadded(info.manufacturerID),
      model: unpadded(info.model),
      serial: unpadded(info.serialNumber),
      flags: info.flags,
      firmware: version(info.firmwareVersion),
    };
  }
  mechanisms(slot: Handle): number[] {
    return this.#call("C_GetMechanismList", () => this.#p.C_GetMechanismList(slot));
  }
  mechanismInfo(slot: Handle, mechanism: number): MechanismInfo {
    const info = this.#call("C_GetMechanismInfo", () => this.#p.C_GetMechanismInfo(slot, mechanism));
    return { minKeySize: info.minKeySize, maxKeySize: info.maxKeySize, flags: info.flags };
  }
  /** @param label at most 32 characters; padded here, as the standard wants it */
  initToken(slot: Handle, soPin: string, label: string): void {
    this.#call("C_InitToken", () => this.#p.C_InitToken(slot, soPin, label.padEnd(32, " ")));
  }
  initPin(session: Handle, pin: string): void {
    this.#call("C_InitPIN", () => this.#p.C_InitPIN(session, pin));
  }
  /** Changes the PIN of whoever is logged in: the user's, or the security officer's. */
  setPin(session: Handle, oldPin: string, newPin: string): void {
    this.#call("C_SetPIN", () => this.#p.C_SetPIN(session, oldPin, newPin));
  }

  openSession(slot: Handle, flags: number): Handle {
    return this.#call("C_OpenSession", () => this.#p.C_OpenSession(slot, flags));
  }
  closeSession(session: Handle): void {
    this.#call("C_CloseSession", () => this.#p.C_CloseSession(session));
  }
  login(session: Handle, userType: number, pin: string): void {
    this.#call("C_Login", () => this.#p.C_Login(session, userType, pin));
  }
  logout(session: Handle): void {
    this.#call("C_Logout", () => this.#p.C_Logout(session));
  }

  /** C_GetSessionInfo: CKS_RO_USER_FUNCTIONS or CKS_RW_USER_FUNCTIONS. */
  isUserLoggedIn(session: Handle): boolean {
    const { state } = this.#call("C_GetSessionInfo", () => this.#p.C_GetSessionInfo(session));
    return state === 1 || state === 3;
  }

  findObjects(session: Handle, template: AttributeList): Handle[] {
    const attributes = checked(template);
    this.#call("C_FindObjectsInit", () => this.#p.C_FindObjectsInit(session, attributes));
    const found: Handle[] = [];
    const end = (): void => this.#call("C_FindObjectsFinal", () => this.#p.C_FindObjectsFinal(session));
    try {
      for (;;) {
        const some = this.#call("C_FindObjects", () => this.#p.C_FindObjects(session, 64));
        found.push(...some);
        if (some.length === 0) break;
      }
    } catch (error) {
      try {
        end();
      } catch {
        // That the device went says the first error: a session that is closed with it would only be opened again.
      }
      throw error;
    }
    end();
    return found;
  }
  /** All values or an error: it fails as a whole on one unknown attribute. */
  getAttributes(session: Handle, object: Handle, types: readonly number[]): Buffer[] {
    const asked = types.map((type) => ({ type }));
    return this.#call("C_GetAttributeValue", () => this.#p.C_GetAttributeValue(session, object, asked)).map(
      (attribute) => attribute.value,
    );
  }
  setAttributes(session: Handle, object: Handle, template: AttributeList): void {
    const attributes = checked(template);
    this.#call("C_SetAttributeValue", () => this.#p.C_SetAttributeValue(session, object, attributes));
  }
  createObject(session: Handle, template: AttributeList): Handle {
    const attributes = checked(template);
    return this.#call("C_CreateObject", () => this.#p.C_CreateObject(session, attributes));
  }
  copyObject(session: Handle, object: Handle, template: AttributeList): Handle {
    const attributes = checked(template);
    return this.#call("C_CopyObject", () => this.#p.C_CopyObject(session, object, attributes));
  }
  destroyObject(session: Handle, object: Handle): void {
    this.#call("C_DestroyObject", () => this.#p.C_DestroyObject(session, object));
  }

  generateKey(session: Handle, mechanism: Mechanism, template: AttributeList): Handle {
    const attributes = checked(template);
    return this.#call("C_GenerateKey", () => this.#p.C_GenerateKey(session, mechanism, attributes));
  }
  generateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: AttributeList,
    privateTemplate: AttributeList,
  ): { publicKey: Handle; privateKey: Handle } {
    const publicAttributes = checked(publicTemplate);
    const privateAttributes = checked(privateTemplate);
    return this.#call("C_GenerateKeyPair", () =>
      this.#p.C_GenerateKeyPair(session, mechanism, publicAttributes, privateAttributes),
    );
  }
  deriveKey(session: Handle, mechanism: Mechanism, base: Handle, template: AttributeList): Handle {
    const attributes = checked(template);
    return this.#call("C_DeriveKey", () => this.#p.C_DeriveKey(session, mechanism, base, attributes));
  }
  /** @param room bytes that the wrapped key may take */
  wrapKey(session: Handle, mechanism: Mechanism, wrapping: Handle, key: Handle, room: number): Buffer {
    return this.#call("C_WrapKey", () =>
      this.#p.C_WrapKey(session, mechanism, wrapping, key, Buffer.allocUnsafe(room)),
    );
  }
  unwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrapping: Handle,
    wrapped: Uint8Array,
    template: AttributeList,
  ): Handle {
    const attributes = checked(template);
    return this.#call("C_UnwrapKey", () =>
      this.#p.C_UnwrapKey(session, mechanism, unwrapping, asBuffer(wrapped), attributes),
    );
  }
  /** C_SignInit and C_Sign. @param room bytes that the signature may take */
  sign(session: Handle, mechanism: Mechanism, key: Handle, data: Uint8Array, room: number): Buffer {
    this.#call("C_SignInit", () => this.#p.C_SignInit(session, mechanism, key));
    return this.#call("C_Sign", () => this.#p.C_Sign(session, asBuffer(data), Buffer.allocUnsafe(room)));
  }
  encrypt(session: Handle, mechanism: Mechanism, key: Handle, data: Uint8Array, room: number): Buffer {
    this.#call("C_EncryptInit", () => this.#p.C_EncryptInit(session, mechanism, key));
    return this.#call("C_Encrypt", () =>
      this.#p.C_Encrypt(session, asBuffer(data), Buffer.allocUnsafe(room)),
    );
  }
  random(session: Handle, length: number): Buffer {
    return this.#call("C_GenerateRandom", () =>
      this.#p.C_GenerateRandom(session, Buffer.allocUnsafe(length)),
    );
  }

  #call<R>(fn: string, run: () => R): R {
    try {
      const result = run();
      this.#ok.set(fn, (this.#ok.get(fn) ?? 0) + 1);
      return result;
    } catch (error) {
      const key = `${fn} ${ckrOf(error)?.name ?? "none"}`;
      this.#failed.set(key, (this.#failed.get(key) ?? 0) + 1);
      throw tokenError(fn, error);
    }
  }
}

/** The binding's types want a Buffer; this is a view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Modules by path: loaded once per process, initialised while somebody uses them. */
const loaded = new Map<string, { module: Pkcs11Module; users: number }>();

/** @throws module-failed, token-failed; pair it with `releaseModule` */
export function acquireModule(path: string, parameters?: string): Pkcs11Module {
  const entry = loaded.get(path) ?? { module: new Pkcs11Module(path), users: 0 };
  loaded.set(path, entry);
  if (entry.users === 0) entry.module.initialize(parameters);
  entry.users++;
  return entry.module;
}

/** C_Finalize with the last user: it ends every session of the process with the module. */
export function releaseModule(module: Pkcs11Module): void {
  const entry = loaded.get(module.path);
  if (!entry || entry.users === 0) return;
  entry.users--;
  if (entry.users === 0) module.finalize();
}

/** `takeCounts` of every module of the process, also of one whose session never opened. */
export function takeAllCounts(): CallCount[] {
  return [...loaded.values()].flatMap(({ module }) => module.takeCounts());
}
