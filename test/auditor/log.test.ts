/** The log of a namespace on a disk, with its key and its anchor in a real token. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Head, HeadAnchor } from "../../src/auditor/anchor.ts";
import { FIRST_HEAD } from "../../src/auditor/init.ts";
import { openLog, type TransparencyLog } from "../../src/auditor/log.ts";
import { decodeGrowth, encodeGrowth } from "../../src/auditor/log-pending.ts";
import { auditorKeys, openSigner, type Signer, type SignerToken } from "../../src/auditor/signer.ts";
import { equal, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { provision, provisioned } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { verifyConsistency } from "../../src/merkle/proofs.ts";
import { verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { openSession } from "../../src/token/open.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const ORIGIN = "auditor.example/logs/vault.example";
const FULL_DISK = fileURLToPath(new URL("../support/log-full-disk.ts", import.meta.url));
const { checkpoint, audit } = auditorKeys("vault.example");
let hsm: SoftHsm;
let token: SignerToken;
let count = 0;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  try {
    expect(provisioned(provision(session, profile, [checkpoint, audit]))).toBe(true);
    const keys = [...readPublicKeys(session, [checkpoint, audit])];
    token = await openSigner({
      uri: hsm.uri,
      profile: "softhsm2",
      keys: [checkpoint, audit].map((key) => {
        const publicKey = keys.find(([name]) => name === key.name)?.[1];
        if (!publicKey) throw new Error("no public key");
        return { ...key, publicKey };
      }),
    });
  } finally {
    session.close();
  }
});
afterAll(async () => {
  await token.close();
  hsm.remove();
});

interface World {
  readonly dir: string;
  readonly anchor: HeadAnchor;
  open(
    at?: string,
    changes?: { anchor?: HeadAnchor; signer?: Signer; origin?: string },
  ): Promise<TransparencyLog>;
}
/** A namespace of its own on the token, and a data directory. */
async function newWorld(): Promise<World> {
  const dir = join(hsm.dir, `log-${count++}`);
  const anchor = token.anchor(`test/${dir}`);
  await anchor.write(FIRST_HEAD);
  return {
    dir,
    anchor,
    open: (at = dir, changes = {}) =>
      openLog({
        dir: join(at, "public"),
        stateDir: join(at, "state"),
        origin: ORIGIN,
        signer: token.signer(checkpoint.name),
        anchor,
        ...changes,
      }),
  };
}
const entry = (at: number): Uint8Array => utf8(`entry ${at}`);
const headOf = (log: TransparencyLog): { size: number; root: Uint8Array } =>
  verifyCheckpoint(log.checkpoint() ?? "", { logs: [log.key] }).checkpoint;
const fails = (code: string, reason?: string): object =>
  expect.objectContaining({
    code,
    ...(reason === undefined ? {} : { details: expect.objectContaining({ reason }) }),
  });
const filesOf = (dir: string): string =>
  execFileSync("sh", ["-c", 'cd "$1" && find . -type f | sort | xargs sha256sum', "sh", dir], {
    encoding: "utf8",
  });

describe("a log", () => {
  test("begins empty, grows, and proves every entry and every growth under its published checkpoint", async () => {
    const { open, anchor, dir } = await newWorld();
    const log = await open();
    expect([log.size(), log.checkpoint()]).toEqual([0, undefined]);
    await expect(log.proofOf(0)).rejects.toEqual(fails("log-invalid", "wrong-size"));
    const heads: { size: number; root: Uint8Array }[] = [];
    for (let at = 0; at < 3; at++) {
      await log.append(entry(at), at);
      heads.push(headOf(log));
    }
    await log.appendAll(
      Array.from({ length: 300 }, (_, at) => entry(3 + at)),
      3,
    );
    heads.push(headOf(log));
    for (const index of [0, 2, 3, 255, 256, 302]) {
      const verified = verifyTlogProof(await log.proofOf(index), entry(index), { logs: [log.key] });
      expect(verified.index).toBe(index);
    }
    for (const before of heads)
      for (const after of heads.filter(({ size }) => size >= before.size))
        verifyConsistency(before, after, await log.consistency(before.size, after.size));
    await expect(log.consistency(1, 304)).rejects.toEqual(fails("log-invalid", "wrong-size"));
    expect(await anchor.read()).toMatchObject({ epoch: 0, size: 303, root: headOf(log).root });
    // Partial tiles whose full one is there are gone.
    expect(readdirSync(join(dir, "public/tile/0")).sort()).toEqual(["000", "001.p"]);
    expect(existsSync(join(dir, "state/pending"))).toBe(false);
    await log.close();
    const again = await open();
    expect(headOf(again)).toEqual(headOf(log));
    await again.append(entry(303), 303);
    await again.close();
  });

  test("takes the same entry again, and no other one in its place, nor one with a gap", async () => {
    const log = await (await newWorld()).open();
    await log.append(entry(0), 0);
    const before = log.checkpoint();
    await log.append(entry(0), 0);
    expect(log.checkpoint()).toBe(before);
    await expect(log.append(entry(1), 0)).rejects.toEqual(fails("log-invalid", "wrong-entry"));
    await expect(log.append(entry(2), 2)).rejects.toEqual(fails("log-invalid", "wrong-size"));
    await expect(log.append(new Uint8Array(65_536), 1)).rejects.toEqual(fails("log-invalid", "too-large"));
    expect(log.checkpoint()).toBe(before);
    await log.appendAll([entry(0), entry(1)], 0);
    expect(log.size()).toBe(2);
    await log.close();
  });

  test("keeps the order of those who append at the same time", async () => {
    const log = await (await newWorld()).open();
    await Promise.all([0, 1, 2, 3].map((at) => log.append(entry(at), at)));
    for (const index of [0, 1, 2, 3])
      verifyTlogProof(await log.proofOf(index), entry(index), { logs: [log.key] });
    await log.close();
  });
});

