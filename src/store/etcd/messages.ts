/**
 * The few messages of etcd's API that Strongroom speaks, by the field numbers of etcd's rpc.proto and kv.proto
 * (the same from 3.4 to 3.6).
 */
import { concat, fromUtf8 } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { bytesField, type Field, fields, int64, intField } from "./protobuf.ts";

export const RANGE = "/etcdserverpb.KV/Range";
export const TXN = "/etcdserverpb.KV/Txn";
export const STATUS = "/etcdserverpb.Maintenance/Status";
export const MEMBER_LIST = "/etcdserverpb.Cluster/MemberList";

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The revision of the cluster at which this value was put. */
  readonly modRevision: bigint;
}

export interface RangeRequest {
  readonly key: Uint8Array;
  /** The first key that is no longer meant; without it `key` alone is. */
  readonly end?: Uint8Array;
  readonly limit?: number;
  /** As the keys stood at this revision; without it as they stand now. */
  readonly revision?: bigint;
  readonly countOnly?: boolean;
}

export interface RangeResponse {
  /** The cluster's revision at the time of the read. */
  readonly revision: bigint;
  readonly kvs: readonly KeyValue[];
  /** Keys of the whole range, whatever the limit. */
  readonly count: bigint;
  readonly more: boolean;
}

/** A condition on one key; a revision of 0 means that there is no such key. */
interface Compare {
  readonly key: Uint8Array;
  readonly modRevision: bigint;
  readonly result?: "equal" | "greater";
}

