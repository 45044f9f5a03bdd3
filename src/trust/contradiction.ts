/**
 * Two signed statements that cannot both be honest (design §10). Whoever keeps them can show to anybody what an auditor
 * or a log did, long after the ones who did it have cleaned up. Runs in browsers.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { toHex, utf8 } from "../base/bytes.ts";
import type { Audit } from "../wire/audit.ts";
import type { Bundle } from "../wire/bundle.ts";

/** What was signed. */
export type Exhibit =
  | { readonly bundle: Bundle }
  /** A C2SP checkpoint, with its signatures. */
  | { readonly checkpoint: string }
  | { readonly audit: Audit };

export interface Contradiction {
  readonly type: "strongroom/contradiction/v1";
  readonly reason: "equivocation" | "broken-chain" | "forked-log";
  readonly namespace: string;
  /** For people. */
  readonly detail: string;
  /** What had been believed. */
  readonly first: Exhibit;
  /** What was shown afterwards. */
  readonly second: Exhibit;
  /**
   * For heads of different sizes: the leaf hashes (hex) of the second's tree, so that anybody can see that they lead
   * to its root, and that as many of them as the first has do not lead to the first's.
   */
  readonly leaves?: readonly string[];
}

/** JSON, the same for the same contradiction. */
export function encodeContradiction(contradiction: Contradiction): Uint8Array {
  return utf8(`${JSON.stringify(contradiction, null, 2)}\n`);
}

/** A name for its file: the same one each time that it is found. */
export function contradictionName(contradiction: Contradiction): string {
  const { reason, namespace } = contradiction;
  const hash = toHex(sha256(encodeContradiction(contradiction))).slice(0, 16);
  return `${namespace}-${reason}-${hash}.json`;
}
