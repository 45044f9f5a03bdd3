/** Provisioning on a real SoftHSM token: idempotent, never silent about drift, never overwriting. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { publishManifest } from "../../src/keys/manifest-file.ts";
import { manifestOf } from "../../src/keys/manifest-of.ts";
import { type KeyReport, provision, provisioned } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { type KeySpec, vaultKeys } from "../../src/keys/roles.ts";
import { keyTemplates } from "../../src/keys/templates.ts";
import { OBJECT_CLASS } from "../../src/token/attributes.ts";
import { type OpenedSession, openSession } from "../../src/token/open.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

let hsm: SoftHsm;
let opened: OpenedSession;
let fleet = 0;
let keys: readonly KeySpec[];

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  opened = await openSession({ uri: hsm.uri, profile: "softhsm2" });
});
afterAll(() => {
  opened.session.close();
  hsm.remove();
});
/** Every test has a fleet of its own on the same token. */
beforeEach(() => {
  keys = vaultKeys(`fleet-${fleet++}`, [0]);
});

const run = (dryRun = false): readonly KeyReport[] =>
  provision(opened.session, opened.profile, keys, { dryRun });
const states = (reports: readonly KeyReport[]): string[] => reports.map(({ state }) => state);
const report = (reports: readonly KeyReport[], name: string): KeyReport => {
  const found = reports.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`no report on ${name}`);
  return found;
};
const spec = (name: string): KeySpec => {
  const found = keys.find((key) => key.name === name);
  if (!found) throw new Error(`no key ${name}`);
  return found;
};
const objects = (): number =>
  keys.reduce((sum, { label }) => sum + opened.session.find({ LABEL: label }).length, 0);
const support = { modifiable: true, copyable: true, wrapWithTrusted: true, unwrapSeals: true };

/** Makes the private or secret half of a key with attributes of its own. */
function forge(name: string, changes: object): void {
  const templates = keyTemplates(spec(name), "sealed", support);
  const { session } = opened;
  if (templates.kind === "secret")
    session.generateKey(
      { mechanism: name.startsWith("share-kek") ? 0x1080 : 0x350 },
      { ...templates.secret.create, ...changes },
    );
  else
    session.generateKeyPair({ mechanism: 0x1040 }, templates.public.create, {
      ...templates.private.create,
      ...changes,
    });
}

test("a dry run lists what is missing and makes nothing", () => {
  expect(new Set(states(run(true)))).toEqual(new Set(["missing"]));
  expect(objects()).toBe(0);
});

test("creates once, then finds everything as it should be", () => {
  expect(new Set(states(run()))).toEqual(new Set(["created"]));
  const before = readPublicKeys(opened.session, keys);
  expect(objects()).toBe(9);
  const again = run();
  expect(new Set(states(again))).toEqual(new Set(["ok"]));
  expect(provisioned(again)).toBe(true);
  expect(objects()).toBe(9);
  expect(readPublicKeys(opened.session, keys)).toEqual(before);
});

test("only what is missing is created", () => {
  run();
  const { session } = opened;
  session.destroy(firstOf("record", "secret key"));
  expect(states(run())).toEqual(["ok", "ok", "ok", "created", "ok", "ok"]);
});

function firstOf(name: string, part: keyof typeof OBJECT_CLASS): Buffer {
  const [object] = opened.session.find({ LABEL: spec(name).label, CLASS: OBJECT_CLASS[part] });
  if (!object) throw new Error(`no ${part} ${name}`);
  return object;
}

describe("drift is shown per attribute, and nothing is made or changed", () => {
  test.each([
    ["ake", { EXTRACTABLE: true }, "EXTRACTABLE", false, true],
    ["identity", { DERIVE: true }, "DERIVE", false, true],
    ["record", { MODIFIABLE: true }, "MODIFIABLE", false, true],
    ["share-kek.0", { ENCRYPT: true }, "ENCRYPT", false, true],
    ["share-mac.0", { SENSITIVE: false }, "SENSITIVE", true, false],
    ["session", { COPYABLE: true }, "COPYABLE", false, true],
  ])("%s with %j", (name, changes, attribute, expected, actual) => {
    forge(name, changes);
    const before = objects();
    const reports = run();
    expect(report(reports, name).state).toBe("drift");
    expect(report(reports, name).drift).toContainEqual(
      expect.objectContaining({ attribute, expected, actual }),
    );
    expect(provisioned(reports)).toBe(false);
    expect(objects()).toBe(before);
    expect(states(run())).toEqual(states(reports));
  });
});

test("two keys under one label are reported, none is chosen", () => {
  run();
  forge("record", {});
  forge("ake", {});
  const reports = run();
  expect(report(reports, "record").state).toBe("duplicate");
  expect(report(reports, "ake").state).toBe("duplicate");
  expect(() => readPublicKeys(opened.session, keys)).toThrowError(
    expect.objectContaining({ code: "key-drift" }),
  );
});

