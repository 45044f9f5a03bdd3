/** Backup files against the age tool itself: it opens ours, we open its, and damage is damage on both sides. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ageIdentity, ageRecipient, decryptBackup, encryptBackup } from "../../src/client/index.ts";

const CHUNK = 65_536;
const key = Uint8Array.from({ length: 32 }, (_, i) => i);
const identity = ageIdentity(key);
/** Computed by hand in another language. */
const GOLDEN_IDENTITY = "AGE-SECRET-KEY-1Q2RYELFKP3NKNXV04AQZNNW04KYUQ7XCACNRNZLCHWV9GYCEGYCQLMCUZT";
let dir = "";
let keyFile = "";

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "strongroom-age-"));
  keyFile = join(dir, "key.txt");
  writeFileSync(keyFile, `${identity}\n`, { mode: 0o600 });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const streamOf = (bytes: Uint8Array): ReadableStream<Uint8Array> =>
  new Blob([Uint8Array.from(bytes)]).stream();
const collect = async (stream: ReadableStream<Uint8Array>): Promise<Uint8Array> =>
  new Uint8Array(await new Response(stream).arrayBuffer());
const seal = async (bytes: Uint8Array): Promise<Uint8Array> =>
  collect(await encryptBackup(identity, streamOf(bytes)));
const open = async (bytes: Uint8Array, by = identity): Promise<Uint8Array> =>
  collect(await decryptBackup(by, streamOf(bytes)));
const age = (args: readonly string[], input: Uint8Array): Uint8Array =>
  new Uint8Array(execFileSync("age", args, { input, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "pipe"] }));
const damaged = expect.objectContaining({ code: "backup-invalid" });

/** Around the borders of age's chunks of 64 KiB. */
const SIZES = [0, 1, 1_000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17];

describe("the identity", () => {
  test("is derived as it always was: old backups stay readable", () => {
    // HKDF-SHA-256(ikm = 00 01 … 1f, no salt, info = strongroom/client/age-identity/v1), in Bech32.
    expect(identity).toBe(GOLDEN_IDENTITY);
  });

  test("is one that age knows, with the recipient that age derives", async () => {
    const recipient = execFileSync("age-keygen", ["-y", keyFile], { encoding: "utf8" }).trim();
    expect(await ageRecipient(identity)).toBe(recipient);
  });

  test("is another one for every key", () => {
    const another = key.slice();
    another[31] = (another[31] ?? 0) ^ 0x80;
    expect(ageIdentity(another)).not.toBe(identity);
  });
});

describe("what we make", () => {
  test.each(SIZES)("of %i bytes is opened by age", async (size) => {
    const plaintext = Uint8Array.from(randomBytes(size));
    expect(age(["--decrypt", "--identity", keyFile], await seal(plaintext))).toEqual(plaintext);
  });

  test("of a stream in odd pieces is opened by age, with progress to the last byte", async () => {
    const pieces = [1, 70_000, 0, 3, 65_536, 12_345].map((size) => Uint8Array.from(randomBytes(size)));
    const seen: number[] = [];
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) controller.enqueue(piece);
        controller.close();
      },
    });
    const sealed = await collect(await encryptBackup(identity, source, (bytes) => seen.push(bytes)));
    expect(Buffer.from(age(["-d", "-i", keyFile], sealed))).toEqual(Buffer.concat(pieces));
    expect(seen).toEqual([1, 70_001, 70_001, 70_004, 135_540, 147_885]);
  });
});

describe("what age makes for us", () => {
  test.each(SIZES)("of %i bytes is opened here", async (size) => {
    const plaintext = Uint8Array.from(randomBytes(size));
    const sealed = age(["--encrypt", "--recipient", await ageRecipient(identity)], plaintext);
    expect(await open(sealed)).toEqual(plaintext);
  });

  test("for several people is opened by each of them", async () => {
    const other = ageIdentity(Uint8Array.from(randomBytes(32)));
    const to = ["--recipient", await ageRecipient(other), "--recipient", await ageRecipient(identity)];
    const sealed = age(["--encrypt", ...to], Buffer.from("both"));
    for (const by of [identity, other]) expect(Buffer.from(await open(sealed, by)).toString()).toBe("both");
  });
});

