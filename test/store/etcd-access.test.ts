/** Who may connect, and what a vault may touch. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EtcdCluster, type StoreSettings, startEtcdCluster, storeAt } from "../support/etcd-cluster.ts";

let cluster: EtcdCluster;
let stranger: EtcdCluster;

beforeAll(async () => {
  [cluster, stranger] = await Promise.all([
    startEtcdCluster({ members: 1 }),
    startEtcdCluster({ members: 1 }),
  ]);
});
afterAll(async () => {
  await cluster?.close();
  await stranger?.close();
});

/** What the store of such a configuration says to a read, a write and a check. */
async function errorsWith(settings: StoreSettings): Promise<unknown[]> {
  const store = await storeAt(cluster, 0, settings);
  const id = Uint8Array.from(randomBytes(32));
  const errors = [];
  for (const operation of [
    () => store.get(id),
    () => store.compareAndSwap(id, undefined, id),
    () => store.check(),
  ])
    errors.push(
      await operation().then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
  await store.close();
  return errors;
}

async function refused(settings: StoreSettings, hint: RegExp): Promise<void> {
  for (const error of await errorsWith(settings))
    expect(error).toMatchObject({ code: "store-unavailable", hint: expect.stringMatching(hint) });
  expect(await cluster.etcdctl(["get", "--prefix", "--keys-only", "/"])).not.toMatch(/records|health/);
}

test("another prefix than the role's is refused, and one that only begins alike", async () => {
  await refused({ prefix: "/other/" }, /readwrite on the store's prefix/);
  await refused({ prefix: "/strongroom-2/" }, /readwrite on the store's prefix/);
});

test("another user, and a certificate without a user, are refused", async () => {
  await refused({ tls: await cluster.clientCertificate("mallory") }, /as CN/);
  await refused({ tls: await cluster.clientCertificate() }, /as CN/);
});

test("members of another authority are not trusted", async () => {
  await refused({ tls: { ...cluster.vault, ca: stranger.vault.ca } }, /store\.etcd\.tls\.ca/);
});

test("a certificate of another authority is refused by the members", async () => {
  await refused({ tls: { ...stranger.vault, ca: cluster.vault.ca } }, /store\.etcd\.tls\.cert/);
});

test("a certificate of the members' authority for peers is none for clients", async () => {
  const pki = join(cluster.dir, "pki");
  const peer = { ca: cluster.vault.ca, cert: join(pki, "peer-e1.crt"), key: join(pki, "peer-e1.key") };
  await refused({ tls: peer }, /store\.etcd\.tls\.cert/);
});

test("files that are missing, or no certificates, are named before anything is opened", async () => {
  const missing = join(cluster.dir, "missing.crt");
  const text = join(cluster.dir, "text.crt");
  writeFileSync(text, "no certificate\n");
  for (const cert of [missing, text])
    await expect(storeAt(cluster, 0, { tls: { ...cluster.vault, cert } })).rejects.toMatchObject({
      code: "config-invalid",
      message: expect.stringContaining(cert),
    });
  const otherKey = join(cluster.dir, "other.key");
  copyFileSync(stranger.vault.key, otherKey);
  await expect(storeAt(cluster, 0, { tls: { ...cluster.vault, key: otherKey } })).rejects.toMatchObject({
    code: "config-invalid",
  });
});

test("certificates that have expired, ours and a member's, are told as such", async () => {
  const pki = join(cluster.dir, "pki");
  const expired = (name: string): Buffer =>
    execFileSync(
      "openssl",
      [
        ...["x509", "-req", "-in", `${name}.csr`, "-CA", "clients.crt", "-CAkey", "clients.key"],
        ...["-set_serial", "7", "-days", "-1", "-extfile", `${name}.ext`],
      ],
      { cwd: pki, stdio: ["ignore", "pipe", "ignore"] },
    );
  const cert = join(pki, "expired.crt");
  writeFileSync(cert, expired("client-vault"));
  await refused({ tls: { ...cluster.vault, cert } }, /tls\.cert must be in date/);
  const member = join(pki, "server-e1.crt");
  const good = readFileSync(member);
  writeFileSync(member, expired("server-e1"));
  try {
    for (const error of await errorsWith({}))
      expect(error).toMatchObject({
        hint: expect.stringMatching(/the member's certificate must be in date/),
      });
  } finally {
    writeFileSync(member, good);
  }
});

test("a certificate that is replaced while the service runs is used from then on", async () => {
  const files = { ca: "", cert: "", key: "" };
  for (const part of ["ca", "cert", "key"] as const) files[part] = join(cluster.dir, `renewed-${part}.pem`);
  const install = (from: typeof files): void => {
    for (const part of ["key", "cert", "ca"] as const) copyFileSync(from[part], files[part]);
  };
  // As an expired one is: the members refuse it.
  install({ ...stranger.vault, ca: cluster.vault.ca });
  const store = await storeAt(cluster, 0, { tls: files });
  await expect(store.check()).rejects.toMatchObject({ code: "store-unavailable" });
  // Half of it has been replaced.
  copyFileSync(cluster.vault.key, files.key);
  await expect(store.check()).rejects.toMatchObject({ code: "store-unavailable" });
  install(cluster.vault);
  await expect.poll(() => store.check().then(() => "ok", String), { timeout: 20_000 }).toBe("ok");
  await store.close();
});

test("the vault's own certificate and prefix are accepted", async () => {
  expect(await errorsWith({})).toEqual([undefined, undefined, undefined]);
  expect(await errorsWith({ prefix: "/strongroom/fleet-a/" })).toEqual([undefined, undefined, undefined]);
});
