/** Which fleets a client would talk to, by what it is shown; nothing here has a network but the files of a log. */
import { describe, expect, test } from "vitest";
import { createFleetTrust, type FleetTrust, type FleetTrustOptions } from "../../src/client/fleet-trust.ts";
import { refusalOf } from "../../src/trust/refusal.ts";
import { decodeTrustState } from "../../src/trust/state.ts";
import { FixtureLog, fixtureFleet, newSigners, type Tampering, tampered } from "../support/log-fixture.ts";

const AUDITOR = "https://auditor.example";
const log = FixtureLog.create();
const [first, second] = [fixtureFleet("fleet-1"), fixtureFleet("fleet-2")];
await log.add({ fleets: [first] });
await log.add({ fleets: [{ ...first, status: "draining" }, second] });
await log.add({ fleets: [{ ...first, status: "revoked" }, second] });

/** A client, and what it has asked and stored. */
class Shown {
  readonly asked: string[] = [];
  readonly refused: (string | undefined)[] = [];
  readonly files = new Map<string, Uint8Array>();
  stored: Uint8Array | undefined;
  now: number = Date.now();
  trust: FleetTrust;

  constructor(options: Partial<FleetTrustOptions> = {}) {
    this.trust = this.restart(options);
  }

  restart(options: Partial<FleetTrustOptions> = {}): FleetTrust {
    this.trust = createFleetTrust({
      pins: log.pins,
      store: {
        load: async () => this.stored,
        save: async (bytes) => {
          this.stored = bytes;
        },
      },
      bundleUrls: [AUDITOR],
      siteUrls: () => ({}),
      fetch: async (input) => {
        const url = input instanceof Request ? input.url : input.toString();
        this.asked.push(url);
        const bytes = this.files.get(url);
        return new Response(bytes === undefined ? null : Uint8Array.from(bytes), {
          status: bytes === undefined ? 404 : 200,
        });
      },
      timeoutMs: 1_000,
      refused: (error) => this.refused.push(refusalOf(error)),
      clock: { now: () => this.now },
      ...options,
    });
    return this.trust;
  }

  publish(from: FixtureLog, epochs: number): this {
    for (const [path, bytes] of from.files()) this.files.set(`${AUDITOR}/${path}`, bytes);
    const index = new TextEncoder().encode(JSON.stringify({ epochs }));
    this.files.set(`${AUDITOR}/log/${log.namespace}/index.json`, index);
    return this;
  }

  get epoch(): number {
    return this.stored ? decodeTrustState(this.stored).epoch : 0;
  }
}

test("pins alone are enough: the newest epoch comes from the auditor, and is remembered", async () => {
  const shown = new Shown().publish(log, 2);
  const { epoch, active, draining } = await shown.trust.fleets();
  expect([epoch, active?.manifest.fleet]).toEqual([2, "fleet-2"]);
  expect(draining.map(({ manifest }) => manifest.fleet)).toEqual(["fleet-1"]);
  shown.files.clear();
  expect((await shown.restart().fleets()).epoch).toBe(2);
});

test("a shipped bundle needs no network at all", async () => {
  const shown = new Shown({ bundle: log.epoch(1).bytes });
  expect((await shown.trust.fleets()).active?.manifest.fleet).toBe("fleet-1");
  expect(shown.asked).toEqual([]);
});

test("a rumour of a newer epoch is looked into once, at the sites of known fleets too", async () => {
  const shown = new Shown({ bundle: log.epoch(1).bytes, bundleUrls: [] });
  await shown.trust.fleets();
  shown.trust.heard(2);
  const [site] = first.manifest.sites;
  shown.files.set(`${site?.url}/v1/fleet`, log.epoch(2).bytes);
  expect((await shown.trust.fleets()).epoch).toBe(2);
  const { length } = shown.asked;
  await shown.trust.fleets();
  expect(shown.asked.length).toBe(length);
});

test("a rumour that is false costs nothing but the question", async () => {
  const shown = new Shown({ bundle: log.epoch(1).bytes }).publish(log, 1);
  await shown.trust.fleets();
  shown.trust.heard(9);
  expect((await shown.trust.fleets()).epoch).toBe(1);
});

