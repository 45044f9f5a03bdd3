/** A namespace as the page shows it: the walk from the visitor's pins, or from what the site says of itself. */
import { utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import type { Pins } from "../trust/pins.ts";
import { readable } from "../trust/published.ts";
import { type Refusal, refusalOf } from "../trust/refusal.ts";
import type { TrustSource } from "../trust/source.ts";
import type { TrustState } from "../trust/state.ts";
import { refusalsOf, type WalkedLog, walkLog } from "../trust/walk.ts";
import { decodeAnnouncement } from "../wire/announcement.ts";
import { type Bundle, decodeBundle } from "../wire/bundle.ts";

/** Why something is not believed. */
export interface Refused {
  readonly refusal: Refusal;
  /** For people who know the terms. */
  readonly detail: string;
  readonly epoch?: number | undefined;
}

export interface LogView extends WalkedLog {
  readonly namespace: string;
  /** Those that were given, or what the site says of itself. */
  readonly pins: Pins;
  readonly isPinned: boolean;
  /** What a visitor has to know first; undefined where all is well. */
  readonly refused: Refused | undefined;
}

export interface ReadOptions {
  readonly namespace: string;
  readonly pins: Pins | undefined;
  /** What this browser saw before, under these pins. */
  readonly remembered: TrustState | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly progress: (done: number, all: number) => void;
}

/** They prove that somebody lied; everything else may be a fault. */
const LIES: readonly Refusal[] = ["equivocation", "forked-log", "broken-chain"];

/** @throws what is no refusal: a bug, or a network that is down */
export function refusedBy(error: unknown, epoch?: number): Refused {
  const refusal = refusalOf(error) ?? (isStrongroomError(error, "decode-failed") ? "malformed" : undefined);
  if (refusal === undefined || !(error instanceof Error)) throw error;
  return { refusal, detail: error.message, epoch };
}

/** What a bundle says of itself: believed for the sake of the walk, and nothing is concluded from it. */
export function ownPins(namespace: string, bundle: Bundle | undefined): Pins {
  const announcement = bundle && readable(() => decodeAnnouncement(utf8(bundle.announcement)));
  return {
    type: "strongroom/pins/v1",
    namespace,
    keys: announcement?.keys ?? { auditors: [], operators: [], logs: [] },
    witnesses: [],
    witnessQuorum: 0,
    minimumEpoch: announcement?.epoch ?? 1,
  };
}

async function pinsOfSite(source: TrustSource, namespace: string): Promise<Pins> {
  const bytes = await source.get(`log/${namespace}/bundles/1.json`);
  return ownPins(namespace, bytes && readable(() => decodeBundle(bytes)));
}

function firstRefused(walked: WalkedLog): Refused | undefined {
  const all = refusalsOf(walked).map((error) => {
    const epoch = walked.epochs.find(({ refusal }) => refusal === error)?.epoch;
    return refusedBy(error, epoch);
  });
  return all.find(({ refusal }) => LIES.includes(refusal)) ?? all[0];
}

/** @returns undefined where nothing was ever announced @throws what the source throws */
export async function readLog(source: TrustSource, options: ReadOptions): Promise<LogView | undefined> {
  const { namespace, remembered, now, progress } = options;
  const pins = options.pins ?? (await pinsOfSite(source, namespace));
  const walked = await walkLog(source, { pins, seen: remembered, now, progress });
  if (!walked) return undefined;
  return {
    ...walked,
    namespace,
    pins,
    isPinned: options.pins !== undefined,
    refused: firstRefused(walked),
  };
}
