/**
 * How the vault's rules reach the OPRF shares. A fleet of one evaluates in its own token; a fleet of many asks
 * t sites, each behind its guard. The rules cannot tell the difference.
 */
import type { Share } from "./record.ts";

/** What a share is bound to by its tag. */
export interface SharePolicy {
  readonly recordId: Uint8Array;
  readonly generation: number;
  /** Compressed P-256 point, 33 bytes. */
  readonly receiptPublicKey: Uint8Array;
  readonly maxAttempts: number;
}

interface CreateRequest extends SharePolicy {
  /** Uncompressed and on the curve, 65 bytes. */
  readonly blindedElement: Uint8Array;
  /** The account's token, for sites that verify it themselves. */
  readonly accountToken: string;
}

interface EvaluateRequest extends SharePolicy {
  readonly blindedElement: Uint8Array;
  readonly shares: readonly Share[];
  /** This attempt's number, and what a guard checks it against. */
  readonly seq: number;
  readonly base: number;
  readonly lastReceipt: Uint8Array;
  readonly accountToken: string;
}

/** A registration that is durable. */
export interface Registered extends SharePolicy {
  readonly shares: readonly Share[];
}

export interface Evaluator {
  /**
   * Creates the shares of a new OPRF key and evaluates it: k·P, uncompressed.
   * @throws token errors; in a fleet of many also peer-unavailable, and what most sites refused with
   */
  create(
    request: CreateRequest,
  ): Promise<{ readonly shares: readonly Share[]; readonly evaluated: Uint8Array }>;
  /**
   * k·P, uncompressed.
   * @throws record-corrupt for a tag that does not verify; token errors; in a fleet of many also peer-unavailable,
   *   and what most sites refused with
   */
  evaluate(request: EvaluateRequest): Promise<Uint8Array>;
  /** Tells all sites that hold shares; absent where there is only one. @throws peer-unavailable for those not reached */
  announce?(registered: Registered): Promise<void>;
}