test("revoked fleets are not among those that may be used, and not asked", async () => {
  const shown = new Shown().publish(log, 3);
  const fleets = await shown.trust.fleets();
  expect([fleets.epoch, fleets.active?.manifest.fleet, fleets.draining]).toEqual([3, "fleet-2", []]);
  expect(await shown.trust.refresh()).toBe(false);
  expect(shown.asked.filter((url) => url.includes("fleet-1"))).toEqual([]);
  expect(shown.asked.some((url) => url.includes("site-a.fleet-2"))).toBe(true);
});

test("what has expired is not used, but nothing older comes after it", async () => {
  const shown = new Shown({ bundle: log.epoch(2).bytes });
  shown.now += 60 * 86_400_000;
  await expect(shown.trust.fleets()).rejects.toMatchObject({ details: { reason: "expired" } });
  expect(shown.epoch).toBe(2);
  const older = shown.restart({ bundle: log.epoch(1).bytes });
  await expect(older.fleets()).rejects.toMatchObject({ details: { reason: "expired" } });
  expect(shown.epoch).toBe(2);
});

test("a source that is behind or lies does not hide one that is not", async () => {
  const mirror = "https://mirror.example";
  const shown = new Shown({ bundleUrls: [mirror, AUDITOR] }).publish(log, 3);
  shown.files.set(`${mirror}/log/${log.namespace}/index.json`, new TextEncoder().encode('{"epochs":1}'));
  shown.files.set(
    `${mirror}/log/${log.namespace}/bundles/1.json`,
    await tampered(log, "bad-countersignature"),
  );
  expect((await shown.trust.fleets()).epoch).toBe(3);
  expect(shown.refused).toEqual(["bad-countersignature"]);
});

test("without any bundle it says so", async () => {
  await expect(new Shown().trust.fleets()).rejects.toMatchObject({ code: "unavailable" });
});

describe("no session is opened on", () => {
  const reasons: readonly Tampering[] = [
    "wrong-auditor-key",
    "bad-countersignature",
    "manifest-changed",
    "unlogged",
    "expired",
    "not-yet-valid",
    "wrong-namespace",
    "wrong-log-key",
  ];
  test.each(reasons)("%s", async (reason) => {
    const shown = new Shown({ bundle: await tampered(log, reason) });
    await expect(shown.trust.fleets()).rejects.toMatchObject({ code: "bundle-refused", details: { reason } });
  });

  test("an epoch below the app's minimum, remembered or offered", async () => {
    const shown = new Shown().publish(log, 2);
    await shown.trust.fleets();
    const updated = shown.restart({ pins: { ...log.pins, minimumEpoch: 3 } });
    await expect(updated.fleets()).rejects.toMatchObject({ details: { reason: "below-minimum" } });
    shown.publish(log, 3);
    expect((await updated.fleets()).epoch).toBe(3);
  });
});

test.each(["equivocation", "broken-chain", "forked-log"] as const)(
  "after %s nothing is believed any more until the app raises its minimum; the proof is kept",
  async (reason) => {
    const shown = new Shown().publish(log, 3);
    await shown.trust.fleets();
    const lie = await tampered(log, reason);
    shown.trust.heard(4);
    const site = `${second.manifest.sites[0]?.url}/v1/fleet`;
    shown.files.set(site, lie);
    for (let i = 0; i < 2; i++)
      await expect(shown.trust.fleets()).rejects.toMatchObject({ details: { reason } });
    const [proof] = decodeTrustState(shown.stored ?? new Uint8Array()).proofs;
    expect(proof?.first).toEqual(log.newest.bundle);
    expect(proof?.reason).toBe(reason);

    const honest = log.fork(3);
    await honest.add();
    await honest.add();
    shown.files.delete(site);
    shown.publish(honest, 5);
    const pins = { ...log.pins, minimumEpoch: 5 };
    expect((await shown.restart({ pins }).fleets()).epoch).toBe(5);
    expect(decodeTrustState(shown.stored ?? new Uint8Array()).proofs.length).toBe(1);
  },
);

test("an app of another namespace does not use this state", async () => {
  const shown = new Shown().publish(log, 3);
  await shown.trust.fleets();
  const foreign = { ...log.pins, namespace: "elsewhere.example", keys: log.keysOf(newSigners()) };
  await expect(shown.restart({ pins: foreign }).fleets()).rejects.toMatchObject({ code: "bundle-refused" });
});
