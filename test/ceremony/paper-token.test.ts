/**
 * The token of a dry run against a real one: the same steps make the same calls on both, get the same answers, and
 * opensc's pkcs11-spy, which knows nothing of how we write calls down, has seen those calls and no others.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { sameCalls } from "../../src/ceremony/calls.ts";
import { takeInventory } from "../../src/ceremony/inventory.ts";
import { type FleetShape, fleetKeys, holdersOf } from "../../src/keys/fleet-keys.ts";
import { loginFor, type SiteSteps, type StepName, takeStep } from "../../src/keys/site-steps.ts";
import type { Template } from "../../src/token/attributes.ts";
import { NOT_RECORDED, type RecordedCall } from "../../src/token/call-record.ts";
import { initialiseToken } from "../../src/token/initialise.ts";
import { acquireModule, Pkcs11Module, releaseModule } from "../../src/token/module.ts";
import { openSession } from "../../src/token/open.ts";
import { PaperToken } from "../../src/token/paper-token.ts";
import { driverTraits } from "../../src/token/profile.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import { TokenSession } from "../../src/token/session.ts";
import { parseTokenUri } from "../../src/token/uri.ts";
import { spyEnv, spyModule } from "../support/spy.ts";

const shape: FleetShape = { fleet: "test-fleet", sites: ["site-a", "site-b", "site-c"], threshold: 2 };
const softhsm = loadProfile("softhsm2");
const [USER_PIN, SO_PIN] = [randomBytes(8).toString("hex"), randomBytes(8).toString("hex")];

/** One token: real through the spy, or paper. */
interface Station {
  readonly calls: RecordedCall[];
  use<R>(work: (module: Pkcs11Module) => Promise<R>): Promise<R>;
}

function paperStation(serial: string): Station {
  const module = new Pkcs11Module("paper", new PaperToken(softhsm, serial));
  const calls: RecordedCall[] = [];
  return {
    calls,
    use: async (work) => {
      module.observe((call) => calls.push(call));
      return work(module);
    },
  };
}

/** Of all real stations, as they took turns. */
const allReal: RecordedCall[] = [];

function realStation(dir: string, name: string): Station {
  const tokens = join(dir, name, "tokens");
  const conf = join(dir, name, "softhsm2.conf");
  mkdirSync(tokens, { recursive: true });
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const calls: RecordedCall[] = [];
  return {
    calls,
    use: async (work) => {
      Object.assign(process.env, { SOFTHSM2_CONF: conf }, spyEnv(join(dir, "spy.log")));
      const module = acquireModule(spyModule());
      module.observe((call) => {
        calls.push(call);
        allReal.push(call);
      });
      try {
        return await work(module);
      } finally {
        module.observe(undefined);
        releaseModule(module);
      }
    },
  };
}

/** A whole distribution as a ceremony takes it. */
async function distribute(stations: readonly Station[]): Promise<readonly unknown[]> {
  const station = (site: number): Station => {
    const found = stations[site];
    if (!found) throw new Error(`no site ${site}`);
    return found;
  };
  const all = shape.sites.map((_, site) => site);
  const pin = (text: string) => () => Promise.resolve(utf8(text));
  for (const site of all)
    await station(site).use(async (module) => {
      const { state } = await initialiseToken({
        uri: parseTokenUri("pkcs11:"),
        modules: [],
        label: shape.sites[site] ?? "",
        soPin: pin(SO_PIN),
        userPin: pin(USER_PIN),
        module,
      });
      expect(state).toBe("created");
    });
  const at = async <N extends StepName>(
    site: number,
    name: N,
    input: SiteSteps[N]["input"],
  ): Promise<SiteSteps[N]["output"]> =>
    station(site).use(async (module) => {
      const login = loginFor(name, softhsm);
      const { session } = await openSession(
        { uri: `pkcs11:token=${shape.sites[site]}`, profile: "softhsm2" },
        { login, prompt: pin(login === "so" ? SO_PIN : USER_PIN), module },
      );
      try {
        return takeStep(name, { session, profile: softhsm, shape, site }, input);
      } finally {
        takeInventory(session);
        session.close();
      }
    });
  const each = async <N extends StepName>(name: N, input: SiteSteps[N]["input"]) => {
    const outputs: SiteSteps[N]["output"][] = [];
    for (const site of all) outputs.push(await at(site, name, input));
    return outputs;
  };
  await each("make-site-keys", undefined);
  const transports = await each("make-transport", undefined);
  const keys = fleetKeys(shape);
  const origins = all.filter((site) => keys.some(({ origin }) => origin === site));
  const to = (holder: string) => {
    const found = transports.find(({ site }) => site === holder);
    if (!found) throw new Error(`no transport key of ${holder}`);
    return found;
  };
  const packages = [];
  for (const origin of origins) {
    const own = keys.filter((key) => key.origin === origin);
    await at(
      origin,
      "make-originals",
      own.map(({ spec }) => spec.name),
    );
    await at(origin, "trust", { keys: transports, carriers: origin === 0 ? shape.sites : [] });
    const wanted = own.flatMap((key) =>
      holdersOf(shape, key).map((holder) => ({ key: key.spec.name, to: to(holder) })),
    );
    packages.push(...(await at(origin, "export", wanted)));
  }
  for (const site of all)
    await at(
      site,
      "import",
      packages.filter((parcel) => parcel.to === shape.sites[site]),
    );
  const nonce = Uint8Array.from(randomBytes(32));
  const said = await each("prove", nonce);
  for (const { spec, origin, holders } of keys) {
    const proofs = holders.flatMap((site) =>
      (said[site]?.keys ?? []).filter(({ key }) => key === spec.name).map(({ proof }) => proof),
    );
    await at(origin, "destroy-originals", [{ key: spec.name, nonce, proofs }]);
  }
  const removed = [await each("remove-transport", undefined), await each("remove-trusted", undefined)];
  const surveys = await each("survey", undefined);
  return [
    removed,
    await each("try-refusals", undefined),
    (await each("public-keys", undefined)).map((map) => [...map.keys()]),
    surveys.map(({ keys: held, originals, temporary, foreign }) => ({ held, originals, temporary, foreign })),
  ];
}

