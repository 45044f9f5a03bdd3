/** The manifest: the keys that clients will trust are those that were proved, and the root signed it. */
import { openManifestSignature } from "../approvals.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { ROOT } from "../plan.ts";
import { type ClaimRule, judged } from "./claim.ts";
import { serialOf } from "./stations.ts";

/** What the manifest must have: the point of each key, and the token of each site. */
interface Expected {
  /** By `identity of site-a`, `ake of the fleet`. */
  readonly keys: ReadonlyMap<string, string>;
  /** Serial number by site. */
  readonly serials: ReadonlyMap<string, string>;
  /** Sites that have left. */
  readonly retired: readonly string[];
}

const nameOf = (role: string, site: string | undefined): string => `${role} of ${site ?? "the fleet"}`;

/** What is so already, before a site is replaced or retired. */
function before(evidence: EvidenceReading): Expected {
  const manifest = evidence.predecessor?.reading.manifest;
  return {
    keys: new Map(manifest?.keys.map(({ role, site, publicKey }) => [nameOf(role, site), publicKey])),
    serials: new Map(manifest?.sites.map(({ name, tokenSerial }) => [name, tokenSerial])),
    retired: manifest?.sites.filter((site) => site.retired).map(({ name }) => name) ?? [],
  };
}

function expected(evidence: EvidenceReading): Expected {
  const { plan } = evidence;
  const { keys, serials, retired } = before(evidence);
  const [allKeys, allSerials] = [new Map(keys), new Map(serials)];
  if (plan.kind === "retire") {
    const site = plan.change?.site ?? "";
    for (const role of ["identity", "session"]) allKeys.delete(nameOf(role, site));
    return { keys: allKeys, serials: allSerials, retired: [...retired, site] };
  }
  const taking =
    plan.kind === "create"
      ? plan.sites.map(({ name }) => ({ site: name, member: name }))
      : [{ site: plan.change?.site ?? "", member: plan.change?.spare ?? "" }];
  for (const { site, member } of taking) {
    const { identity, session, ake } = evidence.one("verify", member).output.publicKeys;
    allKeys.set(nameOf("identity", site), identity);
    allKeys.set(nameOf("session", site), session);
    if (plan.kind === "create") allKeys.set(nameOf("ake", undefined), ake);
    allSerials.set(site, serialOf(evidence, member));
  }
  return { keys: allKeys, serials: allSerials, retired };
}

/** Every member has the ake key that the manifest names, spares too. */
function strangeAke(evidence: EvidenceReading, ake: string | undefined): readonly string[] {
  if (!evidence.has("verify")) return [];
  return evidence.members
    .filter(({ name }) => evidence.one("verify", name).output.publicKeys.ake !== ake)
    .map(({ name }) => `The ake key of ${name} is another.`);
}

export const manifest: ClaimRule = {
  id: "manifest",
  title:
    "The manifest names the keys that were proved, the sites and the policy of the plan, and the root signed it",
  source: "proved",
  needs: ["statements-linked", "possession", "predecessor"],
  check(evidence) {
    const { plan, planHash, manifest: made } = evidence;
    const sha256 = evidence.files.get("manifest.json")?.sha256 ?? "";
    const problems: string[] = [];
    const require = (holds: boolean, problem: string): void => {
      if (!holds) problems.push(problem);
    };
    const signature = openManifestSignature(evidence.bytes("manifest.sig.json"), evidence.keyOf(ROOT));
    require(signature.sha256 === sha256, `The root signed another manifest: ${signature.sha256}.`);
    require(signature.plan === planHash, `The root signed it for another plan: ${signature.plan}.`);
    require(signature.mode === plan.mode, `The root signed it as a ${signature.mode}.`);
    require(evidence.one("manifest", ROOT).output.sha256 ===
      sha256, "The statement of the root is of another manifest.");
    require(signature.predecessor === plan.predecessor?.manifest, "It takes the place of another manifest.");
    require(made.fleet === plan.fleet, `It is of the fleet ${made.fleet}.`);
    const { threshold, maxAttempts } = made.policy;
    require(threshold === plan.threshold &&
      maxAttempts ===
        plan.maxAttempts, `Its policy is ${threshold} sites and ${maxAttempts} attempts; the plan says ${plan.threshold} and ${plan.maxAttempts}.`);
    const sites = made.sites.map(({ name, url }) => `${name} ${url}`);
    const wanted = plan.sites.map(({ name, url }) => `${name} ${url}`);
    require(JSON.stringify(sites) === JSON.stringify(wanted), `Its sites are ${sites.join(", ")}.`);
    const { keys, serials, retired } = expected(evidence);
    require(made.predecessor === plan.predecessor?.manifest, "It names another manifest as the one before.");
    for (const { name } of made.sites.filter(
      (site) => (site.retired ?? false) !== retired.includes(site.name),
    ))
      problems.push(`${name} ${retired.includes(name) ? "should have left" : "should not have left"}.`);
    for (const { name, tokenSerial } of made.sites)
      require(serials.get(name) === tokenSerial, `The token of ${name} is not ${tokenSerial}.`);
    const named = new Map(made.keys.map(({ role, site, publicKey }) => [nameOf(role, site), publicKey]));
    for (const [name, publicKey] of named)
      require(keys.get(name) === publicKey, `The key ${name} is not the one that was proved.`);
    for (const name of keys.keys()) require(named.has(name), `The key ${name} is missing.`);
    problems.push(...strangeAke(evidence, named.get(nameOf("ake", undefined))));
    return judged(problems, `${made.keys.length} keys of ${made.sites.length} sites. SHA-256 ${sha256}.`);
  },
};
