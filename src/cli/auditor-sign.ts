/**
 * `strongroom auditor sign`: the same as an operator's request over HTTP, for auditors whose machine has no network:
 * the same checks, the same files, the same anchor.
 */
import { Command } from "commander";
import type { AuditedNamespace } from "../auditor/namespace.ts";
import { StrongroomError } from "../base/errors.ts";
import { EVIDENCE_FILE } from "../ceremony/evidence-files.ts";
import { readEvidenceFiles } from "../ceremony/evidence-folder.ts";
import { openEvidence } from "../ceremony/evidence-statement.ts";
import { withNamespace } from "./auditor-namespace.ts";
import { dataOption } from "./auditor-serve.ts";
import { digestOf, readAnnouncement, readBytes } from "./bundle-files.ts";
import { printJson, say } from "./terminal.ts";

interface SignOptions {
  readonly data: string;
  readonly namespace?: string;
  readonly announcement: string;
  readonly evidence?: readonly string[];
  readonly dryRun?: boolean;
}

async function handIn(namespace: AuditedNamespace, dir: string): Promise<void> {
  const files = readEvidenceFiles(dir);
  const list = files.get(EVIDENCE_FILE)?.bytes;
  if (!list)
    throw new StrongroomError("evidence-invalid", `${dir} has no ${EVIDENCE_FILE}`, {
      hint: "`strongroom evidence build` makes it, `strongroom ceremony sign` signs it",
    });
  const id = digestOf(openEvidence(list).envelope.payload);
  for (const [path, { bytes }] of files)
    await namespace.putEvidence(id, path, bytes ?? readBytes(`${dir}/${path}`, "evidence"));
  say(`evidence ${id}: ${files.size} files`);
}

async function sign(options: SignOptions): Promise<void> {
  const { bytes, announcement } = readAnnouncement(options.announcement);
  const digest = digestOf(bytes);
  const name = options.namespace ?? announcement.namespace;
  await withNamespace(options.data, name, async (namespace) => {
    for (const dir of options.evidence ?? []) await handIn(namespace, dir);
    await namespace.putAnnouncement(digest, bytes);
    const { epoch } = announcement;
    if (options.dryRun) {
      await namespace.check(epoch, digest);
      say(`dry run: epoch ${epoch}, digest ${digest}, would be signed`);
      return;
    }
    const audit = await namespace.audit(epoch, digest);
    say(`epoch ${epoch} of ${name} is signed; the operator countersigns it next`);
    printJson(audit);
  });
}

/** The command, for auditor.ts. */
export function signCommand(): Command {
  return new Command("sign")
    .description("check an announcement and its evidence, and sign it; the audit goes to stdout")
    .requiredOption(...dataOption)
    .requiredOption("--announcement <file>", "what `strongroom bundle propose` wrote")
    .option("--namespace <name>", "default: the announcement's own")
    .option("--evidence <dir...>", "folders of ceremonies' evidence")
    .option("--dry-run", "check everything, sign nothing")
    .action(sign);
}
