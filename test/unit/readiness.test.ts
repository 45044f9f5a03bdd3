/** What a site says of itself while its store does not answer. */
import { expect, test } from "vitest";
import { createReadiness } from "../../src/service/readiness.ts";
import type { RecordStore } from "../../src/store/record-store.ts";

test("a peer is answered before a store that hangs, and /readyz says that it does not answer", async () => {
  const store = { check: () => new Promise<never>(() => undefined) } as unknown as RecordStore;
  const readiness = createReadiness({
    tokenHealth: () => ({ ready: true, workersReady: 1, workers: 1 }) as never,
    store,
    guard: () => undefined,
    unproved: () => undefined,
    peers: () => undefined,
    bundle: () => undefined,
    draining: () => false,
  });
  const asked = performance.now();
  const [peer, probe] = await Promise.all([
    readiness(100).then((state) => ({ ...state, after: performance.now() - asked })),
    readiness(),
  ]);
  expect(peer).toMatchObject({ ready: false, token: { ok: true }, store: { ok: false } });
  expect(peer.after).toBeLessThan(1_000);
  expect(probe.store).toEqual({ ok: false, detail: "the store does not answer" });
});
