/**
 * What a ceremony will ask its tokens: every step is taken as in a run, by the same code, on tokens of paper
 * (src/token/paper-token.ts). No PKCS#11 library is loaded, no PIN asked for, no file read but plans and profiles, and
 * none written. The people say yes to everything.
 */
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import type { RecordedCall } from "../token/call-record.ts";
import { Pkcs11Module } from "../token/module.ts";
import { PaperToken } from "../token/paper-token.ts";
import { loadProfile } from "../token/profile-file.ts";
import { formatTokenUri, parseTokenUri } from "../token/uri.ts";
import { decodeManifest } from "../wire/manifest.ts";
import type { StationFolder } from "./actions/context.ts";
import { type Envelope, encodeEnvelope } from "./dsse.ts";
import { Earlier, type EarlierStatement } from "./earlier.ts";
import type { Hands } from "./hands.ts";
import { type CeremonyPlan, membersOf, type PlannedToken } from "./plan.ts";
import { tokensOf } from "./plan-check.ts";
import type { PlanFile } from "./plan-file.ts";
import type { LoadedPredecessor } from "./predecessor.ts";
import { decodeStatement } from "./statement.ts";
import { StationToken } from "./station-token.ts";
import { type CeremonyStep, stepsOf } from "./steps.ts";
import { inputsOf, takeStep } from "./take-step.ts";

export interface DryRunStep {
  readonly step: CeremonyStep;
  /** What `calls.ts` compares a run with, and what a token that keeps to its profile answers. */
  readonly calls: readonly Omit<RecordedCall, "ms">[];
}

/** A fleet is changed so often at most. */
const MAX_CHANGES = 32;

/** The ceremony before another one, as far as a dry run needs it. */
export interface PlansBefore {
  /** @throws plan-invalid where it is not there */
  plan(): PlanFile;
  /** @param evidence as that plan says it */
  before(evidence: string): PlansBefore | undefined;
}

/**
 * The plans of the ceremonies before, the first of which made the fleet: a change is taken on tokens that hold it.
 * @param last of the ceremonies before; undefined where there is none
 * @throws plan-invalid where one of them is not there
 */
export function plansBefore(plan: CeremonyPlan, last: PlansBefore | undefined): readonly PlanFile[] {
  const before: PlanFile[] = [];
  let [past, at] = [plan.predecessor, last];
  while (past) {
    if (!at) throw new StrongroomError("plan-invalid", `there is no ceremony at ${past.evidence}`);
    if (before.length === MAX_CHANGES)
      throw new StrongroomError("plan-invalid", "too many ceremonies before this one");
    const file = at.plan();
    before.unshift(file);
    past = file.plan.predecessor;
    at = past && at.before(past.evidence);
  }
  return before;
}

/**
 * @param before see `plansBefore`
 * @throws plan-invalid for a plan that cannot work; profile-invalid; what a step throws that could never be taken
 */
export async function dryRun(
  file: PlanFile,
  before: readonly PlanFile[] = [],
): Promise<readonly DryRunStep[]> {
  const modules = new Map<string, Pkcs11Module>();
  let past: LoadedPredecessor | undefined;
  for (const one of before) past = (await takeAll(one, modules, past)).result;
  return (await takeAll(file, modules, past)).steps;
}

/** The token as it is on paper: its label and serial number, and nothing of where it really is. */
function onPaper(station: string, { uri, serial, profile }: PlannedToken): PlannedToken & { serial: string } {
  const { token, serial: named } = parseTokenUri(uri);
  return {
    uri: formatTokenUri(parseTokenUri(`pkcs11:token=${encodeURIComponent(token ?? station)}`)),
    serial: serial ?? named ?? `paper-${station}`,
    profile,
  };
}