describe("never two heads of one size", () => {
  test("a data directory that was set back is refused, and the newest one opens again", async () => {
    const { open, dir } = await newWorld();
    let log = await open();
    await log.append(entry(0), 0);
    await log.close();
    cpSync(dir, `${dir}.old`, { recursive: true });
    log = await open();
    await log.append(entry(1), 1);
    const newest = log.checkpoint();
    await log.close();
    const before = filesOf(join(`${dir}.old`, "public"));
    await expect(open(`${dir}.old`)).rejects.toEqual(fails("auditor-refused", "log-behind"));
    expect(filesOf(join(`${dir}.old`, "public"))).toBe(before);
    // Nor an empty directory.
    await expect(open(`${dir}.empty`)).rejects.toEqual(fails("auditor-refused", "log-behind"));
    log = await open();
    expect(log.checkpoint()).toBe(newest);
    await log.close();
  });

  test("two auditors on copies of one directory: the second to append shows and signs nothing", async () => {
    const { open, dir } = await newWorld();
    const one = await open();
    await one.append(entry(0), 0);
    await one.close();
    cpSync(dir, `${dir}.copy`, { recursive: true });
    const [first, second] = [await open(), await open(`${dir}.copy`)];
    await first.append(entry(1), 1);
    const before = filesOf(join(`${dir}.copy`, "public"));
    await expect(second.append(utf8("another"), 1)).rejects.toEqual(fails("auditor-refused", "log-behind"));
    await expect(second.append(entry(1), 1)).rejects.toEqual(fails("auditor-refused", "log-behind"));
    expect(filesOf(join(`${dir}.copy`, "public"))).toBe(before);
    await first.append(entry(2), 2);
    await Promise.all([first.close(), second.close()]);
  });

  test("two auditors at the same moment: one of them wins", async () => {
    const { open, dir } = await newWorld();
    const begun = await open();
    await begun.append(entry(0), 0);
    await begun.close();
    cpSync(dir, `${dir}.copy`, { recursive: true });
    const logs = [await open(), await open(`${dir}.copy`)];
    const outcomes = await Promise.allSettled(logs.map((log, at) => log.append(utf8(`by ${at}`), 1)));
    const heads = logs.map(headOf).filter(({ size }) => size === 2);
    expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(1);
    expect(heads.length).toBeLessThanOrEqual(1);
    for (const log of logs) await log.close();
  });

  test("two auditors on one directory", async () => {
    const { open } = await newWorld();
    const log = await open();
    await expect(open()).rejects.toEqual(fails("store-unavailable"));
    await log.close();
    await (await open()).close();
  });

  test("a token that was set back, or has seen another root", async () => {
    const { open, anchor } = await newWorld();
    const log = await open();
    for (const at of [0, 1]) await log.append(entry(at), at);
    await log.close();
    const head = (await anchor.read()) ?? FIRST_HEAD;
    const says = (changed: Partial<Head> | undefined): HeadAnchor => ({
      read: () => Promise.resolve(changed && { ...head, ...changed }),
      write: () => Promise.reject(new Error("written")),
    });
    await expect(open(undefined, { anchor: says({ size: 1 }) })).rejects.toEqual(
      fails("auditor-refused", "token-behind"),
    );
    await expect(open(undefined, { anchor: says({ root: new Uint8Array(32) }) })).rejects.toEqual(
      fails("auditor-refused", "forked-log"),
    );
    await expect(open(undefined, { anchor: says(undefined) })).rejects.toEqual(fails("auditor-refused"));
    await expect(open(undefined, { origin: "another.example/log" })).rejects.toEqual(
      fails("log-invalid", "wrong-origin"),
    );
  });

  test.each([
    ["a hash tile", "tile/0/001.p/4", "wrong-entry"],
    ["an entry", "tile/entries/001.p/4", "wrong-entry"],
    ["a hash of the level above", "tile/1/000.p/1", "wrong-root"],
    ["the checkpoint's root", "checkpoint", "wrong-root"],
  ])("a disk on which %s was changed", async (_, path, reason) => {
    const { open, dir } = await newWorld();
    const log = await open();
    await log.appendAll(
      Array.from({ length: 260 }, (__, at) => entry(at)),
      0,
    );
    await log.close();
    const file = join(dir, "public", path);
    const bytes = readFileSync(file);
    const at = path === "checkpoint" ? bytes.indexOf("\n260\n") + 8 : bytes.length - 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const opened = await open().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(opened).toEqual(fails("log-invalid", reason));
  });
});

