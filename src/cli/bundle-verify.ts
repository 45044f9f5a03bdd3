/** `strongroom bundle verify | show | pins`: what a bundle says, and whether it is true. */

import { join } from "node:path";
import { Command, Option } from "commander";
import { utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { failedClaims } from "../ceremony/evidence-judge.ts";
import { verifyEvidence } from "../ceremony/evidence-verify.ts";
import { parseVkey } from "../merkle/vkey.ts";
import { catchUp } from "../trust/catch-up.ts";
import type { Pins } from "../trust/pins.ts";
import { refused } from "../trust/refusal.ts";
import { announcementOf, timeText } from "../trust/state.ts";
import { verifyBundle } from "../trust/verify-bundle.ts";
import { type Announcement, decodeAnnouncement } from "../wire/announcement.ts";
import { decodeBundle } from "../wire/bundle.ts";
import { decodeManifest, servingSites } from "../wire/manifest.ts";
import { evidenceHash } from "./auditor-exchange.ts";
import { bundlePlace, digestOf, readBundle, readBytes, readPins } from "./bundle-files.ts";
import { wholeNumber } from "./option-values.ts";
import { bold, dim, green, printJson, say, table, yellow } from "./terminal.ts";

interface VerifyOptions {
  readonly pins: string;
  readonly from?: string;
  readonly evidence?: readonly string[];
  readonly json?: boolean;
}

function fleetTable({ fleets }: Announcement): string {
  return table(
    ["fleet", "status", "sites", "manifest", "evidence"],
    fleets.map(({ manifest, status, manifestSha256, evidenceSha256 }) => [
      bold(manifest.fleet),
      status,
      servingSites(manifest)
        .map(({ name }) => name)
        .join(", "),
      manifestSha256.slice(0, 16),
      evidenceSha256?.slice(0, 16) ?? dim("none"),
    ]),
  );
}

/**
 * That a folder is the evidence of a fleet that is announced, and that all its claims hold.
 * @returns the fleet's name
 * @throws bundle-refused (evidence-mismatch); evidence-invalid, file-failed
 */
async function checkEvidence({ fleets }: Announcement, dir: string): Promise<string> {
  const hash = evidenceHash(dir);
  const fleet = fleets.find(({ evidenceSha256 }) => evidenceSha256 === hash);
  if (!fleet) throw refused("evidence-mismatch", `${dir} is that of no announced fleet`);
  const manifest = readBytes(join(dir, "manifest.json"), "the manifest of the evidence");
  const isSame = JSON.stringify(decodeManifest(manifest)) === JSON.stringify(fleet.manifest);
  if (digestOf(manifest) !== fleet.manifestSha256 || !isSame)
    throw refused("evidence-mismatch", `${dir} is of another manifest of ${fleet.manifest.fleet}`);
  const failed = failedClaims(await verifyEvidence(dir));
  if (failed.length > 0) throw refused("evidence-mismatch", `${dir}: ${failed.join(", ")}`);
  return fleet.manifest.fleet;
}

async function verify(
  file: string,
  { pins: pinsFile, from, evidence = [], json }: VerifyOptions,
): Promise<void> {
  const pins = readPins(pinsFile);
  const place = from === undefined ? undefined : bundlePlace(from, pins.namespace);
  const { bytes } = readBundle(file);
  const { state, refusal } = await catchUp(bytes, {
    pins,
    state: undefined,
    now: Date.now(),
    bundleOf: async (epoch) => place?.bundleOf(epoch),
  });
  if (refusal) throw refusal;
  if (!state) throw new StrongroomError("internal", "neither a state nor a refusal");
  const announcement = announcementOf(state);
  const checked: string[] = [];
  for (const dir of evidence) checked.push(await checkEvidence(announcement, dir));
  const { epoch, digest, checkpoint, bundle } = state;
  if (json)
    printJson({
      genuine: true,
      namespace: state.namespace,
      epoch,
      digest,
      auditedAt: bundle.audit.timestamp,
      validUntil: announcement.validUntil,
      log: checkpoint,
      fleets: announcement.fleets.map(({ manifest, ...fleet }) => ({ fleet: manifest.fleet, ...fleet })),
      evidence: checked,
    });
  else process.stdout.write(`${fleetTable(announcement)}\n`);
  say(
    green(
      `epoch ${epoch} of ${state.namespace} is genuine, valid until ${timeText(announcement.validUntil)}`,
    ),
  );
  say(
    `  the auditor signed it, the operator countersigned it, and entry ${epoch - 1} of ${checkpoint.origin} is it`,
  );
  for (const name of checked) say(`  the evidence of fleet ${name} holds`);
  const unseen = announcement.fleets.filter(({ manifest }) => !checked.includes(manifest.fleet));
  if (unseen.length > 0)
    say(
      dim(`  not looked at here: the evidence of ${unseen.map(({ manifest }) => manifest.fleet).join(", ")}`),
    );
}

function show(file: string, { json }: { readonly json?: boolean }): void {
  const { bundle } = readBundle(file);
  const announcement = decodeAnnouncement(utf8(bundle.announcement));
  if (json) {
    printJson({ ...bundle, announcement });
    return;
  }
  const { epoch, namespace, createdAt, validUntil, keys } = announcement;
  say(yellow("nothing is verified here: strongroom bundle verify does that"));
  process.stdout.write(`${fleetTable(announcement)}\n`);
  const rows: readonly (readonly [string, string])[] = [
    ["epoch", `${epoch} of ${namespace}`],
    ["digest", bundle.audit.digest],
    ["made", timeText(createdAt)],
    ["valid until", timeText(validUntil)],
    ["audited", timeText(bundle.audit.timestamp)],
    ...keys.auditors.map((key) => ["auditor", key] as const),
    ...keys.operators.map((key) => ["operator", key] as const),
    ...keys.logs.map((key) => ["log", key] as const),
  ];
  process.stdout.write(`\n${table(["what", "it says"], rows)}\n`);
}

interface PinsOptions {
  readonly from?: string;
  readonly namespace?: string;
  readonly witness: readonly string[];
  readonly witnessQuorum?: number;
}

/** @throws usage, bundle-refused */
async function pins(file: string | undefined, options: PinsOptions): Promise<void> {
  const { from, namespace, witness } = options;
  if ((file === undefined) === (from === undefined))
    throw new StrongroomError("usage", "name either a bundle's file or --from", {
      hint: "e.g. `strongroom bundle pins 1.json`, or --from https://auditor.example --namespace vault.example",
    });
  if (from !== undefined && namespace === undefined)
    throw new StrongroomError("usage", "--from needs --namespace");
  const bytes =
    file === undefined ? await bundlePlace(from ?? "", namespace ?? "").newest() : readBundle(file).bytes;
  const bundle = decodeBundle(bytes);
  const { keys, epoch, namespace: name } = decodeAnnouncement(utf8(bundle.announcement));
  for (const vkey of witness)
    if (parseVkey(vkey).kind !== "cosignature")
      throw new StrongroomError("usage", `${vkey} is no witness's key`);
  const made: Pins = {
    type: "strongroom/pins/v1",
    namespace: name,
    keys,
    witnesses: witness,
    witnessQuorum: options.witnessQuorum ?? witness.length,
    minimumEpoch: epoch,
  };
  if (made.witnessQuorum > witness.length)
    throw new StrongroomError("usage", "the quorum is larger than the number of witnesses");
  // An epoch that ends a rotation is signed under keys that it no longer announces: pins cannot begin there.
  await verifyBundle(bytes, { keys, pins: made });
  printJson(made);
  say(
    yellow(
      "these keys are what the bundle says of itself: compare them with auditor and operator, by another way",
    ),
  );
  for (const key of keys.auditors) say(`  auditor   ${key}`);
  for (const key of keys.operators)
    say(`  operator  ${sha256HexOf(key).slice(0, 32)} (${key.slice(0, 24)}…)`);
  for (const key of keys.logs) say(`  log       ${key}`);
}

/** The command, for bundle.ts. */
export function verifyCommand(): Command {
  return new Command("verify")
    .description("verify a bundle as a client does; no network is needed")
    .argument("<file>", "the bundle")
    .requiredOption("--pins <file>", "whom to believe")
    .option("--from <url|dir>", "where the epochs between lie, if keys have changed since the pins")
    .option("--evidence <dir...>", "also verify these folders as evidence of its fleets")
    .option("--json", "print the result as JSON on standard output")
    .action(verify);
}

/** The command, for bundle.ts. */
export function showCommand(): Command {
  return new Command("show")
    .description("print what a bundle says, without verifying anything")
    .argument("<file>", "the bundle")
    .option("--json", "print it as JSON")
    .action(show);
}

/** The command, for bundle.ts. */
export function pinsCommand(): Command {
  return new Command("pins")
    .description(
      "print the pins that a bundle would be verified with; people compare them before an app ships them",
    )
    .argument("[file]", "the bundle")
    .option("--from <url|dir>", "or the newest bundle there")
    .option("--namespace <name>", "with --from: the operator's name in the log")
    .addOption(new Option("--witness <vkey...>", "witnesses of the log").default([], "none"))
    .option("--witness-quorum <n>", "how many of them must have cosigned (default: all)", wholeNumber(0, 16))
    .action(pins);
}
