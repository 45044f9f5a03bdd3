/** `strongroom bundle propose`: writes the announcement of the next epoch, and shows what it would change. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { catchUp } from "../trust/catch-up.ts";
import {
  type AnnouncedFleet,
  type AnnouncedKeys,
  type Announcement,
  decodeAnnouncement,
  encodeAnnouncement,
  type FleetStatus,
} from "../wire/announcement.ts";
import { encodeJson } from "../wire/json.ts";
import { decodeManifest } from "../wire/manifest.ts";
import { auditorAt, evidenceHash } from "./auditor-exchange.ts";
import { changesBetween } from "./bundle-changes.ts";
import { bundlePlace, digestOf, readBundle, readBytes, readPins, writeOnce } from "./bundle-files.ts";
import { printJson, say } from "./terminal.ts";

interface ProposeOptions {
  readonly namespace?: string;
  readonly previous?: string;
  readonly from?: string;
  readonly pins?: string;
  readonly fleet?: readonly string[];
  readonly drop?: readonly string[];
  readonly evidence?: readonly string[];
  readonly auditorKey?: readonly string[];
  readonly operatorKey?: readonly string[];
  readonly logKey?: readonly string[];
  readonly validDays: string;
  readonly out?: string;
  readonly submit?: string;
  readonly operatorToken?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const DAY_MS = 86_400_000;
const STATUSES: readonly FleetStatus[] = ["active", "draining", "revoked"];

interface Previous {
  readonly announcement: Announcement;
  /** SHA-256, hex. */
  readonly digest: string;
}

/** @throws usage, bundle-refused, decode-failed, file-failed */
async function previousOf({
  previous,
  from,
  pins: pinsFile,
  namespace,
}: ProposeOptions): Promise<Previous | undefined> {
  if (previous === undefined && from === undefined) return undefined;
  if (previous !== undefined && from !== undefined)
    throw new StrongroomError("usage", "write either --previous or --from");
  const pins = pinsFile === undefined ? undefined : readPins(pinsFile);
  const before = previous === undefined ? undefined : readBundle(previous);
  const name = pins?.namespace ?? before?.bundle.audit.namespace ?? namespace;
  if (from !== undefined && pins === undefined)
    throw new StrongroomError("usage", "--from needs --pins: what a server says is not believed");
  if (pins && name !== undefined) {
    const place = from === undefined ? undefined : bundlePlace(from, name);
    const bytes = place ? await place.newest() : (before?.bytes ?? new Uint8Array(0));
    const bundleOf = place?.bundleOf ?? (async () => undefined);
    // Whether it has expired does not matter for what follows it.
    const { state, refusal } = await catchUp(bytes, { pins, state: undefined, now: Date.now(), bundleOf });
    if (!state || (refusal && refusal.details.reason !== "expired"))
      throw refusal ?? new StrongroomError("internal", "neither a state nor a refusal");
    return announcementIn(state.bundle.announcement);
  }
  return before && announcementIn(before.bundle.announcement);
}

function announcementIn(text: string): Previous {
  const bytes = utf8(text);
  return { announcement: decodeAnnouncement(bytes), digest: digestOf(bytes) };
}

/** `manifest.json=active`, or a known fleet's name in place of the file. @throws usage, manifest-invalid, file-failed */
function fleetOf(argument: string, known: ReadonlyMap<string, AnnouncedFleet>): AnnouncedFleet {
  const at = argument.lastIndexOf("=");
  const [what, given] = [argument.slice(0, at), argument.slice(at + 1)];
  const status = STATUSES.find((one) => one === given);
  if (at < 1 || status === undefined)
    throw new StrongroomError("usage", `--fleet ${argument} says no status`, {
      hint: `write e.g. manifest.json=active; statuses are ${STATUSES.join(", ")}`,
    });
  const old = known.get(what);
  if (old && !existsSync(what)) return { ...old, status };
  const bytes = readBytes(what, "the manifest");
  const manifestSha256 = digestOf(bytes);
  const manifest = decodeManifest(bytes);
  const before = known.get(manifest.fleet);
  const evidence = before?.manifestSha256 === manifestSha256 ? before.evidenceSha256 : undefined;
  return {
    status,
    manifest,
    manifestSha256,
    ...(evidence === undefined ? {} : { evidenceSha256: evidence }),
  };
}

/** Of which fleet a folder's evidence is, its manifest says. @throws usage, evidence-invalid, file-failed */
function withEvidence(fleets: Map<string, AnnouncedFleet>, dir: string): void {
  const hash = digestOf(readBytes(join(dir, "manifest.json"), "the manifest of the evidence"));
  const fleet = [...fleets.values()].find(({ manifestSha256 }) => manifestSha256 === hash);
  if (!fleet)
    throw new StrongroomError("usage", `the evidence in ${dir} is of none of the fleets`, {
      hint: "its manifest.json is another one than those of --fleet",
    });
  fleets.set(fleet.manifest.fleet, { ...fleet, evidenceSha256: evidenceHash(dir) });
}

function keysOf(options: ProposeOptions, before: AnnouncedKeys | undefined): AnnouncedKeys {
  const { auditorKey, operatorKey, logKey } = options;
  const keys = {
    auditors: auditorKey ?? before?.auditors,
    operators: operatorKey ?? before?.operators,
    logs: logKey ?? before?.logs,
  };
  const { auditors, operators, logs } = keys;
  if (auditors && operators && logs) return { auditors, operators, logs };
  throw new StrongroomError("usage", "the first epoch says all keys", {
    hint: "--auditor-key and --log-key are what `strongroom auditor init` prints, --operator-key what `strongroom bundle key` prints",
  });
}

