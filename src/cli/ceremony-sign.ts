/** `strongroom ceremony sign`: an officer approves the plan before the ceremony, and signs the evidence after it. */
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { fromHex } from "../base/bytes.ts";
import { approvePlan, requireOfficer } from "../ceremony/approve.ts";
import { CeremonyFolder } from "../ceremony/ceremony-folder.ts";
import { addOfficerSignature } from "../ceremony/evidence-build.ts";
import { EVIDENCE_FILE } from "../ceremony/evidence-files.ts";
import { readOfficerKey } from "../ceremony/officer-key.ts";
import { placePlan } from "../ceremony/place-plan.ts";
import { readPlan } from "../ceremony/read-plan.ts";
import { planIn } from "../ceremony/station-run.ts";
import { wordLines, wordsOf } from "../ceremony/words.ts";
import { say } from "./terminal.ts";

interface SignOptions {
  readonly officer: string;
  readonly key: string;
  readonly plan?: string;
}

async function sign(dir: string, { officer, key, plan: path }: SignOptions): Promise<void> {
  const signer = readOfficerKey(key);
  if (path !== undefined) {
    requireOfficer(readPlan(path).plan, officer, signer);
    placePlan(path, dir);
  }
  const folder = new CeremonyFolder(resolve(dir));
  const { plan, planHash } = planIn(folder);
  if (folder.has(EVIDENCE_FILE)) {
    requireOfficer(plan, officer, signer);
    const signed = await addOfficerSignature(folder.dir, signer);
    say(`officers that have signed the evidence: ${signed}; needed: ${plan.officers.quorum}`);
    return;
  }
  const approved = await approvePlan(folder, officer, signer);
  say(`plan ${planHash}`);
  for (const line of wordLines(wordsOf(fromHex(planHash)))) say(line);
  say(`approved by ${approved.join(", ")}; needed: ${plan.officers.quorum}`);
}

/** For ceremony.ts. */
export function ceremonySignCommand(): Command {
  return new Command("sign")
    .description("approve the plan, or, when the evidence has been built, sign it")
    .argument("<dir>", "the ceremony's directory")
    .requiredOption("--officer <name>", "the officer, as the plan has it")
    .requiredOption("--key <file>", "Ed25519 private key, PKCS#8 PEM, mode 0600")
    .addOption(new Option("--plan <file>", "put this plan into the directory first"))
    .action(sign);
}
