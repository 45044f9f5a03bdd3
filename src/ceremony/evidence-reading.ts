/**
 * The files of a ceremony as a verifier reads them: each decoded once, when a claim first asks for it, and each refused
 * by an error that fails the claim. Nothing here decides whether anything is true.
 */
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import type { FleetShape } from "../keys/fleet-keys.ts";
import type { Profile } from "../token/profile.ts";
import { loadProfile } from "../token/profile-file.ts";
import { decodeManifest, type Manifest } from "../wire/manifest.ts";
import type { PlannedCall } from "./calls.ts";
import { decodeEnvelope, type Envelope } from "./dsse.ts";
import type { EvidenceFiles } from "./evidence-files.ts";
import { type CeremonyPlan, type Member, membersOf, ROOT } from "./plan.ts";
import { decodePlan } from "./plan-file.ts";
import { decodeStatement, isAction, STEP_PAYLOAD, type StepStatement } from "./statement.ts";
import { type ActionName, type CeremonyStep, shapeOf, stepsOf } from "./steps.ts";
import { readTranscript, type TranscriptHead, type TranscriptLine } from "./transcript-lines.ts";

/** What the verifier knows from elsewhere, and asks. */
export interface EvidenceQuestions {
  /** A rehearsal does not pass. */
  readonly production?: boolean | undefined;
  /** The plan's hash as the officers published it, hex. */
  readonly expectPlan?: string | undefined;
  /** SHA-256 of the root's public key, hex. */
  readonly rootFingerprint?: string | undefined;
}

/** By step. */
export type PlannedCalls = ReadonlyMap<string, readonly PlannedCall[]>;

/** What a reading is given beside the files. */
export interface ReadingContext {
  readonly questions?: EvidenceQuestions | undefined;
  readonly predecessor?: Predecessor | undefined;
  readonly plannedCalls?: (() => PlannedCalls) | undefined;
}

export class EvidenceReading {
  readonly files: EvidenceFiles;
  readonly questions: EvidenceQuestions;
  /** Of replace and retire: the evidence that the plan names, and what is wrong with it. */
  readonly predecessor: Predecessor | undefined;
  /** The calls of each step by the plan's dry run. @throws what kept it from being made */
  readonly plannedCalls: () => PlannedCalls;
  readonly #known = new Map<string, () => unknown>();

  constructor(files: EvidenceFiles, { questions = {}, predecessor, plannedCalls }: ReadingContext = {}) {
    this.files = files;
    this.questions = questions;
    this.predecessor = predecessor;
    this.plannedCalls =
      plannedCalls ??
      (() => {
        throw new StrongroomError("evidence-invalid", "nobody has made the dry run of the plan");
      });
  }

  /** The value, or the same error again. */
  #once<T>(key: string, make: () => T): T {
    const known = this.#known.get(key) as (() => T) | undefined;
    if (known) return known();
    let again: () => T;
    try {
      const value = make();
      again = () => value;
    } catch (error) {
      again = () => {
        throw error;
      };
    }
    this.#known.set(key, again);
    return again();
  }

  /** @throws evidence-invalid where there is no such file */
  bytes(path: string): Uint8Array {
    const bytes = this.files.get(path)?.bytes;
    if (bytes) return bytes;
    throw new StrongroomError("evidence-invalid", `there is no ${path}`);
  }

  /** Paths in a folder. */
  paths(folder: string): readonly string[] {
    return [...this.files.keys()].filter((path) => path.startsWith(`${folder}/`));
  }

  /** @throws plan-invalid, evidence-invalid */
  get plan(): CeremonyPlan {
    return this.#once("plan", () => decodePlan(this.bytes("plan.yaml"), "plan.yaml"));
  }

  /** SHA-256 of the plan's bytes, hex. @throws evidence-invalid */
  get planHash(): string {
    const file = this.files.get("plan.yaml");
    if (file) return file.sha256;
    throw new StrongroomError("evidence-invalid", "there is no plan.yaml");
  }

  get steps(): readonly CeremonyStep[] {
    return this.#once("steps", () => stepsOf(this.plan));
  }

  get shape(): FleetShape {
    return this.#once("shape", () => shapeOf(this.plan));
  }

  /** The stations that take part, in the order of their first steps. */
  get stations(): readonly string[] {
    return this.#once("stations", () => [...new Set(this.steps.map(({ station }) => station))]);
  }

  /** Those that hold fleet keys and take part. */
  get members(): readonly Member[] {
    return this.#once("members", () =>
      membersOf(this.plan).filter(({ name }) => this.stations.includes(name)),
    );
  }

  /** The profile that the plan names for a station's token. @throws profile-invalid, evidence-invalid */
  profile(station: string): Profile {
    const { root } = this.plan;
    const token =
      station === ROOT ? root.token : membersOf(this.plan).find(({ name }) => name === station)?.token;
    if (!token) throw new StrongroomError("evidence-invalid", `the plan has no token of ${station}`);
    return this.#once(`profile ${token.profile}`, () => loadProfile(token.profile));
  }

  /** Is there such a step in the plan? */
  has(action: ActionName): boolean {
    return this.steps.some((step) => step.action === action);
  }

  envelope(step: string): Envelope {
    return this.#once(`envelope ${step}`, () =>
      decodeEnvelope(this.bytes(`steps/${step}.json`), STEP_PAYLOAD),
    );
  }

  /** @throws evidence-invalid */
  statement(step: string): StepStatement {
    return this.#once(`statement ${step}`, () => decodeStatement(this.envelope(step).payload));
  }

  /** Statements of an action, one of each station that takes it. @throws evidence-invalid */
  all<A extends ActionName>(action: A): readonly StepStatement<A>[] {
    return this.steps
      .filter((step) => step.action === action)
      .map(({ id }) => this.statement(id))
      .map((statement) => {
        if (isAction(statement, action)) return statement;
        throw new StrongroomError(
          "evidence-invalid",
          `${statement.step} is a statement of ${statement.action}`,
        );
      });
  }

  /** @throws evidence-invalid where there is none */
  one<A extends ActionName>(action: A, station: string): StepStatement<A> {
    const statement = this.all(action).find((one) => one.station === station);
    if (statement) return statement;
    throw new StrongroomError("evidence-invalid", `${station} has no statement of ${action}`);
  }

  /** @throws evidence-invalid */
  transcript(station: string): { readonly lines: readonly TranscriptLine[]; readonly head: TranscriptHead } {
    return this.#once(`transcript ${station}`, () =>
      readTranscript(this.bytes(`transcripts/${station}.jsonl`), this.planHash),
    );
  }

  /** @throws manifest-invalid, evidence-invalid */
  get manifest(): Manifest {
    return this.#once("manifest", () => decodeManifest(this.bytes("manifest.json")));
  }

  /**
   * The key that signs for a station, 65 bytes: the root's, or the identity of a member. Of a token that was there
   * before, it is in the evidence of the ceremony that made it.
   * @throws evidence-invalid
   */
  keyOf(station: string): Uint8Array {
    if (this.plan.kind !== "create") {
      if (this.predecessor) return this.predecessor.reading.keyOf(station);
      throw new StrongroomError("evidence-invalid", "the evidence of the ceremony before is not there");
    }
    return fromHex(
      station === ROOT
        ? this.one("make-root", ROOT).output.publicKey
        : this.one("make-site-keys", station).output.identity,
    );
  }
}

export interface Predecessor {
  readonly reading: EvidenceReading;
  /** Claims of it that do not hold. */
  readonly failed: readonly string[];
}