describe("what is damaged", () => {
  test("is refused wherever a bit has flipped, as age does", async () => {
    const sealed = await seal(Uint8Array.from(randomBytes(2 * CHUNK + 100)));
    const places = fc.tuple(fc.oneof(fc.nat(250), fc.nat(sealed.length - 1)), fc.nat(7));
    await fc.assert(
      fc.asyncProperty(places, async ([at, bit]) => {
        const flipped = sealed.slice();
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        await expect(open(flipped)).rejects.toThrow(damaged);
      }),
      { numRuns: 150 },
    );
  });

  test("is refused wherever it is cut, at the borders of chunks too", async () => {
    const sealed = await seal(Uint8Array.from(randomBytes(2 * CHUNK)));
    const headerBytes = sealed.length - 2 * (CHUNK + 16);
    const borders = [0, 5, headerBytes - 16, headerBytes - 1, headerBytes, headerBytes + CHUNK + 16];
    for (const length of [...borders, ...borders.map((border) => border + 1), sealed.length - 1])
      await expect(open(sealed.slice(0, length))).rejects.toThrow(damaged);
    for (const length of borders) expect(() => age(["-d", "-i", keyFile], sealed.slice(0, length))).toThrow();
  });

  test("is refused with something appended or its chunks exchanged", async () => {
    const sealed = await seal(Uint8Array.from(randomBytes(3 * CHUNK)));
    const start = sealed.length - 3 * (CHUNK + 16);
    const chunk = (n: number): Uint8Array =>
      sealed.slice(start + n * (CHUNK + 16), start + (n + 1) * (CHUNK + 16));
    const swapped = Buffer.concat([sealed.slice(0, start), chunk(1), chunk(0), chunk(2)]);
    await expect(open(swapped)).rejects.toThrow(damaged);
    await expect(open(Buffer.concat([sealed, Buffer.of(0)]))).rejects.toThrow(damaged);
  });

  test("is told from what is for another key, in text form, or no age file", async () => {
    const sealed = await seal(Buffer.from("x"));
    const other = ageIdentity(Uint8Array.from(randomBytes(32)));
    await expect(open(sealed, other)).rejects.toThrow("another key");
    const armored = age(
      ["--encrypt", "--armor", "--recipient", await ageRecipient(identity)],
      Buffer.from("x"),
    );
    await expect(open(armored)).rejects.toThrow("text form");
    for (const bytes of [Buffer.alloc(0), Buffer.from("age"), Buffer.from("PK\u0003\u0004 something else")])
      await expect(open(bytes)).rejects.toThrow("not an age file");
  });

  test("is refused after little, where the header never ends", async () => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(
          pulled++ === 0
            ? new TextEncoder().encode("age-encryption.org/v1\n-> X25519 ")
            : new Uint8Array(CHUNK).fill(65),
        );
      },
    });
    await expect(decryptBackup(identity, endless)).rejects.toThrow(damaged);
    expect(pulled).toBeLessThan(10);
  });

  test("is not what a source that fails is called", async () => {
    const sealed = await seal(Uint8Array.from(randomBytes(3 * CHUNK)));
    const failure = new Error("the disk went away");
    for (const failAt of [0, CHUNK]) {
      let sent = 0;
      const source = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (sent >= failAt) return controller.error(failure);
          controller.enqueue(sealed.slice(sent, sent + CHUNK));
          sent += CHUNK;
        },
      });
      await expect(decryptBackup(identity, source).then(collect)).rejects.toBe(failure);
    }
  });
});

describe("large files", () => {
  /** Encrypts and decrypts so many MiB in a process of its own; its peak of memory and the digests of both ends. */
  const CHILD = `
    import { createHash } from "node:crypto";
    import { ageIdentity, decryptBackup, encryptBackup } from "./src/client/index.ts";
    const identity = ageIdentity(new Uint8Array(32).fill(7));
    const before = createHash("sha256");
    const after = createHash("sha256");
    let left = Number(process.argv[1]);
    const source = new ReadableStream({
      pull(controller) {
        if (left-- === 0) return controller.close();
        const chunk = crypto.getRandomValues(new Uint8Array(65536));
        const mebibyte = new Uint8Array(1 << 20);
        for (let at = 0; at < mebibyte.length; at += chunk.length) mebibyte.set(chunk, at);
        before.update(mebibyte);
        controller.enqueue(mebibyte);
      },
    }, { highWaterMark: 0 });
    for await (const chunk of await decryptBackup(identity, await encryptBackup(identity, source))) after.update(chunk);
    const same = before.digest("hex") === after.digest("hex");
    console.log(JSON.stringify({ same, peakMiB: process.resourceUsage().maxRSS / 1024 }));
  `;
  const run = async (mebibytes: number): Promise<{ same: boolean; peakMiB: number }> => {
    const args = ["--import", "tsx", "--input-type=module", "--eval", CHILD, String(mebibytes)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout);
  };

  test("take no more memory than small ones", async () => {
    const small = await run(16);
    const large = await run(256);
    process.stderr.write(`peak memory: ${small.peakMiB} MiB for 16 MiB, ${large.peakMiB} MiB for 256 MiB\n`);
    expect([small.same, large.same]).toEqual([true, true]);
    expect(large.peakMiB).toBeLessThan(small.peakMiB + 64);
  });

  test("reach age through a pipe as they are made", async () => {
    const child = spawn("age", ["-d", "-i", keyFile], { stdio: ["pipe", "pipe", "inherit"] });
    const got = createHash("sha256");
    child.stdout.on("data", (chunk: Buffer) => got.update(chunk));
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const sent = createHash("sha256");
    let left = 200;
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (left-- === 0) return controller.close();
          const chunk = Uint8Array.from(randomBytes(1 << 20));
          sent.update(chunk);
          controller.enqueue(chunk);
        },
      },
      { highWaterMark: 0 },
    );
    for await (const chunk of await encryptBackup(identity, source))
      if (!child.stdin.write(chunk)) await new Promise((resolve) => child.stdin.once("drain", resolve));
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(got.digest("hex")).toBe(sent.digest("hex"));
  });
});

test("age's own key files are read like ours", async () => {
  const file = join(dir, "own.txt");
  execFileSync("age-keygen", ["-o", file], { stdio: "ignore" });
  const own = /^AGE-SECRET-KEY-1.*$/m.exec(readFileSync(file, "utf8"))?.[0] ?? "";
  const sealed = age(["-e", "-i", file], Buffer.from("mine"));
  expect(Buffer.from(await open(sealed, own)).toString()).toBe("mine");
});
