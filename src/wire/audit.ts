/**
 * What the auditor signs for an epoch, and how it is told: the format of the Plexi key-transparency auditor
 * (cloudflare/plexi, plexi_core), so that its client verifies our audits too. Plain Ed25519 over `auditMessage`.
 */
import * as z from "zod";
import { concat, fromHex, toHex, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { NAMESPACE_PATTERN, sha256Hex } from "./announcement.ts";

/** 1: ed25519 over protobuf. 2: ed25519 over bincode (legacy: little endian, fixed width). */
export type Ciphersuite = 1 | 2;

export interface AuditStatement {
  readonly ciphersuite: Ciphersuite;
  readonly namespace: string;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number;
  readonly epoch: number;
  /** SHA-256 of the announcement, 32 bytes. */
  readonly digest: Uint8Array;
}

/** The answer of `GET /namespaces/{ns}/audits/{epoch}`; bundles hold it as it is. */
export interface Audit {
  readonly version: Ciphersuite;
  readonly ciphersuite: Ciphersuite;
  readonly namespace: string;
  readonly timestamp: number;
  readonly epoch: number;
  readonly digest: string;
  /** Ed25519, 64 bytes, hex. */
  readonly signature: string;
  /** The last byte of the public key. */
  readonly key_id: number;
  /** `auditMessage`, hex. */
  readonly serialized_message: string;
}

export const auditSchema: z.ZodType<Audit> = z.strictObject({
  version: z.union([z.literal(1), z.literal(2)]),
  ciphersuite: z.union([z.literal(1), z.literal(2)]),
  namespace: z.string().regex(NAMESPACE_PATTERN),
  timestamp: z.number().int().nonnegative().safe(),
  epoch: z.number().int().min(1).safe(),
  digest: sha256Hex,
  signature: z.string().regex(/^[0-9a-f]{128}$/),
  key_id: z.number().int().min(0).max(255),
  serialized_message: z
    .string()
    .max(2_048)
    .regex(/^(?:[0-9a-f]{2})+$/),
});

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.of(...bytes, Number(rest));
}

const delimited = (tag: number, value: Uint8Array): Uint8Array =>
  concat(Uint8Array.of(tag), varint(value.length), value);

/** Fields ascending, all present also where they are zero. */
function protobuf({ ciphersuite, namespace, timestamp, epoch, digest }: AuditStatement): Uint8Array {
  return concat(
    Uint8Array.of(0x08, ciphersuite),
    delimited(0x12, utf8(namespace)),
    Uint8Array.of(0x18),
    varint(timestamp),
    delimited(0x22, concat(Uint8Array.of(0x08), varint(epoch))),
    delimited(0x2a, digest),
  );
}

function little(value: number, bytes: 4 | 8): Uint8Array {
  const out = new Uint8Array(bytes);
  let rest = BigInt(value);
  for (let i = 0; i < bytes; i++, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}

function bincode({ ciphersuite, namespace, timestamp, epoch, digest }: AuditStatement): Uint8Array {
  const name = utf8(namespace);
  return concat(
    little(ciphersuite, 4),
    little(name.length, 8),
    name,
    little(timestamp, 8),
    little(epoch, 8),
    little(digest.length, 8),
    digest,
  );
}

/** The bytes that the auditor signs. */
export function auditMessage(statement: AuditStatement): Uint8Array {
  return statement.ciphersuite === 1 ? protobuf(statement) : bincode(statement);
}

/** @param signature Ed25519 over `auditMessage(statement)`, 64 bytes */
export function auditOf(statement: AuditStatement, publicKey: Uint8Array, signature: Uint8Array): Audit {
  const { ciphersuite, namespace, timestamp, epoch, digest } = statement;
  return {
    version: ciphersuite,
    ciphersuite,
    namespace,
    timestamp,
    epoch,
    digest: toHex(digest),
    signature: toHex(signature),
    key_id: publicKey[publicKey.length - 1] ?? 0,
    serialized_message: toHex(auditMessage(statement)),
  };
}

/** What an audit says was signed: its message is made anew, never taken from it. @throws decode-failed where it says another one */
export function statementOf(audit: Audit): AuditStatement {
  const { version, ciphersuite, namespace, timestamp, epoch, digest } = audit;
  const statement: AuditStatement = { ciphersuite, namespace, timestamp, epoch, digest: fromHex(digest) };
  if (version === ciphersuite && toHex(auditMessage(statement)) === audit.serialized_message)
    return statement;
  throw new StrongroomError("decode-failed", "the audit's fields are not those of its serialized message");
}
