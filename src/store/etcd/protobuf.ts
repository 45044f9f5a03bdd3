/**
 * As much of the protocol buffer encoding as etcd's messages need (https://protobuf.dev/programming-guides/encoding):
 * varints and length-delimited fields. Fixed-width fields are skipped when read, groups refused.
 *
 * What a member answers is decoded strictly in length and lazily in content: unknown fields are passed over, as
 * the encoding demands of a client that is older than its server.
 */
import { concat } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
/** Field numbers have 29 bits. */
const MAX_FIELD = 2 ** 29 - 1;
const TWO_64 = 1n << 64n;
const MAX_INT64 = (1n << 63n) - 1n;

function varint(value: bigint): Uint8Array {
  // int64 is two's complement: a negative number takes ten bytes.
  let rest = value < 0n ? value + TWO_64 : value;
  const out: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(out);
}

/** An integer, enum or bool field; written even if it is zero, which a `oneof` needs. */
export function intField(field: number, value: number | bigint | boolean): Uint8Array {
  return concat(varint(BigInt(field * 8 + VARINT)), varint(BigInt(value)));
}

/** A bytes, string or message field. */
export function bytesField(field: number, value: Uint8Array): Uint8Array {
  return concat(varint(BigInt(field * 8 + DELIMITED)), varint(BigInt(value.length)), value);
}

/** One field as it stands in a message. */
export interface Field {
  readonly number: number;
  /** The value if it is an integer. @throws decode-failed if it is not */
  int(): bigint;
  /** The value if it has a length, a view of the message. @throws decode-failed if it has none */
  bytes(): Uint8Array;
}

function broken(problem: string): StrongroomError {
  return new StrongroomError("decode-failed", `not a protocol buffer: ${problem}`);
}

/** The fields of a message, in their order. @throws decode-failed */
export function* fields(message: Uint8Array): Generator<Field> {
  let at = 0;

  function readVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw broken("it ends inside a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value >= TWO_64) break;
        return value;
      }
    }
    throw broken("a number has more than 64 bits");
  }

  function take(length: bigint): Uint8Array {
    if (length > BigInt(message.length - at)) throw broken("it ends inside a field");
    const from = at;
    at += Number(length);
    return message.subarray(from, at);
  }

  while (at < message.length) {
    const tag = readVarint();
    const number = Number(tag >> 3n);
    if (number > MAX_FIELD || number === 0) throw broken("a field number is out of range");
    const wireType = Number(tag & 7n);
    let int: bigint | undefined;
    let bytes: Uint8Array | undefined;
    if (wireType === VARINT) int = readVarint();
    else if (wireType === DELIMITED) bytes = take(readVarint());
    else if (wireType === FIXED64) take(8n);
    else if (wireType === FIXED32) take(4n);
    else throw broken(`wire type ${wireType}`);
    yield {
      number,
      int: () => {
        if (int === undefined) throw broken(`field ${number} is not an integer`);
        return int;
      },
      bytes: () => {
        if (bytes === undefined) throw broken(`field ${number} has no length`);
        return bytes;
      },
    };
  }
}

/** An integer field as int64. */
export function int64(field: Field): bigint {
  const value = field.int();
  return value > MAX_INT64 ? value - TWO_64 : value;
}
