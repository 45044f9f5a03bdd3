/** What sites ask each other: every field's limits, the largest messages, and what a refusal may say. */
import { describe, expect, test } from "vitest";
import { fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { encodeCbor } from "../../src/wire/cbor.ts";
import { MAX_SITE_MESSAGE_BYTES } from "../../src/wire/limits.ts";
import { pad } from "../../src/wire/padding.ts";
import {
  decodeRefusal,
  encodeRefusal,
  frameKind,
  messageHead,
  splitMessage,
} from "../../src/wire/site-frames.ts";
import {
  decodeSiteAnswer,
  decodeSiteRequest,
  encodeSiteAnswer,
  encodeSiteRequest,
  type SiteAnswers,
  type SiteRequest,
} from "../../src/wire/site-messages.ts";
import { codeOf } from "../support/codes.ts";
import { loadJson } from "../vectors/rfc.ts";

const filled = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value);
const share = (number: number, wrapped = 256) => ({
  share: number,
  mechanism: 0xffff_ffff,
  wrapped: filled(wrapped),
  publicKey: filled(65),
  tag: filled(32),
});
const all = Array.from({ length: 35 }, (_, i) => i);
const policy = {
  recordId: filled(32),
  generation: 1,
  receiptPublicKey: filled(33),
  maxAttempts: 10,
};
const asked = { ...policy, accountToken: "t".repeat(4_096), blindedElement: filled(65) };
const create = { op: "create", ...asked, numbers: all } as const;
const evaluate = {
  op: "evaluate",
  ...asked,
  shares: all.map((number) => share(number)),
  seq: Number.MAX_SAFE_INTEGER,
  base: Number.MAX_SAFE_INTEGER,
  lastReceipt: filled(64),
} as const;
const announce = { op: "announce", ...policy, shares: evaluate.shares } as const;
const status = {
  site: "site-a",
  token: { ok: true, detail: "" },
  store: { ok: false, detail: "no majority" },
  inFlight: 3,
  manifest: "ab".repeat(32),
  now: 1,
};

describe("requests", () => {
  test.each<[string, SiteRequest]>([
    ["create", create],
    ["evaluate", evaluate],
    ["announce", announce],
    ["status", { op: "status" }],
  ])("%s comes back as it was written, and its largest fits a body", (_, message) => {
    const encoded = encodeSiteRequest(message);
    expect(decodeSiteRequest(encoded)).toEqual(message);
    const overhead = messageHead("request", filled(16), 1).length + 16;
    expect(encoded.length + overhead).toBeLessThanOrEqual(MAX_SITE_MESSAGE_BYTES);
    expect(encoded.length % 2_048).toBe(0);
  });

  test("operations of one size class cannot be told apart", () => {
    const small = { ...asked, accountToken: "a.b.c" };
    const sizes = [
      encodeSiteRequest({ op: "status" }),
      encodeSiteRequest({ op: "create", ...small, numbers: [0] }),
      encodeSiteRequest({ ...evaluate, ...small, shares: [share(0, 80)] }),
      encodeSiteRequest({ ...announce, shares: [share(0, 80)] }),
    ].map(({ length }) => length);
    expect(new Set(sizes)).toEqual(new Set([2_048]));
  });

  test.each<[string, object]>([
    ["an unknown operation", { op: "delete" }],
    ["a field too many", { op: "status", more: 1 }],
    ["a field of another operation", { ...create, seq: 1 }],
    ["a field too few", { op: "create", ...policy, numbers: [0] }],
    ["no shares", { ...evaluate, shares: [] }],
    ["shares out of order", { ...evaluate, shares: [share(1), share(0)] }],
    ["a share twice", { ...evaluate, shares: [share(1), share(1)] }],
    ["a share beyond the largest fleet", { ...evaluate, shares: [share(35)] }],
    ["more of a wrapped share", { ...evaluate, shares: [share(0, 257)] }],
    ["an empty wrapped share", { ...evaluate, shares: [share(0, 0)] }],
    ["a share with more in it", { ...evaluate, shares: [{ ...share(0), more: 1 }] }],
    ["numbers out of order", { ...create, numbers: [2, 1] }],
    ["no numbers", { ...create, numbers: [] }],
    ["a fraction", { ...create, numbers: [0.5] }],
    ["a token that is too long", { ...create, accountToken: "t".repeat(4_097) }],
    ["no token", { ...create, accountToken: "" }],
    ["a compressed element", { ...create, blindedElement: filled(33) }],
    ["generation 0", { ...create, generation: 0 }],
    ["attempt 0", { ...evaluate, seq: 0 }],
    ["a negative base", { ...evaluate, base: -1 }],
    ["half a receipt", { ...evaluate, lastReceipt: filled(32) }],
    ["no attempts", { ...create, maxAttempts: 0 }],
    ["text for bytes", { ...create, recordId: "1".repeat(32) }],
  ])("%s is refused", (_, message) => {
    expect(codeOf(() => decodeSiteRequest(pad(encodeCbor(message))))).toBe("decode-failed");
  });

  test("padding that is not the only one, and CBOR that is not deterministic", () => {
    const encoded = encodeSiteRequest({ op: "status" });
    expect(codeOf(() => decodeSiteRequest(encoded.subarray(0, 2_047)))).toBe("decode-failed");
    expect(codeOf(() => decodeSiteRequest(new Uint8Array(2_048)))).toBe("decode-failed");
    expect(codeOf(() => decodeSiteRequest(pad(fromHex("bf626f7066737461747573ff"))))).toBe("decode-failed");
  });

  test("the frozen request and answer", () => {
    const golden = loadJson("golden-channel.json") as Readonly<Record<string, string>>;
    const request = decodeSiteRequest(pad(fromHex(golden.request ?? "")));
    expect(request).toMatchObject({ op: "evaluate", generation: 3, seq: 2, base: 1 });
    expect(toHex(encodeSiteRequest(request))).toBe(toHex(pad(fromHex(golden.request ?? ""))));
    const answer = decodeSiteAnswer("evaluate", pad(fromHex(golden.answer ?? "")));
    expect(toHex(encodeSiteAnswer(answer))).toBe(toHex(pad(fromHex(golden.answer ?? ""))));
  });
});