test("a log with a new key signs the same head anew", async () => {
  const { open } = await newWorld();
  const log = await open();
  await log.append(entry(0), 0);
  await log.close();
  const rotated = await open(undefined, { signer: token.signer(audit.name) });
  expect(equal(rotated.key.publicKey, log.key.publicKey)).toBe(false);
  expect(headOf(rotated)).toEqual(headOf(log));
  await rotated.close();
});

test("a token that is away at the wrong moment costs a retry", async () => {
  const { open, anchor, dir } = await newWorld();
  let away = true;
  const flaky: HeadAnchor = {
    read: () => anchor.read(),
    // It took what it was told, and the answer was lost.
    async write(head) {
      await anchor.write(head);
      if (away) throw new Error("lost");
    },
  };
  const log = await open(undefined, { anchor: flaky });
  await expect(log.append(entry(0), 0)).rejects.toThrow("lost");
  expect(existsSync(join(dir, "public"))).toBe(false);
  // Another entry in its place is too late.
  away = false;
  await expect(log.append(entry(9), 0)).rejects.toEqual(fails("log-invalid", "wrong-entry"));
  await log.append(entry(0), 0);
  expect(log.size()).toBe(1);
  await log.close();
});

describe("what is pending on the disk", () => {
  const growth = {
    before: 1,
    size: 3,
    root: new Uint8Array(32).fill(7),
    entries: [utf8("b"), new Uint8Array(0)],
  };
  // Framed: type, before, size, root, entries; each with its length (4 bytes) before it.
  const golden =
    "000000197374726f6e67726f6f6d2f6c6f672d70656e64696e672f7631" +
    "000000080000000000000001000000080000000000000003" +
    `00000020${"07".repeat(32)}` +
    "000000016200000000";
  test("is the golden file", () => {
    expect(toHex(encodeGrowth(growth))).toBe(golden);
    expect(decodeGrowth(fromHex(golden))).toEqual(growth);
  });
  test.each([
    ["nothing", ""],
    ["a byte less", golden.slice(0, -2)],
    ["a byte more", `${golden}00`],
    ["another type", golden.replace("7631", "7632")],
    ["a size that is not that of its entries", golden.replace("0003", "0004")],
    ["no entries", golden.slice(0, -18).replace("0003", "0001")],
    ["a length beyond the end", golden.replace("000000016200000000", "000000ff62")],
    [
      "a size beyond 2^53",
      golden.replace("0000000000000001", "0020000000000001").replace("0000000000000003", "0020000000000003"),
    ],
  ])("refuses %s", (_, hex) => {
    expect(() => decodeGrowth(fromHex(hex))).toThrow(expect.objectContaining({ code: "record-corrupt" }));
  });
});

test("a full disk is told as one, loses nothing, and is over when there is room", () => {
  const disk = join(hsm.dir, "disk");
  mkdirSync(disk);
  const namespace = process.getuid?.() === 0 ? "--mount" : "--user --map-root-user --mount";
  const mount = 'mount -t tmpfs -o size=512k tmpfs "$1" && exec "$2" --import tsx "$3" "$1"';
  const outer = `exec unshare ${namespace} sh -c "$0" sh "$@"`;
  const told = execFileSync("sh", ["-c", outer, mount, disk, process.execPath, FULL_DISK], {
    encoding: "utf8",
  });
  expect(JSON.parse(told)).toMatchObject({
    codes: ["store-full", "store-full", "store-full"],
    grew: true,
    size: 1,
  });
  rmSync(disk, { recursive: true });
});
