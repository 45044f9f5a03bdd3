/**
 * What a failed call means for the write it carried, in one table.
 *
 * The rule is the cautious one: a write counts as not applied only where etcd says so before it proposes the
 * write, or where it never left this process. Time-outs, resets, cancellations, and every word that is not in
 * the table may hide a write that was applied, or that will be.
 */
import { status } from "@grpc/grpc-js";

/**
 * - not-applied: certainly not; another member may do better.
 * - refused: certainly not, and no other member will do it either.
 * - no-space: the cluster is over its quota; see below.
 * - unknown: perhaps, and perhaps only later.
 */
type Fate = "not-applied" | "refused" | "no-space" | "unknown";

export interface Failure {
  readonly fate: Fate;
  /** For the log. */
  readonly message: string;
  readonly hint?: string | undefined;
  /** Whether it speaks against the member, so that others should be preferred for a while. */
  readonly memberAtFault: boolean;
}

export type Answer =
  | { readonly ok: true; readonly message: Uint8Array }
  | { readonly ok: false; readonly failure: Failure };

interface Meaning {
  readonly code: status;
  readonly details: string;
  readonly fate: Fate;
  readonly hint?: string;
  readonly memberAtFault?: boolean;
}

const PREFIX_HINT =
  "grant the vault's role readwrite on the store's prefix, and give its certificate that user as CN";

/** By code and exact text (rpctypes/error.go); the places that raise them were read in etcd 3.4 to 3.6. */
const MEANINGS: readonly Meaning[] = [
  // The interceptor of `hasleader` calls, before anything else.
  {
    code: status.UNAVAILABLE,
    details: "etcdserver: no leader",
    fate: "not-applied",
    memberAtFault: true,
  },
  {
    code: status.UNAVAILABLE,
    details: "etcdserver: rpc not supported for learner",
    fate: "not-applied",
    memberAtFault: true,
  },
  // Too far behind in applying what is committed; said before the proposal.
  {
    code: status.RESOURCE_EXHAUSTED,
    details: "etcdserver: too many requests",
    fate: "not-applied",
    memberAtFault: true,
  },
  // Permissions changed between the check and its use.
  {
    code: status.INVALID_ARGUMENT,
    details: "etcdserver: revision of auth store is old",
    fate: "not-applied",
  },
  {
    code: status.PERMISSION_DENIED,
    details: "etcdserver: permission denied",
    fate: "refused",
    hint: PREFIX_HINT,
  },
  {
    code: status.INVALID_ARGUMENT,
    details: "etcdserver: user name is empty",
    fate: "refused",
    hint: PREFIX_HINT,
  },
  {
    code: status.UNAUTHENTICATED,
    details: "etcdserver: invalid auth token",
    fate: "refused",
    hint: PREFIX_HINT,
  },
  {
    code: status.INVALID_ARGUMENT,
    details: "etcdserver: request is too large",
    fate: "refused",
  },
  {
    code: status.OUT_OF_RANGE,
    details: "etcdserver: mvcc: required revision has been compacted",
    fate: "refused",
    hint: "it took longer than the history is kept; take fewer shards at a time",
  },
  // Said before the proposal, but also after it: the write that takes the database over its quota is applied and
  // answered with this (quotaApplierV3), so it settles nothing by itself.
  {
    code: status.RESOURCE_EXHAUSTED,
    details: "etcdserver: mvcc: database space exceeded",
    fate: "no-space",
    hint: "compact and defragment the cluster, then disarm its alarm; or give it more quota, or more clusters",
  },
];

/** Classifies the status that ended a call. */
export function failureOf(code: status, details: string): Failure {
  const known = MEANINGS.find((one) => one.code === code && one.details === details);
  return {
    fate: known?.fate ?? "unknown",
    message: details,
    hint: known?.hint,
    memberAtFault: known === undefined || known.memberAtFault === true,
  };
}

/** What a handshake that failed should make the operator look at. */
const CONNECTION_HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /alert (?:bad certificate|certificate required|unknown ca|certificate unknown|certificate expired)/,
    "the member refuses this site's certificate: store.etcd.tls.cert must be in date, from the members' --trusted-ca-file",
  ],
  [
    /unable to verify|self.signed|unable to get|ALTNAME|does not match certificate|expired/,
    "the member's certificate must be in date, from store.etcd.tls.ca, and name the address it is reached at",
  ],
];

/** A call that was never made, because the member could not be reached. `reason` as gRPC words it. */
export function notConnected(reason: string): Failure {
  const line = reason.replaceAll("\n", " ");
  const inner = /Last error: (.*?)(?:\. Resolution note:.*)?$/.exec(line)?.[1] ?? line;
  const alert = /SSL routines:[^:]*:(?:ssl\w*|tls\w*) (alert [a-z ]+)/.exec(inner)?.[1];
  return {
    fate: "not-applied",
    message: alert === undefined ? inner.replace(/^Error: /, "") : `TLS ${alert}`,
    hint: CONNECTION_HINTS.find(([pattern]) => pattern.test(inner))?.[1],
    memberAtFault: true,
  };
}

/** A call that was never made, for a reason on this side. */
export function notSent(message: string): Failure {
  return { fate: "not-applied", message, memberAtFault: false };
}