describe("answers", () => {
  const answers: { [O in keyof SiteAnswers]: SiteAnswers[O] } = {
    create: { shares: evaluate.shares, partial: filled(65) },
    evaluate: { partial: filled(65) },
    announce: {},
    status,
  };
  const operations = Object.keys(answers) as (keyof SiteAnswers)[];

  test.each(operations)("of %s comes back as it was written, and is no answer to another operation", (op) => {
    const encoded = encodeSiteAnswer(answers[op]);
    expect(decodeSiteAnswer(op, encoded)).toEqual(answers[op]);
    for (const other of operations.filter((candidate) => candidate !== op))
      expect(codeOf(() => decodeSiteAnswer(other, encoded))).toBe("decode-failed");
  });

  test("errors: codes and details of a closed set", () => {
    for (const error of [
      { error: "guard-refused", details: { reason: "used-seq" } },
      { error: "rate-limited", details: { retryAfter: 1 } },
      { error: "unavailable" },
    ] as const)
      expect(decodeSiteAnswer("create", encodeSiteAnswer(error))).toEqual(error);
    for (const error of [
      { error: "internal" },
      { error: "token-failed" },
      { error: "unavailable", details: { reason: "Anything at all" } },
      { error: "unavailable", details: { pin: "1" } },
      { error: "unavailable", message: "why" },
    ])
      expect(codeOf(() => decodeSiteAnswer("create", pad(encodeCbor(error))))).toBe("decode-failed");
  });

  test("a status that says too much", () => {
    const detail = "x".repeat(301);
    expect(
      codeOf(() => decodeSiteAnswer("status", pad(encodeCbor({ ...status, token: { ok: true, detail } })))),
    ).toBe("decode-failed");
  });
});

describe("frames", () => {
  test("counters from 1 to 2³² − 1", () => {
    const body = (counter: bigint): Uint8Array => {
      const out = new Uint8Array(26 + 16);
      out.set(messageHead("request", filled(16), 1));
      new DataView(out.buffer).setBigUint64(18, counter);
      return out;
    };
    for (const counter of [1n, 2n ** 32n - 1n])
      expect(splitMessage("request", body(counter)).counter).toBe(Number(counter));
    for (const counter of [0n, 2n ** 32n, 2n ** 64n - 1n])
      expect(codeOf(() => splitMessage("request", body(counter)))).toBe("decode-failed");
  });

  test("what is none of ours", () => {
    for (const body of [[], [1], [2, 1], [1, 0], [1, 5], [123, 125]])
      expect(frameKind(Uint8Array.from(body))).toBeUndefined();
  });

  test("a refusal says one of its codes, and everything else is none", () => {
    expect(decodeRefusal(encodeRefusal("unknown-channel"))).toBe("unknown-channel");
    for (const text of [
      "",
      "{}",
      "[]",
      "null",
      '"unknown-channel"',
      '{"error":"internal"}',
      "<html>",
      "\xff",
    ])
      expect(decodeRefusal(utf8(text))).toBeUndefined();
    expect(decodeRefusal(Uint8Array.of(0xff))).toBeUndefined();
  });
});