describe("the same steps on paper and on SoftHSM", () => {
  let dir: string;
  let paper: readonly Station[];
  let real: readonly Station[];
  let outcomes: readonly (readonly unknown[])[];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "strongroom-paper-"));
    paper = shape.sites.map((_, site) => paperStation(`paper-${site}`));
    real = shape.sites.map((name) => realStation(dir, name));
    outcomes = [await distribute(paper), await distribute(real)];
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("come to the same end", () => {
    expect(outcomes[0]).toEqual(outcomes[1]);
  });

  test("make the same calls with the same templates, in the same order, and get the same answers", () => {
    for (const [site, station] of real.entries()) {
      const planned = paper[site]?.calls ?? [];
      expect(sameCalls(planned, station.calls)).toBeUndefined();
      expect(planned.map(({ fn, ckr }) => [fn, ckr])).toEqual(station.calls.map(({ fn, ckr }) => [fn, ckr]));
      expect(planned.length).toBeGreaterThan(500);
    }
  });

  test("were seen by the spy: these calls in this order, and no others", () => {
    const log = readFileSync(join(dir, "spy.log"), "utf8");
    const silent: readonly string[] = [...NOT_RECORDED, "C_GetFunctionList", "C_GetInterface"];
    const seen = [...log.matchAll(/^\d+: (C_\w+)$/gm)]
      .map(([, fn = ""]) => fn)
      .filter((fn) => !silent.includes(fn));
    // The binding asks for an attribute twice, first for its length.
    const recorded = allReal.flatMap(({ fn, ckr }) =>
      fn === "C_GetAttributeValue" && ckr === "CKR_OK" ? [fn, fn] : [fn],
    );
    expect(seen.length).toBeGreaterThan(2000);
    expect(seen.findIndex((fn, at) => fn !== recorded[at])).toBe(-1);
    expect(seen).toHaveLength(recorded.length);
  });

  test("say no PIN, no value and no wrapped key", () => {
    const calls = JSON.stringify([...paper, ...real].map((station) => station.calls));
    expect(calls).not.toContain(USER_PIN);
    expect(calls).not.toContain(SO_PIN);
    // Hex of 16 bytes is an identifier; of more it would be a key.
    const longest = Math.max(...(calls.match(/[0-9a-f]{20,}/g) ?? []).map(({ length }) => length));
    expect(longest).toBe(32);
  });
});

