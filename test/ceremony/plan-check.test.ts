/** What cannot work is refused, all of it at once and with why; what should be wanted is said in plain words. */
import { describe, expect, test } from "vitest";
import { isStrongroomError } from "../../src/base/errors.ts";
import type { CeremonyPlan, PlannedToken } from "../../src/ceremony/plan.ts";
import { checkPlan } from "../../src/ceremony/plan-check.ts";
import { officerKey, planOf, replacement, retirement } from "../support/ceremony-plan.ts";

const three = planOf({ sites: 3 });
const { members } = three.officers;

function problems(plan: CeremonyPlan): readonly string[] {
  try {
    checkPlan(plan);
    return [];
  } catch (error) {
    if (isStrongroomError(error, "plan-invalid")) return error.message.split("\n").slice(1);
    throw error;
  }
}

/** The plan with the token of its first site changed. */
const withToken = (change: Partial<PlannedToken>, plan: CeremonyPlan = three): CeremonyPlan => ({
  ...plan,
  sites: plan.sites.map((site, i) => (i === 0 ? { ...site, token: { ...site.token, ...change } } : site)),
});
const withSpare = (change: Partial<CeremonyPlan["spares"][number]>): CeremonyPlan => ({
  ...three,
  spares: three.spares.map((spare, i) => (i === 0 ? { ...spare, ...change } : spare)),
});
const officers = (change: Partial<CeremonyPlan["officers"]>): CeremonyPlan => ({
  ...three,
  officers: { ...three.officers, ...change },
});
const split = (quorum: number, custodians: readonly string[]): CeremonyPlan => ({
  ...three,
  credentials: { soPin: "split", quorum, custodians },
});
const [firstOfficer, secondOfficer] = members;
const named = (publicKey: string): CeremonyPlan =>
  officers({ members: [...members, { name: "Zed", publicKey }] });

describe("refused, with one line that says why", () => {
  const cases: readonly (readonly [string, CeremonyPlan, RegExp])[] = [
    ["more officers than there are", officers({ quorum: 4 }), /4 must sign/],
    [
      "one name for two officers",
      officers({
        members: members.map((one, i) => ({ ...one, name: i === 2 ? "Chen" : i === 1 ? "ADA" : "Ada" })),
      }),
      /two are called ada/,
    ],
    ["one key for two officers", named(firstOfficer?.publicKey ?? ""), /has two holders/],
    [
      "an auditor with an officer's key",
      { ...three, auditor: { name: "A", publicKey: secondOfficer?.publicKey } },
      /has two holders/,
    ],
    ["a key that is no point", named("02".padEnd(64, "0")), /Zed is no Ed25519 key/],
    ["a key with which everybody could sign", named("01".padEnd(64, "0")), /everybody, could sign/],
    ["more custodians than there are", split(4, ["D", "E", "F"]), /4 custodians are needed/],
    ["one custodian for a whole PIN", split(1, ["D", "E"]), /one custodian alone/],
    ["a custodian with two shares", split(2, ["D", "E", "D"]), /custodian D occurs twice/],
    [
      "a number of sites that no fleet has",
      { ...three, sites: three.sites.slice(0, 2), spares: [] },
      /1, 3, 5, 7 sites, not 2/,
    ],
    ["a threshold above the majority", { ...three, threshold: 3 }, /1 to 2, not 3/],
    [
      "one name for a site and a spare",
      withSpare({ name: "site-b" }),
      /two sites or spares are called site-b/,
    ],
    ["a spare that is called as the root's station", withSpare({ name: "root" }), /may be called root/],
    [
      "one url for two sites",
      { ...three, sites: three.sites.map((site) => ({ ...site, url: "https://x.example" })) },
      /two sites have the url/,
    ],
    ["a spare of a site that is not there", withSpare({ for: "site-z" }), /site-z, which is no site/],
    [
      "one serial number for two tokens",
      withToken({ serial: "1000" }),
      /two tokens have the serial number 1000/,
    ],
    [
      "one token for two stations",
      withToken({ uri: three.root.token.uri }),
      /the URIs of root, site-a name one token/,
    ],
    [
      "a URI with another serial number",
      withToken({ uri: "pkcs11:serial=77?module-path=/m.so" }),
      /names the serial number 77/,
    ],
    ["production without a serial number", withToken({ serial: undefined }), /site-a: in production/],
    ["production on software", withToken({ profile: "softhsm2" }), /site-a: software tokens in production/],
    ["software under a path", withToken({ profile: "./profiles/kryoptic.yaml" }), /site-a: software tokens/],
    [
      "a new fleet with a predecessor",
      { ...three, predecessor: { manifest: "ab".repeat(32), evidence: "x" } },
      /has none/,
    ],
    ["a new fleet with a change", { ...three, change: { site: "site-a" } }, /only replace and retire/],
    [
      "a replacement without a predecessor",
      { ...replacement({ sites: 3 }), predecessor: undefined },
      /what the fleet is before/,
    ],
    [
      "a replacement that says nothing",
      { ...replacement({ sites: 3 }), change: undefined },
      /say which site to replace/,
    ],
    [
      "a replacement without a spare",
      replacement({ sites: 3 }, { change: { site: "site-a" } }),
      /which spare/,
    ],
    [
      "a spare that is none",
      replacement({ sites: 3 }, { change: { site: "site-a", spare: "site-b" } }),
      /no spare of the plan/,
    ],
    [
      "a spare of another site",
      replacement({ sites: 3 }, { change: { site: "site-a", spare: "spare-b" } }),
      /cannot take the place/,
    ],
    [
      "a retirement of a stranger",
      retirement({ sites: 3 }, { change: { site: "site-z" } }),
      /no site of the plan/,
    ],
    [
      "a retirement with a spare",
      retirement({ sites: 3 }, { change: { site: "site-a", spare: "spare-a" } }),
      /stays empty/,
    ],
    ["a retirement that leaves nobody", retirement({ sites: 1 }), /there are 0 sites, but 1 must/],
  ];

  test.each(cases)("%s", (_, plan, why) => {
    expect(problems(plan)).toEqual([expect.stringMatching(why)]);
  });

  test("several faults are said at once", () => {
    expect(problems(withToken({ serial: undefined }, officers({ quorum: 9 })))).toHaveLength(2);
  });
});

