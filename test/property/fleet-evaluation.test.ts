/** What the shares of every fleet are worth: the whole key with any t sites, nothing with any t − 1. */
import { p256 } from "@noble/curves/nist.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import { addPoints, decompressPoint } from "../../src/crypto/node/p256.ts";
import { sharesOf } from "../../src/keys/holder-sets.ts";
import { fleetWorld, Owner } from "../support/fleet-world.ts";
import { openTables, type Tables } from "../support/tables.ts";
import { randomPoint } from "../support/vault-world.ts";

let opened: Tables;
beforeAll(async () => {
  opened = await openTables(8);
});
afterAll(() => opened.remove());

const away = new StrongroomError("peer-unavailable", "injected");

/** Subsets of the sites, by size. */
function subsets(sites: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return sites.flatMap((site, i) => subsets(sites.slice(i + 1), size - 1).map((rest) => [site, ...rest]));
}

describe.each([
  [1, 1],
  [3, 1],
  [3, 2],
  [5, 1],
  [5, 2],
  [5, 3],
  [7, 1],
  [7, 2],
  [7, 3],
  [7, 4],
])("n = %i, t = %i", (n, t) => {
  test("any t sites evaluate b·ΣK of any B = b·G, any t − 1 lack a share and cannot", async () => {
    const [store, ...tables] = opened.tables;
    if (!store) throw new Error("no store");
    const world = fleetWorld(t, store, tables.slice(0, n));
    const owner = new Owner(world, `evaluated by ${t} of ${n}`);
    const b = p256.Point.Fn.fromBytes(p256.utils.randomSecretKey());
    const blindedElement = Uint8Array.from(p256.Point.BASE.multiply(b).toBytes(false));
    const atRegistration = await owner.register(world.evaluator(0), blindedElement);

    const sum = owner.shares.map(({ publicKey }) => publicKey).reduce(addPoints);
    const product = Uint8Array.from(p256.Point.fromHex(toHex(sum)).multiply(b).toBytes(false));
    expect(atRegistration).toStrictEqual(product);

    // One attempt: whoever takes part, the same number and the same element are a repetition.
    const request = await owner.attempt({ blindedElement });
    const all = Array.from({ length: n }, (_, site) => site);
    for (const up of subsets(all, t)) {
      for (const [index, site] of world.sites.entries()) site.fault = up.includes(index) ? undefined : away;
      const [coordinator = 0] = up;
      expect(await world.evaluator(coordinator).evaluate(request)).toStrictEqual(product);
    }
    for (const up of subsets(all, t - 1)) {
      const held = new Set(up.flatMap((site) => sharesOf(site, world.sets)));
      expect(held.size).toBeLessThan(world.sets.length);
      if (up.length === 0) continue;
      for (const [index, site] of world.sites.entries()) site.fault = up.includes(index) ? undefined : away;
      const [coordinator = 0] = up;
      await expect(world.evaluator(coordinator).evaluate(request)).rejects.toMatchObject({
        code: "peer-unavailable",
      });
    }
  });
});

test("shares of two registrations do not add up to a key of either", async () => {
  const [store, ...tables] = opened.tables;
  if (!store) throw new Error("no store");
  const world = fleetWorld(2, store, tables.slice(0, 3));
  const owner = new Owner(world, "mixed");
  const evaluator = world.evaluator(0);
  await owner.register(evaluator);
  const old = owner.shares;
  await owner.register(evaluator);
  const [, ...rest] = owner.shares;
  const shares = [...old.slice(0, 1), ...rest];
  const blindedElement = decompressPoint(randomPoint());
  await expect(evaluator.evaluate(await owner.attempt({ shares, blindedElement }))).rejects.toMatchObject({
    code: "record-corrupt",
  });
});
