/**
 * The protocol buffers that go to etcd and come from it, what a failure means, and the file that records travel in.
 *
 * SOURCE of the vectors: protobufjs 7.6.6 on a transcript of etcd's rpc.proto and kv.proto.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { isStrongroomError } from "../../src/base/errors.ts";
import { failureOf, notConnected } from "../../src/store/etcd/answer.ts";
import { keyspace } from "../../src/store/etcd/keyspace.ts";
import {
  decodeMembers,
  decodeRange,
  decodeStatus,
  decodeTxn,
  encodeRange,
  encodeTxn,
} from "../../src/store/etcd/messages.ts";
import { bytesField, fields, int64, intField } from "../../src/store/etcd/protobuf.ts";
import { openRecordFile, type StoredRecord, writeRecordFile } from "../../src/store/record-file.ts";

describe("protocol buffers", () => {
  test("requests are encoded as protobufjs does", () => {
    const range = {
      key: utf8("a"),
      end: utf8("b"),
      limit: 256,
      revision: 9007199254740993n,
      countOnly: true,
    };
    expect(toHex(encodeRange(range))).toBe("0a01611201621880022081808080808080104801");
    const txn = encodeTxn({
      compare: [
        { key: utf8("k"), modRevision: 300n },
        { key: utf8("f"), modRevision: 0n, result: "greater" },
      ],
      success: [
        { put: { key: utf8("k"), value: utf8("v") } },
        { remove: { key: utf8("x"), end: utf8("y") } },
      ],
      failure: [{ range: { key: utf8("k") } }],
    });
    expect(toHex(txn)).toBe(
      "0a0a080010021a016b30ac020a09080110021a01663000120812060a016b12017612081a060a01781201791a050a030a016b",
    );
  });

  test("answers of protobufjs are decoded", () => {
    const header = "0a2108ffffffffffffffffff0110d295fcd8ceb1aaaaab011881808080808080102002";
    expect(decodeTxn(fromHex(`${header}10011a0612040a021805`))).toEqual({
      revision: 9007199254740993n,
      succeeded: true,
      ranges: [{ revision: 0n, kvs: [], count: 0n, more: false }],
    });
    const conflict = `${header}10001a210a1f0a0012170a016b1003180420022a017630ffffffffffffffffff01180120071a020a00`;
    expect(decodeTxn(fromHex(conflict))).toEqual({
      revision: 9007199254740993n,
      succeeded: false,
      ranges: [
        {
          revision: 0n,
          kvs: [{ key: utf8("k"), value: utf8("v"), modRevision: 4n }],
          count: 7n,
          more: true,
        },
        { revision: 0n, kvs: [], count: 0n, more: false },
      ],
    });
    const answer = `${header}1206332e342e32331880a00120d295fcd8ceb1aaaaab01280a3002380942196d656d62657249443a3120616c61726d3a4e4f53504143452048808001608080808020`;
    expect(decodeStatus(fromHex(answer))).toEqual({
      memberId: 12345678901234567890n,
      revision: 9007199254740993n,
      version: "3.4.23",
      dbSize: 20480n,
      leader: 12345678901234567890n,
      raftTerm: 2n,
      appliedIndex: 9n,
      errors: ["memberID:1 alarm:NOSPACE "],
      dbSizeInUse: 16384n,
      isLearner: false,
      quota: 8589934592n,
    });
    expect(decodeStatus(fromHex(`${answer}5001`))).toMatchObject({ isLearner: true });
  });

  test("a transaction whose answer lacks its header is no answer", () => {
    expect(() => decodeTxn(fromHex("1001"))).toThrow(expect.objectContaining({ code: "decode-failed" }));
    expect(() => decodeTxn(new Uint8Array())).toThrow(expect.objectContaining({ code: "decode-failed" }));
  });

  const field = fc.oneof(
    fc.record({
      number: fc.integer({ min: 1, max: 2 ** 29 - 1 }),
      int: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    }),
    fc.record({ number: fc.integer({ min: 1, max: 2 ** 29 - 1 }), bytes: fc.uint8Array({ maxLength: 40 }) }),
  );

  test("fields come back as they went in; every truncation is refused or ends between fields", () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), (all) => {
        const parts = all.map((one) =>
          "int" in one ? intField(one.number, one.int) : bytesField(one.number, one.bytes),
        );
        const message = concat(...parts);
        const read = [...fields(message)];
        expect(read.map((one) => one.number)).toEqual(all.map((one) => one.number));
        for (const [i, one] of all.entries()) {
          const got = read[i];
          if (got === undefined) throw new Error("a field is missing");
          if ("int" in one) {
            expect(int64(got)).toBe(one.int);
            expect(() => got.bytes()).toThrow(expect.objectContaining({ code: "decode-failed" }));
          } else {
            expect(got.bytes()).toEqual(one.bytes);
            expect(() => got.int()).toThrow(expect.objectContaining({ code: "decode-failed" }));
          }
        }
        const ends = new Set<number>([0]);
        let end = 0;
        for (const part of parts) {
          end += part.length;
          ends.add(end);
        }
        for (let length = 0; length < message.length; length++) {
          const cut = message.subarray(0, length);
          if (ends.has(length)) expect(() => [...fields(cut)]).not.toThrow();
          else expect(() => [...fields(cut)]).toThrow(expect.objectContaining({ code: "decode-failed" }));
        }
      }),
    );
  });

  test("any bytes are decoded or refused, never anything else", () => {
    const decoders = [decodeRange, decodeTxn, decodeStatus, decodeMembers];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of decoders) {
          try {
            decode(bytes);
          } catch (error) {
            expect(isStrongroomError(error, "decode-failed")).toBe(true);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("what a failure means for the write", () => {
  test("only etcd's own words, with their own code, settle it", () => {
    const fate = (code: status, details: string): string => failureOf(code, details).fate;
    expect(fate(status.UNAVAILABLE, "etcdserver: no leader")).toBe("not-applied");
    expect(fate(status.RESOURCE_EXHAUSTED, "etcdserver: too many requests")).toBe("not-applied");
    expect(fate(status.PERMISSION_DENIED, "etcdserver: permission denied")).toBe("refused");
    expect(fate(status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")).toBe("no-space");
    for (const [code, details] of [
      [status.UNAVAILABLE, "etcdserver: request timed out"],
      [status.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"],
      [status.UNAVAILABLE, "etcdserver: leader changed"],
      [status.UNAVAILABLE, "etcdserver: server stopped"],
      [status.UNAVAILABLE, "Connection dropped"],
      [status.UNAVAILABLE, "No connection established. Last error: x"],
      [status.UNKNOWN, "etcdserver: no leader"],
      [status.UNKNOWN, "raft proposal dropped"],
      [status.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs 4)"],
      [status.DEADLINE_EXCEEDED, "Deadline exceeded"],
      [status.CANCELLED, "Call cancelled"],
      [status.INTERNAL, ""],
      [status.DATA_LOSS, "etcdserver: corrupt cluster"],
    ] as const)
      expect(fate(code, details), details).toBe("unknown");
  });

  test("a failed connection is told in one line, with what to look at", () => {
    const reason =
      "No connection established. Last error: 80:error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate:rec.c:1:SSL alert number 42\n (now). Resolution note: ";
    expect(notConnected(reason)).toMatchObject({
      fate: "not-applied",
      message: "TLS alert bad certificate",
      hint: expect.stringContaining("tls.cert"),
    });
    expect(notConnected("no connection in time")).toMatchObject({ message: "no connection in time" });
  });
});

test("keys stay below the prefix, and a shard's range holds its records and no others", () => {
  const keys = keyspace("/strongroom/f/");
  const id = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);
  fc.assert(
    fc.property(id, fc.nat(255), fc.nat(255), (one, a, b) => {
      const range = { first: Math.min(a, b), last: Math.max(a, b) };
      const { key, end } = keys.records(range);
      const record = keys.record(one);
      expect(keys.recordId(record)).toEqual(one);
      const [shard = 0] = one;
      const inside = compare(record, key) >= 0 && compare(record, end) < 0;
      expect(inside).toBe(shard >= range.first && shard <= range.last);
      const fences = keys.fences(range);
      const fence = keys.fence(shard);
      expect(compare(fence, fences.key) >= 0 && compare(fence, fences.end) < 0).toBe(inside);
    }),
  );
  expect(toHex(keys.record(new Uint8Array(32).fill(0xab)))).toBe(
    toHex(concat(utf8("/strongroom/f/records/ab/"), new Uint8Array(32).fill(0xab))),
  );
  expect(() => keys.recordId(utf8("/strongroom/f/records/ab/short"))).toThrow(
    expect.objectContaining({ code: "record-corrupt" }),
  );
});

test("the file of exported records is as it was always written", async () => {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-records-"));
  const path = join(dir, "records.jsonl");
  const records = (async function* (): AsyncGenerator<StoredRecord> {
    yield { id: new Uint8Array(32).fill(0x80), value: utf8("sealed"), revision: 12n };
    yield { id: new Uint8Array(32).fill(0x81), value: new Uint8Array(), revision: 9007199254740993n };
  })();
  const header = {
    cluster: "main",
    prefix: "/strongroom/f/",
    shards: { first: 0x80, last: 0x8f },
    fenced: true,
    revision: 20n,
  };
  await writeRecordFile(path, header, records);
  expect(readFileSync(path, "utf8")).toBe(
    [
      '{"format":"strongroom-records/v2","cluster":"main","prefix":"/strongroom/f/","shards":"80-8f","fenced":true,"revision":"20"}',
      `{"id":"${"80".repeat(32)}","revision":"12","value":"c2VhbGVk"}`,
      `{"id":"${"81".repeat(32)}","revision":"9007199254740993","value":""}`,
      '{"records":2,"content":"ba60146ebc1a19cb24b8088ce0090029a4bc207273bdd71a69f405bb1b47e513","sha256":"93237c651a46b1c6b6681621559725241a0217f604e9d689ffadc2b9c2c101b3"}',
      "",
    ].join("\n"),
  );
  const file = await openRecordFile(path);
  expect(file.header).toEqual(header);
  await file.close();

  writeFileSync(path, readFileSync(path, "utf8").replace("strongroom-records/v2", "strongroom-records/v3"));
  await expect(openRecordFile(path)).rejects.toMatchObject({
    code: "decode-failed",
    message: expect.stringContaining("strongroom-records/v3"),
    hint: expect.stringContaining("version"),
  });
  rmSync(dir, { recursive: true });
});
