/** `strongroom token provision`: the keys of a fleet of one, and its manifest. */

import { existsSync } from "node:fs";
import { Command } from "commander";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { addPoints, GENERATOR } from "../crypto/node/p256.ts";
import { type ManifestFile, publishManifest, readManifest } from "../keys/manifest-file.ts";
import { type ManifestFacts, type ManifestSiteFacts, manifestOf } from "../keys/manifest-of.ts";
import { type MemberKeys, memberKeys } from "../keys/member-keys.ts";
import { type KeyReport, type KeyState, provision, provisioned } from "../keys/provision.ts";
import { readPublicKeys } from "../keys/public-keys.ts";
import { type KeySpec, vaultKeys } from "../keys/roles.ts";
import { showAttribute } from "../token/attributes.ts";
import { requireUsable } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import { wholeNumber } from "./option-values.ts";
import { green, printJson, red, say, table, yellow } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

interface ProvisionOptions extends TokenOptions {
  readonly uri: string;
  readonly fleet: string;
  readonly site?: string;
  readonly url?: string;
  readonly maxAttempts: number;
  readonly manifest?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface Facts {
  readonly fleet: string;
  readonly site: string;
  readonly url: string;
  readonly maxAttempts: number;
}

/** A fleet of one: every evaluation is its only site's. */
function factsOf(
  { fleet, site, url, maxAttempts }: Facts,
  token: Omit<ManifestSiteFacts, "name" | "url">,
  createdAt: number,
): ManifestFacts {
  return { fleet, threshold: 1, maxAttempts, createdAt, sites: [{ name: site, url, ...token }] };
}

/** Checked before any key is made: a name that no manifest can hold must not end up in labels. */
function manifestFacts({ fleet, site, url, maxAttempts, manifest }: ProvisionOptions): Facts | undefined {
  if (manifest !== undefined && (site === undefined || url === undefined))
    throw new StrongroomError("usage", "--manifest needs --site and --url", {
      hint: "they go into the manifest: the site's name and where clients reach it",
    });
  const facts: Facts = { fleet, site: site ?? "site", url: url ?? "https://site.example", maxAttempts };
  const twice = addPoints(GENERATOR, GENERATOR);
  const publicKeys = new Map([
    ["identity", GENERATOR],
    ["session", twice],
    ["ake", addPoints(twice, GENERATOR)],
  ]);
  try {
    manifestOf(factsOf(facts, { tokenSerial: "", publicKeys }, 0));
  } catch (error) {
    if (!isStrongroomError(error, "manifest-invalid")) throw error;
    throw new StrongroomError("usage", error.message, { hint: "correct --fleet, --site or --url" });
  }
  return manifest === undefined ? undefined : facts;
}

/** A manifest is there and the keys are not: this is another token than the one it was made with. */
function requireKeysOf(manifest: string, reports: readonly KeyReport[]): void {
  const missing = reports.filter(({ name, state }) => state === "missing" && PUBLISHED.includes(name));
  if (missing.length === 0) return;
  throw new StrongroomError(
    "manifest-invalid",
    `${manifest} exists, but the token lacks the keys it is about: ${missing.map(({ name }) => name).join(", ")}`,
    { hint: "nothing was made; is this the right token? for a new fleet give another --manifest FILE" },
  );
}
const PUBLISHED: readonly string[] = ["identity", "session", "ake"];

const COLOUR: Readonly<Record<KeyState, (text: string) => string>> = {
  created: green,
  ok: green,
  missing: yellow,
  drift: red,
  duplicate: red,
  broken: red,
};

function printReports(reports: readonly KeyReport[]): void {
  process.stdout.write(
    `${table(
      ["key", "type", "state", "label"],
      reports.map(({ name, type, state, label }) => [name, type, COLOUR[state](state), label]),
    )}\n`,
  );
  for (const { name, drift, problem } of reports) {
    if (problem !== undefined) process.stdout.write(`${name}: ${problem}\n`);
    for (const { object, attribute, expected, actual } of drift)
      process.stdout.write(
        `${name}: ${object}: ${attribute} is ${showAttribute(attribute, actual)}, expected ${showAttribute(attribute, expected)}\n`,
      );
  }
}

function publish(
  session: TokenSession,
  keys: readonly KeySpec[],
  path: string,
  facts: Facts,
): Promise<ManifestFile> {
  return publishManifest(
    path,
    manifestOf(
      factsOf(
        facts,
        { tokenSerial: session.info().serial, publicKeys: readPublicKeys(session, keys) },
        Date.now(),
      ),
    ),
  );
}

/**
 * The keys of a site of a larger fleet, where the manifest that is there is of such a one: they are only looked at.
 * @throws usage, manifest-invalid
 */
async function ofLargerFleet({
  fleet,
  site,
  manifest,
  dryRun,
}: ProvisionOptions): Promise<MemberKeys | undefined> {
  const published = manifest === undefined ? undefined : await readManifest(manifest);
  if (!published || published.sites.length === 1) return undefined;
  if (published.fleet === fleet && dryRun) return memberKeys(published, site);
  throw new StrongroomError("usage", `${manifest} is that of ${published.fleet}, a fleet of several sites`, {
    hint: "--dry-run checks the keys of one of its sites; `strongroom fleet init` makes them",
  });
}

async function run(options: ProvisionOptions): Promise<void> {
  const member = await ofLargerFleet(options);
  const facts = member ? undefined : manifestFacts(options);
  const token = chooseToken(options);
  requireUsable(token.profile);
  const { keys, stage }: MemberKeys = member ?? {
    keys: vaultKeys(options.fleet, [0]),
    stage: () => "sealed",
  };
  const { session, profile } = await openChosen(token);
  try {
    const { label, serial } = session.info();
    say(`token ${label}, serial ${serial}, profile ${profile.name}`);
    const planned = provision(session, profile, keys, { dryRun: true, stage });
    if (options.manifest !== undefined && existsSync(options.manifest))
      requireKeysOf(options.manifest, planned);
    const reports = options.dryRun ? planned : provision(session, profile, keys);
    const done = provisioned(reports);
    const file =
      done && facts && options.manifest !== undefined && !options.dryRun
        ? await publish(session, keys, options.manifest, facts)
        : undefined;
    if (options.json)
      printJson({
        token: { label, serial },
        profile: profile.name,
        fleet: options.fleet,
        dryRun: options.dryRun === true,
        keys: reports.map(describe),
        ...(file ? { manifest: { path: options.manifest, ...file } } : {}),
      });
    else printReports(reports);
    summarise(reports, options, file);
  } finally {
    session.close();
  }
}

/** A report with its values as text: bytes have no JSON. */
function describe(report: KeyReport): object {
  const { drift, ...rest } = report;
  return {
    ...rest,
    drift: drift.map(({ object, attribute, expected, actual }) => ({
      object,
      attribute,
      expected: showAttribute(attribute, expected),
      actual: showAttribute(attribute, actual),
    })),
  };
}

/** Says what was done. @throws key-drift where something is wrong */
function summarise(
  reports: readonly KeyReport[],
  options: ProvisionOptions,
  file: ManifestFile | undefined,
): void {
  const count = (state: KeyState): number => reports.filter((report) => report.state === state).length;
  const wrong = reports.filter(({ state }) => ["drift", "duplicate", "broken"].includes(state));
  if (wrong.length > 0)
    throw new StrongroomError(
      "key-drift",
      `${wrong.length} of ${reports.length} keys are not as they should be: ${wrong.map(({ name }) => name).join(", ")}`,
      {
        hint: "nothing was made or changed; find out who made them so before you trust or delete them",
      },
    );
  if (options.dryRun) say(`dry run: ${count("missing")} keys would be made, ${count("ok")} are there`);
  else say(`${count("created")} keys made, ${count("ok")} were there`);
  if (!file) return;
  say(
    `manifest ${options.manifest}: ${file.state === "created" ? "written" : "says the same already, left alone"}`,
  );
  say(`SHA-256 ${file.sha256}`);
}

export function provisionCommand(): Command {
  return new Command("provision")
    .description("make the keys of a fleet of one; check those that are there")
    .addOption(uriOption().makeOptionMandatory())
    .addOption(profileOption())
    .requiredOption("--fleet <name>", "the fleet's name: part of every key's label")
    .option("--site <name>", "the site's name in the manifest")
    .option("--url <url>", "where clients reach the site")
    .option("--max-attempts <n>", "recovery attempts before a record is destroyed", wholeNumber(1, 100), 10)
    .option("--manifest <file>", "write the fleet manifest, unless it says the same already")
    .option("--dry-run", "show what would be made")
    .option("--json", "the result for machines on stdout")
    .action(run);
}
