/**
 * C2SP signed notes: a text, an empty line, and signatures by named keys. Signatures by keys that nobody knows are
 * ignored, as any log may add witnesses; one that claims to be by a known key must verify. Runs in browsers.
 */
import { concat, fromHex, toHex, uintBE, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { verifyEd25519 } from "../crypto/ed25519.ts";
import { logInvalid } from "./fault.ts";
import { fromBase64, requireText, toBase64 } from "./lines.ts";
import { isKeyName, type VerifierKey } from "./vkey.ts";

/** Sixteen signatures of the largest kind in use (ML-DSA-44, base64) and a text. */
export const MAX_NOTE_CHARACTERS: number = 128 * 1024;
const MAX_SIGNATURES = 64;

export interface NoteSignature {
  readonly name: string;
  /** Four bytes, hex. */
  readonly keyId: string;
  /** What follows the id: for cosignatures, the time (8 bytes) before the signature. */
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** Ends in a line end. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Ed25519 over the message, 64 bytes: a token does it. */
export type Sign = (message: Uint8Array) => Promise<Uint8Array>;

/** A signature that verified. */
export interface KnownSignature {
  readonly key: VerifierKey;
  readonly signature: NoteSignature;
  /** Seconds since the Unix epoch: when a cosignature was made. */
  readonly time?: number;
}

const SIGNATURE_LINE = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/;
const SIGNATURE_BYTES = 64;
const TIME_BYTES = 8;

/** @throws log-invalid (not-canonical) */
function parseSignatureLine(line: string): NoteSignature {
  const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
  if (name === undefined || encoded === undefined || !isKeyName(name))
    throw logInvalid("not-canonical", "a signature line is a dash, a key name and base64");
  const bytes = fromBase64(encoded);
  if (bytes.length < 5) throw logInvalid("not-canonical", `the signature by ${name} is empty`);
  return { name, keyId: toHex(bytes.slice(0, 4)), signature: bytes.slice(4) };
}

/** Lines as a witness answers them: one or more, each with its line end. @throws log-invalid (not-canonical, too-large) */
export function parseSignatureLines(text: string): readonly NoteSignature[] {
  requireText(text, MAX_NOTE_CHARACTERS, "the signatures");
  const lines = text.slice(0, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw logInvalid("too-large", `more than ${MAX_SIGNATURES} signatures`);
  return lines.map(parseSignatureLine);
}

/** @throws log-invalid (not-canonical, too-large) */
export function parseNote(note: string): SignedNote {
  requireText(note, MAX_NOTE_CHARACTERS, "the note");
  // The last empty line ends the text; a text may hold empty lines.
  const end = note.lastIndexOf("\n\n");
  if (end < 0) throw logInvalid("not-canonical", "the note has no signatures");
  const signatures = note.slice(end + 2);
  if (signatures === "") throw logInvalid("not-canonical", "the note has no signatures");
  return { text: note.slice(0, end + 1), signatures: parseSignatureLines(signatures) };
}

export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  return `— ${name} ${toBase64(concat(fromHex(keyId), signature))}\n`;
}

export function formatNote({ text, signatures }: SignedNote): string {
  return `${text}\n${signatures.map(formatSignature).join("")}`;
}

/** What a cosigner signs (tlog-cosignature, Ed25519 signed message). @param time seconds since the Unix epoch */
function cosignedMessage(text: string, time: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${time}\n${text}`);
}

function verifiedTime(key: VerifierKey, text: string, signature: Uint8Array): number | undefined {
  const { publicKey } = key;
  if (key.kind === "note") return verifyEd25519(publicKey, utf8(text), signature) ? 0 : undefined;
  if (signature.length !== TIME_BYTES + SIGNATURE_BYTES) return undefined;
  const time = Number(new DataView(signature.buffer, signature.byteOffset).getBigUint64(0));
  if (!Number.isSafeInteger(time)) return undefined;
  return verifyEd25519(publicKey, cosignedMessage(text, time), signature.slice(TIME_BYTES))
    ? time
    : undefined;
}

/**
 * The signatures by known keys, which may be none; at most one for each key: the newest.
 * @throws log-invalid (bad-signature) where one that is said to be by a known key does not verify
 */
export function knownSignatures(note: SignedNote, keys: readonly VerifierKey[]): readonly KnownSignature[] {
  const known = new Map<string, KnownSignature>();
  for (const signature of note.signatures) {
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.keyId);
    if (!key) continue;
    const time = verifiedTime(key, note.text, signature.signature);
    if (time === undefined)
      throw logInvalid("bad-signature", `the one by ${key.name} with the key id ${key.id}`);
    const before = known.get(key.vkey);
    if (before && (before.time ?? 0) >= time) continue;
    known.set(key.vkey, { key, signature, ...(key.kind === "cosignature" ? { time } : {}) });
  }
  return [...known.values()];
}

/**
 * As `knownSignatures`, but at least one of these keys must have signed.
 * @throws log-invalid: bad-signature; wrong-key where none of the keys signed
 */
export function verifyNote(note: SignedNote, keys: readonly VerifierKey[]): readonly KnownSignature[] {
  const signatures = knownSignatures(note, keys);
  if (signatures.length > 0) return signatures;
  const names = note.signatures.map(({ name, keyId }) => `${name} ${keyId}`).join(", ");
  throw logInvalid("wrong-key", `it is signed by ${names}`);
}

/** @throws internal for a cosigner's key; what `sign` throws */
export async function signNote(text: string, key: VerifierKey, sign: Sign): Promise<NoteSignature> {
  if (key.kind !== "note") throw new StrongroomError("internal", "a cosigner's key signs no notes");
  return { name: key.name, keyId: key.id, signature: await sign(utf8(text)) };
}

/** @param time seconds since the Unix epoch @throws internal for a key of another kind; what `sign` throws */
export async function cosign(
  text: string,
  time: number,
  key: VerifierKey,
  sign: Sign,
): Promise<NoteSignature> {
  if (key.kind !== "cosignature") throw new StrongroomError("internal", "this key makes no cosignatures");
  const signature = await sign(cosignedMessage(text, time));
  return { name: key.name, keyId: key.id, signature: concat(uintBE(time, TIME_BYTES), signature) };
}
