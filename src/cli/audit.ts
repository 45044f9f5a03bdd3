/** `strongroom audit verify | follow | proof`: whether everything that was ever announced holds, and what it changed. */
import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import { loadPolicy } from "../auditor/policy.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { verifyContradiction } from "../trust/contradiction.ts";
import { readHead } from "../trust/published.ts";
import { REFUSALS, refusalOf } from "../trust/refusal.ts";
import { ANY_EVIDENCE } from "./audit-evidence.ts";
import { readState, writeState } from "./audit-memory.ts";
import { auditJson, printAudit } from "./audit-print.ts";
import { type AuditQuestions, type AuditResult, auditOnce } from "./audit-run.ts";
import { type AuditPlace, auditPlace } from "./audit-source.ts";
import { readPins, readProof } from "./bundle-files.ts";
import { wholeNumber } from "./option-values.ts";
import { printJson, say, yellow } from "./terminal.ts";

interface VerifyOptions {
  readonly from: string;
  readonly pins: string;
  readonly state?: string;
  readonly proofs?: string;
  readonly evidence?: boolean;
  readonly policy?: string;
  readonly limit?: number;
  readonly before?: number;
  readonly fullKeys?: boolean;
  readonly json?: boolean;
}

interface FollowOptions extends VerifyOptions {
  readonly interval: number;
  readonly until?: number;
}

/** Where a monitor keeps what contradicts itself, if it is not told. */
const PROOFS = "strongroom-proofs";

/** @throws usage, config-invalid, file-failed, decode-failed */
async function prepare(
  options: VerifyOptions,
): Promise<{ readonly place: AuditPlace; readonly questions: AuditQuestions }> {
  const { state, policy, evidence, json } = options;
  const pins = readPins(options.pins);
  const isTerminal = process.stderr.isTTY && !json;
  return {
    place: auditPlace(options.from),
    questions: {
      pins,
      seen: state === undefined ? undefined : await readState(state, pins.namespace),
      now: Date.now,
      evidence: policy === undefined ? (evidence ? ANY_EVIDENCE : undefined) : loadPolicy(policy),
      proofs: options.proofs ?? (state === undefined ? PROOFS : `${state}.proofs`),
      progress: (done, all) => {
        if (isTerminal) process.stderr.write(`\r${done} of ${all} epochs looked at${done < all ? "" : "\n"}`);
      },
    },
  };
}

/** The first thing that is not believed, as the error of the command. */
function failure({ refusals }: AuditResult): StrongroomError | undefined {
  const [first] = refusals;
  if (!first) return undefined;
  const { epoch, refusal } = first;
  const where = epoch === undefined ? "the log" : `epoch ${epoch}`;
  const more = refusals.length > 1 ? `, and ${refusals.length - 1} more` : "";
  return new StrongroomError("bundle-refused", `${where} is not believed (${refusalOf(refusal)})${more}`, {
    cause: refusal,
    details: refusal.details,
    hint: "keep what you have of it, and ask auditor and operator by another way than this log",
  });
}

/** @throws as `auditOnce` */
async function look(
  place: AuditPlace,
  questions: AuditQuestions,
  options: VerifyOptions & { readonly after?: number | undefined },
): Promise<AuditResult> {
  const result = await auditOnce(place, questions);
  if (options.state !== undefined && result.walked.state)
    await writeState(options.state, result.walked.state);
  const { json } = options;
  const value = json ? auditJson(result, place.from, questions.pins, options) : undefined;
  // A monitor's output is read line by line, while it runs.
  if (value && "interval" in options) process.stdout.write(`${JSON.stringify(value)}\n`);
  else if (value) printJson(value);
  else printAudit(result, questions.pins, options);
  return result;
}

async function verify(options: VerifyOptions): Promise<void> {
  const { place, questions } = await prepare(options);
  const failed = failure(await look(place, questions, options));
  if (failed) throw failed;
}

/** Looks at the whole log again whenever its head is another one, and each hour that it stays the same. */
async function follow(options: FollowOptions): Promise<void> {
  const { place, questions } = await prepare(options);
  const { interval, until = Number.POSITIVE_INFINITY } = options;
  const turnsOfAnHour = Math.max(1, Math.round(3_600 / interval));
  let seen = questions.seen;
  let last: string | undefined;
  for (let turn = 0; ; turn++) {
    try {
      const head = await readHead(place.source, questions.pins.namespace);
      if (head?.note !== last || turn % turnsOfAnHour === 0) {
        const result = await look(place, { ...questions, seen }, { ...options, after: seen?.epoch });
        const failed = failure(result);
        if (failed) throw failed;
        seen = result.walked.state;
        last = result.walked.head?.note;
        if ((result.walked.newest?.epoch ?? 0) >= until) return;
      }
    } catch (error) {
      // A network that is down says nothing about the log.
      if (!isStrongroomError(error, "unavailable")) throw error;
      say(yellow(`${error.message}; asking again in ${interval} s`));
    }
    await pause(interval * 1_000);
  }
}

/** A proof that somebody kept: true, whoever wrote the file, if both signatures are. */
async function proof(file: string, { pins: pinsFile }: { readonly pins: string }): Promise<void> {
  const contradiction = readProof(file);
  await verifyContradiction(contradiction, readPins(pinsFile));
  const { reason, namespace } = contradiction;
  process.stdout.write(`${namespace}: ${REFUSALS[reason]} (${reason})\n`);
  say("both statements are signed under the pinned keys, and they cannot both be honest");
}

function withQuestions(command: Command): Command {
  return command
    .requiredOption("--from <url|dir>", "an auditor, a mirror, or a directory with its files")
    .requiredOption("--pins <file>", "whom to believe")
    .option("--state <file>", "remember what was seen, and compare the next time")
    .option("--proofs <dir>", `where proofs of lies are kept (default: <state>.proofs, or ${PROOFS})`)
    .option("--evidence", "also judge the evidence of the ceremonies: every claim has to hold")
    .option(
      "--policy <file>",
      "judge the evidence by a policy; the auditor's own is published as log/<namespace>/policy.json",
    )
    .option("--full-keys", "show whole public keys, and those that did not change")
    .option("--json", "for machines, on stdout");
}

function verifyCommand(): Command {
  return withQuestions(new Command("verify"))
    .description("verify all epochs that were ever announced, and show what each one changed")
    .option("--limit <n>", "show only the newest ones; all are verified", wholeNumber(1))
    .option("--before <epoch>", "show only epochs before that one", wholeNumber(1))
    .action(verify);
}

function followCommand(): Command {
  return withQuestions(new Command("follow"))
    .description("verify a log again whenever it grows, and end with an error when something does not hold")
    .option("--interval <seconds>", "how often to ask", wholeNumber(1), 60)
    .option("--until <epoch>", "end when that epoch is announced and holds", wholeNumber(1))
    .action(follow);
}

function proofCommand(): Command {
  return new Command("proof")
    .description("verify a proof that somebody kept: two signed statements that contradict each other")
    .argument("<file>", "what verify or follow wrote")
    .requiredOption("--pins <file>", "whose signatures: pins of the time when it was signed")
    .action(proof);
}

/** The command, for main.ts. */
export function auditCommand(): Command {
  return new Command("audit")
    .description("check an auditor's whole log: what was announced, by whom, and what it changed")
    .addCommand(verifyCommand())
    .addCommand(followCommand())
    .addCommand(proofCommand());
}
