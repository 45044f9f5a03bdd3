/**
 * Two signed statements that cannot both be honest (design §10). Whoever keeps them can show to anybody what an auditor
 * or a log did, long after the ones who did it have cleaned up. Runs in browsers.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { z } from "zod";
import { equal, fromHex, toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import type { Checkpoint } from "../merkle/checkpoint.ts";
import { rootOf } from "../merkle/tree.ts";
import { NAMESPACE_PATTERN, sha256Hex } from "../wire/announcement.ts";
import { type Audit, auditSchema } from "../wire/audit.ts";
import { type Bundle, bundleSchema, encodeBundle, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { encodeJson, parseJson } from "../wire/json.ts";
import type { Pins } from "./pins.ts";
import { refused } from "./refusal.ts";
import { type VerifiedEpoch, verifyAudit, verifyBundle, verifyLogHead } from "./verify-bundle.ts";

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
  return encodeJson(contradiction);
}

/** A name for its file: the same one each time that it is found. */
export function contradictionName(contradiction: Contradiction): string {
  const { reason, namespace } = contradiction;
  const hash = toHex(sha256(encodeContradiction(contradiction))).slice(0, 16);
  return `${namespace}-${reason}-${hash}.json`;
}

const MAX_LEAVES = 1_000_000;
const MAX_CONTRADICTION_BYTES = 4 * MAX_BUNDLE_BYTES + 70 * MAX_LEAVES;

const exhibitSchema: z.ZodType<Exhibit> = z.union([
  z.strictObject({ bundle: bundleSchema }),
  z.strictObject({ checkpoint: z.string().max(MAX_BUNDLE_BYTES) }),
  z.strictObject({ audit: auditSchema }),
]);

const schema: z.ZodType<Contradiction> = z.strictObject({
  type: z.literal("strongroom/contradiction/v1"),
  reason: z.enum(["equivocation", "broken-chain", "forked-log"]),
  namespace: z.string().regex(NAMESPACE_PATTERN),
  detail: z.string().max(1_000),
  first: exhibitSchema,
  second: exhibitSchema,
  leaves: z.array(sha256Hex).max(MAX_LEAVES).exactOptional(),
});

/** @throws decode-failed */
export function decodeContradiction(bytes: Uint8Array): Contradiction {
  return parseJson(bytes, {
    what: "proof",
    schema,
    code: "decode-failed",
    maxBytes: MAX_CONTRADICTION_BYTES,
  });
}

/** What was signed, as far as each kind of exhibit says. */
interface Testimony {
  readonly audit?: Audit;
  readonly verified?: VerifiedEpoch;
  readonly head?: Checkpoint;
}

/** Who has cosigned does not matter for who has signed. */
async function testimonyOf(exhibit: Exhibit, { namespace, keys }: Pins): Promise<Testimony> {
  const pins = { namespace, witnesses: [], witnessQuorum: 0 };
  if ("bundle" in exhibit) {
    const verified = await verifyBundle(encodeBundle(exhibit.bundle), { keys, pins });
    return { verified, audit: exhibit.bundle.audit, head: verified.checkpoint };
  }
  if ("checkpoint" in exhibit) return { head: verifyLogHead(exhibit.checkpoint, keys.logs, pins).checkpoint };
  const { audit } = exhibit;
  verifyAudit(audit, keys.auditors);
  if (audit.namespace !== namespace) throw refused("wrong-namespace", audit.namespace);
  return { audit };
}

function differInEpoch({ audit: first }: Testimony, { audit: second }: Testimony): boolean {
  return (
    first !== undefined && first.epoch === second?.epoch && JSON.stringify(first) !== JSON.stringify(second)
  );
}

function areTorn({ verified: first }: Testimony, { verified: second }: Testimony): boolean {
  if (!first || !second || second.epoch !== first.epoch + 1) return false;
  return second.announcement.previous !== first.digest;
}

function areForked(
  { head: first }: Testimony,
  { head: second }: Testimony,
  leaves: readonly Uint8Array[] | undefined,
): boolean {
  if (!first || !second || first.origin !== second.origin) return false;
  if (first.size === second.size) return !equal(first.root, second.root);
  if (first.size > second.size || leaves?.length !== second.size) return false;
  return equal(rootOf(leaves), second.root) && !equal(rootOf(leaves.slice(0, first.size)), first.root);
}

/**
 * That both exhibits were signed under the pinned keys, and that they do contradict each other: whoever finds such a
 * file need not trust whoever wrote it.
 * @throws bundle-refused with the reason for an exhibit that is not genuine; decode-failed where they go together
 */
export async function verifyContradiction(contradiction: Contradiction, pins: Pins): Promise<void> {
  const { reason, leaves } = contradiction;
  if (contradiction.namespace !== pins.namespace) throw refused("wrong-namespace", contradiction.namespace);
  const first = await testimonyOf(contradiction.first, pins);
  const second = await testimonyOf(contradiction.second, pins);
  const proves = {
    equivocation: () => differInEpoch(first, second),
    "broken-chain": () => areTorn(first, second),
    "forked-log": () => areForked(first, second, leaves?.map(fromHex)),
  }[reason];
  if (!proves()) throw new StrongroomError("decode-failed", `the two statements do not prove ${reason}`);
}
