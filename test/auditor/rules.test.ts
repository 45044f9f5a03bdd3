/** What an announcement must be, one fault at a time; the policy's patterns; the example files. */
import { createECDH } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AnnouncementContext,
  type AuditedEpoch,
  checkAnnouncement,
  signingKey,
} from "../../src/auditor/announcement-rules.ts";
import { auditorConfigKeys, loadAuditorConfig } from "../../src/auditor/config.ts";
import { loadPolicy, matches, policyKeys, restsOn } from "../../src/auditor/policy.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { CLAIM_IDS } from "../../src/ceremony/claims/claim.ts";
import { manifestOf } from "../../src/keys/manifest-of.ts";
import {
  type AnnouncedFleet,
  type Announcement,
  decodeAnnouncement,
  encodeAnnouncement,
} from "../../src/wire/announcement.ts";
import type { Manifest } from "../../src/wire/manifest.ts";

const DAY = 86_400_000;
const NOW = 1_790_000_000_000;
const AUDITOR = "aa".repeat(32);
const NEXT_AUDITOR = "bb".repeat(32);
const OPERATOR = `04${"cc".repeat(64)}`;
const LOG = `auditor.example/logs/vault+00000000+${Buffer.alloc(33, 1).toString("base64")}`;
const policy = loadPolicy("hsm-config/auditor/policy.yaml");

function fleet(name: string, change: Partial<AnnouncedFleet> = {}): AnnouncedFleet {
  const manifest: Manifest = {
    type: "strongroom/fleet-manifest/v1",
    fleet: name,
    createdAt: NOW - DAY,
    policy: { threshold: 1, maxAttempts: 10 },
    sites: [{ name: "site-a", url: "https://site-a.vault.example", tokenSerial: "1" }],
    keys: [],
  };
  return { status: "active", manifest, manifestSha256: sha256HexOf(name), ...change };
}
const first: Announcement = {
  type: "strongroom/announcement/v1",
  namespace: "vault",
  epoch: 1,
  createdAt: NOW - DAY,
  validUntil: NOW + 30 * DAY,
  keys: { auditors: [AUDITOR], operators: [OPERATOR], logs: [LOG] },
  fleets: [fleet("one")],
};
const before: AuditedEpoch = { announcement: first, digest: sha256HexOf("first") };
const second: Announcement = {
  ...first,
  epoch: 2,
  previous: before.digest,
  createdAt: NOW,
  fleets: [fleet("two"), fleet("one", { status: "draining" })],
};
const context: AnnouncementContext = {
  namespace: "vault",
  before,
  leftOut: [],
  root: undefined,
  auditKeys: [AUDITOR],
  logKey: LOG,
  policy,
  now: NOW,
};
const digest = sha256HexOf("second");
const check = (change: Partial<Announcement> = {}, other: Partial<AnnouncementContext> = {}) =>
  checkAnnouncement({ ...second, ...change }, digest, { ...context, ...other });
const refused = (text: RegExp) =>
  expect.objectContaining({ code: "auditor-refused", message: expect.stringMatching(text) });

test("one that follows is signed, and so is the first", () => {
  check();
  checkAnnouncement(first, sha256HexOf("first"), { ...context, before: undefined });
  checkAnnouncement(first, digest, { ...context, before: undefined, root: digest });
});

const keys = first.keys;
test.each<[string, Partial<Announcement>, Partial<AnnouncementContext>, RegExp]>([
  ["another namespace", { namespace: "other" }, {}, /namespace other/],
  ["an epoch left out", { epoch: 3 }, {}, /the next one is 2/],
  ["an epoch again", { epoch: 1, previous: undefined }, {}, /the next one is 2/],
  ["another epoch before", { previous: sha256HexOf("else") }, {}, /does not name the one before/],
  ["made in the future", { createdAt: NOW + DAY }, {}, /future/],
  ["made before the one before", { createdAt: first.createdAt - 1 }, {}, /made before/],
  ["expired", { validUntil: NOW }, {}, /expired/],
  ["valid for too long", { validUntil: NOW + 401 * DAY }, {}, /more than 400 days/],
  ["without the auditor's key", { keys: { ...keys, auditors: [NEXT_AUDITOR] } }, {}, /no key to sign/],
  [
    "without the log",
    { keys: { ...keys, logs: [LOG.replace("vault", "else")] } },
    {},
    /does not name this log/,
  ],
  [
    "by a key that is not trusted yet",
    {},
    { auditKeys: [NEXT_AUDITOR] },
    /no key of this auditor is trusted/,
  ],
  [
    "a fleet that the policy does not name",
    {},
    { policy: mayAdd(["one"], ["*"]) },
    /policy does not name it/,
  ],
  [
    "a host that the policy does not name",
    {},
    { policy: mayAdd(["*"], ["*.else.example"]) },
    /the host of site-a/,
  ],
  [
    "another manifest under a known name",
    { fleets: [fleet("one", { manifestSha256: sha256HexOf("else") })] },
    {},
    /does not follow/,
  ],
  [
    "another manifest under the hash of the one that was checked",
    {
      fleets: [
        fleet("one", {
          manifest: {
            ...fleet("one").manifest,
            sites: [{ name: "site-a", url: "https://else.vault.example", tokenSerial: "1" }],
          },
        }),
      ],
    },
    {},
    /another manifest under the same hash/,
  ],
])("%s is refused", (_what, change, other, message) => {
  expect(() => check(change, other)).toThrow(refused(message));
});

