/** Channels between sites: the handshake, the messages, what each refuses, and the frozen bytes of one of each. */
import { createSecretKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { hash } from "../../src/crypto/node/hkdf.ts";
import { setupSender } from "../../src/crypto/node/hpke-base.ts";
import { randomBytes } from "../../src/crypto/node/random.ts";
import { verifySignature } from "../../src/crypto/node/receipts.ts";
import { initiatorEnd, type ResponderEnd, responderEnd } from "../../src/fleet/channel.ts";
import { type AcceptedChannel, acceptChannel, openChannel } from "../../src/fleet/channel-opening.ts";
import { createChannelTable } from "../../src/fleet/channel-table.ts";
import { ownKeys, type SiteKeys } from "../../src/fleet/site-keys.ts";
import { openingHead, splitMessage } from "../../src/wire/site-frames.ts";
import { encodeOpening } from "../../src/wire/site-messages.ts";
import { channelMessage } from "../../src/wire/transcripts.ts";
import { codeOfAsync } from "../support/codes.ts";
import { flipped } from "../support/flipped.ts";
import { softwareFleet } from "../support/software-sites.ts";
import { loadJson } from "../vectors/rfc.ts";
import { softwareKey } from "../vectors/software-key.ts";

const FLEET = "example";
const NAMES = ["site-a", "site-b", "site-c"];
const NOW = 1_767_225_600_000;
const fleet = softwareFleet(FLEET, NAMES);
const clock = { at: NOW, now: () => clock.at };
const keysOf = (name: string): SiteKeys => ownKeys(fleet.keys, name);

const open = (from = "site-a", to = "site-b", changes: { fleet?: string; at?: number } = {}) =>
  openChannel({
    fleet: changes.fleet ?? FLEET,
    from,
    to: keysOf(to),
    sign: fleet.site(from).sign,
    clock: { now: () => changes.at ?? NOW },
    random: randomBytes,
  });

function responder(name = "site-b") {
  const table = createChannelTable(clock);
  const calls = { ecdh: 0 };
  const accept = async (body: Uint8Array): Promise<AcceptedChannel> => {
    const accepted = await acceptChannel(body, {
      fleet: FLEET,
      sites: fleet.keys,
      self: keysOf(name),
      ecdh: (point) => {
        calls.ecdh++;
        return fleet.site(name).ecdh(point);
      },
      clock,
      random: randomBytes,
      admit: table.admit,
    });
    table.add(accepted);
    return accepted;
  };
  return { accept, table, calls };
}

async function pair() {
  const pending = await open();
  const accepted = await responder().accept(pending.body);
  return { initiator: pending.confirm(accepted.body), responder: accepted.end };
}

const receive = (end: ResponderEnd, body: Uint8Array) => end.open(splitMessage("request", body));

describe("both ends", () => {
  test("requests and their answers, out of order, one answered before the other is sent", async () => {
    const { initiator, responder: end } = await pair();
    const requests = ["one", "two", "three"].map((text) => ({ text, ...initiator.seal(utf8(text)) }));
    for (const { text, body, openAnswer } of requests.toReversed()) {
      const opened = receive(end, body);
      expect(opened.plaintext).toEqual(utf8(text));
      expect(openAnswer(opened.sealAnswer(utf8(`${text}!`)))).toEqual(utf8(`${text}!`));
    }
  });

  test("the responder knows who opened it, and answers no request twice", async () => {
    const pending = await open("site-c", "site-b");
    const accepted = await responder().accept(pending.body);
    expect(accepted.from.name).toBe("site-c");
    const opened = receive(accepted.end, pending.confirm(accepted.body).seal(utf8("x")).body);
    opened.sealAnswer(utf8("y"));
    expect(await codeOfAsync(() => opened.sealAnswer(utf8("z")))).toBe("internal");
  });

  test("another try of the same opening makes other keys: repeated traffic opens nothing", async () => {
    const pending = await open();
    const first = await responder().accept(pending.body);
    const body = pending.confirm(first.body).seal(utf8("x")).body;
    // Another responder with the same keys: this one after a restart.
    const second = await responder().accept(pending.body);
    expect(await codeOfAsync(() => receive(second.end, body))).toBe("decrypt-failed");
    expect(receive(first.end, body).plaintext).toEqual(utf8("x"));
  });
});

describe("openings that are refused", () => {
  test("any flipped byte, with the right code, and without a token call where none is needed", async () => {
    const { body } = await open();
    const { accept, calls } = responder();
    for (let at = 0; at < body.length; at++) {
      const expected =
        at < 2 ? "decode-failed" : at < 10 ? "unknown-key" : at < 75 ? "point-invalid" : "decrypt-failed";
      expect(await codeOfAsync(() => accept(flipped(body, at))), `byte ${at}`).toBe(expected);
    }
    expect(calls.ecdh).toBe(body.length - 75);
    expect(await codeOfAsync(() => accept(body))).toBe("no error");
  });

  test("every truncation, and a byte too many", async () => {
    const { body } = await open();
    const { accept } = responder();
    for (let length = 0; length < body.length; length += length < 100 ? 1 : 13)
      expect(await codeOfAsync(() => accept(body.subarray(0, length)))).toBe(
        length < 91 ? "decode-failed" : "decrypt-failed",
      );
    expect(await codeOfAsync(() => accept(concat(body, Uint8Array.of(0))))).toBe("decrypt-failed");
  });

  test("replayed, also after minutes; the table forgets it when its time alone refuses it", async () => {
    const { body } = await open();
    const { accept } = responder();
    await accept(body);
    expect(await codeOfAsync(() => accept(body))).toBe("conflict");
    clock.at = NOW + 300_000;
    expect(await codeOfAsync(() => accept(body))).toBe("conflict");
    clock.at = NOW + 300_001;
    expect(await codeOfAsync(() => accept(body))).toBe("expired");
    clock.at = NOW;
    // Twice at once: one of them.
    const other = await open();
    const both = await Promise.all([
      codeOfAsync(() => accept(other.body)),
      codeOfAsync(() => accept(other.body)),
    ]);
    expect(both.toSorted()).toEqual(["conflict", "no error"]);
  });

  test.each([
    ["a clock that is late", 300_001, "expired"],
    ["a clock that is early", -300_001, "expired"],
    ["clocks that differ as far as they may", 300_000, "no error"],
  ])("%s", async (_, late, expected) => {
    const { body } = await open("site-a", "site-b", { at: NOW - late });
    expect(await codeOfAsync(() => responder().accept(body))).toBe(expected);
  });

  test("meant for another fleet or another site", async () => {
    const { accept } = responder();
    expect(
      await codeOfAsync(async () => accept((await open("site-a", "site-b", { fleet: "other" })).body)),
    ).toBe("decrypt-failed");
    expect(await codeOfAsync(async () => accept((await open("site-a", "site-c")).body))).toBe("unknown-key");
    const same = responder("site-a");
    expect(await codeOfAsync(async () => same.accept((await open("site-a", "site-a")).body))).toBe(
      "unauthorized",
    );
  });

  /** An opening made by hand: properly sealed, with anything inside. */
  async function forge(
    changes: Partial<Parameters<typeof encodeOpening>[0]>,
    signer: string,
    signed: Partial<Parameters<typeof channelMessage>[0]> = {},
  ): Promise<Uint8Array> {
    const to = keysOf("site-b");
    const context = await setupSender(to.session, utf8("\0\0\0\x12strongroom/site/v1\0\0\0\x07example"));
    const told = {
      fleet: FLEET,
      from: "site-a",
      to: "site-b",
      channel: randomBytes(16),
      issuedAt: NOW,
      ephemeral: softwareKey().publicKey,
      ...changes,
    };
    const message = channelMessage({ ...told, enc: context.enc, ...signed });
    const signature = changes.signature ?? (await fleet.site(signer).sign(hash(message)));
    const head = openingHead(to.kid, context.enc);
    return concat(head, await context.seal(encodeOpening({ ...told, signature }), head));
  }

  test.each<[string, Parameters<typeof forge>, string]>([
    ["a proper one", [{}, "site-a"], "no error"],
    ["another site's identity", [{}, "site-c"], "unauthorized"],
    ["its own name", [{ from: "site-b" }, "site-b"], "unauthorized"],
    ["a site that is not of the fleet", [{ from: "site-x" }, "site-a"], "unauthorized"],
    ["another fleet inside", [{ fleet: "other" }, "site-a"], "unauthorized"],
    ["another addressee inside", [{ to: "site-c" }, "site-a"], "unauthorized"],
    ["no signature", [{ signature: new Uint8Array(64) }, "site-a"], "unauthorized"],
    ["a signature over another enc", [{}, "site-a", { enc: softwareKey().publicKey }], "unauthorized"],
    ["a signature over another channel", [{}, "site-a", { channel: new Uint8Array(16) }], "unauthorized"],
    ["a signature over another time", [{}, "site-a", { issuedAt: NOW - 1 }], "unauthorized"],
    ["a signature for another site", [{}, "site-a", { to: "site-c" }], "unauthorized"],
    ["a signature of another fleet", [{}, "site-a", { fleet: "other" }], "unauthorized"],
    [
      "a signature over another ephemeral key",
      [{}, "site-a", { ephemeral: softwareKey().publicKey }],
      "unauthorized",
    ],
    [
      "an ephemeral key off the curve",
      [{ ephemeral: new Uint8Array(65).fill(4) }, "site-a"],
      "point-invalid",
    ],
    ["a channel of another length", [{ channel: new Uint8Array(15) }, "site-a"], "decode-failed"],
  ])("%s", async (_, forged, expected) => {
    const { accept, table } = responder();
    const body = await forge(...forged);
    expect(await codeOfAsync(() => accept(body))).toBe(expected);
    // What was refused leaves nothing behind: the channel can still be opened by whom it belongs to.
    if (expected === "unauthorized") {
      const channel = forged[0].channel ?? new Uint8Array(16);
      expect(await codeOfAsync(() => table.find(channel))).toBe("unknown-channel");
    }
  });

  test("a channel that another peer has opened, also when the opening itself is forgotten", async () => {
    const { accept } = responder();
    const channel = randomBytes(16);
    await accept(await forge({ channel }, "site-a"));
    clock.at = NOW + 600_000;
    const later = forge({ channel, from: "site-c", issuedAt: clock.at }, "site-c");
    expect(await codeOfAsync(async () => accept(await later))).toBe("conflict");
    clock.at = NOW;
    expect(await codeOfAsync(async () => accept(await forge({ channel, from: "site-c" }, "site-c")))).toBe(
      "conflict",
    );
  });

  test("the token's own errors stay what they are, and the opening may come again", async () => {
    const { body } = await open();
    const { table } = responder();
    const absent = new StrongroomError("token-absent", "gone");
    const options = { fleet: FLEET, sites: fleet.keys, self: keysOf("site-b"), clock, random: randomBytes };
    const { admit } = table;
    const failing = acceptChannel(body, { ...options, admit, ecdh: () => Promise.reject(absent) });
    await expect(failing).rejects.toBe(absent);
    const { ecdh } = fleet.site("site-b");
    await acceptChannel(body, { ...options, admit, ecdh });
  });
});

describe("confirmations that are refused", () => {
  test("any flipped byte, any truncation, that of another opening, and one without the session key", async () => {
    const pending = await open();
    const { body } = await responder().accept(pending.body);
    for (let at = 0; at < body.length; at++) {
      const expected = at < 2 ? "decode-failed" : at >= 18 && at < 83 ? "point-invalid" : "decrypt-failed";
      expect(await codeOfAsync(() => pending.confirm(flipped(body, at))), `byte ${at}`).toBe(expected);
      expect(await codeOfAsync(() => pending.confirm(body.subarray(0, at)))).toBe("decode-failed");
    }
    const other = await responder().accept((await open()).body);
    expect(await codeOfAsync(() => pending.confirm(other.body))).toBe("decrypt-failed");
    // The opening's channel with somebody else's ephemeral key and keys.
    const forged = concat(body.subarray(0, 18), other.body.subarray(18));
    expect(await codeOfAsync(() => pending.confirm(forged))).toBe("decrypt-failed");
    expect(await codeOfAsync(() => pending.confirm(body))).toBe("no error");
  });
});

describe("messages that are refused", () => {
  test("any flipped byte of a request, which uses nothing up", async () => {
    const { initiator, responder: end } = await pair();
    const { body } = initiator.seal(utf8("a request"));
    for (let at = 0; at < body.length; at++)
      // The channel's name is the table's business; it is bound all the same.
      expect(["decode-failed", "decrypt-failed"], `byte ${at}`).toContain(
        await codeOfAsync(() => receive(end, flipped(body, at))),
      );
    for (let length = 0; length < body.length; length++)
      expect(["decode-failed", "decrypt-failed"]).toContain(
        await codeOfAsync(() => receive(end, body.subarray(0, length))),
      );
    expect(receive(end, body).plaintext).toEqual(utf8("a request"));
    expect(await codeOfAsync(() => receive(end, body))).toBe("conflict");
  });

  test("any flipped byte of an answer, the answer to another request, a request as an answer", async () => {
    const { initiator, responder: end } = await pair();
    const [one, two] = [initiator.seal(utf8("1")), initiator.seal(utf8("2"))];
    const answer = receive(end, one.body).sealAnswer(utf8("first"));
    for (let at = 0; at < answer.length; at++)
      expect(["decode-failed", "decrypt-failed"], `byte ${at}`).toContain(
        await codeOfAsync(() => one.openAnswer(flipped(answer, at))),
      );
    expect(await codeOfAsync(() => two.openAnswer(answer))).toBe("decrypt-failed");
    expect(await codeOfAsync(() => one.openAnswer(one.body))).toBe("decode-failed");
    expect(await codeOfAsync(() => receive(end, answer))).toBe("decode-failed");
    // The direction is in the keys as well as in the frame.
    const mirrored = Uint8Array.from(one.body);
    mirrored[1] = 4;
    expect(await codeOfAsync(() => one.openAnswer(mirrored))).toBe("decrypt-failed");
    const returned = Uint8Array.from(answer);
    returned[1] = 3;
    returned[25] = 9;
    expect(await codeOfAsync(() => receive(end, returned))).toBe("decrypt-failed");
  });

  test("messages of another channel of the same two sites", async () => {
    const [one, two] = [await pair(), await pair()];
    const { body } = one.initiator.seal(utf8("x"));
    expect(await codeOfAsync(() => receive(two.responder, body))).toBe("decrypt-failed");
  });

  test("gaps are fine; a message older than the window is refused, unused as it is", async () => {
    const { initiator, responder: end } = await pair();
    const bodies = Array.from({ length: 4_098 }, () => initiator.seal(utf8("x")).body);
    const at = (i: number): Uint8Array => bodies[i] ?? new Uint8Array(0);
    receive(end, at(4_096));
    expect(await codeOfAsync(() => receive(end, at(0)))).toBe("conflict");
    expect(await codeOfAsync(() => receive(end, at(1)))).toBe("no error");
    receive(end, at(4_097));
    expect(await codeOfAsync(() => receive(end, at(2)))).toBe("no error");
    expect(await codeOfAsync(() => receive(end, at(1)))).toBe("conflict");
  });
});

describe("the table of channels", () => {
  const accepted = async (table: ReturnType<typeof responder>) => table.accept((await open()).body);

  test("the newest four of a peer are kept, other peers' apart", async () => {
    const one = responder();
    const foreign = await one.accept((await open("site-c")).body);
    const opened: AcceptedChannel[] = [];
    for (let i = 0; i < 6; i++) opened.push(await accepted(one));
    const found = await Promise.all(opened.map(({ channel }) => codeOfAsync(() => one.table.find(channel))));
    expect(found).toEqual([...Array(2).fill("unknown-channel"), ...Array(4).fill("no error")]);
    expect(one.table.find(foreign.channel).from).toBe("site-c");
  });

  test("a channel ends with its time", async () => {
    const one = responder();
    const { channel } = await accepted(one);
    clock.at = NOW + 3_659_999;
    expect(one.table.find(channel).from).toBe("site-a");
    clock.at = NOW + 3_660_000;
    expect(await codeOfAsync(() => one.table.find(channel))).toBe("unknown-channel");
    clock.at = NOW;
  });

  test("a peer that opens without end is stopped, until the first ones are forgotten", async () => {
    const table = createChannelTable(clock);
    const from = keysOf("site-a");
    const admit = (issuedAt: number) =>
      codeOfAsync(() => table.admit({ from, channel: randomBytes(16), issuedAt }));
    for (let i = 0; i < 1_200; i++) expect(await admit(NOW)).toBe("no error");
    expect(await admit(NOW)).toBe("rate-limited");
    expect(
      await codeOfAsync(() =>
        table.admit({ from: keysOf("site-c"), channel: randomBytes(16), issuedAt: NOW }),
      ),
    ).toBe("no error");
    clock.at = NOW + 300_001;
    expect(await admit(clock.at)).toBe("no error");
    clock.at = NOW;
  });
});

describe("golden channel", () => {
  const golden = loadJson("golden-channel.json") as Readonly<Record<string, string>> & { counter: number };
  const bytes = (name: string): Uint8Array => fromHex(golden[name] ?? "");
  const session = softwareKey(bytes("sessionPrivateKey"));
  const self: SiteKeys = {
    ...keysOf("site-b"),
    session: session.publicKey,
    kid: bytes("opening").slice(2, 10),
  };
  const from: SiteKeys = { ...keysOf("site-a"), identity: bytes("identityPublicKey") };

  test("the signed bytes", () => {
    const signed = channelMessage({
      fleet: golden.fleet ?? "",
      from: golden.from ?? "",
      to: golden.to ?? "",
      enc: bytes("enc"),
      channel: bytes("channel"),
      issuedAt: Number(golden.issuedAt),
      ephemeral: bytes("initiatorEphemeralPublicKey"),
    });
    expect(toHex(signed)).toBe(golden.signedBytes);
    expect(verifySignature(from.identity, signed, bytes("signature"))).toBe(true);
  });

  test("the opening is accepted, and confirmed by the frozen bytes", async () => {
    const accepted = await acceptChannel(bytes("opening"), {
      fleet: golden.fleet ?? "",
      sites: new Map([
        ["site-a", from],
        ["site-b", self],
      ]),
      self,
      ecdh: async (point) => session.ecdh(point),
      clock: { now: () => Number(golden.issuedAt) },
      random: () => bytes("responderEphemeralPrivateKey"),
      admit: () => undefined,
    });
    expect(toHex(accepted.body)).toBe(golden.opened);
    const opened = accepted.end.open(splitMessage("request", bytes("requestBody")));
    expect(toHex(opened.plaintext).startsWith(`${golden.request}80`)).toBe(true);
    expect(toHex(opened.sealAnswer(paddedAnswer()))).toBe(golden.answerBody);
  });

  const paddedAnswer = (): Uint8Array => {
    const padded = new Uint8Array(2048);
    padded.set(bytes("answer"));
    padded[bytes("answer").length] = 0x80;
    return padded;
  };

  test("the initiator's messages", () => {
    const keys = {
      initiator: createSecretKey(bytes("initiatorKey")),
      responder: createSecretKey(bytes("responderKey")),
    };
    const initiator = initiatorEnd(bytes("channel"), keys);
    const plaintext = responderEnd(bytes("channel"), keys).open(
      splitMessage("request", bytes("requestBody")),
    ).plaintext;
    for (let i = 1; i < golden.counter; i++) initiator.seal(new Uint8Array(0));
    const { body, openAnswer } = initiator.seal(plaintext);
    expect(toHex(body)).toBe(golden.requestBody);
    expect(openAnswer(bytes("answerBody"))).toEqual(paddedAnswer());
  });
});
