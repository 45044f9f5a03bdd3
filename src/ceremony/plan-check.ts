/**
 * Whether a plan can work. Everything that is wrong is said at once, with why; then the ceremony is walked through
 * over a model of its tokens. Nothing is opened: who verifies a ceremony years later asks the same questions.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { StrongroomError } from "../base/errors.ts";
import { majority } from "../keys/holder-sets.ts";
import { SOFTWARE } from "../keys/software-tokens.ts";
import { parseTokenUri } from "../token/uri.ts";
import { FLEET_SIZES } from "../wire/manifest.ts";
import { type CeremonyPlan, type PlannedToken, ROOT } from "./plan.ts";
import { walkSteps } from "./plan-walk.ts";
import { planWarnings } from "./plan-warnings.ts";
import { stepsOf } from "./steps.ts";

const list = (values: readonly string[]): string => values.join(", ");

/** Each value that occurs more than once, once. */
function repeated(values: readonly (string | undefined)[]): readonly string[] {
  const twice = values.filter((value, i) => value !== undefined && values.indexOf(value) < i);
  return [...new Set(twice)].filter((value) => value !== undefined);
}

/** Every token of the plan, with the name of its station. */
export function tokensOf(plan: CeremonyPlan): readonly (readonly [string, PlannedToken])[] {
  const members = [...plan.sites, ...plan.spares];
  return [[ROOT, plan.root.token], ...members.map(({ name, token }) => [name, token] as const)];
}

/** Profiles of software go by their names; another name for one is found out when the module is opened. */
function isSoftware({ profile }: PlannedToken): boolean {
  return SOFTWARE.includes(profile.replace(/^.*\//, "").replace(/\.yaml$/, ""));
}

/** A point of small order would let anybody sign for the officer; another one of no order nobody. */
function isSigningKey(hex: string): boolean {
  try {
    const point = ed25519.Point.fromHex(hex);
    return !point.isSmallOrder() && point.isTorsionFree();
  } catch {
    return false;
  }
}

function* people({ officers, credentials, auditor }: CeremonyPlan): Iterable<string> {
  const { members, quorum } = officers;
  if (quorum > members.length) yield `officers: ${quorum} must sign, but the plan has ${members.length}`;
  for (const name of repeated(members.map((one) => one.name.toLowerCase())))
    yield `officers: two are called ${name}, whatever the case of the letters`;
  for (const key of repeated([...members.map((one) => one.publicKey), auditor?.publicKey]))
    yield `the public key ${key.slice(0, 16)}… has two holders; each officer and the auditor needs a key of their own`;
  for (const { name, publicKey } of [...members, ...(auditor ? [auditor] : [])])
    if (publicKey !== undefined && !isSigningKey(publicKey))
      yield `the public key of ${name} is no Ed25519 key: nobody, or everybody, could sign with it`;
  if (credentials.soPin !== "split") return;
  const { custodians } = credentials;
  if (credentials.quorum < 2)
    yield "credentials: one custodian alone would have the security officer's PIN; the quorum must be 2 or more";
  if (credentials.quorum > custodians.length)
    yield `credentials: ${credentials.quorum} custodians are needed, but the plan has ${custodians.length}`;
  for (const name of repeated(custodians)) yield `credentials: the custodian ${name} occurs twice`;
}

function* members({ sites, spares, threshold }: CeremonyPlan): Iterable<string> {
  const { length } = sites;
  if (!FLEET_SIZES.includes(length))
    yield `a fleet has ${list(FLEET_SIZES.map(String))} sites, not ${length}`;
  if (threshold > majority(length))
    yield `threshold: ${length} sites can have 1 to ${majority(length)}, not ${threshold}`;
  const names = [ROOT, ...sites.map(({ name }) => name), ...spares.map(({ name }) => name)];
  for (const name of repeated(names))
    yield name === ROOT
      ? `no site or spare may be called ${ROOT}: it is the root key's station`
      : `two sites or spares are called ${name}`;
  for (const url of repeated(sites.map((site) => site.url))) yield `two sites have the url ${url}`;
  for (const spare of spares)
    if (!sites.some(({ name }) => name === spare.for))
      yield `the spare ${spare.name} is for ${spare.for}, which is no site of the plan`;
}

const variables = (env: PlannedToken["env"]): readonly string[] =>
  Object.entries(env ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .sort((a, b) => (a < b ? -1 : 1));

function* tokens(plan: CeremonyPlan): Iterable<string> {
  const all = tokensOf(plan);
  for (const serial of repeated(all.map(([, { serial }]) => serial)))
    yield `two tokens have the serial number ${serial}; every station needs a token of its own`;
  const places = all.map(([, { uri, env }]) => {
    const { token, serial, manufacturer, model, modulePath } = parseTokenUri(uri);
    return JSON.stringify([token, serial, manufacturer, model, modulePath, variables(env)]);
  });
  for (const place of repeated(places)) {
    const same = all.filter((_, i) => places[i] === place).map(([name]) => name);
    yield `the URIs of ${list(same)} name one token; every station needs a token of its own`;
  }
  for (const [name, { uri, serial }] of all) {
    const inUri = parseTokenUri(uri).serial;
    if (inUri !== undefined && serial !== undefined && inUri !== serial)
      yield `${name}: the URI names the serial number ${inUri}, the plan ${serial}`;
    if (plan.mode === "production" && serial === undefined)
      yield `${name}: in production every token is expected by its serial number, and the plan has none for it`;
  }
  const software = all.filter(([, token]) => isSoftware(token)).map(([name]) => name);
  if (plan.mode === "production" && software.length > 0 && plan.softwareTokensAccepted === undefined)
    yield `${list(software)}: software tokens in production; say in softwareTokensAccepted why they will do`;
}

function* kindOf({ kind, sites, spares, threshold, predecessor, change }: CeremonyPlan): Iterable<string> {
  if (kind === "create") {
    if (predecessor) yield "predecessor: a fleet that is created has none";
    if (change) yield "change: only replace and retire change a fleet";
    return;
  }
  if (!predecessor) yield `predecessor: to ${kind} a site, say what the fleet is before`;
  if (!change) return yield `change: say which site to ${kind}`;
  if (!sites.some(({ name }) => name === change.site)) yield `change: ${change.site} is no site of the plan`;
  if (kind === "retire") {
    if (change.spare !== undefined)
      yield "change: a retired site's place stays empty, so no spare can take it";
    if (sites.length - 1 < threshold)
      yield `without ${change.site} there are ${sites.length - 1} sites, but ${threshold} must take part`;
    return;
  }
  if (change.spare === undefined) return yield "change: say which spare takes the site's place";
  const spare = spares.find(({ name }) => name === change.spare);
  if (!spare)
    yield `change: ${change.spare} is no spare of the plan; only an enrolled spare has the fleet's keys`;
  else if (spare.for !== change.site)
    yield `change: ${spare.name} has the keys of ${spare.for} and cannot take the place of ${change.site}`;
}

/**
 * @returns what the officers should have thought of before they approve, in plain words
 * @throws plan-invalid with one line for each thing that is wrong
 */
export function checkPlan(plan: CeremonyPlan): { readonly warnings: readonly string[] } {
  const problems = [people, members, tokens, kindOf].flatMap((check) => [...check(plan)]);
  if (problems.length > 0)
    throw new StrongroomError("plan-invalid", `this plan cannot work:\n${problems.join("\n")}`, {
      hint: "mend the plan; nothing was done",
    });
  walkSteps(plan, stepsOf(plan));
  return { warnings: planWarnings(plan) };
}
