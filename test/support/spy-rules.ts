/** What may cross the PKCS#11 interface of a vault, as rules over the calls that pkcs11-spy saw. */
import type { SpyCall } from "./spy.ts";

export type SpyRule =
  | "function"
  | "value"
  | "wrap"
  | "unwrap"
  | "generate"
  | "derive"
  | "unsealed-key"
  | "left-behind";

export interface Finding {
  readonly rule: SpyRule;
  readonly index: number;
  readonly what: string;
}

export interface SpyReport {
  readonly findings: readonly Finding[];
  /** Calls by function. */
  readonly calls: ReadonlyMap<string, number>;
  /** Session objects made and destroyed. */
  readonly made: number;
  readonly destroyed: number;
  /** How many values were read: derived secrets, all of them. */
  readonly valuesRead: number;
  /** Shares by their wrapped form (hex): the elements (hex, 65 bytes) that they were made and evaluated for. */
  readonly shares: ReadonlyMap<string, ShareUse>;
}

/** Derivations go in pairs, P and P + G: only the first of a pair tells an evaluation from another. */
export interface ShareUse {
  readonly madeFor: Set<string>;
  readonly evaluatedFor: Set<string>;
}

interface TrackedObject {
  readonly session: string;
  readonly token: boolean;
  readonly label: string;
  readonly from: "found" | "generated" | "pair" | "unwrapped" | "derived";
  /** Made by CKM_ECDH1_DERIVE. */
  readonly ecdh?: boolean;
  readonly wrapped?: string;
  /** First points that were derived with. */
  readonly points: string[];
}

/** All that a vault and its provisioning need. What is not here (C_CreateObject, C_Decrypt, …) is a finding. */
const KNOWN = new Set(
  [
    "GetFunctionList Initialize Finalize GetInfo GetSlotList GetTokenInfo GetMechanismList GetMechanismInfo",
    "OpenSession CloseSession GetSessionInfo Login FindObjectsInit FindObjects FindObjectsFinal GetAttributeValue",
    "GenerateKey GenerateKeyPair DeriveKey WrapKey UnwrapKey DestroyObject SignInit Sign GenerateRandom",
  ]
    .join(" ")
    .split(" ")
    .map((name) => `C_${name}`),
);
/** Attributes that hold a key or part of one. */
const SECRET = [
  "CKA_VALUE",
  "CKA_PRIVATE_EXPONENT",
  "CKA_PRIME_1",
  "CKA_PRIME_2",
  "CKA_EXPONENT_1",
  "CKA_EXPONENT_2",
  "CKA_COEFFICIENT",
];
const KEK = /\/share-kek\.\d+$/;
const DERIVING = /\/(session|ake)$/;

/** Holds the calls of one process against the rules. */
export async function inspectSpyLog(source: AsyncIterable<SpyCall>): Promise<SpyReport> {
  const inspector = new Inspector();
  for await (const call of source) inspector.see(call);
  return inspector.report();
}

class Inspector {
  readonly #findings: Finding[] = [];
  readonly #calls = new Map<string, number>();
  readonly #objects = new Map<string, TrackedObject>();
  readonly #shares = new Map<string, ShareUse>();
  readonly #wanted = new Map<string, string>();
  #made = 0;
  #destroyed = 0;
  #valuesRead = 0;

  see(call: SpyCall): void {
    this.#calls.set(call.fn, (this.#calls.get(call.fn) ?? 0) + 1);
    if (!KNOWN.has(call.fn)) this.#find("function", call, call.fn);
    const session = call.fields.get("in hSession") ?? "";
    // Whether a key may be asked for does not depend on the answer.
    if (call.fn === "C_GetAttributeValue") this.#attributes(call, session);
    if (call.fn === "C_WrapKey") this.#wrap(call);
    if (call.ckr !== "CKR_OK") return;
    if (call.fn === "C_FindObjectsInit")
      this.#wanted.set(session, text(call.templates.get("in pTemplate")?.get("CKA_LABEL")?.hex));
    if (call.fn === "C_FindObjects") this.#found(call, session);
    if (call.fn === "C_GenerateKey") this.#generate(call, session);
    if (call.fn === "C_GenerateKeyPair") this.#generatePair(call, session);
    if (call.fn === "C_DeriveKey") this.#derive(call, session);
    if (call.fn === "C_UnwrapKey") this.#unwrap(call, session);
    if (call.fn === "C_DestroyObject") this.#destroy(call);
    if (call.fn === "C_CloseSession") this.#leave(call, session);
    if (call.fn === "C_Finalize") this.#leave(call, undefined);
  }

  report(): SpyReport {
    const left = [...this.#objects].filter(([, { token }]) => !token);
    for (const [handle, { from }] of left)
      this.#findings.push({ rule: "left-behind", index: -1, what: `${from} object ${handle}` });
    return {
      findings: this.#findings,
      calls: this.#calls,
      made: this.#made,
      destroyed: this.#destroyed,
      valuesRead: this.#valuesRead,
      shares: this.#shares,
    };
  }

  #find(rule: SpyRule, { index }: SpyCall, what: string): void {
    this.#findings.push({ rule, index, what });
  }