describe("what the paper refuses, as the standard has it", () => {
  const AES: Template = { CLASS: 4, KEY_TYPE: 0x1f, VALUE_LEN: 32, TOKEN: false };
  const make = async (profile = softhsm, login: "user" | "so" = "user", readOnly = false) => {
    const module = new Pkcs11Module("paper", new PaperToken(profile, "1"));
    const pin = (text: string) => () => Promise.resolve(utf8(text));
    await initialiseToken({
      uri: parseTokenUri("pkcs11:"),
      modules: [],
      label: "paper",
      soPin: pin(SO_PIN),
      userPin: pin(USER_PIN),
      module,
    });
    const session = new TokenSession({
      uri: parseTokenUri("pkcs11:token=paper"),
      traits: driverTraits(profile),
      login,
      readOnly,
      pin: utf8(login === "so" ? SO_PIN : USER_PIN),
      module,
    });
    return { module, session };
  };
  const refused = (ckr: string) => expect.objectContaining({ details: expect.objectContaining({ ckr }) });

  test("wrong PINs, and PINs that were changed", async () => {
    const { module, session } = await make();
    session.close();
    const [slot] = module.slots();
    if (!slot) throw new Error("no slot");
    const opened = module.openSession(slot, 6);
    expect(() => module.login(opened, 1, "wrong")).toThrow(refused("CKR_PIN_INCORRECT"));
    module.login(opened, 1, USER_PIN);
    expect(() => module.login(opened, 0, SO_PIN)).toThrow(refused("CKR_USER_ANOTHER_ALREADY_LOGGED_IN"));
    expect(() => module.setPin(opened, "wrong", "new")).toThrow(refused("CKR_PIN_INCORRECT"));
    module.setPin(opened, USER_PIN, "new");
    module.logout(opened);
    expect(() => module.login(opened, 1, USER_PIN)).toThrow(refused("CKR_PIN_INCORRECT"));
    module.login(opened, 1, "new");
    expect(() => module.initToken(slot, SO_PIN, "other")).toThrow(refused("CKR_SESSION_EXISTS"));
    module.closeSession(opened);
    expect(() => module.initToken(slot, "wrong", "other")).toThrow(refused("CKR_PIN_INCORRECT"));
    module.initToken(slot, SO_PIN, "other");
    expect(module.tokenInfo(slot)).toMatchObject({ label: "other" });
  });

  test("trusted keys are the security officer's, private ones the user's", async () => {
    const { session } = await make();
    const aes = { mechanism: 0x1080 };
    expect(() => session.generateKey(aes, { ...AES, TRUSTED: true })).toThrow(
      refused("CKR_ATTRIBUTE_READ_ONLY"),
    );
    const { session: so } = await make(softhsm, "so");
    expect(() => so.generateKey(aes, { ...AES, TRUSTED: true, PRIVATE: true })).toThrow(
      refused("CKR_USER_NOT_LOGGED_IN"),
    );
    so.generateKey(aes, { ...AES, TRUSTED: true, PRIVATE: false });
  });

  test("secrecy goes one way", async () => {
    const { session } = await make();
    const key = session.generateKey({ mechanism: 0x1080 }, { ...AES, SENSITIVE: false, EXTRACTABLE: true });
    session.setAttributes(key, { SENSITIVE: true, EXTRACTABLE: false });
    expect(() => session.setAttributes(key, { SENSITIVE: false })).toThrow(
      refused("CKR_ATTRIBUTE_READ_ONLY"),
    );
    expect(() => session.setAttributes(key, { EXTRACTABLE: true })).toThrow(
      refused("CKR_ATTRIBUTE_READ_ONLY"),
    );
    expect(() => session.attribute(key, "VALUE")).toThrow(refused("CKR_ATTRIBUTE_SENSITIVE"));
    expect([session.attribute(key, "ALWAYS_SENSITIVE"), session.attribute(key, "NEVER_EXTRACTABLE")]).toEqual(
      [false, false],
    );
  });

  test("a read-only session makes nothing that stays", async () => {
    const { session } = await make(softhsm, "user", true);
    expect(() => session.generateKey({ mechanism: 0x1080 }, { ...AES, TOKEN: true })).toThrow(
      refused("CKR_SESSION_READ_ONLY"),
    );
  });

  test("what the profile says of a device: mechanisms, points, attributes that it does not know", async () => {
    const other = structuredClone(softhsm) as typeof softhsm & {
      attributes: { modifiable: { value: boolean }; trusted: { value: string } };
    };
    other.attributes.modifiable.value = false;
    other.attributes.trusted.value = "none";
    const { session } = await make(other);
    for (const template of [{ MODIFIABLE: false }, { WRAP_WITH_TRUSTED: true }, { TRUSTED: false }])
      expect(() => session.generateKey({ mechanism: 0x1080 }, { ...AES, ...template })).toThrow(
        refused("CKR_ATTRIBUTE_TYPE_INVALID"),
      );
    expect(() => session.generateKey({ mechanism: 0x1081 }, AES)).toThrow(refused("CKR_MECHANISM_INVALID"));
  });

  test.each(readdirSync(new URL("../../hsm-config/profiles", import.meta.url)))(
    "stands for any usable device: %s",
    async (file) => {
      const profile = loadProfile(file.replace(/\.yaml$/, ""));
      const { session } = await make(profile);
      takeStep("make-site-keys", { session, profile, shape, site: 0 }, undefined);
      expect(takeInventory(session)).toHaveLength(4);
    },
  );

  test("an observer that is gone is told nothing, and one that fails ends the operation", async () => {
    const { module, session } = await make();
    const calls: string[] = [];
    module.observe(({ fn }) => calls.push(fn));
    session.random(8);
    module.observe(undefined);
    session.random(8);
    expect(calls).toEqual(["C_GenerateRandom"]);
    const before: string[] = [];
    module.observe(
      () => {
        throw new Error("disk full");
      },
      (fn) => before.push(fn),
    );
    expect(() => session.random(8)).toThrow(expect.objectContaining({ code: "internal" }));
    expect(before.at(-1)).toBe("C_GenerateRandom");
  });
});

describe("paper stays paper", () => {
  test("nothing but the dry run reaches it", () => {
    const root = new URL("../../src/", import.meta.url);
    const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    const importers = files.filter((name) =>
      /from "[^"]*paper-(token|objects|crypto)\.ts"/.test(readFileSync(new URL(name, root), "utf8")),
    );
    const allowed = importers.filter(
      // The last is what paper-crypto.ts is on the verification page.
      (name) => !/^(token\/paper-\w+|ceremony\/dry-run[\w-]*|web\/platform\/paper-crypto)\.ts$/.test(name),
    );
    expect(allowed).toEqual([]);
    expect(importers).toContain("token/paper-token.ts");
  });
});
