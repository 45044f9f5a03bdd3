/**
 * `strongroom bundle fetch`: brings verified bundles to the directory that a site serves. All epochs are fetched, since
 * clients that have been away walk through them; the newest is written last, and only then does a site take it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { StrongroomError } from "../base/errors.ts";
import { writeDurably } from "../base/node/durable-file.ts";
import { catchUp } from "../trust/catch-up.ts";
import type { Pins } from "../trust/pins.ts";
import { refused } from "../trust/refusal.ts";
import { announcementOf, follow, keysFor, type TrustState, timeText, untimely } from "../trust/state.ts";
import { verifyBundle } from "../trust/verify-bundle.ts";
import { decodeBundle } from "../wire/bundle.ts";
import { bundlePlace, epochsIn, readPins } from "./bundle-files.ts";
import { printJson, say } from "./terminal.ts";

interface FetchOptions {
  readonly from: string;
  readonly to: string;
  readonly pins: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** The newest that the directory has. What is not genuine there, the site does not serve either. */
async function known(dir: string, pins: Pins, now: number): Promise<TrustState | undefined> {
  if (!existsSync(dir)) return undefined;
  const place = bundlePlace(dir, pins.namespace);
  const last = (await epochsIn(dir)).at(-1);
  const bytes = last === undefined ? undefined : await place.bundleOf(last);
  if (!bytes) return undefined;
  return (await catchUp(bytes, { pins, state: undefined, now, bundleOf: place.bundleOf })).state;
}

/** Every epoch after what is known, each verified under the keys of the one before. @throws bundle-refused, file-failed */
async function walk(
  before: TrustState | undefined,
  pins: Pins,
  from: string,
): Promise<{ readonly state: TrustState; readonly bundles: ReadonlyMap<number, Uint8Array> }> {
  const place = bundlePlace(from, pins.namespace);
  const newest = await place.newest();
  const { epoch: last } = decodeBundle(newest).audit;
  const bundles = new Map<number, Uint8Array>();
  let state = before;
  // The one that is known once more: there may be another of its number now.
  for (let epoch = Math.max(state?.epoch ?? 0, pins.minimumEpoch); epoch <= last; epoch++) {
    const bytes = epoch === last ? newest : await place.bundleOf(epoch);
    if (!bytes) throw new StrongroomError("file-failed", `${from} has no bundle of epoch ${epoch}`);
    const verified = await verifyBundle(bytes, { keys: keysFor(state, pins, epoch), pins });
    if (verified.epoch !== epoch) throw refused("malformed", `offered as epoch ${epoch}`);
    const step = follow(state, pins, verified);
    if (step.refusal) throw step.refusal;
    state = step.state;
    bundles.set(epoch, bytes);
  }
  if (last < pins.minimumEpoch) throw refused("below-minimum", `${last} < ${pins.minimumEpoch}`);
  if (state === undefined || last < state.epoch) throw refused("older-epoch", `${last} < ${state?.epoch}`);
  return { state, bundles };
}

async function run({ from, to, pins: pinsFile, dryRun, json }: FetchOptions): Promise<void> {
  const pins = readPins(pinsFile);
  const now = Date.now();
  const { state, bundles } = await walk(await known(to, pins, now), pins, from);
  const { epoch, digest } = state;
  const announcement = announcementOf(state);
  const late = untimely(announcement, now);
  if (late) throw late;
  const missing = [...bundles].filter(([number]) => !existsSync(join(to, `${number}.json`)));
  if (!dryRun) for (const [number, bytes] of missing) await writeDurably(join(to, `${number}.json`), bytes);
  const written = missing.map(([number]) => number);
  say(
    written.length === 0
      ? `epoch ${epoch} was there already`
      : `${dryRun ? "dry run: would write" : "wrote"} epoch ${written.join(", ")} to ${to}`,
  );
  say(`epoch ${epoch} is valid until ${timeText(announcement.validUntil)}`);
  if (json) printJson({ epoch, digest, validUntil: announcement.validUntil, written });
}

/** The command, for bundle.ts. */
export function fetchCommand(): Command {
  return new Command("fetch")
    .description("fetch and verify new bundles for a site to serve")
    .requiredOption("--from <url|dir>", "an auditor, a mirror, or another site's /v1/fleet")
    .requiredOption("--to <dir>", "the directory that the site's configuration names as `bundles`")
    .requiredOption("--pins <file>", "whom to believe")
    .option("--dry-run", "verify, write nothing")
    .option("--json", "print the result as JSON on standard output")
    .action(run);
}
