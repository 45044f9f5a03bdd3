/**
 * The way of an audit from the intent to the file, broken off at every step, and walked by two at the same time: of no
 * epoch are two digests ever signed, and nothing is stuck for ever.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HeadAnchor } from "../../src/auditor/anchor.ts";
import { Audits } from "../../src/auditor/audits.ts";
import { FIRST_HEAD, makeKey } from "../../src/auditor/init.ts";
import { auditorKeys, openSigner, type Signer, type SignerToken } from "../../src/auditor/signer.ts";
import { fromHex } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { openSession } from "../../src/token/open.ts";
import { type AuditStatement, auditMessage } from "../../src/wire/audit.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const { audit: KEY } = auditorKeys("vault");
const home = mkdtempSync(join(tmpdir(), "strongroom-audits-"));
const A = sha256HexOf("one announcement");
const B = sha256HexOf("another one");
let hsm: SoftHsm;
let auditor: string;
/** Two of them: what two processes have. */
let tokens: readonly [SignerToken, SignerToken];

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  auditor = makeKey(session, profile, KEY).publicKey;
  session.close();
  const keys = [{ ...KEY, publicKey: fromHex(auditor) }];
  const open = () => openSigner({ uri: hsm.uri, profile: "softhsm2", keys });
  tokens = await Promise.all([open(), open()]);
});
afterAll(async () => {
  await Promise.all(tokens.map((token) => token.close()));
  hsm.remove();
  rmSync(home, { recursive: true });
});

const statement = (epoch: number, digest: string): AuditStatement => ({
  ciphersuite: 1,
  namespace: "vault",
  timestamp: 1_790_000_000_000 + epoch,
  epoch,
  digest: fromHex(digest),
});

interface Trouble {
  readonly anchor?: (anchor: HeadAnchor) => Partial<HeadAnchor>;
  readonly sign?: () => Promise<never>;
}

/** A namespace of its own on the token, with everything noted that its key signs. */
class Place {
  readonly dir: string;
  readonly #label: string;
  readonly signed: Uint8Array[] = [];

  constructor(name: string, dir: string = join(home, name)) {
    this.dir = dir;
    this.#label = `strongroom/auditor/${name}/head`;
  }

  async begin(): Promise<this> {
    mkdirSync(this.dir, { recursive: true });
    await this.anchor().write(FIRST_HEAD);
    return this;
  }
  anchor(token: SignerToken = tokens[0]): HeadAnchor {
    return token.anchor(this.#label);
  }

  open({ anchor, sign }: Trouble = {}, token: SignerToken = tokens[0]): Promise<Audits> {
    const real = this.anchor(token);
    const signer: Signer = {
      publicKey: fromHex(auditor),
      sign: async (message) => {
        await sign?.();
        this.signed.push(message);
        return token.signer(KEY.name).sign(message);
      },
    };
    return Audits.open({
      namespace: "vault",
      dir: this.dir,
      anchor: { ...real, ...anchor?.(real) },
      signers: new Map([[auditor, signer]]),
    });
  }

  /** Which digests of an epoch were ever signed. */
  digestsOf(epoch: number): readonly string[] {
    const possible = [A, B].filter((digest) => {
      const message = Buffer.from(auditMessage(statement(epoch, digest)));
      return this.signed.some((one) => message.equals(one));
    });
    return possible;
  }
}

const lost = (): Promise<never> => Promise.reject(new Error("the power is gone"));

describe.each<[string, Trouble, "again" | "free"]>([
  ["before the token was told", { anchor: () => ({ write: lost }) }, "free"],
  [
    "after the token was told, before it answered",
    {
      anchor: (real) => ({
        write: async (head) => {
          await real.write(head);
          await lost();
        },
      }),
    },
    "again",
  ],
  ["before the signature", { sign: lost }, "again"],
])("broken off %s", (name, trouble, then) => {
  const slug = name.replaceAll(/\W/g, "");

  test("a restart finishes or forgets it, and one digest is signed in the end", async () => {
    const place = await new Place(slug).begin();
    const audits = await place.open(trouble);
    await expect(audits.sign(statement(1, A), auditor)).rejects.toThrow("power");
    const after = await place.open();
    expect(after.last).toBe(then === "again" ? 1 : 0);
    if (then === "again") expect(after.get(1)?.audit.digest).toBe(A);
    else expect((await after.sign(statement(1, B), auditor)).audit.digest).toBe(B);
    expect((await place.open()).last).toBe(1);
    expect(place.digestsOf(1)).toEqual([then === "again" ? A : B]);
  });

  test("without a restart, the same is signed when it is asked again, another only if the token was not told", async () => {
    const place = await new Place(`${slug}-again`).begin();
    let broken = true;
    const audits = await place.open({
      anchor: (real) => ({
        write: (head) => (broken ? (trouble.anchor?.(real).write ?? real.write)(head) : real.write(head)),
      }),
      sign: () => (broken && trouble.sign ? lost() : (Promise.resolve() as Promise<never>)),
    });
    await expect(audits.sign(statement(1, A), auditor)).rejects.toThrow("power");
    broken = false;
    const other = audits.sign(statement(1, B), auditor);
    if (then === "free") expect((await other).audit.digest).toBe(B);
    else {
      await expect(other).rejects.toMatchObject({ code: "auditor-refused" });
      expect((await audits.sign(statement(1, A), auditor)).audit.digest).toBe(A);
    }
    expect(place.digestsOf(1)).toHaveLength(1);
  });
});

test("broken off before the audit is on the disk: the same signature again", async () => {
  const place = await new Place("unwritten").begin();
  const audits = await place.open();
  // A folder where the file should go.
  mkdirSync(join(place.dir, "1.json"));
  await expect(audits.sign(statement(1, A), auditor)).rejects.toMatchObject({ code: "file-failed" });
  rmSync(join(place.dir, "1.json"), { recursive: true });
  const after = await place.open();
  expect(after.get(1)?.audit.digest).toBe(A);
  expect(place.signed.length).toBe(2);
  expect(new Set(place.signed.map((message) => Buffer.from(message).toString("hex"))).size).toBe(1);
});

test("an old copy of the folder, and a token that was set back, are refused", async () => {
  const place = await new Place("old").begin();
  await (await place.open()).sign(statement(1, A), auditor);
  const copy = join(home, "old-copy");
  cpSync(place.dir, copy, { recursive: true });
  await (await place.open()).sign(statement(2, B), auditor);
  await expect(new Place("old", copy).open()).rejects.toMatchObject({
    code: "auditor-refused",
    details: { reason: "log-behind" },
  });
  const other = await new Place("other").begin();
  await expect(new Place("other", place.dir).open()).rejects.toMatchObject({
    code: "auditor-refused",
    details: { reason: "anchor-behind" },
  });
  await expect(new Place("nowhere", other.dir).open()).rejects.toMatchObject({ code: "auditor-refused" });
});

test("two auditors on copies of one folder, at the same moment: one digest is signed", async () => {
  for (let round = 1; round <= 3; round++) {
    const name = `race-${round}`;
    const place = await new Place(name).begin();
    const copy = join(home, `${name}-copy`);
    cpSync(place.dir, copy, { recursive: true });
    const rival = new Place(name, copy);
    const [mine, theirs] = [await place.open(), await rival.open({}, tokens[1])];
    await Promise.allSettled([mine.sign(statement(1, A), auditor), theirs.sign(statement(1, B), auditor)]);
    expect([...place.digestsOf(1), ...rival.digestsOf(1)].length).toBeLessThanOrEqual(1);
  }
});
