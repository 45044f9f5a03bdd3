/** The attribute table: what every role may do, and that nothing else is granted or left to a default. */
import { describe, expect, test } from "vitest";
import { sha256Of } from "../../src/base/node/sha256.ts";
import { type KeySpec, ROLES, type RoleName, vaultKeys } from "../../src/keys/roles.ts";
import { type AttributeSupport, keyId, keyTemplates, stageInService } from "../../src/keys/templates.ts";

const full: AttributeSupport = { modifiable: true, copyable: true, wrapWithTrusted: true, unwrapSeals: true };
const names: RoleName[] = [
  "identity",
  "session",
  "transport",
  "root",
  "countersign",
  "ake",
  "record",
  "share-kek",
  "share-mac",
  "audit",
  "checkpoint",
  "witness",
];
const spec = (role: RoleName): KeySpec => ({ name: role, role, label: `strongroom/f/${role}` });
const USAGE_FLAGS = [
  "ENCRYPT",
  "DECRYPT",
  "SIGN",
  "SIGN_RECOVER",
  "VERIFY",
  "VERIFY_RECOVER",
  "WRAP",
  "UNWRAP",
  "DERIVE",
];
const granted = (template: object): string[] =>
  Object.entries(template)
    .filter(([name, value]) => USAGE_FLAGS.includes(name) && value === true)
    .map(([name]) => name);

test("the test names every role", () => {
  expect(new Set(names)).toEqual(new Set(Object.keys(ROLES)));
});

test.each<[RoleName, string[], string[] | undefined]>([
  ["identity", ["SIGN"], ["VERIFY"]],
  ["session", ["DERIVE"], []],
  ["transport", ["UNWRAP"], ["WRAP"]],
  ["root", ["SIGN"], ["VERIFY"]],
  ["countersign", ["SIGN"], ["VERIFY"]],
  ["ake", ["DERIVE"], []],
  ["record", ["SIGN"], undefined],
  ["share-kek", ["WRAP", "UNWRAP"], undefined],
  ["share-mac", ["SIGN"], undefined],
  ["audit", ["SIGN"], ["VERIFY"]],
  ["checkpoint", ["SIGN"], ["VERIFY"]],
  ["witness", ["SIGN"], ["VERIFY"]],
])("%s is granted exactly its use", (role, own, counterpart) => {
  const templates = keyTemplates(spec(role), "sealed", full);
  if (templates.kind === "secret") {
    expect(granted(templates.secret.create)).toEqual(own);
    expect(counterpart).toBeUndefined();
  } else {
    expect(granted(templates.private.create)).toEqual(own);
    expect(granted(templates.public.create)).toEqual(counterpart);
  }
});

describe.each(names)("%s", (role) => {
  const parts = (stage: "sealed" | "open" | "sealed-later", support = full) => {
    const templates = keyTemplates(spec(role), stage, support);
    return templates.kind === "secret"
      ? { own: templates.secret, half: undefined }
      : { own: templates.private, half: templates.public };
  };

  test("is sealed from birth in a fleet of one", () => {
    expect(stageInService(role, 1)).toBe("sealed");
    const { own, half } = parts("sealed");
    expect(own.create).toMatchObject({
      TOKEN: true,
      PRIVATE: true,
      SENSITIVE: true,
      EXTRACTABLE: false,
      MODIFIABLE: false,
      COPYABLE: false,
      WRAP_WITH_TRUSTED: true,
    });
    expect(own.expect).toMatchObject({ LOCAL: true, ALWAYS_SENSITIVE: true, NEVER_EXTRACTABLE: true });
    // Tokens set these themselves and refuse a template that has them.
    for (const name of ["LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"])
      expect(own.create).not.toHaveProperty(name);
    if (half)
      expect(half.create).toMatchObject({ PRIVATE: false, TOKEN: true, MODIFIABLE: false, COPYABLE: false });
  });

  test("both halves carry label and id", () => {
    const { own, half } = parts("sealed");
    const id = sha256Of(`strongroom/f/${role}`).slice(0, 16);
    for (const object of half ? [own, half] : [own])
      expect(object.create).toMatchObject({ LABEL: `strongroom/f/${role}`, ID: id });
  });

  test("open: extractable under a trusted key only; a holder's own is sealed and frozen", () => {
    const { own } = parts("open");
    expect(own.create).toMatchObject({
      EXTRACTABLE: true,
      WRAP_WITH_TRUSTED: true,
      SENSITIVE: true,
      MODIFIABLE: false,
      COPYABLE: false,
    });
    const later = { EXTRACTABLE: false, SENSITIVE: true, COPYABLE: false };
    expect(parts("sealed-later").own.expect).toMatchObject({ ...later, MODIFIABLE: false });
    // Where the token must be told again after unwrapping, MODIFIABLE=false would forbid it.
    expect(parts("sealed-later", { ...full, unwrapSeals: false }).own.expect).toMatchObject({
      ...later,
      MODIFIABLE: true,
    });
    for (const name of ["LOCAL", "NEVER_EXTRACTABLE"])
      expect(parts("sealed-later").own.expect).not.toHaveProperty(name);
  });

  test("attributes that a token does not know are left out", () => {
    const { own } = parts("sealed", {
      modifiable: false,
      copyable: false,
      wrapWithTrusted: false,
      unwrapSeals: true,
    });
    for (const name of ["MODIFIABLE", "COPYABLE", "WRAP_WITH_TRUSTED"])
      expect(own.create).not.toHaveProperty(name);
  });
});

test("only keys that travel arrive by unwrapping", () => {
  expect(names.filter((role) => stageInService(role, 3) === "sealed-later")).toEqual([
    "ake",
    "record",
    "share-kek",
    "share-mac",
  ]);
});

test("ids of a fleet's keys differ", () => {
  const ids = vaultKeys("demo", [0, 1, 2]).map((key) => Buffer.from(keyId(key.label)).toString("hex"));
  expect(new Set(ids).size).toBe(ids.length);
});