async function takeAll(
  { plan, sha256: planHash }: PlanFile,
  modules: Map<string, Pkcs11Module>,
  predecessor: LoadedPredecessor | undefined,
): Promise<{ steps: readonly DryRunStep[]; result: LoadedPredecessor }> {
  const steps = stepsOf(plan);
  const made = new Statements(steps, predecessor?.earlier);
  const folder = new PaperFolder();
  const tokens = new Map(tokensOf(plan));
  const taken: DryRunStep[] = [];
  const now = Date.parse(`${plan.date}T12:00:00Z`);
  for (const step of steps) {
    const given = tokens.get(step.station);
    if (!given) throw new StrongroomError("plan-invalid", `the plan has no station ${step.station}`);
    const planned = onPaper(step.station, given);
    const profile = loadProfile(planned.profile);
    const module =
      modules.get(step.station) ?? new Pkcs11Module("paper", new PaperToken(profile, planned.serial));
    modules.set(step.station, module);
    const calls: DryRunStep["calls"][number][] = [];
    module.observe(({ fn, args, ckr }) => calls.push({ fn, args, ckr }));
    const envelope = await takeStep({
      plan,
      planHash,
      step,
      steps,
      member: membersOf(plan).find(({ name }) => name === step.station),
      planned,
      token: new StationToken({ station: step.station, token: planned, profile, module, hands: HANDS }),
      earlier: made.under(inputsOf(step, steps)),
      predecessor,
      hands: HANDS,
      folder,
      tool: plan.software,
      isResumed: false,
      wasCalled: () => false,
      now: () => now,
      head: () => {
        // As in a run: the last signature of a transcript is over its end, and cannot be in it.
        if (step.action === "close") module.observe(undefined);
        return { lines: calls.length + 1, head: planHash };
      },
    });
    module.observe(undefined);
    made.add(step, envelope);
    taken.push({ step, calls });
  }
  const manifest = folder.published.get("manifest.json");
  const last = steps.findLast(({ action }) => action === "manifest");
  if (!manifest || !last) throw new StrongroomError("internal", "a ceremony without a manifest");
  const sha256 = sha256HexOf(manifest);
  const result = { manifest: decodeManifest(manifest), sha256, earlier: made.under([last.id]) };
  return { steps: taken, result };
}

/**
 * The statements of the steps before. They were made a moment ago, so they are not verified as those that come from
 * other stations are (chain.ts); but a step is given what it rests on, and nothing else, as in a run.
 */
class Statements {
  readonly #steps: readonly CeremonyStep[];
  readonly #before: Earlier | undefined;
  readonly #made = new Map<string, { statement: EarlierStatement; restsOn: ReadonlySet<string> }>();

  constructor(steps: readonly CeremonyStep[], before: Earlier | undefined) {
    this.#steps = steps;
    this.#before = before;
  }

  add(step: CeremonyStep, envelope: Envelope): void {
    const statement = {
      statement: decodeStatement(envelope.payload),
      sha256: sha256HexOf(encodeEnvelope(envelope)),
    };
    this.#made.set(step.id, { statement, restsOn: this.#closure(inputsOf(step, this.#steps)) });
  }

  /** These statements and all that they rest on, in the order of the steps. */
  under(ids: readonly string[]): Earlier {
    const all = this.#closure(ids);
    const made = [...this.#made].filter(([id]) => all.has(id)).map(([, { statement }]) => statement);
    return new Earlier(made, this.#before);
  }

  #closure(ids: readonly string[]): ReadonlySet<string> {
    return new Set(ids.flatMap((id) => [id, ...(this.#made.get(id)?.restsOn ?? [])]));
  }
}

/** Nothing is written. */
class PaperFolder implements StationFolder {
  readonly published = new Map<string, Uint8Array>();
  readonly #kept = new Map<string, Uint8Array>();

  publish(path: string, bytes: Uint8Array): void {
    this.published.set(path, Uint8Array.from(bytes));
  }
  keep(name: string, bytes: Uint8Array): void {
    this.#kept.set(name, Uint8Array.from(bytes));
  }
  kept(name: string): Uint8Array | undefined {
    const bytes = this.#kept.get(name);
    return bytes && Uint8Array.from(bytes);
  }
  forget(name: string): void {
    this.#kept.delete(name);
  }
  attestation(): undefined {
    return undefined;
  }
  moduleHash(): string {
    return "0".repeat(64);
  }
}

/** PINs open nothing but paper. */
const HANDS: Hands = {
  compare: ({ words }) => Promise.resolve({ typed: words, by: "paper" }),
  confirm: ({ word }) => Promise.resolve({ typed: word, by: "paper" }),
  pin: ({ who }) => Promise.resolve(utf8(`paper-${who}`)),
  witness: () => Promise.resolve(""),
  exception: ({ expected, happened }) =>
    Promise.resolve({ expected, happened, decided: "stop", by: "paper", goOn: false }),
};
