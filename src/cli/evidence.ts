/** `strongroom evidence …`: what a ceremony left behind, put together, verified by anybody, and shown. */
import { existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { checkClaims } from "../ceremony/claims/all.ts";
import { type ClaimSummary, sameFindings, summarise, verdict } from "../ceremony/claims/summary.ts";
import { buildEvidence, copyEvidence } from "../ceremony/evidence-build.ts";
import { failedClaims } from "../ceremony/evidence-judge.ts";
import type { EvidenceQuestions, EvidenceReading } from "../ceremony/evidence-reading.ts";
import { readEvidence } from "../ceremony/evidence-verify.ts";
import type { CeremonyMode } from "../ceremony/plan.ts";
import { reportHtml } from "../ceremony/report.ts";
import { bold, dim, green, printJson, red, say, yellow } from "./terminal.ts";

interface BuildOptions {
  readonly out?: string;
  readonly json?: boolean;
}

async function build(dir: string, { out, json }: BuildOptions): Promise<void> {
  const built = await buildEvidence(dir);
  const copied = out === undefined ? undefined : copyEvidence(dir, out);
  if (json) printJson({ ...built, ...(copied === undefined ? {} : { out: resolve(out ?? ""), copied }) });
  say(`${built.files} files in the list, ${built.state === "created" ? "which is new" : "which was there"}`);
  say(`SHA-256 of what officers sign: ${built.sha256}`);
  if (copied !== undefined) say(`${copied} files copied to ${out}`);
  say(
    "hint: officers sign it next (`strongroom ceremony sign`); `strongroom evidence verify` says when it is enough",
  );
}

interface VerifyOptions {
  readonly production?: boolean;
  readonly expectPlan?: string;
  readonly root?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** @throws usage */
function questionsOf({ production, expectPlan, root }: VerifyOptions): EvidenceQuestions {
  for (const [option, value] of [
    ["--expect-plan", expectPlan],
    ["--root", root],
  ] as const)
    if (value !== undefined && !/^[0-9a-f]{64}$/.test(value))
      throw new StrongroomError("usage", `${option} is no SHA-256`, { hint: "write 64 hexadecimal digits" });
  return { production, expectPlan, rootFingerprint: root };
}

function modeOf(reading: EvidenceReading): CeremonyMode | undefined {
  try {
    return reading.plan.mode;
  } catch (error) {
    if (isStrongroomError(error)) return undefined;
    throw error;
  }
}

/** One claim: whether it holds, on what that rests, and the answers; those that say the same as one. */
function lines({ id, title, ok, sources, findings }: ClaimSummary, all: boolean): string {
  const answers = sameFindings(findings);
  // Of many different answers that are all well, the number says enough.
  const shown = all || answers.length <= 4 ? answers : answers.filter((answer) => !answer.ok);
  const rest = findings.length - (shown === answers ? findings.length : 0);
  return [
    `${ok ? green("holds ") : red("FAILED")}  ${bold(id)}  ${dim(sources.join(", "))}`,
    `        ${title}.`,
    ...shown.map((answer) => {
      const about = answer.about === "" ? "" : `${answer.about}: `;
      return `        ${answer.ok ? dim("·") : red("!")} ${about}${answer.detail}`;
    }),
    ...(rest > 0 && ok ? [`        ${dim(`· ${rest} answers, all well (--all shows them)`)}`] : []),
  ].join("\n");
}

const refused = (failed: readonly string[]): StrongroomError =>
  new StrongroomError("evidence-invalid", `the evidence does not hold: ${failed.join(", ")}`, {
    hint: "begin with the first claim that failed; later ones may only follow from it",
  });

/** @throws evidence-invalid where a claim does not hold */
async function verify(dir: string, options: VerifyOptions): Promise<void> {
  const reading = await readEvidence(dir, questionsOf(options));
  const claims = checkClaims(reading);
  const failed = failedClaims(claims);
  const mode = modeOf(reading);
  const said = verdict(claims, mode);
  if (options.json) printJson({ ok: failed.length === 0, mode, failed, claims });
  else {
    if (mode === "rehearsal") process.stdout.write(`${yellow(bold("*** REHEARSAL ***"))}\n\n`);
    process.stdout.write(
      `${summarise(claims)
        .map((claim) => lines(claim, options.all === true))
        .join("\n")}\n\n`,
    );
    process.stdout.write(`${bold(said)}\n`);
  }
  if (failed.length > 0) throw refused(failed);
  if (options.expectPlan === undefined)
    say(
      "hint: give --expect-plan with the hash that the officers published: evidence cannot vouch for its own plan",
    );
}

interface ShowOptions extends VerifyOptions {
  readonly out: string;
}

/** @throws evidence-invalid where a claim does not hold, with the page written */
async function show(dir: string, options: ShowOptions): Promise<void> {
  const path = resolve(options.out);
  if (existsSync(path))
    throw new StrongroomError("usage", `${options.out} is there already`, {
      hint: "name another file by --out",
    });
  const reading = await readEvidence(dir, questionsOf(options));
  const claims = checkClaims(reading);
  try {
    writeFileSync(path, reportHtml(reading, claims), { flag: "wx" });
  } catch (cause) {
    throw new StrongroomError("file-failed", `cannot write ${options.out}`, { cause });
  }
  say(`${path}: ${verdict(claims, modeOf(reading))}`);
  const failed = failedClaims(claims);
  if (failed.length > 0) throw refused(failed);
}

function questions(command: Command): Command {
  return command
    .option("--production", "fail for a rehearsal")
    .option("--expect-plan <sha256>", "the plan's hash, as the officers published it")
    .option("--root <sha256>", "SHA-256 of the root's public key, as it was published");
}

/** The command, for main.ts. */
export function evidenceCommand(): Command {
  return new Command("evidence")
    .description("what a key ceremony left behind: put it together, verify it, show it")
    .addCommand(
      new Command("build")
        .description("check a ceremony and list its files, for the officers to sign")
        .argument("<dir>", "the ceremony's directory")
        .option("--out <dir>", "copy the evidence, and nothing else, into a new folder")
        .option("--json", "for machines, on stdout")
        .action(build),
    )
    .addCommand(
      questions(new Command("verify"))
        .description("check every claim, offline; exit code 1 where one does not hold")
        .argument("<dir>", "the evidence")
        .option("--all", "every answer")
        .option("--json", "for machines, on stdout")
        .action(verify),
    )
    .addCommand(
      questions(new Command("show"))
        .description(
          "a page for people: what is proved, by whom, and what is only said; exit codes as verify's",
        )
        .argument("<dir>", "the evidence")
        .option("--out <file>", "where to write it", "report.html")
        .action(show),
    );
}
