/**
 * Verifies a validation bundle offline (design §10): that the auditor signed exactly this announcement, that the operator
 * countersigned that, and that both are in the log for everybody to see. One refusal for each thing that can be wrong.
 */
import { fromHex, toHex, utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { verifyEd25519 } from "../crypto/ed25519.ts";
import { type Checkpoint, type VerifiedCheckpoint, verifyCheckpoint } from "../merkle/checkpoint.ts";
import { logFaultOf } from "../merkle/fault.ts";
import { knownSignatures } from "../merkle/note.ts";
import { verifyInclusion } from "../merkle/proofs.ts";
import { parseTlogProof } from "../merkle/tlog-proof.ts";
import { leafHash } from "../merkle/tree.ts";
import { parseVkey } from "../merkle/vkey.ts";
import { type AnnouncedKeys, type Announcement, decodeAnnouncement } from "../wire/announcement.ts";
import { type Audit, auditMessage, statementOf } from "../wire/audit.ts";
import { type Bundle, countersignatureMessage, decodeBundle, logEntry } from "../wire/bundle.ts";
import type { Pins } from "./pins.ts";
import { type Refusal, refused } from "./refusal.ts";

/** A bundle that was found genuine under `keys`. */
export interface VerifiedEpoch {
  readonly epoch: number;
  /** SHA-256 of the announcement, hex. */
  readonly digest: string;
  readonly announcement: Announcement;
  readonly bundle: Bundle;
  /** What was trusted for this epoch, as given. */
  readonly keys: AnnouncedKeys;
  /** The checkpoint of its proof. */
  readonly checkpoint: Checkpoint;
  /** vkeys of the pinned witnesses that cosigned it. */
  readonly witnesses: readonly string[];
}

export interface VerifyOptions {
  /** Keys that are trusted for this epoch: those of the pins, or of the epoch before. */
  readonly keys: AnnouncedKeys;
  readonly pins: Pick<Pins, "namespace" | "witnesses" | "witnessQuorum">;
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(bytes)));
}

/** What an error means here. Only errors of this project are of the bundle: others are bugs, and say so. */
function as<T>(reason: Refusal | ((error: unknown) => Refusal), work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    throw refused(typeof reason === "string" ? reason : reason(error), error.message, error);
  }
}

/** Whoever signed: an unknown log. Everything else: no log at all. */
function logRefusal(error: unknown): Refusal {
  const fault = logFaultOf(error);
  const key = fault === "wrong-origin" || fault === "wrong-key" || fault === "bad-signature";
  return key ? "wrong-log-key" : "unlogged";
}

/**
 * That one of these keys signed an audit.
 * @param auditors Ed25519, hex
 * @returns the key, 32 bytes
 * @throws bundle-refused: malformed, wrong-auditor-key, bad-auditor-signature
 */
export function verifyAudit(audit: Audit, auditors: readonly string[]): Uint8Array {
  const statement = as("malformed", () => statementOf(audit));
  const named = auditors.map(fromHex).filter((key) => key[key.length - 1] === audit.key_id);
  if (named.length === 0) throw refused("wrong-auditor-key", `a key that ends in ${audit.key_id}`);
  const message = auditMessage(statement);
  const key = named.find((candidate) => verifyEd25519(candidate, message, fromHex(audit.signature)));
  if (!key) throw refused("bad-auditor-signature");
  return key;
}

/**
 * Whether the operator's countersignature of an audit verifies: ECDSA P-256 with SHA-256.
 * @param operatorKey uncompressed point, 65 bytes, hex
 * @param auditorKey Ed25519, 32 bytes
 */
async function verifyCountersignature(
  audit: Audit,
  operatorKey: string,
  countersignature: string,
  auditorKey: Uint8Array,
): Promise<boolean> {
  const message = countersignatureMessage(audit, await sha256(auditorKey));
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  try {
    const point = Uint8Array.from(fromHex(operatorKey));
    const key = await crypto.subtle.importKey("raw", point, curve, false, ["verify"]);
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = Uint8Array.from(fromHex(countersignature));
    return await crypto.subtle.verify(algorithm, key, signature, Uint8Array.from(message));
  } catch (error) {
    // Where the page has no secure context, say, nothing can be verified: that is not the bundle's fault.
    if (globalThis.crypto?.subtle === undefined) throw error;
    return false;
  }
}