function mayAdd(fleets: readonly string[], hosts: readonly string[]) {
  return { ...policy, mayAdd: { fleets, hosts } };
}

test("whom clients are to believe besides this auditor and its log, the policy names", () => {
  const stranger = "dd".repeat(32);
  const elsewhere = LOG.replace("auditor.example", "operator.example");
  const withStranger = { ...keys, auditors: [AUDITOR, stranger] };
  const withOther = { ...keys, logs: [LOG, elsewhere] };
  for (const changed of [withStranger, withOther]) {
    expect(() => check({ keys: changed })).toThrow(refused(/mayAdd\.keys/));
    const begun = { ...context, before: undefined };
    expect(() => checkAnnouncement({ ...first, keys: changed }, digest, begun)).toThrow(
      refused(/mayAdd\.keys/),
    );
    const named = { ...policy, mayAdd: { ...policy.mayAdd, keys: [stranger, elsewhere] } };
    check({ keys: changed }, { policy: named });
    // What was let in once stays, and a key of its own needs no leave.
    check({ keys: changed }, { before: { ...before, announcement: { ...first, keys: changed } } });
  }
  const own = { ...keys, auditors: [AUDITOR, NEXT_AUDITOR] };
  const auditKeys = [AUDITOR, NEXT_AUDITOR];
  check({ keys: own }, { auditKeys });
  // Except one that was retired: it may have been for a reason.
  const rotated = { ...first, keys: { ...keys, auditors: [NEXT_AUDITOR] } };
  const after = { auditKeys, before: { ...before, announcement: rotated } };
  check({ keys: rotated.keys }, after);
  expect(() => check({ keys: own }, after)).toThrow(refused(/mayAdd\.keys/));
  check({ keys: { ...keys, operators: [OPERATOR, `04${"ee".repeat(64)}`] } });
});

test("the first epoch is the agreed root, if one was agreed", () => {
  const start = { ...context, before: undefined };
  expect(() => checkAnnouncement(first, sha256HexOf("first"), { ...start, root: digest })).toThrow(
    refused(/agreed root/),
  );
});

test("a revoked fleet stays revoked, and a changed one follows from its predecessor", () => {
  const revoked = { ...before, announcement: { ...first, fleets: [fleet("one", { status: "revoked" })] } };
  expect(() => check({}, { before: revoked })).toThrow(refused(/was revoked/));
  check({ fleets: [fleet("one", { status: "revoked" })] }, { before: revoked });
  // An epoch without it changes nothing of that.
  const without = { ...before, announcement: { ...first, fleets: [fleet("two")] } };
  const leftOut = [fleet("one", { status: "revoked" })];
  expect(() => check({}, { before: without, leftOut })).toThrow(refused(/was revoked/));
  check({ fleets: [fleet("two"), fleet("one", { status: "revoked" })] }, { before: without, leftOut });
  const other = [fleet("one", { status: "revoked", manifestSha256: sha256HexOf("else") })];
  expect(() => check({ fleets: other }, { before: without, leftOut })).toThrow(refused(/does not follow/));
  const old = fleet("one");
  const changed = fleet("one", {
    manifestSha256: sha256HexOf("changed"),
    manifest: { ...old.manifest, predecessor: old.manifestSha256 },
  });
  check({ fleets: [changed] });
  // Its new sites are looked at like those of a new fleet.
  expect(() => check({ fleets: [changed] }, { policy: mayAdd(["one"], ["no.example"]) })).toThrow(
    refused(/host/),
  );
});

