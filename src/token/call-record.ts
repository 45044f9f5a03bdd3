/**
 * Writes down PKCS#11 calls so that anybody may read them: which function, on what, with which template, and what the
 * token answered. A dry run and a run that do the same give the same `fn` and `args`.
 *
 * - What is said of an argument is chosen here, function by function; what nobody chose is not said. PINs, wrapped keys
 *   and values never are: of bytes only their number.
 * - Handles are numbers that mean nothing elsewhere, and tokens list their objects in any order. So an object is called
 *   by its label where it was made with one or looked for by it, otherwise o1, o2 … in the order of first use.
 */
import { ATTRIBUTES, type AttributeName, attributeName, showAttribute } from "./attributes.ts";
import type { Binding } from "./binding.ts";
import { ckrOf } from "./ckr.ts";
import { CKF_RW_SESSION, CKU, mechanismText } from "./cryptoki.ts";
import type { AttributeList, Handle, Mechanism } from "./module.ts";

export interface RecordedCall {
  readonly fn: string;
  readonly args: CallArgs;
  /** CKR_OK or the name of another return code. */
  readonly ckr: string;
  /** How long it took. */
  readonly ms: number;
}

/** JSON. */
export type CallArgs = { readonly [name: string]: CallValue };
type CallValue = string | number | boolean | readonly CallValue[] | CallArgs;

/** What a listener throws ends the operation: a call that cannot be written down is the last one. */
export type CallListener = (call: RecordedCall) => void;
/** Told of a call before it is made, by its function. */
export type BeforeCall = (fn: string) => void;

/** Calls that change nothing, and whose number depends on the slots and on the batches in which a token answers. */
export const NOT_RECORDED: readonly NotRecorded[] = [
  "C_Initialize",
  "C_Finalize",
  "C_GetInfo",
  "C_GetSlotList",
  "C_GetTokenInfo",
  "C_GetSessionInfo",
  "C_GetMechanismList",
  "C_GetMechanismInfo",
  "C_FindObjects",
  "C_FindObjectsFinal",
];
type NotRecorded =
  | "C_Initialize"
  | "C_Finalize"
  | `C_Get${"Info" | "SlotList" | "TokenInfo" | "SessionInfo" | "MechanismList" | "MechanismInfo"}`
  | `C_FindObjects${"" | "Final"}`;

type Recorded = Exclude<keyof Binding, NotRecorded>;

/** Longer ones are no labels of ours. */
const MAX_NAME = 128;

class ObjectNames {
  readonly #names = new Map<string, string>();
  #numbered = 0;
  /** LABEL of the search that goes on. */
  searched: string | undefined;

  of(handle: Handle): string {
    const key = handle.toString("hex");
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = `o${++this.#numbered}`;
    this.#names.set(key, name);
    return name;
  }

  /** A new object, for a token may give it the handle of one that is gone; or one that a search found. */
  name(handle: Handle, label: string | undefined): void {
    const key = handle.toString("hex");
    if (label === undefined || label === "") this.#names.delete(key);
    else this.#names.set(key, label.slice(0, MAX_NAME));
  }
}

/** Bytes that are told: they are in every template of their kind, and in no key. */
const TOLD: readonly AttributeName[] = ["ID", "EC_PARAMS", "PUBLIC_EXPONENT"];

const bytesText = (bytes: Uint8Array): string => `<${bytes.length} bytes>`;

function describeTemplate(template: AttributeList): CallArgs {
  return Object.fromEntries(
    template.map(({ type, value }): [string, CallValue] => {
      const name = attributeName(type);
      if (name === undefined)
        return [mechanismText(type), Buffer.isBuffer(value) ? bytesText(value) : "<value>"];
      if (Buffer.isBuffer(value))
        return [name, TOLD.includes(name) ? value.toString("hex") : bytesText(value)];
      if (typeof value === "string") return [name, name === "LABEL" ? value : "<text>"];
      return [name, name === "CLASS" || name === "KEY_TYPE" ? showAttribute(name, value) : value];
    }),
  );
}

function labelIn(template: AttributeList): string | undefined {
  const found = template.find(({ type }) => type === ATTRIBUTES.LABEL.type)?.value;
  return typeof found === "string" ? found : undefined;
}

/** The standard's names of the mechanisms that profiles have. */
const MECHANISMS: Readonly<Record<number, string>> = {
  0: "CKM_RSA_PKCS_KEY_PAIR_GEN",
  9: "CKM_RSA_PKCS_OAEP",
  544: "CKM_SHA_1",
  592: "CKM_SHA256",
  593: "CKM_SHA256_HMAC",
  608: "CKM_SHA384",
  624: "CKM_SHA512",
  848: "CKM_GENERIC_SECRET_KEY_GEN",
  4160: "CKM_EC_KEY_PAIR_GEN",
  4161: "CKM_ECDSA",
  4176: "CKM_ECDH1_DERIVE",
  4177: "CKM_ECDH1_COFACTOR_DERIVE",
  4224: "CKM_AES_KEY_GEN",
  8457: "CKM_AES_KEY_WRAP",
  8458: "CKM_AES_KEY_WRAP_PAD",
  8459: "CKM_AES_KEY_WRAP_KWP",
};

const mechanismName = (mechanism: number): string => MECHANISMS[mechanism] ?? mechanismText(mechanism);

function describeMechanism({ mechanism, parameter }: Mechanism): CallArgs {
  const name = mechanismName(mechanism);
  if (parameter === undefined) return { mechanism: name };
  if (Buffer.isBuffer(parameter)) return { mechanism: name, parameter: bytesText(parameter) };
  return "hashAlg" in parameter
    ? { mechanism: name, hash: mechanismName(parameter.hashAlg), mgf: parameter.mgf }
    : { mechanism: name, kdf: parameter.kdf, publicData: bytesText(parameter.publicData) };
}

