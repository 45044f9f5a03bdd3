/** A cluster whose disks are those of an earlier day. */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { PATIENT, startEtcdCluster, storeAt } from "../support/etcd-cluster.ts";

test("a site that ran meanwhile says so until it is started again", async () => {
  const cluster = await startEtcdCluster({ members: 1 });
  onTestFinished(() => cluster.close());
  const [disk, copy] = ["e1", "copy"].map((name) => join(cluster.dir, name)) as [string, string];
  const open = async () => {
    const store = await storeAt(cluster, 0, PATIENT);
    onTestFinished(() => store.close());
    return store;
  };

  const store = await open();
  await store.check();
  await cluster.terminate(0);
  cpSync(disk, copy, { recursive: true });
  await cluster.restart(0);
  for (let i = 0; i < 3; i++) await store.check();

  await cluster.terminate(0);
  rmSync(disk, { recursive: true });
  cpSync(copy, disk, { recursive: true });
  await cluster.restart(0);
  // The restored cluster catches up with the old revision on the way, which makes it no better.
  for (let i = 0; i < 6; i++)
    await expect(store.check()).rejects.toMatchObject({
      code: "store-unavailable",
      message: expect.stringContaining("was set back"),
    });
  await (await open()).check();
});