test("a pair without its public half, and one with a stranger's", () => {
  run();
  const { session } = opened;
  const halves = (["identity", "session", "ake"] as const).map((name) => firstOf(name, "public key"));
  const stranger = session.attribute(halves[1] ?? Buffer.alloc(0), "EC_POINT");
  for (const half of halves) session.destroy(half);
  expect(report(run(), "identity")).toMatchObject({
    state: "broken",
    problem: expect.stringContaining("public"),
  });
  expect(() => readPublicKeys(session, keys)).toThrowError(expect.objectContaining({ code: "key-missing" }));

  if (!(stranger instanceof Uint8Array)) throw new Error("no point");
  for (const name of ["identity", "ake"]) {
    const templates = keyTemplates(spec(name), "sealed", support);
    if (templates.kind !== "pair") throw new Error("no pair");
    session.createObject({ ...templates.public.create, EC_POINT: stranger });
  }
  const reports = run();
  expect(report(reports, "ake")).toMatchObject({
    state: "broken",
    problem: "its public key does not belong to its private key",
  });
  expect(report(reports, "identity").state).toBe("broken");
});

test("an object of another class under the label of a key", () => {
  run();
  opened.session.createObject({
    CLASS: OBJECT_CLASS["public key"],
    KEY_TYPE: 3,
    TOKEN: true,
    PRIVATE: false,
    LABEL: spec("record").label,
    EC_PARAMS: Uint8Array.of(6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7),
    EC_POINT: new Uint8Array(67).fill(4),
  });
  expect(report(run(), "record").state).toBe("duplicate");
});

describe("the manifest", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "strongroom-manifest-"));
    return () => rmSync(directory, { recursive: true });
  });
  const manifest = (changes: object = {}, site: object = {}): ReturnType<typeof manifestOf> =>
    manifestOf({
      fleet: "demo",
      threshold: 1,
      maxAttempts: 10,
      createdAt: 1_700_000_000_000,
      sites: [
        {
          name: "site-a",
          url: "https://site-a.example",
          tokenSerial: opened.session.info().serial,
          publicKeys: readPublicKeys(opened.session, keys),
          ...site,
        },
      ],
      ...changes,
    });

  test("holds the token's keys and is written once", async () => {
    run();
    const path = join(directory, "fleet.json");
    const first = await publishManifest(path, manifest());
    const bytes = readFileSync(path);
    expect(first).toEqual({ state: "created", sha256: sha256HexOf(bytes) });
    expect(readdirSync(directory)).toEqual(["fleet.json"]);

    const decoded = decodeManifest(bytes);
    const ake = readPublicKeys(opened.session, keys).get("ake") ?? new Uint8Array();
    expect(decoded.keys.map(({ role, site }) => [role, site])).toEqual([
      ["identity", "site-a"],
      ["session", "site-a"],
      ["ake", undefined],
    ]);
    expect(decoded.keys[2]).toEqual({
      kid: sha256HexOf(ake).slice(0, 16),
      role: "ake",
      algorithm: "P-256",
      publicKey: toHex(ake),
    });

    const again = await publishManifest(path, manifest({ createdAt: 1_800_000_000_000 }));
    expect(again).toEqual({ state: "unchanged", sha256: first.sha256 });
    expect(readFileSync(path)).toEqual(bytes);
  });

  test.each([
    ["another site", {}, { name: "site-b" }],
    ["another address", {}, { url: "https://elsewhere.example" }],
    ["another policy", { maxAttempts: 5 }, {}],
    ["another token", {}, { tokenSerial: "0" }],
  ])("%s: refused, the file stays", async (_, changes, site) => {
    run();
    const path = join(directory, "fleet.json");
    await publishManifest(path, manifest());
    const bytes = readFileSync(path);
    await expect(publishManifest(path, manifest(changes, site))).rejects.toMatchObject({
      code: "manifest-invalid",
    });
    expect(readFileSync(path)).toEqual(bytes);
  });

  test("other keys, no manifest at all, no place for one: refused", async () => {
    run();
    const path = join(directory, "fleet.json");
    await publishManifest(path, manifest());
    keys = vaultKeys(`fleet-${fleet++}`, [0]);
    run();
    await expect(publishManifest(path, manifest())).rejects.toMatchObject({
      code: "manifest-invalid",
      message: expect.stringContaining("the ake key"),
    });
    writeFileSync(path, "{}");
    await expect(publishManifest(path, manifest())).rejects.toMatchObject({ code: "manifest-invalid" });
    await expect(publishManifest(join(path, "f"), manifest())).rejects.toMatchObject({
      code: "file-failed",
    });
    expect(() => manifest({ fleet: "Not A Name" })).toThrowError(
      expect.objectContaining({ code: "manifest-invalid" }),
    );
  });
});
