/**
 * `strongroom bundle countersign`: the operator's token says that what the auditor signed is the operator's own. Everything
 * is verified first; after it there is no way back, as the log never forgets.
 */

import { Command } from "commander";
import { equal, toHex, utf8 } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256HexOf, sha256Of } from "../base/node/sha256.ts";
import { countersign, countersignKey, countersignPoint } from "../keys/countersign.ts";
import { rememberCountersigned } from "../keys/countersigned.ts";
import { openSession } from "../token/open.ts";
import { refused } from "../trust/refusal.ts";
import { untimely } from "../trust/state.ts";
import { verifyAnnounced, verifyBundle } from "../trust/verify-bundle.ts";
import { type AnnouncedKeys, type Announcement, decodeAnnouncement } from "../wire/announcement.ts";
import type { Audit } from "../wire/audit.ts";
import { countersignatureMessage } from "../wire/bundle.ts";
import { encodeJson } from "../wire/json.ts";
import { auditorAt, decodeAudit } from "./auditor-exchange.ts";
import { changesBetween } from "./bundle-changes.ts";
import { readAnnouncement, readBundle, readBytes, writeOnce } from "./bundle-files.ts";
import { MAX_COUNTERSIGN_KEYS } from "./bundle-key.ts";
import { printJson, say } from "./terminal.ts";
import {
  type ChosenToken,
  chooseToken,
  pinPrompt,
  profileOption,
  type TokenOptions,
  uriOption,
} from "./token-options.ts";