interface Put {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface TxnRequest {
  /** All must hold for `success` to be done; else `failure` is. */
  readonly compare: readonly Compare[];
  readonly success: readonly (
    | { readonly put: Put }
    | { readonly range: RangeRequest }
    | { readonly remove: { readonly key: Uint8Array; readonly end?: Uint8Array } }
  )[];
  readonly failure: readonly { readonly range: RangeRequest }[];
}

export interface TxnResponse {
  /** The cluster's revision afterwards; that of the put if there was one. */
  readonly revision: bigint;
  readonly succeeded: boolean;
  /** One for each operation of the branch that was taken; empty for those that are no ranges. */
  readonly ranges: readonly RangeResponse[];
}

export interface StatusResponse {
  readonly memberId: bigint;
  readonly revision: bigint;
  readonly version: string;
  /** Bytes that the database takes on disk, and how many of them are in use. */
  readonly dbSize: bigint;
  readonly dbSizeInUse: bigint;
  /** The quota, from members of 3.6 on. */
  readonly quota?: bigint | undefined;
  /** The id of the member that leads; 0 if none does. */
  readonly leader: bigint;
  /** A member that only listens: it counts for no majority, and answers no requests of ours. */
  readonly isLearner: boolean;
  readonly raftTerm: bigint;
  readonly appliedIndex: bigint;
  /** Alarms and other complaints, as etcd words them. */
  readonly errors: readonly string[];
}

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

export function encodeRange(range: RangeRequest): Uint8Array {
  return concat(
    bytesField(1, range.key),
    ...(range.end === undefined ? [] : [bytesField(2, range.end)]),
    ...(range.limit === undefined ? [] : [intField(3, range.limit)]),
    ...(range.revision === undefined ? [] : [intField(4, range.revision)]),
    ...(range.countOnly ? [intField(9, true)] : []),
  );
}

const MOD = 2;
const EQUAL = 0;
const GREATER = 1;

function encodeCompare({ key, modRevision, result }: Compare): Uint8Array {
  return concat(
    intField(1, result === "greater" ? GREATER : EQUAL),
    intField(2, MOD),
    bytesField(3, key),
    intField(6, modRevision),
  );
}

export function encodeTxn({ compare, success, failure }: TxnRequest): Uint8Array {
  const operation = (one: TxnRequest["success"][number]): Uint8Array => {
    if ("range" in one) return bytesField(1, encodeRange(one.range));
    if ("put" in one) return bytesField(2, concat(bytesField(1, one.put.key), bytesField(2, one.put.value)));
    return bytesField(3, encodeRange(one.remove));
  };
  return concat(
    ...compare.map((one) => bytesField(1, encodeCompare(one))),
    ...success.map((one) => bytesField(2, operation(one))),
    ...failure.map((one) => bytesField(3, operation(one))),
  );
}

interface Header {
  memberId: bigint;
  revision: bigint;
  raftTerm: bigint;
}

const NO_HEADER: Header = { memberId: 0n, revision: 0n, raftTerm: 0n };

function decodeHeader(bytes: Uint8Array): Header {
  const header = { ...NO_HEADER };
  for (const field of fields(bytes)) {
    if (field.number === 2) header.memberId = field.int();
    else if (field.number === 3) header.revision = int64(field);
    else if (field.number === 4) header.raftTerm = field.int();
  }
  return header;
}

const EMPTY: Uint8Array = new Uint8Array();

function decodeKeyValue(bytes: Uint8Array): KeyValue {
  const kv = { key: EMPTY, value: EMPTY, modRevision: 0n };
  for (const field of fields(bytes)) {
    if (field.number === 1) kv.key = field.bytes();
    else if (field.number === 3) kv.modRevision = int64(field);
    else if (field.number === 5) kv.value = field.bytes();
  }
  if (kv.key.length === 0 || kv.modRevision <= 0n)
    throw new StrongroomError("decode-failed", "a key without a name or revision");
  return kv;
}

/** @throws decode-failed */
export function decodeRange(bytes: Uint8Array): RangeResponse {
  const kvs: KeyValue[] = [];
  const range = { revision: 0n, kvs, count: 0n, more: false };
  for (const field of fields(bytes)) {
    if (field.number === 1) range.revision = decodeHeader(field.bytes()).revision;
    else if (field.number === 2) kvs.push(decodeKeyValue(field.bytes()));
    else if (field.number === 3) range.more = field.int() !== 0n;
    else if (field.number === 4) range.count = int64(field);
  }
  return range;
}

const NOTHING: RangeResponse = { revision: 0n, kvs: [], count: 0n, more: false };

function decodeOperation(bytes: Uint8Array): RangeResponse {
  for (const field of fields(bytes)) if (field.number === 1) return decodeRange(field.bytes());
  return NOTHING;
}

/** @throws decode-failed */
export function decodeTxn(bytes: Uint8Array): TxnResponse {
  const ranges: RangeResponse[] = [];
  const txn = { revision: 0n, succeeded: false, ranges };
  for (const field of fields(bytes)) {
    if (field.number === 1) txn.revision = decodeHeader(field.bytes()).revision;
    else if (field.number === 2) txn.succeeded = field.int() !== 0n;
    else if (field.number === 3) ranges.push(decodeOperation(field.bytes()));
  }
  // Every answer has a header; without one these bytes are something else.
  if (txn.revision <= 0n) throw new StrongroomError("decode-failed", "a transaction without a revision");
  return txn;
}

/** @throws decode-failed */
export function decodeStatus(bytes: Uint8Array): StatusResponse {
  let header = NO_HEADER;
  const errors: string[] = [];
  const numbers = new Map<number, Field>();
  let version = "";
  for (const field of fields(bytes)) {
    if (field.number === 1) header = decodeHeader(field.bytes());
    else if (field.number === 2) version = fromUtf8(field.bytes());
    else if (field.number === 8) errors.push(fromUtf8(field.bytes()));
    else numbers.set(field.number, field);
  }
  const number = (field: number): bigint => numbers.get(field)?.int() ?? 0n;
  return {
    memberId: header.memberId,
    revision: header.revision,
    version,
    dbSize: number(3),
    leader: number(4),
    raftTerm: number(6),
    appliedIndex: number(7),
    errors,
    dbSizeInUse: number(9),
    isLearner: number(10) !== 0n,
    quota: numbers.has(12) ? number(12) : undefined,
  };
}

function decodeMember(bytes: Uint8Array): Member {
  const clientUrls: string[] = [];
  const member = { id: 0n, name: "", clientUrls };
  for (const field of fields(bytes)) {
    if (field.number === 1) member.id = field.int();
    else if (field.number === 2) member.name = fromUtf8(field.bytes());
    else if (field.number === 4) clientUrls.push(fromUtf8(field.bytes()));
  }
  return member;
}

/** @throws decode-failed */
export function decodeMembers(bytes: Uint8Array): readonly Member[] {
  const members: Member[] = [];
  for (const field of fields(bytes)) if (field.number === 2) members.push(decodeMember(field.bytes()));
  return members;
}