describe("accepted", () => {
  test.each([
    [
      "production on software that the plan accepts in words",
      withToken({ profile: "softhsm2" }, { ...three, softwareTokensAccepted: "A demonstration." }),
    ],
    [
      "a rehearsal without serial numbers on software",
      withToken({ serial: undefined, profile: "softhsm2" }, { ...three, mode: "rehearsal" }),
    ],
    [
      "one label in two token folders",
      withToken({ uri: three.root.token.uri, env: { SOFTHSM2_CONF: "/b" } }),
    ],
    ["a site with two spares", withSpare({ for: "site-b" })],
    ["a retirement of one of three with t = 1", retirement({ sites: 3, threshold: 1 })],
  ])("%s", (_, plan) => {
    expect(problems(plan)).toEqual([]);
  });
});

describe("warnings", () => {
  const said = (plan: CeremonyPlan): string => checkPlan(plan).warnings.join("\n");

  test("every new fleet: what sealing means", () => {
    expect(said(three)).toMatch(
      /After sealing no new token can receive the fleet keys.*succeeded by a new one/,
    );
    expect(said(replacement({ sites: 3 }))).not.toMatch(/After sealing/);
  });

  test.each([
    [0, /There are no spares/],
    [1, /few spares: 1 for 5 sites. Without a spare: site-b, site-c, site-d, site-e/],
    [2, /few spares: 2 for 5/],
    [3, /Not every site has a spare.*site-d, site-e/],
  ])("five sites with %d spares", (spares, warning) => {
    expect(said(planOf({ sites: 5, spares }))).toMatch(warning);
  });

  test("a spare for each site is enough", () => {
    expect(said(planOf({ sites: 5, spares: 5 }))).not.toMatch(/spares: |no spare|Not every/);
  });

  test.each<readonly [string, CeremonyPlan, RegExp]>([
    ["no spare for a fleet of one", planOf({ sites: 1, spares: 0 }), /every record is lost for good/],
    ["a fleet of one", planOf({ sites: 1 }), /A fleet of one site: .*without limit/],
    ["a threshold of one", planOf({ sites: 3, threshold: 1 }), /Threshold 1: .*without limit/],
    ["a quorum of one", officers({ quorum: 1 }), /One officer alone/],
    ["a quorum of all", officers({ quorum: 3 }), /All 3 officers must sign/],
    ["PINs that are destroyed", { ...three, credentials: { soPin: "destroy" } }, /unlocked by nobody/],
    ["all custodians needed", split(2, ["D", "E"]), /All custodians are needed/],
    ["an officer who is a custodian", split(2, ["Ada", "E", "F"]), /Officers and custodians at once: Ada/],
    ["no auditor", { ...three, auditor: undefined }, /No auditor is named/],
    [
      "software in production",
      withToken({ profile: "softhsm2" }, { ...three, softwareTokensAccepted: "A demo." }),
      /no better than files do.*A demo/,
    ],
    [
      "a placeholder of a digest",
      { ...three, software: { release: "1", digest: "0".repeat(64) } },
      /placeholder/,
    ],
    ["the last spare", replacement({ sites: 3 }), /last spare of site-a/],
    ["a token that is replaced", replacement({ sites: 3 }), /When it is found, destroy it/],
    ["a site that leaves", retirement({ sites: 5 }), /keys of site-e will be destroyed/],
    ["a site that leaves none to spare", retirement({ sites: 3 }), /none of them may fail/],
  ])("%s", (_, plan, warning) => {
    expect(said(plan)).toMatch(warning);
  });

  test("officers' keys of the tests are keys", () => {
    expect(problems(named(officerKey(9)))).toEqual([]);
  });
});