  #object(call: SpyCall, field: string): TrackedObject | undefined {
    return this.#objects.get(call.fields.get(field) ?? "");
  }

  #add(handle: string | undefined, object: Omit<TrackedObject, "points">): void {
    if (handle === undefined) throw new Error("the spy shows no handle for a new object");
    this.#objects.set(handle, { ...object, points: [] });
    if (!object.token) this.#made++;
  }

  #found(call: SpyCall, session: string): void {
    const label = this.#wanted.get(session) ?? "";
    // An object that was made here stays what it is when it is found.
    for (const handle of call.matches)
      if (!this.#objects.has(handle))
        this.#objects.set(handle, { session, token: true, label, from: "found", points: [] });
  }

  #attributes(call: SpyCall, session: string): void {
    const asked = call.templates.get("in pTemplate");
    const told = call.templates.get("out pTemplate");
    const object = this.#object(call, "in hObject");
    for (const name of SECRET) {
      if (!asked?.has(name)) continue;
      const harmless = name === "CKA_VALUE" && object?.ecdh === true && object.session === session;
      if (!harmless) this.#find("value", call, `${name} of ${describe(object)}`);
      else if (told?.get(name)?.hex) this.#valuesRead++;
    }
    const sealed =
      told?.get("CKA_SENSITIVE")?.text !== "False" &&
      (object?.from === "pair" || told?.get("CKA_EXTRACTABLE")?.text !== "True");
    if (!sealed && object && !object.ecdh) this.#find("unsealed-key", call, describe(object));
  }

  /**
   * A share leaves under the key-encryption key, and nothing else does. The other wrap is the self-test of the
   * mechanism, in which a throw-away key wraps another.
   */
  #wrap(call: SpyCall): void {
    const under = this.#object(call, "in hWrappingKey");
    const key = this.#object(call, "in hKey");
    const share = under?.token === true && KEK.test(under.label) && key?.from === "pair" && !key.token;
    const test = under?.from === "generated" && !under.token && key?.from === "generated" && !key.token;
    if (!share && !test) this.#find("wrap", call, `${describe(key)} under ${describe(under)}`);
    const wrapped = call.bytes.get("out pWrappedKey");
    if (share && wrapped !== undefined)
      this.#shares.set(wrapped, { madeFor: new Set(key.points.slice(0, 1)), evaluatedFor: new Set() });
  }

  #generate(call: SpyCall, session: string): void {
    const template = call.templates.get("in pTemplate");
    const has = (name: string, value: string): boolean => template?.get(name)?.text === value;
    const token = !has("CKA_TOKEN", "False");
    const label = text(template?.get("CKA_LABEL")?.hex);
    if (token && !(has("CKA_SENSITIVE", "True") && has("CKA_EXTRACTABLE", "False")))
      this.#find("generate", call, `the token key ${label} is not born sealed`);
    this.#add(call.fields.get("out hKey"), { session, token, label, from: "generated" });
  }

  #generatePair(call: SpyCall, session: string): void {
    const template = call.templates.get("in pPrivateKeyTemplate");
    const has = (name: string, value: string): boolean => template?.get(name)?.text === value;
    const token = !has("CKA_TOKEN", "False");
    const label = text(template?.get("CKA_LABEL")?.hex);
    if (!has("CKA_SENSITIVE", "True") || (token && !has("CKA_EXTRACTABLE", "False")))
      this.#find("generate", call, `the private key ${label} is not born sealed`);
    const publicToken = !(call.templates.get("in pPublicKeyTemplate")?.get("CKA_TOKEN")?.text === "False");
    this.#add(call.fields.get("out hPrivateKey"), { session, token, label, from: "pair" });
    this.#add(call.fields.get("out hPublicKey"), { session, token: publicToken, label, from: "generated" });
  }

  #derive(call: SpyCall, session: string): void {
    const base = this.#object(call, "in hBaseKey");
    const ecdh = call.fields.get("in pMechanism->type")?.trim() === "CKM_ECDH1_DERIVE";
    const token = call.templates.get("in pTemplate")?.get("CKA_TOKEN")?.text !== "False";
    const mayDerive =
      base?.from === "unwrapped" || base?.from === "pair" || (base?.token && DERIVING.test(base.label));
    if (!ecdh || token || !mayDerive) this.#find("derive", call, `from ${describe(base)}`);
    const point = call.bytes.get("in pMechanism->pParameter->pPublicData") ?? "";
    base?.points.push(point);
    this.#add(call.fields.get("out hKey"), { session, token, label: "", from: "derived", ecdh });
  }

  #unwrap(call: SpyCall, session: string): void {
    const template = call.templates.get("in pTemplate");
    const has = (name: string, value: string): boolean => template?.get(name)?.text === value;
    if (!has("CKA_SENSITIVE", "True") || !has("CKA_EXTRACTABLE", "False") || !has("CKA_TOKEN", "False"))
      this.#find("unwrap", call, "the template does not seal");
    const wrapped = call.bytes.get("in pWrappedKey") ?? "";
    const label = "";
    this.#add(call.fields.get("out hKey"), { session, token: false, label, from: "unwrapped", wrapped });
  }

  #destroy(call: SpyCall): void {
    const handle = call.fields.get("in hObject") ?? "";
    const object = this.#objects.get(handle);
    this.#objects.delete(handle);
    if (object && !object.token) this.#destroyed++;
    if (object?.wrapped === undefined) return;
    const use = this.#shares.get(object.wrapped) ?? { madeFor: new Set(), evaluatedFor: new Set() };
    const [point] = object.points;
    if (point !== undefined) use.evaluatedFor.add(point);
    this.#shares.set(object.wrapped, use);
  }

  /** Objects go with their session; but who leaves it to that has lost count of them. */
  #leave(call: SpyCall, session: string | undefined): void {
    for (const [handle, object] of this.#objects) {
      if (session !== undefined && object.session !== session) continue;
      if (!object.token) this.#find("left-behind", call, `${object.from} object ${handle}`);
      this.#objects.delete(handle);
    }
  }
}

function describe(object: TrackedObject | undefined): string {
  if (!object) return "an unknown object";
  return `a ${object.from} ${object.token ? "token" : "session"} object ${object.label}`.trim();
}

const text = (hex: string | undefined): string => Buffer.from(hex ?? "", "hex").toString("utf8");
