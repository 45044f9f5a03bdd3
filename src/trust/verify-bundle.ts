/** Verifies a validation bundle offline. */
import type { AnnouncedKeys, Announcement } from "../wire/announcement.ts";
import type { Bundle } from "../wire/bundle.ts";
import type { Pins } from "./pins.ts";

/** A bundle that was found genuine under `keys`. */
export interface VerifiedEpoch {
  readonly epoch: number;
  /** SHA-256 of the announcement, hex. */
  readonly digest: string;
  readonly announcement: Announcement;
  readonly bundle: Bundle;
  /** The checkpoint of its proof. */
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: Uint8Array };
  /** vkeys of the pinned witnesses that cosigned it. */
  readonly witnesses: readonly string[];
}

export interface VerifyOptions {
  /** Keys that are trusted for this epoch: those of the pins, or of the epoch before. */
  readonly keys: AnnouncedKeys;
  readonly pins: Pick<Pins, "namespace" | "witnesses" | "witnessQuorum">;
}

/**
 * Everything about one bundle that does not depend on when it is looked at or on what was seen before: signatures,
 * digest, inclusion. Validity, rollback and chain are src/trust/state.ts.
 * @throws bundle-refused with `details.reason`
 */
export type VerifyBundle = (bytes: Uint8Array, options: VerifyOptions) => Promise<VerifiedEpoch>;
