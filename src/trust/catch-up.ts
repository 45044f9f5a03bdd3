/**
 * From what is remembered (or from the pins alone) to the newest bundle. Where its keys are not trusted yet, they were
 * announced by an epoch in between: then every epoch on the way is verified under the keys of the one before it.
 */
import { isStrongroomError } from "../base/errors.ts";
import { decodeBundle } from "../wire/bundle.ts";
import type { Pins } from "./pins.ts";
import { type Refusal, refusalOf, refused } from "./refusal.ts";
import { type Advance, advance, follow, keysFor, type TrustState } from "./state.ts";
import { type VerifiedEpoch, verifyBundle } from "./verify-bundle.ts";

export interface CatchUpOptions {
  readonly pins: Pins;
  readonly state: TrustState | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** The bundle of an epoch, from anywhere; undefined where nobody has it. */
  readonly bundleOf: (epoch: number) => Promise<Uint8Array | undefined>;
}

/** What a rotation looks like. Audits name their key by one byte only, which old and new one may share. */
const ROTATED: readonly (Refusal | undefined)[] = [
  "wrong-auditor-key",
  "bad-auditor-signature",
  "wrong-operator-key",
  "wrong-log-key",
];
/** Whoever serves a bundle must not be able to keep a phone busy for a day. */
const MAX_EPOCHS = 2_000;

/** What a bundle says of itself. */
function claimedEpoch(bytes: Uint8Array): number {
  try {
    return decodeBundle(bytes).audit.epoch;
  } catch (cause) {
    throw refused("malformed", cause instanceof Error ? cause.message : undefined, cause);
  }
}

/**
 * Brings a state up to a bundle that somebody offers as the newest.
 * @returns the state to store, and the refusal if there is one; errors of `bundleOf` are thrown
 */
export async function catchUp(newest: Uint8Array, options: CatchUpOptions): Promise<Advance> {
  const { pins, now, bundleOf } = options;
  let { state } = options;
  try {
    const claimed = claimedEpoch(newest);
    // The keys of epochs before these are not known any more; whether such a bundle is genuine does not matter.
    if (claimed < pins.minimumEpoch) throw refused("below-minimum", `${claimed} < ${pins.minimumEpoch}`);
    if (claimed < (state?.epoch ?? 0)) throw refused("older-epoch", `${claimed} < ${state?.epoch}`);
    const verify = (bytes: Uint8Array, epoch: number): Promise<VerifiedEpoch> =>
      verifyBundle(bytes, { keys: keysFor(state, pins, epoch), pins });
    let unknownKey: unknown;
    try {
      return advance(state, pins, await verify(newest, claimed), now);
    } catch (error) {
      if (!ROTATED.includes(refusalOf(error))) throw error;
      unknownKey = error;
    }
    const next =
      state !== undefined && state.epoch >= pins.minimumEpoch ? state.epoch + 1 : pins.minimumEpoch;
    if (claimed <= next || claimed - next > MAX_EPOCHS) throw unknownKey;
    for (let epoch = next; epoch < claimed; epoch++) {
      const bytes = await bundleOf(epoch);
      if (bytes === undefined) throw unknownKey;
      if (claimedEpoch(bytes) !== epoch) throw refused("malformed", `offered as epoch ${epoch}`);
      const step = follow(state, pins, await verify(bytes, epoch));
      if (step.refusal) return step;
      state = step.state;
    }
    return advance(state, pins, await verify(newest, claimed), now);
  } catch (error) {
    if (isStrongroomError(error, "bundle-refused")) return { state, refusal: error };
    throw error;
  }
}
