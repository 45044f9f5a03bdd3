/** The published vectors of the Plexi auditor: its messages, its signatures, and how its client reads an audit. */
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { verifyEd25519 } from "../../src/crypto/ed25519.ts";
import { verifyOwnEd25519 } from "../../src/crypto/node/ed25519.ts";
import {
  type AuditStatement,
  auditMessage,
  auditOf,
  auditSchema,
  statementOf,
} from "../../src/wire/audit.ts";

interface Vector {
  readonly signing_key: string;
  readonly verifying_key: string;
  readonly key_id: number;
  readonly namespace: string;
  readonly timestamp: number;
  readonly epoch: number;
  readonly digest: string;
  readonly signature: string;
  readonly ciphersuite: 1 | 2;
}
const { vectors } = JSON.parse(
  readFileSync(new URL("../vectors/auditor-signatures.json", import.meta.url), "utf8"),
) as { vectors: readonly Vector[] };

const statement = ({ ciphersuite, namespace, timestamp, epoch, digest }: Vector): AuditStatement => ({
  ciphersuite,
  namespace,
  timestamp,
  epoch,
  digest: fromHex(digest),
});

test("there is one of each ciphersuite", () => {
  expect(vectors.map(({ ciphersuite }) => ciphersuite)).toEqual([1, 2]);
});

describe.each(vectors)("ciphersuite $ciphersuite", (vector) => {
  const message = auditMessage(statement(vector));
  const signature = fromHex(vector.signature);
  const key = fromHex(vector.verifying_key);

  test("verifies, by two implementations", () => {
    expect(verifyEd25519(key, message, signature)).toBe(true);
    expect(verifyOwnEd25519(key, message, signature)).toBe(true);
    const spki = Buffer.concat([fromHex("302a300506032b6570032100"), key]);
    expect(
      verify(null, message, createPublicKey({ key: spki, format: "der", type: "spki" }), signature),
    ).toBe(true);
  });

  test("is signed alike", () => {
    // PKCS#8 of Ed25519, RFC 8410 §7.
    const pkcs8 = Buffer.concat([fromHex("302e020100300506032b657004220420"), fromHex(vector.signing_key)]);
    const signed = sign(null, message, createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }));
    expect(toHex(signed)).toBe(vector.signature);
  });

  test("is told as its client reads it", () => {
    const audit = auditOf(statement(vector), key, signature);
    expect(audit).toMatchObject({
      version: vector.ciphersuite,
      key_id: vector.key_id,
      digest: vector.digest,
      signature: vector.signature,
    });
    expect(auditSchema.parse(JSON.parse(JSON.stringify(audit)))).toEqual(audit);
    expect(statementOf(audit)).toEqual(statement(vector));
  });

  test.each([
    ["namespace", { namespace: "log9.example.com" }],
    ["timestamp", { timestamp: vector.timestamp + 1 }],
    ["epoch", { epoch: 2 }],
    ["digest", { digest: new Uint8Array(32) }],
    ["ciphersuite", { ciphersuite: vector.ciphersuite === 1 ? 2 : 1 } as const],
  ])("another %s is another message", (_what, change) => {
    const changed = auditMessage({ ...statement(vector), ...change });
    expect(verifyEd25519(key, changed, signature)).toBe(false);
    // And an audit that claims one and signs the other is none.
    const told = auditOf({ ...statement(vector), ...change }, key, signature);
    expect(() => statementOf({ ...told, serialized_message: toHex(message) })).toThrow();
  });

  test("integers that JSON cannot say are refused", () => {
    const audit = auditOf(statement(vector), key, signature);
    for (const [field, value] of [
      ["epoch", "9007199254740993"],
      ["timestamp", "9007199254740992"],
      ["epoch", "1.5"],
      ["epoch", "0"],
    ]) {
      const text = JSON.stringify(audit).replace(new RegExp(`"${field}":\\d+`), `"${field}":${value}`);
      expect(auditSchema.safeParse(JSON.parse(text)).success, `${field} ${value}`).toBe(false);
    }
  });
});

test("the message of the first is the published one", () => {
  const [first] = vectors;
  if (!first) throw new Error("no vector");
  expect(toHex(auditMessage(statement(first)))).toBe(
    `080112106c6f67312e6578616d706c652e636f6d18b1a5e1d1fc31220208012a20${"11".repeat(32)}`,
  );
});
