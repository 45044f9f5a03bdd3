/**
 * What sites send each other, as it travels in HTTP bodies (design §7); `aad` is everything before the ciphertext.
 *
 *     opening  = version 1 ‖ kind 1 ‖ kid 8 ‖ enc 65 ‖ ciphertext
 *     opened   = version 1 ‖ kind 2 ‖ channel 16 ‖ ephemeral 65 ‖ ciphertext
 *     request  = version 1 ‖ kind 3 ‖ channel 16 ‖ counter 8 ‖ ciphertext
 *     answer   = version 1 ‖ kind 4 ‖ channel 16 ‖ counter 8 ‖ ciphertext
 *
 * A refusal in the clear is JSON, as in the rest of the service, and is believed by nobody.
 */
import { concat, fromUtf8, uintBE, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { CHANNEL_ID_BYTES, KEY_ID_BYTES, UNCOMPRESSED_POINT_BYTES } from "./limits.ts";

export const SITE_CONTENT_TYPE = "application/vnd.strongroom.site";
/** A channel ends before its counters reach this: 2³² messages under one key (NIST SP 800-38D §8.3). */
export const MAX_COUNTER: number = 2 ** 32 - 1;

const VERSION = 1;
const COUNTER_BYTES = 8;
const TAG_BYTES = 16;
const KINDS = { opening: 1, opened: 2, request: 3, answer: 4 } as const;
type Kind = keyof typeof KINDS;

/** The lengths of the two fields between kind and ciphertext. */
const FIELDS: Readonly<Record<Kind, readonly [number, number]>> = {
  opening: [KEY_ID_BYTES, UNCOMPRESSED_POINT_BYTES],
  opened: [CHANNEL_ID_BYTES, UNCOMPRESSED_POINT_BYTES],
  request: [CHANNEL_ID_BYTES, COUNTER_BYTES],
  answer: [CHANNEL_ID_BYTES, COUNTER_BYTES],
};

interface Sealed {
  readonly aad: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export interface OpeningFrame extends Sealed {
  readonly kid: Uint8Array;
  /** The KEM's encapsulated key: an uncompressed point, not yet checked. */
  readonly enc: Uint8Array;
}

export interface OpenedFrame extends Sealed {
  readonly channel: Uint8Array;
  /** The responder's, uncompressed and not yet checked. */
  readonly ephemeral: Uint8Array;
}

export interface MessageFrame extends Sealed {
  readonly channel: Uint8Array;
  /** 1 to MAX_COUNTER; the answer has that of its request. */
  readonly counter: number;
}

/** Everything that an opening's ciphertext is bound to. */
export function openingHead(kid: Uint8Array, enc: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(VERSION, KINDS.opening), kid, enc);
}

export function openedHead(channel: Uint8Array, ephemeral: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(VERSION, KINDS.opened), channel, ephemeral);
}

export function messageHead(kind: "request" | "answer", channel: Uint8Array, counter: number): Uint8Array {
  return concat(Uint8Array.of(VERSION, KINDS[kind]), channel, uintBE(counter, COUNTER_BYTES));
}

/** What a body claims to be; undefined for what is none of ours. */
export function frameKind(body: Uint8Array): Kind | undefined {
  if (body[0] !== VERSION) return undefined;
  return (Object.keys(KINDS) as Kind[]).find((kind) => KINDS[kind] === body[1]);
}

function split(kind: Kind, body: Uint8Array): Sealed & { first: Uint8Array; second: Uint8Array } {
  const [first, second] = FIELDS[kind];
  const end = 2 + first + second;
  if (frameKind(body) !== kind || body.length < end + TAG_BYTES)
    throw new StrongroomError("decode-failed", `not the ${kind} of a channel of this version`);
  return {
    first: body.subarray(2, 2 + first),
    second: body.subarray(2 + first, end),
    aad: body.subarray(0, end),
    ciphertext: body.subarray(end),
  };
}

/** @throws decode-failed */
export function splitOpening(body: Uint8Array): OpeningFrame {
  const { first: kid, second: enc, aad, ciphertext } = split("opening", body);
  return { kid, enc, aad, ciphertext };
}

/** @throws decode-failed */
export function splitOpened(body: Uint8Array): OpenedFrame {
  const { first: channel, second: ephemeral, aad, ciphertext } = split("opened", body);
  return { channel, ephemeral, aad, ciphertext };
}

/** @throws decode-failed */
export function splitMessage(kind: "request" | "answer", body: Uint8Array): MessageFrame {
  const { first: channel, second, aad, ciphertext } = split(kind, body);
  const counter = new DataView(second.buffer, second.byteOffset, COUNTER_BYTES).getBigUint64(0);
  if (counter < 1n || counter > BigInt(MAX_COUNTER))
    throw new StrongroomError("decode-failed", "a counter out of range");
  return { channel, counter: Number(counter), aad, ciphertext };
}

/** What may stand in a refusal. */
export const REFUSALS = [
  "unknown-channel",
  "unknown-key",
  "unauthorized",
  "expired",
  "conflict",
  "rate-limited",
  "invalid-request",
  "unavailable",
] as const;
export type Refusal = (typeof REFUSALS)[number];

export function encodeRefusal(error: Refusal): Uint8Array {
  return utf8(JSON.stringify({ error }));
}

/** Undefined for whatever is no refusal: a proxy's page, say. */
export function decodeRefusal(body: Uint8Array): Refusal | undefined {
  try {
    const value: unknown = JSON.parse(fromUtf8(body));
    if (typeof value !== "object" || value === null || !("error" in value)) return undefined;
    return REFUSALS.find((code) => code === value.error);
  } catch {
    return undefined;
  }
}
