/** What an action is given: the plan, its station's token, what went before, the people and the folder. */
import { StrongroomError } from "../../base/errors.ts";
import type { SiteContext } from "../../keys/site-steps.ts";
import type { TokenSession } from "../../token/session.ts";
import type { Manifest } from "../../wire/manifest.ts";
import type { Earlier } from "../earlier.ts";
import type { Hands } from "../hands.ts";
import type { ActionOutputs } from "../outputs.ts";
import type { CeremonyPlan, Member, PlannedToken } from "../plan.ts";
import type { StationToken } from "../station-token.ts";
import { type ActionName, type CeremonyStep, shapeOf } from "../steps.ts";

/** What an action leaves beside its statement. Paths are relative to the ceremony's directory. */
export interface StationFolder {
  /** Part of the evidence; written whole or not at all. */
  publish(path: string, bytes: Uint8Array): void;
  /** For this station alone, mode 0600; never part of the evidence. */
  keep(name: string, bytes: Uint8Array): void;
  /** Undefined where nothing was kept. The caller wipes it. */
  kept(name: string): Uint8Array | undefined;
  /** When the step's statement is there: until then an interruption may need it. */
  forget(name: string): void;
  /** What the vendor's tool said of the token, under `attachments/`. */
  attestation(): ActionOutputs["open"]["attestation"];
  /** SHA-256 of the PKCS#11 library, hex. */
  moduleHash(): string;
}

export interface Predecessor {
  readonly manifest: Manifest;
  /** Of its file, hex. */
  readonly sha256: string;
}

export interface ActionContext {
  readonly plan: CeremonyPlan;
  /** SHA-256 of the plan's bytes, hex. */
  readonly planHash: string;
  readonly step: CeremonyStep;
  /** Undefined at the root. */
  readonly member: Member | undefined;
  readonly planned: PlannedToken;
  readonly token: StationToken;
  readonly earlier: Earlier;
  /** Of replace and retire: what the fleet is before. */
  readonly predecessor: Predecessor | undefined;
  readonly hands: Hands;
  readonly folder: StationFolder;
  /** The program that runs. */
  readonly tool: { readonly release: string; readonly digest: string };
  /** The step was begun before and did not come to its end: what it left behind is looked at first. */
  readonly isResumed: boolean;
  /** Was the function called in this step before the interruption, as far as the transcript knows? */
  readonly wasCalled: (fn: string) => boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

export type Action<A extends ActionName> = (context: ActionContext) => Promise<ActionOutputs[A]>;

/** @throws internal at the root */
export function memberOf({ member, step }: ActionContext): Member {
  if (member) return member;
  throw new StrongroomError("internal", `${step.id} is a step of a site`);
}

/** For the steps of src/keys. */
export function siteContext(context: ActionContext, session: TokenSession): SiteContext {
  const { name, seat, isSpare } = memberOf(context);
  return {
    session,
    profile: context.token.profile,
    shape: shapeOf(context.plan),
    site: seat,
    ...(isSpare ? { spare: name } : {}),
  };
}
