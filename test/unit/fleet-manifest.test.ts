/** The manifest of a fleet: what it may be made of, and that the bytes of a fleet of one are what they always were. */
import { createECDH } from "node:crypto";
import { expect, test } from "vitest";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { type ManifestFacts, manifestDifferences, manifestOf } from "../../src/keys/manifest-of.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../src/wire/manifest.ts";

/** The public key of a small scalar: the same in every run. */
function point(scalar: number): Uint8Array {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? scalar : 0)));
  return Uint8Array.from(ecdh.getPublicKey());
}

const ake = point(200);
function facts(sites: number, threshold: number): ManifestFacts {
  return {
    fleet: "demo",
    threshold,
    maxAttempts: 10,
    createdAt: 1_700_000_000_000,
    sites: Array.from({ length: sites }, (_, i) => ({
      name: `site-${i}`,
      url: `https://site-${i}.example`,
      tokenSerial: `${i}`,
      publicKeys: new Map([
        ["identity", point(2 * i + 1)],
        ["session", point(2 * i + 2)],
        ["ake", ake],
      ]),
    })),
  };
}
const invalid = expect.objectContaining({ code: "manifest-invalid" });

test("a fleet of one has the bytes that it always had", () => {
  const bytes = encodeManifest(manifestOf(facts(1, 1)));
  expect(sha256HexOf(bytes)).toBe("c15248910eed0005c9a1953891c538d630ec695bd0b40f919a1761a1ce8e997b");
});

test.each([
  [3, 1],
  [3, 2],
  [5, 3],
  [7, 4],
])("%i sites with threshold %i: keys by site in their order, ake last", (sites, threshold) => {
  const manifest = manifestOf(facts(sites, threshold));
  expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
  expect(manifest.keys.map(({ role, site }) => `${role} ${site ?? "fleet"}`)).toEqual([
    ...manifest.sites.flatMap(({ name }) => [`identity ${name}`, `session ${name}`]),
    "ake fleet",
  ]);
});

test.each([
  [2, 1],
  [4, 2],
  [3, 3],
  [3, 0],
  [5, 4],
  [1, 2],
])("%i sites with threshold %i: refused", (sites, threshold) => {
  expect(() => manifestOf(facts(sites, threshold))).toThrowError(invalid);
});

test("sites that do not share ake are no fleet", () => {
  const { sites, ...rest } = facts(3, 2);
  const stranger = sites.map((site, i) =>
    i === 2 ? { ...site, publicKeys: new Map([...site.publicKeys, ["ake", point(99)]]) } : site,
  );
  expect(() => manifestOf({ ...rest, sites: stranger })).toThrowError(
    expect.objectContaining({ code: "key-drift" }),
  );
});

test.each<[string, (m: Manifest) => Partial<Manifest>]>([
  [
    "a name twice",
    ({ sites }) => ({ sites: sites.map((site, i) => (i === 1 ? { ...site, name: "site-0" } : site)) }),
  ],
  ["a url twice", ({ sites }) => ({ sites: sites.map((site) => ({ ...site, url: "https://a.example" })) })],
  ["a key missing", ({ keys }) => ({ keys: keys.slice(1) })],
  ["no ake", ({ keys }) => ({ keys: keys.slice(0, -1) })],
  ["two ake", ({ keys }) => ({ keys: [...keys, ...keys.slice(-1)] })],
  [
    "a key of a stranger",
    ({ keys }) => ({ keys: keys.map((key, i) => (i === 0 ? { ...key, site: "x" } : key)) }),
  ],
  [
    "one session key at two sites",
    ({ keys }) => ({
      keys: keys.map((key, i) => (i === 3 ? { ...key, publicKey: keys[1]?.publicKey ?? "" } : key)),
    }),
  ],
  ["a threshold above the majority", ({ policy }) => ({ policy: { ...policy, threshold: 3 } })],
])("%s: refused", (_, change) => {
  const manifest = manifestOf(facts(3, 2));
  expect(() => decodeManifest(encodeManifest({ ...manifest, ...change(manifest) }))).toThrowError(invalid);
});

test("differences are named: the order of the sites is one, the time is none", () => {
  const manifest = manifestOf(facts(3, 2));
  expect(manifestDifferences(manifest, { ...manifest, createdAt: 1 })).toEqual([]);
  const reversed = { ...manifest, sites: [...manifest.sites].reverse() };
  expect(manifestDifferences(manifest, reversed)).toContain("the sites' names");
  expect(manifestDifferences(manifest, manifestOf(facts(3, 1)))).toEqual(["the policy"]);
  const [first, second, ...rest] = manifest.keys;
  if (!first || !second) throw new Error("no keys");
  const other = { ...second, publicKey: manifestOf(facts(5, 2)).keys[8]?.publicKey ?? "" };
  expect(manifestDifferences(manifest, { ...manifest, keys: [first, other, ...rest] })).toEqual([
    "the session key",
  ]);
});