/** @throws usage, decode-failed with what is wrong of the whole */
function announcementOf(options: ProposeOptions, previous: Previous | undefined, now: number): Uint8Array {
  const before = previous?.announcement;
  const namespace = options.namespace ?? before?.namespace;
  if (namespace === undefined)
    throw new StrongroomError("usage", "the first epoch needs --namespace", {
      hint: "for a later one, name the bundle before: --previous FILE, or --from URL --pins FILE",
    });
  if (before && namespace !== before.namespace)
    throw new StrongroomError("usage", `the epoch before is of the namespace ${before.namespace}`);
  const days = Number(options.validDays);
  if (!(days > 0)) throw new StrongroomError("usage", "--valid-days takes a number of days");
  const fleets = new Map(before?.fleets.map((fleet) => [fleet.manifest.fleet, fleet]));
  for (const argument of options.fleet ?? []) {
    const fleet = fleetOf(argument, fleets);
    fleets.set(fleet.manifest.fleet, fleet);
  }
  for (const name of options.drop ?? [])
    if (!fleets.delete(name)) throw new StrongroomError("usage", `--drop ${name}: there is no such fleet`);
  for (const dir of options.evidence ?? []) withEvidence(fleets, dir);
  const bytes = encodeAnnouncement({
    type: "strongroom/announcement/v1",
    namespace,
    epoch: (before?.epoch ?? 0) + 1,
    ...(previous === undefined ? {} : { previous: previous.digest }),
    createdAt: now,
    validUntil: now + Math.round(days * DAY_MS),
    keys: keysOf(options, before?.keys),
    fleets: [...fleets.values()],
  });
  decodeAnnouncement(bytes);
  return bytes;
}

async function propose(options: ProposeOptions): Promise<void> {
  if (options.submit !== undefined && options.operatorToken === undefined)
    throw new StrongroomError("usage", "--submit needs --operator-token FILE");
  const previous = await previousOf(options);
  const bytes = announcementOf(options, previous, Date.now());
  const announcement = decodeAnnouncement(bytes);
  const { epoch, namespace } = announcement;
  const digest = digestOf(bytes);
  say(`epoch ${epoch} of ${namespace}`);
  for (const line of changesBetween(previous?.announcement, announcement)) say(`  ${line}`);
  const file = options.out ?? `announcement-${epoch}.json`;
  if (options.dryRun) {
    say(`dry run: ${file} would be written, digest ${digest}`);
    return;
  }
  await writeOnce(file, bytes);
  say(`written to ${file}, digest ${digest}`);
  const auditFile = await submit(options, { namespace, epoch, digest, bytes, file });
  if (options.json)
    printJson({ namespace, epoch, digest, file, ...(auditFile === undefined ? {} : { audit: auditFile }) });
}

async function submit(
  { submit: url, operatorToken, evidence = [] }: ProposeOptions,
  proposed: { namespace: string; epoch: number; digest: string; bytes: Uint8Array; file: string },
): Promise<string | undefined> {
  if (url === undefined || operatorToken === undefined) {
    say(
      "hint: the auditor signs it next; then `strongroom bundle countersign`, which can also bring it there",
    );
    return undefined;
  }
  const { namespace, epoch, digest, bytes } = proposed;
  const auditor = auditorAt(url, namespace, operatorToken);
  for (const dir of evidence) say(`evidence ${dir}: ${await auditor.putEvidence(dir)} files sent`);
  await auditor.putAnnouncement(digest, bytes);
  const audit = await auditor.audit(epoch, digest);
  const file = join(dirname(proposed.file), `audit-${epoch}.json`);
  await writeOnce(file, encodeJson(audit));
  say(`the auditor has signed it: ${file}`);
  return file;
}

/** The command, for bundle.ts. */
export function proposeCommand(): Command {
  return new Command("propose")
    .description("write the announcement of the next epoch")
    .option(
      "--previous <file>",
      "the bundle of the epoch before; without it and --from it is the first epoch",
    )
    .option("--from <url|dir>", "take the newest bundle from there")
    .option("--pins <file>", "verify the bundle before with these")
    .option("--namespace <name>", "the operator's name in the log")
    .option("--fleet <manifest=status...>", "a manifest's file, or a known fleet's name, and its status")
    .option("--drop <fleet...>", "no longer announce these fleets")
    .option("--evidence <dir...>", "folders of the ceremonies' evidence")
    .option("--auditor-key <hex...>", "auditors that are trusted from the next epoch on (default: as before)")
    .option("--operator-key <hex...>", "countersign keys, the same")
    .option("--log-key <vkey...>", "the log's keys, the same")
    .option("--valid-days <n>", "how long it is valid", "90")
    .option("--out <file>", "where to write it (default: announcement-EPOCH.json)")
    .option("--submit <url>", "hand it to the auditor and fetch its audit (audit-EPOCH.json)")
    .option("--operator-token <file>", "the operator's token for the auditor")
    .option("--dry-run", "show what it would change, write nothing")
    .option("--json", "print the result as JSON on standard output")
    .action(propose);
}
