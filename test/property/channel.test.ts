/** The replay window against a model, channels under any reordering, and a route that survives any bytes. */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { concat, utf8 } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { openChannel } from "../../src/fleet/channel-opening.ts";
import { createPeerRoute } from "../../src/fleet/peer-route.ts";
import { createReplayWindow } from "../../src/fleet/replay-window.ts";
import { ownKeys } from "../../src/fleet/site-keys.ts";
import type { SiteService } from "../../src/fleet/site-service.ts";
import { frameKind } from "../../src/wire/site-frames.ts";
import { decodeSiteAnswer, encodeSiteRequest } from "../../src/wire/site-messages.ts";
import { softwareFleet } from "../support/software-sites.ts";

describe("the replay window", () => {
  /** The rule itself: once each, and none that is `size` or more behind the highest. */
  function model(size: number) {
    const used = new Set<number>();
    let highest = 0;
    return (counter: number): boolean => {
      if (counter < 1 || counter <= highest - size || used.has(counter)) return false;
      used.add(counter);
      highest = Math.max(highest, counter);
      return true;
    };
  }

  /** Mostly near to each other, now and then far away; around 2³¹ and 2³² as well. */
  const steps = fc.array(
    fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: -80, max: 80 }) },
      { weight: 2, arbitrary: fc.integer({ min: -3_000, max: 3_000 }) },
      { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 32 - 1, 0) },
    ),
    { maxLength: 400 },
  );

  test.each([32, 64, 256, 4_096])("accepts what the model accepts (%i)", (size) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), steps, (start, moves) => {
        const [window, rule] = [createReplayWindow(size), model(size)];
        let counter = start;
        for (const move of moves) {
          counter = Math.abs(move) > 2 ** 30 ? move : Math.max(0, counter + move);
          expect(window.accept(counter), `${counter}`).toBe(rule(counter));
        }
      }),
      { numRuns: 400 },
    );
  });

  test("any order of the counters within its size: each once", () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: 256 }, (_, i) => i + 1),
      { minLength: 256 },
    );
    fc.assert(
      fc.property(order, (counters) => {
        const window = createReplayWindow(256);
        expect(counters.every((counter) => window.accept(counter))).toBe(true);
        expect(counters.some((counter) => window.accept(counter))).toBe(false);
      }),
      { numRuns: 100 },
    );
  });
});

describe("the route", () => {
  const names = ["site-a", "site-b", "site-c"];
  const fleet = softwareFleet("example", names);
  const clock = { now: () => Date.now() };
  const failing = async (): Promise<never> => {
    throw new StrongroomError("guard-refused", "no");
  };
  const service: SiteService = {
    create: failing,
    evaluate: failing,
    announce: failing,
    status: async () => ({
      site: "site-b",
      token: { ok: true, detail: "" },
      store: { ok: true, detail: "" },
      inFlight: 0,
      manifest: "00".repeat(32),
      now: 1,
    }),
  };
  const { token, steps } = fleet.site("site-b");
  const route = createPeerRoute({
    manifest: fleet.manifest,
    self: "site-b",
    token,
    service,
    clock,
    random: randomBytes,
  });
  const opening = () =>
    openChannel({
      fleet: "example",
      from: "site-a",
      to: ownKeys(fleet.keys, "site-b"),
      sign: fleet.site("site-a").sign,
      clock,
      random: randomBytes,
    });
  let channel: ReturnType<Awaited<ReturnType<typeof opening>>["confirm"]>;
  let samples: readonly Uint8Array[];

  beforeAll(async () => {
    const pending = await opening();
    const { body } = await route.handle(pending.body);
    channel = pending.confirm(body);
    const request = channel.seal(encodeSiteRequest({ op: "status" })).body;
    const { body: answer } = await route.handle(request);
    samples = [(await opening()).body, body, request, answer];
  });

  const STATUSES: Readonly<Record<string, number>> = {
    "decode-failed": 400,
    "decrypt-failed": 400,
    "point-invalid": 400,
    "unknown-key": 421,
    "unknown-channel": 410,
    conflict: 409,
    expired: 410,
    unauthorized: 401,
  };

  /** Refused in the clear with a code that fits; never an internal error. */
  async function expectRefused(body: Uint8Array): Promise<void> {
    const answer = await route.handle(body);
    expect(answer.status).toBe(STATUSES[answer.error?.code ?? ""]);
    expect(frameKind(answer.body)).toBeUndefined();
  }

  test("any bytes", async () => {
    const before = steps.length;
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom("", "\x01", "\x01\x01", "\x01\x02", "\x01\x03", "\x01\x04"),
        (bytes, start) => expectRefused(concat(utf8(start), bytes)),
      ),
      { numRuns: 2_000 },
    );
    expect(steps.length).toBe(before);
  });

  test("pieces of real messages, cut, joined and changed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(3),
        fc.nat(3),
        fc.nat(2_200),
        fc.nat(2_200),
        fc.array(fc.tuple(fc.nat(2_200), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }),
        async (a, b, cutA, cutB, changes) => {
          const [one, two] = [samples[a], samples[b]] as [Uint8Array, Uint8Array];
          const body = concat(one.subarray(0, cutA), two.subarray(cutB));
          for (const [at, by] of changes)
            if (body.length > 0) {
              const where = at % body.length;
              body[where] = (body[where] ?? 0) ^ by;
            }
          await expectRefused(body);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("any plaintext inside a channel is answered inside it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, padded) => {
        const plaintext = new Uint8Array(padded ? 2_048 : bytes.length);
        plaintext.set(bytes);
        if (padded) plaintext[bytes.length] = 0x80;
        const { body, openAnswer } = channel.seal(plaintext);
        const answer = await route.handle(body);
        expect(answer.status).toBe(200);
        expect(decodeSiteAnswer("create", openAnswer(answer.body))).toEqual({ error: "invalid-request" });
      }),
      { numRuns: 500 },
    );
  });

  test("requests in any order, some of them twice: each is answered once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(39), { minLength: 1, maxLength: 80 }), async (order) => {
        const requests = Array.from({ length: 40 }, () => channel.seal(encodeSiteRequest({ op: "status" })));
        const sent = new Set<number>();
        const answers = await Promise.all(
          order.map(async (i) => {
            const first = !sent.has(i);
            sent.add(i);
            return { first, i, answer: await route.handle(requests[i]?.body ?? new Uint8Array(0)) };
          }),
        );
        for (const { first, i, answer } of answers) {
          expect(answer.error?.code).toBe(first ? undefined : "conflict");
          if (first) requests[i]?.openAnswer(answer.body);
        }
      }),
      { numRuns: 60 },
    );
  });
});