test("evidence that was there once stays, also where an epoch leaves its fleet out; a revoked fleet needs none", () => {
  const shown = fleet("one", { evidenceSha256: sha256HexOf("evidence") });
  const withIt = { ...before, announcement: { ...first, fleets: [shown] } };
  const without = { ...before, announcement: { ...first, fleets: [fleet("two")] } };
  for (const known of [{ before: withIt }, { before: without, leftOut: [shown] }]) {
    expect(() => check({}, known)).toThrow(refused(/had evidence, and has none now/));
    check({ fleets: [fleet("two"), { ...shown, evidenceSha256: sha256HexOf("better") }] }, known);
    check({ fleets: [fleet("two"), fleet("one", { status: "revoked" })] }, known);
  }
});

test("a new audit key signs from the epoch after the one that announced it", () => {
  const auditKeys = [AUDITOR, NEXT_AUDITOR];
  expect(signingKey({ auditKeys, before }, second)).toBe(AUDITOR);
  const both = { ...first, keys: { ...keys, auditors: [AUDITOR, NEXT_AUDITOR] } };
  expect(signingKey({ auditKeys, before: { ...before, announcement: both } }, second)).toBe(NEXT_AUDITOR);
});

test("announcements are read strictly, from their exact bytes", () => {
  const bytes = encodeAnnouncement({ ...first, fleets: [fleet("one", { manifest: real() })] });
  expect(decodeAnnouncement(bytes).epoch).toBe(1);
  const text = Buffer.from(bytes).toString();
  for (const wrong of [
    text.replace('"epoch": 1', '"epoch": 9007199254740993'),
    text.replace('"epoch": 1', '"epoch": 2'),
    text.replace('"epoch": 1', '"epoch": 1, "more": 1'),
    text.replace(`"${AUDITOR}"`, `"${AUDITOR}", "${AUDITOR}"`),
    text.slice(0, -3),
  ])
    expect(() => decodeAnnouncement(Buffer.from(wrong))).toThrow(
      expect.objectContaining({ code: "decode-failed" }),
    );
});

function real(): Manifest {
  const point = (scalar: number): Uint8Array => {
    const ecdh = createECDH("prime256v1");
    ecdh.setPrivateKey(Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? scalar : 0)));
    return Uint8Array.from(ecdh.getPublicKey());
  };
  const publicKeys = new Map(["identity", "session", "ake"].map((role, i) => [role, point(i + 1)]));
  const site = { name: "site-a", url: "https://site-a.vault.example", tokenSerial: "1", publicKeys };
  return manifestOf({ fleet: "one", threshold: 1, maxAttempts: 10, createdAt: NOW - DAY, sites: [site] });
}

describe("policy", () => {
  test("patterns match whole names, stars anything", () => {
    expect(matches(["one"], "one")).toBe(true);
    expect(matches(["one"], "one-more")).toBe(false);
    expect(matches(["*.vault.example"], "site-a.vault.example")).toBe(true);
    expect(matches(["*.vault.example"], "vault.example")).toBe(false);
    expect(matches(["*.vault.example"], "site.vault.example.evil.example")).toBe(false);
    expect(matches(["a*b*a"], "aba")).toBe(true);
    expect(matches(["a*a"], "a")).toBe(false);
    expect(matches(["ab*ba"], "aba")).toBe(false);
  });

  test("patterns are what a regular expression says of them", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (glob, name) => {
        const source = glob.replaceAll(".", "\\.").replaceAll("*", ".*");
        expect(matches([glob], name)).toBe(new RegExp(`^${source}$`).test(name));
      }),
    );
  });

  test("what rests on more satisfies, on less does not", () => {
    expect(restsOn("proved", "library-reported")).toBe(true);
    expect(restsOn("library-reported", "library-reported")).toBe(true);
    expect(restsOn("officer-stated", "library-reported")).toBe(false);
    expect(restsOn("library-reported", "vendor-attested")).toBe(false);
  });

  test("the example asks for every claim, and explains every key", () => {
    expect(Object.keys(policy.claims)).toEqual([...CLAIM_IDS]);
    expect(policy.production && policy.evidenceRequired).toBe(true);
    const text = readFileSync("hsm-config/auditor/policy.yaml", "utf8");
    for (const key of policyKeys()) expect(text).toContain(`${key.split(".").at(-1)}:`);
  });
});

test("the example of a configuration is one, and has every key", () => {
  expect(loadAuditorConfig("hsm-config/auditor").namespaces[0]?.root).toBe("0".repeat(64));
  const text = readFileSync("hsm-config/auditor/auditor.yaml", "utf8");
  for (const key of auditorConfigKeys()) expect(text, key).toContain(`${key.split(".").at(-1)}:`);
});
