/**
 * The validation bundle (design §10): all that a client needs to know offline that an announcement is genuine. Its
 * parts are only as good as src/trust finds them to be.
 */
import * as z from "zod";
import { concat, framed, fromHex, uintBE, utf8 } from "../base/bytes.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "./announcement.ts";
import { type Audit, auditSchema } from "./audit.ts";
import { encodeJson, parseJson } from "./json.ts";

export interface Bundle {
  readonly type: "strongroom/validation-bundle/v1";
  /** The announcement's exact bytes, as text. */
  readonly announcement: string;
  readonly audit: Audit;
  /** Whose countersignature: uncompressed P-256 point, 65 bytes, hex. */
  readonly operatorKey: string;
  /** ECDSA P-256 with SHA-256 over `countersignatureMessage`, r ‖ s, 64 bytes, hex. */
  readonly countersignature: string;
  /** C2SP tlog-proof: the entry's inclusion in the log, and the checkpoint with its signatures. */
  readonly proof: string;
}

export const MAX_BUNDLE_BYTES: number = 2 * MAX_ANNOUNCEMENT_BYTES + 64 * 1024;

export const bundleSchema: z.ZodType<Bundle> = z.strictObject({
  type: z.literal("strongroom/validation-bundle/v1"),
  announcement: z.string().max(MAX_ANNOUNCEMENT_BYTES),
  audit: auditSchema,
  operatorKey: z.string().regex(/^04[0-9a-f]{128}$/),
  countersignature: z.string().regex(/^[0-9a-f]{128}$/),
  proof: z.string().max(32 * 1024),
});

export function encodeBundle(bundle: Bundle): Uint8Array {
  return encodeJson(bundle);
}

/** @throws decode-failed */
export function decodeBundle(bytes: Uint8Array): Bundle {
  return parseJson(bytes, {
    what: "bundle",
    schema: bundleSchema,
    code: "decode-failed",
    maxBytes: MAX_BUNDLE_BYTES,
  });
}

/** What the operator's token countersigns: the auditor's signature, by whom and of what. */
export function countersignatureMessage(
  audit: Pick<Audit, "namespace" | "epoch" | "digest" | "signature">,
  /** SHA-256 of the auditor's public key, 32 bytes. */
  auditorKeyHash: Uint8Array,
): Uint8Array {
  return concat(
    utf8("strongroom/countersignature/v1\0"),
    framed(
      audit.namespace,
      uintBE(audit.epoch, 8),
      fromHex(audit.digest),
      auditorKeyHash,
      fromHex(audit.signature),
    ),
  );
}

/** The log's entry of an epoch: signed message ‖ auditor signature ‖ countersignature ‖ announcement digest, framed. */
export function logEntry(audit: Audit, countersignature: string): Uint8Array {
  return framed(
    fromHex(audit.serialized_message),
    fromHex(audit.signature),
    fromHex(countersignature),
    fromHex(audit.digest),
  );
}
