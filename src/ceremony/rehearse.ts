/**
 * A rehearsal: the same steps as in the plan, on new SoftHSM tokens, with officers' keys that were made a moment ago,
 * and nobody asked. The plan that is rehearsed is derived from the given one and says of itself that it is a rehearsal.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { toHex, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { writeDurablySync } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { modulePath } from "../token/connection.ts";
import { loadProfile } from "../token/profile-file.ts";
import { formatTokenUri } from "../token/uri.ts";
import { approvalPath, signApproval } from "./approvals.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import { type EnvelopeSigner, encodeEnvelope } from "./dsse.ts";
import { addOfficerSignature } from "./evidence-build.ts";
import { newOfficerKey, readOfficerKey } from "./officer-key.ts";
import type { CeremonyPlan, PlannedToken } from "./plan.ts";
import { checkPlan } from "./plan-check.ts";
import { runCeremony, type StepProgress } from "./run.ts";
import { runningSoftware } from "./software.ts";
import { planIn, tokenOf } from "./station-run.ts";
import { unattended } from "./unattended.ts";

const PROFILE = "softhsm2";
const PIN_LENGTH = 16;

export interface RehearsalOptions {
  readonly plan: CeremonyPlan;
  /** Where the plan is: paths in it are relative to that. */
  readonly planDir: string;
  /** Directory of the rehearsal; what is there already is gone on with. */
  readonly dir: string;
  /** Of the SoftHSM library; that of the profile by default. */
  readonly module?: string | undefined;
  readonly progress?: ((event: StepProgress) => void) | undefined;
}

export interface Rehearsal {
  /** SHA-256 of the derived plan, hex. */
  readonly planHash: string;
  readonly plan: CeremonyPlan;
  /** Names and keys of the officers of the rehearsal. */
  readonly officers: readonly { readonly name: string; readonly signer: EnvelopeSigner }[];
}

function softToken(dir: string, station: string, module: string): PlannedToken {
  const home = join(dir, "tokens", station);
  const conf = join(home, "softhsm2.conf");
  const [pin, soPin] = [join(home, "pin"), join(home, "so-pin")];
  if (!existsSync(conf)) {
    mkdirSync(join(home, "objects"), { recursive: true, mode: 0o700 });
    for (const path of [pin, soPin])
      writeDurablySync(path, utf8(randomBytes(PIN_LENGTH).toString("base64url").slice(0, PIN_LENGTH)), 0o600);
    const lines = [
      `directories.tokendir = ${join(home, "objects")}`,
      "objectstore.backend = file",
      "log.level = ERROR",
      "slots.removable = false",
    ];
    writeDurablySync(conf, utf8(`${lines.join("\n")}\n`));
  }
  return {
    uri: formatTokenUri({ token: station, modulePath: module, pinSource: `file:${pin}` }),
    profile: PROFILE,
    soPinSource: `file:${soPin}`,
    env: { SOFTHSM2_CONF: conf },
  };
}

/** The plan of the rehearsal of a plan: other tokens, other officers, the program that runs, and REHEARSAL in its title. */
function derive(
  { plan, planDir, module }: RehearsalOptions,
  dir: string,
  officers: CeremonyPlan["officers"],
): CeremonyPlan {
  const library = modulePath(module === undefined ? {} : { modulePath: module }, modulesOf());
  // A change is rehearsed on the tokens of the rehearsal that made the fleet.
  const past =
    plan.predecessor && planIn(new CeremonyFolder(resolve(planDir, plan.predecessor.evidence))).plan;
  const token = (station: string): PlannedToken =>
    past ? tokenOf(past, station) : softToken(dir, station, library);
  return {
    ...plan,
    mode: "rehearsal",
    title: `REHEARSAL: ${plan.title}`,
    officers,
    software: runningSoftware(),
    root: { ...plan.root, token: token("root") },
    sites: plan.sites.map((site) => ({ ...site, token: token(site.name) })),
    spares: plan.spares.map((spare) => ({ ...spare, token: token(spare.name) })),
    ...(plan.predecessor
      ? {
          predecessor: {
            ...plan.predecessor,
            evidence: relative(dir, resolve(planDir, plan.predecessor.evidence)),
          },
        }
      : {}),
  };
}

function modulesOf(): readonly string[] {
  const { value } = loadProfile(PROFILE).modules;
  return value === "unknown" ? [] : value;
}

/**
 * Takes every step and signs the end, without a person, or goes on where an interrupted rehearsal stopped.
 * @throws plan-invalid; module-failed where SoftHSM is not installed; what `runCeremony` throws
 */
export async function rehearse(options: RehearsalOptions): Promise<Rehearsal> {
  const dir = isAbsolute(options.dir) ? options.dir : resolve(options.dir);
  const folder = new CeremonyFolder(dir);
  if (!folder.has("plan.yaml")) await prepare(options, folder);
  const { plan, planHash } = planIn(folder);
  if (plan.mode !== "rehearsal")
    throw new StrongroomError("usage", `${dir} is the directory of a ceremony, not of a rehearsal`, {
      hint: "give an empty directory",
    });
  await runCeremony({
    dir,
    hands: unattended("REHEARSAL"),
    concurrent: true,
    progress: options.progress,
  });
  const officers = officersOf(folder, plan);
  await addOfficerSignature(dir, ...officers.map(({ signer }) => signer));
  return { plan, planHash, officers };
}

function keyFile(index: number): string {
  return `officers/${index + 1}.pem`;
}

function officersOf(folder: CeremonyFolder, plan: CeremonyPlan): Rehearsal["officers"] {
  return plan.officers.members.map(({ name }, index) => ({
    name,
    signer: readOfficerKey(folder.path(join("private", keyFile(index)))),
  }));
}

/** The plan comes last: with it there, all that it names is there. */
async function prepare(options: RehearsalOptions, folder: CeremonyFolder): Promise<void> {
  checkPlan(options.plan);
  const members = options.plan.officers.members.map(({ name }, index) => {
    const { pem, signer } = newOfficerKey();
    folder.keep(keyFile(index), utf8(pem));
    return { name, publicKey: toHex(signer.publicKey), signer };
  });
  const plan = derive(options, folder.dir, {
    quorum: options.plan.officers.quorum,
    members: members.map(({ name, publicKey }) => ({ name, publicKey })),
  });
  const bytes = utf8(`# REHEARSAL of another plan; its tokens are software.\n${stringify(plan)}`);
  const planHash = sha256HexOf(bytes);
  for (const { signer, ...officer } of members)
    folder.publish(approvalPath(officer), encodeEnvelope(await signApproval(plan, planHash, signer)));
  folder.publish("plan.yaml", bytes);
}