interface CountersignOptions extends TokenOptions {
  readonly announcement: string;
  readonly audit?: string;
  readonly previous?: string;
  readonly auditor?: string;
  readonly operatorToken?: string;
  readonly evidence?: readonly string[];
  readonly out?: string;
  readonly memory: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface Proposed {
  readonly bytes: Uint8Array;
  /** SHA-256, hex. */
  readonly digest: string;
  readonly announcement: Announcement;
  readonly before: Announcement | undefined;
  /** Trusted for this epoch: those of the one before, or its own for the first. */
  readonly keys: AnnouncedKeys;
}

/** @throws usage, bundle-refused, decode-failed, file-failed */
function proposedIn({ announcement: file, previous }: CountersignOptions): Proposed {
  const { bytes, announcement } = readAnnouncement(file);
  const late = untimely(announcement, Date.now());
  if (late) throw late;
  const digest = sha256HexOf(bytes);
  if (announcement.epoch === 1)
    return { bytes, digest, announcement, before: undefined, keys: announcement.keys };
  if (previous === undefined)
    throw new StrongroomError("usage", `epoch ${announcement.epoch} needs --previous`, {
      hint: "the bundle of the epoch before says which keys are trusted for this one",
    });
  const last = utf8(readBundle(previous).bundle.announcement);
  if (sha256HexOf(last) !== announcement.previous) throw refused("broken-chain", previous);
  const before = decodeAnnouncement(last);
  return { bytes, digest, announcement, before, keys: before.keys };
}

async function auditFor(
  options: CountersignOptions,
  { bytes, digest, announcement }: Proposed,
): Promise<Audit> {
  const { audit, auditor: url, operatorToken } = options;
  if (audit !== undefined) return decodeAudit(readBytes(audit, "the audit"), audit);
  if (url === undefined || operatorToken === undefined)
    throw new StrongroomError("usage", "nothing says where the audit is", {
      hint: "--audit FILE, or --auditor URL with --operator-token FILE",
    });
  const auditor = auditorAt(url, announcement.namespace, operatorToken);
  for (const dir of options.evidence ?? [])
    say(`evidence ${dir}: ${await auditor.putEvidence(dir)} files sent`);
  await auditor.putAnnouncement(digest, bytes);
  return auditor.audit(announcement.epoch, digest);
}

interface Countersigned {
  readonly operatorKey: string;
  readonly countersignature: string;
}

/** Signs with whichever of the token's keys is trusted. @throws key-missing; token errors */
async function signIn(
  { uri, profileName: profile }: ChosenToken,
  { announcement: { namespace, epoch }, digest, keys }: Proposed,
  message: Uint8Array,
  memory: boolean,
): Promise<Countersigned> {
  const prompt = pinPrompt("user PIN");
  for (let index = 0; index < MAX_COUNTERSIGN_KEYS; index++) {
    const key = countersignKey(namespace, index);
    const { session } = await openSession({ uri, profile, keys: [key] }, { prompt });
    try {
      const operatorKey = toHex(countersignPoint(session, key));
      if (!keys.operators.includes(operatorKey)) continue;
      if (memory) rememberCountersigned(session, namespace, epoch, digest);
      return { operatorKey, countersignature: toHex(countersign(session, key, message)) };
    } catch (error) {
      if (!isStrongroomError(error, "key-missing")) throw error;
      break;
    } finally {
      session.close();
    }
  }
  throw new StrongroomError(
    "key-missing",
    "the token has no countersign key that is trusted for this epoch",
    {
      hint: `trusted are: ${keys.operators.map((point) => `${point.slice(0, 16)}…`).join(", ")}`,
    },
  );
}

async function run(options: CountersignOptions): Promise<void> {
  const proposed = proposedIn(options);
  const { announcement, keys, bytes, digest } = proposed;
  const { namespace, epoch } = announcement;
  say(`epoch ${epoch} of ${namespace}, digest ${digest}`);
  for (const line of changesBetween(proposed.before, announcement)) say(`  ${line}`);
  const chosen = chooseToken(options);
  if (options.dryRun && options.audit === undefined) {
    say("dry run: the auditor was not asked, nothing was signed");
    return;
  }
  const audit = await auditFor(options, proposed);
  const pins = { namespace, witnesses: [], witnessQuorum: 0 };
  const { auditorKey } = await verifyAnnounced(bytes, audit, { keys, pins });
  say(`the auditor ${toHex(auditorKey).slice(0, 16)}… has signed exactly this`);
  if (options.dryRun) {
    say("dry run: nothing was signed");
    return;
  }
  const message = countersignatureMessage(audit, sha256Of(auditorKey));
  const request = { epoch, ...(await signIn(chosen, proposed, message, options.memory)) };
  say(`countersigned under ${request.operatorKey.slice(0, 16)}…`);
  if (options.auditor === undefined || options.operatorToken === undefined) {
    const out = options.out ?? `countersignature-${epoch}.json`;
    await writeOnce(out, encodeJson(request));
    say(`written to ${out}`);
    say("hint: the auditor logs the epoch when it has this: strongroom auditor log --countersignature FILE");
    if (options.json) printJson({ ...request, file: out });
    return;
  }
  const answer = await auditorAt(options.auditor, namespace, options.operatorToken).countersign(request);
  const verified = await verifyBundle(answer, { keys, pins });
  if (verified.digest !== digest || !equal(utf8(verified.bundle.announcement), bytes))
    throw refused("equivocation", "the auditor answered with the bundle of another announcement");
  const out = options.out ?? `${epoch}.json`;
  await writeOnce(out, answer);
  say(`epoch ${epoch} is in the log of ${verified.checkpoint.origin}; the bundle is in ${out}`);
  say("hint: sites take it with `strongroom bundle fetch`; clients hear of it from them");
  if (options.json) printJson({ ...request, digest, file: out, logSize: verified.checkpoint.size });
}

/** The command, for bundle.ts. */
export function countersignCommand(): Command {
  return new Command("countersign")
    .description("verify what the auditor signed, and countersign it in the operator's token")
    .requiredOption("--announcement <file>", "what `strongroom bundle propose` wrote")
    .option("--previous <file>", "the bundle of the epoch before; not for the first epoch")
    .option("--audit <file>", "the auditor's signature, where it came on a stick")
    .option("--auditor <url>", "hand everything to the auditor, and fetch the bundle")
    .option("--operator-token <file>", "the operator's token for the auditor")
    .option("--evidence <dir...>", "folders of ceremonies' evidence that the auditor does not have yet")
    .addOption(uriOption())
    .addOption(profileOption())
    .option("--out <file>", "where to write (default: EPOCH.json, or countersignature-EPOCH.json)")
    .option("--no-memory", "for tokens without data objects: do not remember there what was countersigned")
    .option("--dry-run", "verify only")
    .option("--json", "print the result as JSON on standard output")
    .action(run);
}
