/**
 * What one site of a fleet does for another (design §4, §7): hold its shares, evaluate them behind its guard, and
 * hear of new registrations. The coordinator of a request calls the same interface on its own site and, through a
 * sealed channel, on its peers.
 *
 * Whoever calls is not trusted: a peer may be compromised. What protects an account is checked by the site that
 * holds the share: the account's token, the tag of each share, and the guard.
 */
import type { SharePolicy } from "../vault/evaluator.ts";
import type { Share } from "../vault/record.ts";

/** Makes shares of a new OPRF key and evaluates them. */
export interface CreateShares extends SharePolicy {
  /** The account's token (scope register), as the client sent it; the site derives the record id from it. */
  readonly accountToken: string;
  /** Uncompressed and on the curve, 65 bytes. */
  readonly blindedElement: Uint8Array;
  /** Numbers of shares that the site holds keys of, ascending. */
  readonly numbers: readonly number[];
}

export interface CreatedShares {
  /** One per number, in their order. */
  readonly shares: readonly Share[];
  /** Σ k_E·P over them, uncompressed, 65 bytes. */
  readonly partial: Uint8Array;
}

export interface EvaluateShares extends SharePolicy {
  /** The account's token (scope recover). One token authorises one evaluation, repetitions of it apart. */
  readonly accountToken: string;
  readonly blindedElement: Uint8Array;
  /** Shares that the site holds keys of, ascending by number. */
  readonly shares: readonly Share[];
  /** The number of the attempt in its generation; from 1. */
  readonly seq: number;
  /** seq at the last proven success, and the receipt that proves it (64 bytes; empty where base is 0). */
  readonly base: number;
  readonly lastReceipt: Uint8Array;
}

export interface EvaluatedShares {
  /** Σ k_E·P over the shares, uncompressed, 65 bytes. */
  readonly partial: Uint8Array;
}

/** A finished registration: from now on the site refuses lower generations of the record. */
export interface Announcement extends SharePolicy {
  /** Every share of the record whose keys the receiving site holds; fewer are refused. */
  readonly shares: readonly Share[];
}

/** One line each, for `fleet status` and for peers that choose whom to ask. */
export interface SiteStatus {
  readonly site: string;
  readonly token: { readonly ok: boolean; readonly detail: string };
  readonly store: { readonly ok: boolean; readonly detail: string };
  /** Requests being worked on. */
  readonly inFlight: number;
  /** SHA-256 of the manifest that the site serves, hex. */
  readonly manifest: string;
  /** Milliseconds since the Unix epoch, by the site's clock. */
  readonly now: number;
}

export interface SiteService {
  /** @throws unauthorized, invalid-request; guard-refused for a generation that is complete already; token errors */
  create(request: CreateShares): Promise<CreatedShares>;
  /**
   * @throws unauthorized, invalid-request; guard-refused (details.reason), rate-limited (details.retryAfter);
   *   record-corrupt for a tag that does not verify; token and store errors
   */
  evaluate(request: EvaluateShares): Promise<EvaluatedShares>;
  /** @throws invalid-request where none of the shares is the site's; record-corrupt; token and store errors */
  announce(request: Announcement): Promise<void>;
  status(): Promise<SiteStatus>;
}
