/**
 * How many token calls an operation costs, and where: stated once, for the calculator that predicts (sizing.ts)
 * and for the bench that measures against it.
 *
 * Counted are calls of the operations that raw rates are measured for; attribute reads and the making and ending
 * of objects are in those rates. Opening a channel between two sites costs each of them one call an hour and is
 * left out. Repetitions and hedged requests come on top.
 */
import { holderSets } from "../keys/holder-sets.ts";

/** `ecdh` uses a token object, `ecdhSessionObject` a key that lives for one request. */
export const TOKEN_CALLS = ["ecdh", "ecdhSessionObject", "unwrap", "keygen", "wrap", "hmac", "sign"] as const;

type TokenCall = (typeof TOKEN_CALLS)[number];
export type CallCounts = Readonly<Record<TokenCall, number>>;

/**
 * Calls of one operation at each kind of site. Shares are dealt evenly over the sites that take part, and who gets
 * one more varies by record, so counts are means and may be fractions.
 */
export interface SiteCalls {
  /** The site that the client asked. */
  readonly coordinator: CallCounts;
  /** Each of the other t − 1 that take part. */
  readonly peer: CallCounts;
  /** Each of the n − t that do not. */
  readonly bystander: CallCounts;
}

interface OperationCalls {
  /** What the vault does for an operation, whatever the fleet: both messages together. */
  readonly vault: Partial<CallCounts>;
  /** For each share that is created or evaluated. */
  readonly share: Partial<CallCounts>;
  /** Where shares are spread (t > 1): what a taking-part site does besides, since it believes no other site. */
  readonly site: Partial<CallCounts>;
  /** Where shares are spread: for each share that a site holds, whether it takes part or not. */
  readonly heldShare: Partial<CallCounts>;
}

const CALLS: Readonly<Record<"recovery" | "registration", OperationCalls>> = {
  recovery: {
    // Two envelopes, and the static Diffie-Hellman by two derivations; the record id of an account that was not
    // seen lately; the cookie's key and the keys of the old and the new record, in each of the two messages.
    vault: { ecdh: 4, hmac: 7 },
    // Its tag, the key itself, two derivations.
    share: { hmac: 1, unwrap: 1, ecdhSessionObject: 2 },
    // The record id that the account's token speaks of. A guard that knows nothing of the record, having missed
    // its announcement or lost its disk, also reads it and checks the tags first: once, and not counted.
    site: { hmac: 1 },
    heldShare: {},
  },
  registration: {
    vault: { ecdh: 2, hmac: 7, sign: 1 },
    share: { keygen: 1, hmac: 1, ecdhSessionObject: 2, wrap: 1 },
    site: { hmac: 1 },
    // The announcement: every site checks the tags that it can.
    heldShare: { hmac: 1 },
  },
};

/** `factor` times the calls of each part, added up. */
function total(...parts: readonly (readonly [factor: number, calls: Partial<CallCounts>])[]): CallCounts {
  const counts = (call: TokenCall): number =>
    parts.reduce((sum, [factor, calls]) => sum + factor * (calls[call] ?? 0), 0);
  return Object.fromEntries(TOKEN_CALLS.map((call) => [call, counts(call)])) as Record<TokenCall, number>;
}

/** C(n, t − 1). @throws config-invalid outside n in {1, 3, 5, 7} and t from 1 to the majority */
export function shareCount(sites: number, threshold: number): number {
  return holderSets(sites, threshold).length;
}

function siteCalls(operation: OperationCalls, sites: number, threshold: number): SiteCalls {
  const shares = shareCount(sites, threshold);
  const evaluated = shares / threshold;
  // Every share has n − t + 1 holders.
  const held = (shares * (sites - threshold + 1)) / sites;
  const { vault, share, site, heldShare } = operation;
  const spread = threshold > 1 ? 1 : 0;
  const always = [spread * held, heldShare] as const;
  const evaluates = [[evaluated, share], [spread, site], always] as const;
  return {
    coordinator: total([1, vault], ...evaluates),
    peer: total(...evaluates),
    bystander: total(always),
  };
}

/** Both messages of a recovery that succeeds. @throws config-invalid */
export function callsPerRecovery(sites: number, threshold: number): SiteCalls {
  return siteCalls(CALLS.recovery, sites, threshold);
}

/** Both messages of a registration, and its announcement. @throws config-invalid */
export function callsPerRegistration(sites: number, threshold: number): SiteCalls {
  return siteCalls(CALLS.registration, sites, threshold);
}
