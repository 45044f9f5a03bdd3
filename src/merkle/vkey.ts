/**
 * Verifier keys of signed notes (C2SP signed-note, tlog-cosignature): who a key belongs to, what it signs, and the short
 * id by which its signatures name it. Ed25519 only, as this design uses nothing else. Runs in browsers.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, toHex, utf8 } from "../base/bytes.ts";
import { logInvalid } from "./fault.ts";
import { fromBase64, toBase64 } from "./lines.ts";

/** "note": signs a note's text (type 01). "cosignature": signs time and text of a checkpoint (cosignature/v1, type 04). */
export type KeyKind = "note" | "cosignature";

const TYPE_BYTES: Readonly<Record<KeyKind, number>> = { note: 1, cosignature: 4 };

export interface VerifierKey {
  readonly kind: KeyKind;
  /** The log's origin, or the witness's name. */
  readonly name: string;
  /** SHA-256(name ‖ 0A ‖ type ‖ key)[:4], hex. */
  readonly id: string;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** `name+id+base64(type ‖ key)`. */
  readonly vkey: string;
}

const PUBLIC_KEY_BYTES = 32;
const MAX_NAME_CHARACTERS = 200;

/** Not empty, no Unicode spaces, no plus, no control characters. */
export function isKeyName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_NAME_CHARACTERS && !/[\s+\p{Cc}]/u.test(name);
}

/** @throws log-invalid (not-canonical) for a name that is none, or a key of another length */
export function verifierKey(kind: KeyKind, name: string, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name))
    throw logInvalid("not-canonical", "a key name is not empty and has neither spaces nor +");
  if (publicKey.length !== PUBLIC_KEY_BYTES)
    throw logInvalid("not-canonical", `an Ed25519 key has ${PUBLIC_KEY_BYTES} bytes`);
  const typed = concat(Uint8Array.of(TYPE_BYTES[kind]), publicKey);
  const id = toHex(sha256(concat(utf8(`${name}\n`), typed)).slice(0, 4));
  return { kind, name, id, publicKey, vkey: `${name}+${id}+${toBase64(typed)}` };
}

/** @throws log-invalid: not-canonical; wrong-key where the id is not that of name and key */
export function parseVkey(vkey: string): VerifierKey {
  const malformed = (detail: string): Error => logInvalid("not-canonical", `a vkey ${detail}`);
  // base64 may hold a plus, name and id may not.
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{44})$/.exec(vkey) ?? [];
  if (name === undefined || id === undefined || encoded === undefined)
    throw malformed("is name+id+base64 of an Ed25519 key");
  const typed = fromBase64(encoded);
  const kind = (["note", "cosignature"] as const).find((each) => TYPE_BYTES[each] === typed[0]);
  if (kind === undefined) throw malformed(`of type ${typed[0]} is none that is used here`);
  const key = verifierKey(kind, name, typed.slice(1));
  if (key.id !== id) throw logInvalid("wrong-key", `the id of ${name}'s vkey is not that of its key`);
  return key;
}
