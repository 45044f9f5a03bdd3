/** The inventory of a real SoftHSM token: everything is seen, nothing secret is asked for, strangers stand out. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Classified, classify } from "../../src/keys/classify.ts";
import { attributeSupport, provision } from "../../src/keys/provision.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { OBJECT_CLASS } from "../../src/token/attributes.ts";
import { loadBinding } from "../../src/token/binding.ts";
import { listObjects } from "../../src/token/inventory.ts";
import { Pkcs11Module } from "../../src/token/module.ts";
import { type OpenedSession, openSession } from "../../src/token/open.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const keys = vaultKeys("demo", [0]);
let hsm: SoftHsm;
let opened: OpenedSession;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  opened = await openSession({ uri: hsm.uri, profile: "softhsm2" });
});
afterAll(() => {
  opened.session.close();
  hsm.remove();
});

const judge = (): ReturnType<typeof classify> =>
  classify(listObjects(opened.session), keys, attributeSupport(opened.profile));
const statuses = (classified: readonly Classified[]): string[] =>
  classified.map(({ object, status }) => `${object.label} ${status}`);

test("an empty token: everything is missing", () => {
  const { classified, missing } = judge();
  expect(classified).toEqual([]);
  expect(missing).toHaveLength(9);
  expect(missing).toContainEqual({ class: "secret key", label: "strongroom/demo/record" });
});

test("a provisioned token: every object is expected, by label, without values", () => {
  provision(opened.session, opened.profile, keys);
  const { classified, missing } = judge();
  expect(missing).toEqual([]);
  expect(new Set(classified.map(({ status }) => status))).toEqual(new Set(["expected"]));
  expect(classified).toHaveLength(9);
  const labels = classified.map(({ object }) => object.label);
  expect(labels).toEqual([...labels].sort());
  for (const { object } of classified) expect(object.attributes).not.toHaveProperty("VALUE");
  // The walk beside the session neither logged it out nor ended the module.
  expect(opened.session.random(8)).toHaveLength(8);
});

test("strangers, second keys and drift stand out", () => {
  const { session } = opened;
  const secret = {
    CLASS: OBJECT_CLASS["secret key"],
    KEY_TYPE: 0x10,
    VALUE_LEN: 32,
    TOKEN: true,
    PRIVATE: true,
  };
  session.generateKey({ mechanism: 0x350 }, { ...secret, LABEL: "backdoor" });
  session.generateKey(
    { mechanism: 0x350 },
    { ...secret, LABEL: "strongroom/demo/record", EXTRACTABLE: true },
  );
  const [mac] = session.find({ LABEL: "strongroom/demo/share-mac.0" });
  if (!mac) throw new Error("no share-mac");
  session.destroy(mac);
  session.generateKey({ mechanism: 0x350 }, { ...secret, LABEL: "strongroom/demo/share-mac.0" });

  const { classified, missing } = judge();
  expect(missing).toEqual([]);
  expect(statuses(classified)).toContain("backdoor unexpected");
  expect(statuses(classified).filter((line) => line === "strongroom/demo/record duplicate")).toHaveLength(2);
  const drifted = classified.find(({ object }) => object.label === "strongroom/demo/share-mac.0");
  expect(drifted?.status).toBe("drift");
  expect(drifted?.drift.map(({ attribute }) => attribute)).toEqual(
    expect.arrayContaining(["ID", "MODIFIABLE"]),
  );
  expect(classified.filter(({ status }) => status === "expected")).toHaveLength(7);
});

test("it goes through the library that is loaded: another load of one may know nothing of the login", async () => {
  opened.session.close();
  const called = new Set<string>();
  const real = loadBinding(hsm.module);
  const counted = new Proxy(real, {
    get(target, fn) {
      const value: unknown = Reflect.get(target, fn);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        called.add(String(fn));
        return Reflect.apply(value, target, args);
      };
    },
  });
  const module = new Pkcs11Module(hsm.module, counted);
  module.initialize();
  opened = await openSession({ uri: hsm.uri, profile: "softhsm2" }, { module });
  called.clear();
  expect(listObjects(opened.session).length).toBeGreaterThan(0);
  expect([...called]).toEqual(expect.arrayContaining(["C_OpenSession", "C_FindObjects", "C_CloseSession"]));
});
