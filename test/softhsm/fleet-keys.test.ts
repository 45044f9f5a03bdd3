/** What `fleet init` leaves in the tokens of fleets of three and five, and that it is a fleet: design §3 and §4. */
import { createECDH, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { addPoints } from "../../src/crypto/node/p256.ts";
import { derivationPoints, recoverProduct } from "../../src/crypto/node/point-recovery.ts";
import { classify } from "../../src/keys/classify.ts";
import { initFleetTokens } from "../../src/keys/fleet-tokens.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import { memberKeys } from "../../src/keys/member-keys.ts";
import { attributeSupport, provision } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { listObjects } from "../../src/token/inventory.ts";
import { Runner } from "../../src/token/runner.ts";
import type { CreatedShare } from "../../src/token/token.ts";
import { manifestKey } from "../../src/wire/manifest.ts";
import { createFleetTokens, type FleetTokens } from "../support/fleet-tokens.ts";
import { withToken } from "../support/site-steps.ts";
import type { SoftHsm } from "../support/softhsm.ts";

/** Every object of the token, by its file: what a run that changes nothing leaves as it is. Each login is written
 *  into token.object. */
function content({ dir }: SoftHsm): Record<string, string> {
  const files = readdirSync(join(dir, "tokens"), { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    files
      .filter(({ name }) => name.endsWith(".object") && name !== "token.object")
      .map(({ parentPath, name }) => [name, sha256HexOf(readFileSync(join(parentPath, name)))]),
  );
}

const choose = (from: readonly number[], size: number): number[][] =>
  size === 0
    ? [[]]
    : from.flatMap((first, i) => choose(from.slice(i + 1), size - 1).map((rest) => [first, ...rest]));

describe.each([
  [3, 2],
  [5, 3],
])("%i sites, threshold %i", (sites, threshold) => {
  let fleet: FleetTokens;
  const all = Array.from({ length: sites }, (_, site) => site);
  const token = (site: number): SoftHsm => {
    const hsm = fleet.tokens[site];
    if (!hsm) throw new Error(`no token ${site}`);
    return hsm;
  };
  const label = (name: string): string => `strongroom/${fleet.fleet}/${name}`;

  beforeAll(async () => {
    fleet = await createFleetTokens({ sites, threshold });
  });
  afterAll(() => fleet.remove());

  test("every token holds its keys, as the table of attributes says, and nothing else", async () => {
    for (const site of all) {
      const { keys, stage } = memberKeys(fleet.manifest, fleet.names[site]);
      await withToken(token(site), (session, profile) => {
        const reports = provision(session, profile, keys, { dryRun: true, stage });
        expect(reports.filter(({ state }) => state !== "ok")).toEqual([]);
        const { classified, missing } = classify(
          listObjects(session),
          keys,
          attributeSupport(profile),
          stage,
        );
        expect(classified.filter(({ status }) => status !== "expected")).toEqual([]);
        expect(missing).toEqual([]);
      });
    }
  });

  test("a site that is no holder of a share has nothing of it", async () => {
    for (const site of all) {
      const excluded = fleet.sets.filter((set) => !set.holders.includes(site));
      expect(excluded.length).toBeGreaterThan(0);
      await withToken(token(site), (session) => {
        for (const { share } of excluded)
          for (const role of ["share-kek", "share-mac"])
            for (const suffix of ["", "/original"])
              expect(session.find({ LABEL: label(`${role}.${share}${suffix}`) })).toEqual([]);
      });
    }
  });

  test("the vault's session takes every key, and the manifest has the public ones", async () => {
    for (const site of all) {
      const { keys } = memberKeys(fleet.manifest, fleet.names[site]);
      await withToken(
        token(site),
        (session) => {
          for (const { name } of keys) session.key(name);
          const points = readPublicKeys(session, keys);
          for (const role of ["identity", "session", "ake"] as const) {
            const owner = role === "ake" ? undefined : fleet.names[site];
            expect(manifestKey(fleet.manifest, role, owner).publicKey).toBe(
              toHex(points.get(role) ?? new Uint8Array()),
            );
          }
          expect(fleet.manifest.sites[site]?.tokenSerial).toBe(session.info().serial);
        },
        { keys },
      );
    }
    expect(fleet.manifest.policy).toEqual({ threshold, maxAttempts: 10 });
    expect(fleet.manifest.keys).toHaveLength(2 * sites + 1);
  });

  test("any t sites evaluate to b·ΣK, whoever made the shares; t−1 miss one", async () => {
    const ecdh = createECDH("prime256v1");
    const b = Uint8Array.from(randomBytes(32));
    ecdh.setPrivateKey(b);
    const point = Uint8Array.from(ecdh.getPublicKey());
    const points = derivationPoints(point);
    const run = <R>(site: number, use: (runner: Runner) => R): Promise<R> => {
      const { keys } = memberKeys(fleet.manifest, fleet.names[site]);
      return withToken(token(site), (session) => use(new Runner(session)), { keys });
    };
    // Each share is made by another of its holders in turn.
    const shares: CreatedShare[] = [];
    for (const { share, holders } of fleet.sets) {
      const maker = holders[share % holders.length] ?? 0;
      const [created] = await run(maker, (runner) =>
        runner.run([{ op: "create-share", kek: `share-kek.${share}`, points: [] }]),
      );
      shares.push(created as CreatedShare);
    }
    const partial = new Map<string, Uint8Array>();
    for (const site of all)
      await run(site, (runner) => {
        for (const number of sharesOf(site, fleet.sets)) {
          const share = shares[number];
          if (!share) throw new Error(`no share ${number}`);
          const [xs] = runner.run([
            { op: "evaluate-share", kek: `share-kek.${number}`, share, points },
          ]) as Uint8Array[][];
          partial.set(`${site}/${number}`, recoverProduct(point, share.publicKey, xs ?? []));
        }
      });
    const sum = shares.map(({ publicKey }) => publicKey).reduce((a, c) => addPoints(a, c));
    // x(b·ΣK) in software, of which nobody but the client knows b.
    const expected = Uint8Array.from(ecdh.computeSecret(sum));
    const evaluate = (group: readonly number[]): Uint8Array | undefined => {
      const parts = fleet.sets.map(({ share }) =>
        group.map((site) => partial.get(`${site}/${share}`)).find((part) => part !== undefined),
      );
      return parts.every((part) => part !== undefined) ? parts.reduce((a, c) => addPoints(a, c)) : undefined;
    };
    const results = choose(all, threshold).map(evaluate);
    expect(new Set(results.map((result) => result && toHex(result))).size).toBe(1);
    expect(toHex(results[0]?.subarray(1, 33) ?? new Uint8Array())).toBe(toHex(expected));
    for (const few of choose(all, threshold - 1)) expect(evaluate(few)).toBeUndefined();
  });

  test("a second run compares, tries, and changes nothing", async () => {
    const before = fleet.tokens.map(content);
    const { state, published, refusals } = await initFleetTokens(fleet.config);
    expect(state).toBe("unchanged");
    expect(published?.file.state).toBe("unchanged");
    expect(Uint8Array.from(readFileSync(fleet.manifestFile))).toEqual(fleet.manifestBytes);
    expect(fleet.tokens.map(content)).toEqual(before);
    for (const site of all) expect(refusals[site]).toHaveLength(4 + 2 * sharesOf(site, fleet.sets).length);
  });

  test("what is changed or lost afterwards is shown, and nothing is made", async () => {
    // The last site loses a key: a published fleet gets no new one.
    const last = sites - 1;
    const share = sharesOf(last, fleet.sets)[0] ?? 0;
    await withToken(token(last), (session) => {
      for (const object of session.find({ LABEL: label(`share-mac.${share}`) })) session.destroy(object);
    });
    const before = fleet.tokens.map(content);
    await expect(initFleetTokens(fleet.config)).rejects.toMatchObject({
      code: "key-missing",
      hint: expect.stringContaining("sealed key"),
    });
    // A key that somebody put in its place has other attributes, or at the least another value.
    await withToken(token(last), (session, profile) => {
      const { keys } = memberKeys(fleet.manifest, fleet.names[last]);
      const lost = keys.filter(({ name }) => name === `share-mac.${share}`);
      provision(session, profile, lost);
    });
    await expect(initFleetTokens(fleet.config)).rejects.toMatchObject({
      code: "key-drift",
      message: expect.stringContaining(`share-mac.${share}`),
    });
    // Of the shares of others nothing may be there.
    const foreign = fleet.sets.find((set) => !set.holders.includes(0))?.share ?? 0;
    await withToken(token(0), (session) => {
      session.generateKey(
        { mechanism: 0x350 },
        { CLASS: 4, KEY_TYPE: 0x10, VALUE_LEN: 32, TOKEN: true, LABEL: label(`share-mac.${foreign}`) },
      );
    });
    await expect(initFleetTokens(fleet.config)).rejects.toMatchObject({
      code: "key-drift",
      message: expect.stringContaining(fleet.names[0] ?? ""),
    });
    expect(fleet.tokens.slice(1, last).map(content)).toEqual(before.slice(1, last));
  });
});