/** Who signed an announcement, and that it is the one that was signed: all that there is before the log has it. */
export async function verifyAnnounced(
  announcementBytes: Uint8Array,
  audit: Audit,
  { keys, pins: { namespace } }: VerifyOptions,
): Promise<{ readonly announcement: Announcement; readonly auditorKey: Uint8Array }> {
  if (audit.namespace !== namespace) throw refused("wrong-namespace", audit.namespace);
  // Before it is read: what nobody signed has nothing to say.
  if (toHex(await sha256(announcementBytes)) !== audit.digest) throw refused("manifest-changed");
  const auditorKey = verifyAudit(audit, keys.auditors);
  const announcement = as("malformed", () => decodeAnnouncement(announcementBytes));
  if (announcement.namespace !== namespace) throw refused("wrong-namespace", announcement.namespace);
  if (announcement.epoch !== audit.epoch)
    throw refused("malformed", `audited as epoch ${audit.epoch}, announced as ${announcement.epoch}`);
  return { announcement, auditorKey };
}

/** A log's head that one of its trusted keys signed. @throws bundle-refused: wrong-log-key, unlogged */
function verifyHead(note: string, logs: readonly string[]): VerifiedCheckpoint {
  return as(logRefusal, () =>
    verifyCheckpoint(note, { logs: logs.map(parseVkey).filter(({ kind }) => kind === "note") }),
  );
}

/** @returns vkeys of the pinned witnesses that cosigned it @throws bundle-refused: too-few-witnesses */
function requireWitnesses(head: VerifiedCheckpoint, pins: VerifyOptions["pins"]): readonly string[] {
  const cosigners = pins.witnesses.map((vkey) => as("too-few-witnesses", () => parseVkey(vkey)));
  const cosigned = as("too-few-witnesses", () =>
    knownSignatures(
      head.note,
      cosigners.filter(({ kind }) => kind === "cosignature"),
    ),
  );
  // Of one key under two names only one counts.
  const keysOf = new Set(cosigned.map(({ key }) => toHex(key.publicKey)));
  if (keysOf.size < pins.witnessQuorum)
    throw refused("too-few-witnesses", `${keysOf.size} of ${pins.witnessQuorum}`);
  return cosigned.map(({ key }) => key.vkey);
}

/**
 * A log's head by itself: who signed it, and who has seen it.
 * @param logs C2SP vkeys that are trusted
 * @throws bundle-refused: wrong-log-key, unlogged, too-few-witnesses
 */
export function verifyLogHead(
  note: string,
  logs: readonly string[],
  pins: VerifyOptions["pins"],
): Pick<VerifiedEpoch, "checkpoint" | "witnesses"> {
  const head = verifyHead(note, logs);
  return { checkpoint: head.checkpoint, witnesses: requireWitnesses(head, pins) };
}

function verifyLogged(
  { proof, audit, countersignature }: Bundle,
  { keys, pins }: VerifyOptions,
): Pick<VerifiedEpoch, "checkpoint" | "witnesses"> {
  const { index, path, checkpoint: note } = as("unlogged", () => parseTlogProof(proof));
  const head = verifyHead(note, keys.logs);
  const { checkpoint } = head;
  as("unlogged", () => verifyInclusion(checkpoint, index, leafHash(logEntry(audit, countersignature)), path));
  if (index !== audit.epoch - 1) throw refused("unlogged", `it is epoch ${index + 1} there`);
  return { checkpoint, witnesses: requireWitnesses(head, pins) };
}

/**
 * Everything about one bundle that does not depend on when it is looked at or on what was seen before: signatures,
 * digest, inclusion. Validity, rollback and chain are src/trust/state.ts.
 * @throws bundle-refused with `details.reason`
 */
export async function verifyBundle(bytes: Uint8Array, options: VerifyOptions): Promise<VerifiedEpoch> {
  const bundle = as("malformed", () => decodeBundle(bytes));
  const { audit, operatorKey, countersignature } = bundle;
  const { announcement, auditorKey } = await verifyAnnounced(utf8(bundle.announcement), audit, options);
  if (!options.keys.operators.includes(operatorKey)) throw refused("wrong-operator-key");
  if (!(await verifyCountersignature(audit, operatorKey, countersignature, auditorKey)))
    throw refused("bad-countersignature");
  const logged = verifyLogged(bundle, options);
  const { epoch, digest } = audit;
  return { epoch, digest, announcement, bundle, keys: options.keys, ...logged };
}