/** What is said of a call, from its arguments. */
const DESCRIBE: {
  readonly [F in Recorded]: (names: ObjectNames, ...args: Parameters<Binding[F]>) => CallArgs;
} = {
  C_InitToken: (_, _slot, _pin, label) => ({ label: label.trimEnd() }),
  C_InitPIN: () => ({}),
  C_SetPIN: () => ({}),
  C_OpenSession: (_, _slot, flags) => ({ readWrite: (flags & CKF_RW_SESSION) !== 0 }),
  C_CloseSession: () => ({}),
  C_Login: (_, _session, userType) => ({ user: userType === CKU.so ? "so" : "user" }),
  C_Logout: () => ({}),
  C_FindObjectsInit: (_, _session, template) => ({ template: describeTemplate(template) }),
  C_GetAttributeValue: (names, _session, object, asked) => ({
    object: names.of(object),
    attributes: asked.map(({ type }) => attributeName(type) ?? mechanismText(type)),
  }),
  C_SetAttributeValue: (names, _session, object, template) => ({
    object: names.of(object),
    template: describeTemplate(template),
  }),
  C_CreateObject: (_, _session, template) => ({ template: describeTemplate(template) }),
  C_CopyObject: (names, _session, object, template) => ({
    object: names.of(object),
    template: describeTemplate(template),
  }),
  C_DestroyObject: (names, _session, object) => ({ object: names.of(object) }),
  C_GenerateKey: (_, _session, mechanism, template) => ({
    ...describeMechanism(mechanism),
    template: describeTemplate(template),
  }),
  C_GenerateKeyPair: (_, _session, mechanism, publicTemplate, privateTemplate) => ({
    ...describeMechanism(mechanism),
    public: describeTemplate(publicTemplate),
    private: describeTemplate(privateTemplate),
  }),
  C_DeriveKey: (names, _session, mechanism, base, template) => ({
    ...describeMechanism(mechanism),
    base: names.of(base),
    template: describeTemplate(template),
  }),
  C_WrapKey: (names, _session, mechanism, wrapping, key) => ({
    ...describeMechanism(mechanism),
    wrapping: names.of(wrapping),
    key: names.of(key),
  }),
  C_UnwrapKey: (names, _session, mechanism, unwrapping, _wrapped, template) => ({
    ...describeMechanism(mechanism),
    unwrapping: names.of(unwrapping),
    wrapped: "<bytes>",
    template: describeTemplate(template),
  }),
  C_SignInit: (names, _session, mechanism, key) => ({ ...describeMechanism(mechanism), key: names.of(key) }),
  C_Sign: (_, _session, data) => ({ data: bytesText(data) }),
  C_EncryptInit: (names, _session, mechanism, key) => ({
    ...describeMechanism(mechanism),
    key: names.of(key),
  }),
  C_Encrypt: (_, _session, data) => ({ data: bytesText(data) }),
  C_GenerateRandom: (_, _session, room) => ({ room: bytesText(room) }),
};

/** What a call that succeeded says about objects. */
const LEARN: {
  readonly [F in keyof Binding]?: (
    names: ObjectNames,
    result: ReturnType<Binding[F]>,
    ...args: Parameters<Binding[F]>
  ) => void;
} = {
  C_FindObjectsInit: (names, _, _session, template) => {
    names.searched = labelIn(template);
  },
  C_FindObjects: (names, found) => {
    for (const object of found) names.name(object, names.searched);
  },
  C_CreateObject: (names, object, _session, template) => names.name(object, labelIn(template)),
  C_CopyObject: (names, object, _session, _from, template) => names.name(object, labelIn(template)),
  C_GenerateKey: (names, object, _session, _mechanism, template) => names.name(object, labelIn(template)),
  C_GenerateKeyPair: (names, { publicKey, privateKey }, _session, _mechanism, publicTemplate, template) => {
    names.name(publicKey, labelIn(publicTemplate));
    names.name(privateKey, labelIn(template));
  },
  C_DeriveKey: (names, object, _session, _mechanism, _base, template) =>
    names.name(object, labelIn(template)),
  C_UnwrapKey: (names, object, _session, _mechanism, _key, _wrapped, template) =>
    names.name(object, labelIn(template)),
};

type AnyCall = (...args: unknown[]) => unknown;

/** The binding, with every recorded call told to `listener` when it has returned. */
export function recordCalls(binding: Binding, listener: CallListener, before?: BeforeCall): Binding {
  const names = new ObjectNames();
  const wrapped = (fn: keyof Binding): AnyCall => {
    const describe = (
      DESCRIBE as Readonly<Record<string, (names: ObjectNames, ...args: unknown[]) => CallArgs>>
    )[fn];
    const learn = (LEARN as Readonly<Record<string, (names: ObjectNames, ...args: unknown[]) => void>>)[fn];
    const call = binding[fn].bind(binding) as AnyCall;
    return (...args) => {
      const described = describe?.(names, ...args);
      if (described) before?.(fn);
      const start = performance.now();
      const tell = (ckr: string): void => {
        const ms = Math.round((performance.now() - start) * 10) / 10;
        if (described) listener({ fn, args: described, ckr, ms });
      };
      let result: unknown;
      try {
        result = call(...args);
      } catch (error) {
        tell(ckrOf(error)?.name ?? "none");
        throw error;
      }
      learn?.(names, result, ...args);
      tell("CKR_OK");
      return result;
    };
  };
  const all = [...NOT_RECORDED, ...Object.keys(DESCRIBE)] as (keyof Binding)[];
  return Object.fromEntries(all.map((fn) => [fn, wrapped(fn)])) as unknown as Binding;
}
