/** `strongroom token doctor`: can the vault run on this token, and could an auditor? */
import { Command } from "commander";
import { StrongroomError } from "../base/errors.ts";
import { PROVISION_CHECKS } from "../keys/doctor-checks.ts";
import type { Result } from "../token/doctor/check.ts";
import { type CheckReport, type DoctorReport, runDoctor } from "../token/doctor/doctor.ts";
import { bold, dim, green, printJson, red, say, table, yellow } from "./terminal.ts";
import { chooseToken, pinPrompt, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

interface DoctorCommandOptions extends TokenOptions {
  readonly uri: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

/** A failed check that the vault can live without is a warning; of what only auditors need, a note. */
function resultText({ result, level }: CheckReport): string {
  const colour: Readonly<Record<Result, (text: string) => string>> = {
    pass: green,
    fail: level === "required" ? red : yellow,
    "not supported": level === "required" ? red : level === "auditor" ? dim : yellow,
  };
  return colour[result](result);
}

function print(report: DoctorReport): void {
  const out = (text: string): void => void process.stdout.write(`${text}\n`);
  const { token, host } = report;
  out(bold(`${report.device} (profile ${report.profile})`));
  if (token) out(dim(`token ${token.label}, serial ${token.serial}, ${token.model}`));
  out(dim(`Node.js ${host.node} with OpenSSL ${host.openssl}`));
  out("");
  const ofVault = report.checks.filter(({ level }) => level !== "auditor");
  out(
    table(
      ["check", "", "result", "detail"],
      ofVault.map((check) => [
        check.title,
        check.level === "required" ? "required" : dim("recommended"),
        resultText(check),
        check.detail,
      ]),
    ),
  );
  const ofAuditor = report.checks.filter(({ level }) => level === "auditor");
  if (ofAuditor.length > 0) {
    out("");
    out(
      table(
        ["for an auditor or a witness", "result", "detail"],
        ofAuditor.map((check) => [check.title, resultText(check), check.detail]),
      ),
    );
  }
  if (report.rates.length > 0) {
    out("");
    out(
      table(
        ["rate, one process", "per second"],
        report.rates.map(({ title, perSecond }) => [title, String(perSecond).padStart(10)]),
      ),
    );
  }
  out("");
}

/** One line that is written over and over, for people at a terminal only. */
function progress(title: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${title} …`);
}

async function doctor(options: DoctorCommandOptions): Promise<void> {
  const { uri, profileName } = chooseToken(options);
  const report = await runDoctor({
    uri,
    profile: profileName,
    quick: options.quick,
    prompt: pinPrompt("user PIN"),
    more: PROVISION_CHECKS,
    progress,
  });
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  if (options.json) printJson(report);
  else print(report);
  const failed = report.checks.filter(({ result, level }) => result !== "pass" && level !== "auditor");
  if (report.token)
    say(
      report.auditor
        ? "an auditor or a witness can run on this token"
        : dim("note: an auditor or a witness cannot run on this token, which no vault needs"),
    );
  if (report.usable) {
    const rest = failed.length === 0 ? "" : `; ${failed.length} recommended checks did not pass`;
    say(green(`the vault can run on this token${rest}`));
    return;
  }
  const required = failed.filter(({ level }) => level === "required");
  const [first] = required.filter(({ result }) => result === "fail").concat(required);
  if (!report.token)
    throw new StrongroomError("token-unsuitable", `the token could not be examined: ${first?.detail}`, {
      hint: report.hint ?? "`strongroom token list` shows which tokens are there",
    });
  throw new StrongroomError(
    "token-unsuitable",
    `the vault cannot run on this token: ${required.length} required ${required.length === 1 ? "check" : "checks"} did not pass, the first: ${first?.title}: ${first?.detail}`,
    { hint: "correct the device's configuration or its profile, then run the doctor again" },
  );
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("prove on throw-away keys that the vault can run on a token, and whether an auditor could")
    .addOption(uriOption().makeOptionMandatory())
    .addOption(profileOption())
    .option("--quick", "leave out the rates")
    .option("--json", "for machines, on stdout")
    .action(doctor);
}
