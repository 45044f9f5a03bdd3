/**
 * A client that has nothing but pins, against two fleets of real tokens: it hears of the second from the first, moves
 * there, and survives being killed on the way. Sites hand out the bundles, and verify them first.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { clientCommand } from "../../src/cli/client.ts";
import {
  createFleetClient,
  type FleetClient,
  type FleetClientOptions,
} from "../../src/client/fleet-client.ts";
import type { TrustStore } from "../../src/client/fleet-trust.ts";
import { generateRecoveryCode } from "../../src/client/generated-code.ts";
import { createVaultClient } from "../../src/client/vault-client.ts";
import { loadServiceConfig } from "../../src/service/config.ts";
import { type RunningService, startService } from "../../src/service/start.ts";
import { encodePins } from "../../src/trust/pins.ts";
import { decodeTrustState } from "../../src/trust/state.ts";
import type { AnnouncedFleet, FleetStatus } from "../../src/wire/announcement.ts";
import { runCommand } from "../support/command.ts";
import { FixtureLog, tampered } from "../support/log-fixture.ts";
import { createSite, type Site, TENANT } from "../support/service.ts";

const [CODE, OTHER_CODE] = [generateRecoveryCode(), generateRecoveryCode()];
const log = FixtureLog.create();

class Fleet {
  readonly site: Site;
  readonly logs: string[] = [];
  readonly #service: RunningService;

  private constructor(site: Site, service: RunningService, logs: string[]) {
    this.site = site;
    this.#service = service;
    this.logs = logs;
  }

  static async start(fleet: string): Promise<Fleet> {
    const site = await createSite({ bundles: "./bundles", pins: "./pins.json" }, { fleet });
    mkdirSync(join(site.dir, "bundles"));
    writeFileSync(join(site.dir, "pins.json"), encodePins(log.pins));
    const logs: string[] = [];
    const service = await startService(loadServiceConfig(site.configFile), {
      write: (line) => logs.push(line),
    });
    return new Fleet(site, service, logs);
  }

  get url(): string {
    return this.site.url;
  }

  announced(status: FleetStatus): AnnouncedFleet {
    const { manifest, manifestBytes } = this.site;
    const manifestSha256 = sha256HexOf(manifestBytes);
    return { status, manifest, manifestSha256 };
  }

  get(path: string): Promise<Response> {
    return fetch(`${this.url}${path}`);
  }

  place(epoch: number, bytes: Uint8Array): void {
    writeFileSync(join(this.site.dir, "bundles", `${epoch}.json`), bytes);
  }

  /** Waits until the site serves that epoch. */
  async serves(epoch: number): Promise<void> {
    await expect
      .poll(async () => (await this.get(`/v1/fleet/${epoch}`)).status, { timeout: 20_000, interval: 100 })
      .toBe(200);
  }

  async close(): Promise<void> {
    await this.#service.close();
    this.site.remove();
  }
}

const one = await Fleet.start("fleet-one");
const two = await Fleet.start("fleet-two");
afterAll(async () => {
  await one.close();
  await two.close();
});

const urlOf = (input: string | URL | Request): string =>
  input instanceof Request ? input.url : input.toString();

class Phone implements TrustStore {
  stored: Uint8Array | undefined;
  readonly urls: string[] = [];
  readonly client: FleetClient;

  /** @param answered called with the number of answered vault requests: a phone that is switched off never returns */
  constructor(
    subject: string,
    answered: (count: number) => Promise<void> | void = () => undefined,
    options: Partial<FleetClientOptions> = {},
  ) {
    let count = 0;
    this.client = createFleetClient({
      pins: log.pins,
      store: this,
      bundleUrls: [`${one.url}/v1/fleet`],
      account: { tenant: TENANT, subject },
      accountToken: (fleet) => (fleet === "fleet-one" ? one : two).site.issueToken(subject),
      fetch: async (input, init) => {
        this.urls.push(urlOf(input));
        const response = await fetch(input, init);
        if (init?.method === "POST") await answered(++count);
        return response;
      },
      ...options,
    });
  }

  async load(): Promise<Uint8Array | undefined> {
    return this.stored;
  }
  async save(bytes: Uint8Array): Promise<void> {
    this.stored = bytes;
  }
  get epoch(): number {
    return this.stored ? decodeTrustState(this.stored).epoch : 0;
  }
}

const statusAt = async (fleet: Fleet, subject: string): Promise<string> => {
  const client = createVaultClient({
    manifest: fleet.site.manifestBytes,
    account: { tenant: TENANT, subject },
    accountToken: () => fleet.site.issueToken(subject),
  });
  return client.status().then(
    ({ state }) => state,
    (error: { code: string }) => error.code,
  );
};

describe("a site", () => {
  test("has no bundle at first, and says where else to look", async () => {
    const response = await one.get("/v1/fleet");
    expect([response.status, await response.json()]).toEqual([
      404,
      { error: "invalid-request", hint: expect.stringContaining("/v1/manifest") },
    ]);
    expect((await one.get("/v1/fleet/1")).status).toBe(404);
    expect((await one.get("/v1/fleet/0x1")).status).toBe(404);
    expect(await (await one.get("/readyz")).json()).toMatchObject({ ready: true, bundle: { ok: false } });
    await expect(new Phone("early").client.status()).rejects.toMatchObject({ code: "unavailable" });
  });

  test("takes a good bundle within seconds, and serves it as it is", async () => {
    await log.add({ fleets: [one.announced("active")] });
    const { bytes } = log.newest;
    for (const fleet of [one, two]) fleet.place(1, bytes);
    await one.serves(1);
    const response = await one.get("/v1/fleet");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    const etag = response.headers.get("etag") ?? "";
    const again = await fetch(`${one.url}/v1/fleet`, { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
    expect((await one.get("/v1/fleet/1")).headers.get("cache-control")).toContain("immutable");
    expect(await (await one.get("/readyz")).json()).toMatchObject({ ready: true, bundle: { ok: true } });
    const metrics = await (await one.get("/metrics")).text();
    expect(metrics).toMatch(/^strongroom_bundle_epoch 1$/m);
    expect(Number(/^strongroom_bundle_expires_seconds (\S+)$/m.exec(metrics)?.[1])).toBeGreaterThan(86_400);
  });

  test("keeps what it has where the next one is bad, until it is good", async () => {
    one.place(2, await tampered(log, "bad-countersignature"));
    one.place(3, new TextEncoder().encode("{"));
    await expect
      .poll(() => one.logs.filter((line) => line.includes("bundle refused")).length, { timeout: 20_000 })
      .toBe(2);
    expect(new Uint8Array(await (await one.get("/v1/fleet")).arrayBuffer())).toEqual(log.epoch(1).bytes);
    for (const epoch of [2, 3]) {
      expect((await one.get(`/v1/fleet/${epoch}`)).status).toBe(404);
      rmSync(join(one.site.dir, "bundles", `${epoch}.json`));
    }
  });
});

describe("a client", () => {
  const phone = new Phone("alice");
  let key: Uint8Array;
  let early: Uint8Array | undefined;
  // After the old fleet has given the key, the new one has it, and the old one has none.
  const KILLS = [3, 5, 10];

  test("of pins alone registers with the active fleet, and recovers there", async () => {
    const registered = await phone.client.register(CODE);
    key = registered.backupKey;
    expect(registered.fleet).toBe("fleet-one");
    const { backupKey, movedTo } = await phone.client.recover(CODE);
    expect([backupKey, movedTo]).toEqual([key, undefined]);
    for (const subject of ["torn", ...KILLS.map((kill) => `killed-${kill}`)])
      await new Phone(subject).client.register(CODE, key);
  });

  test("hears of the next epoch from an answer, recovers, moves, and recovers there: no change to its pins", async () => {
    await log.add({ fleets: [one.announced("draining"), two.announced("active")] });
    for (const fleet of [one, two]) {
      fleet.place(2, log.newest.bytes);
      await fleet.serves(2);
    }
    expect(phone.epoch).toBe(1);
    early = phone.stored;
    const moved = await phone.client.recover(CODE);
    expect(moved).toMatchObject({ fleet: "fleet-one", movedTo: "fleet-two", backupKey: key });
    expect(phone.epoch).toBe(2);
    expect([await statusAt(one, "alice"), await statusAt(two, "alice")]).toEqual([
      "not-registered",
      "active",
    ]);
    const after = await phone.client.recover(CODE);
    expect(after).toMatchObject({ fleet: "fleet-two", backupKey: key });
    expect(after.movedTo).toBeUndefined();
    expect(await phone.client.status()).toMatchObject({ fleet: "fleet-two", state: "active" });
  });

  test("that would register with a draining fleet is sent to the active one", async () => {
    const late = new Phone("late");
    late.stored = early;
    expect(late.epoch).toBe(1);
    const registered = await late.client.register(CODE);
    expect(registered.fleet).toBe("fleet-two");
    expect(await statusAt(one, "late")).toBe("not-registered");
    expect([late.urls.some((url) => url.startsWith(`${one.url}/v1/vault`)), late.epoch]).toEqual([true, 2]);
  });

  test("gets its key also where the app has no account token for the new fleet, and moves another time", async () => {
    const signedOut = new Error("signed out");
    const accountToken = (fleet: string): Promise<string> =>
      fleet === "fleet-one" ? one.site.issueToken("torn") : Promise.reject(signedOut);
    const torn = new Phone("torn", undefined, { accountToken });
    torn.stored = early;
    const recovered = await torn.client.recover(CODE);
    expect(recovered).toMatchObject({ fleet: "fleet-one", backupKey: key });
    expect(recovered.notMoved).toMatchObject({ code: "unavailable", cause: signedOut });
    expect((await new Phone("torn").client.recover(CODE)).movedTo).toBe("fleet-two");
  });

  test.each(KILLS)(
    "that is killed at answer %i of a move ends with one record and the same key",
    async (kill) => {
      const subject = `killed-${kill}`;
      const dead = await new Promise<Phone>((resolve) => {
        const dying = new Phone(subject, (count) => {
          if (count < kill) return undefined;
          resolve(dying);
          return new Promise<void>(() => undefined);
        });
        // Where there are fewer answers, it lives.
        void dying.client.recover(CODE).then(() => resolve(dying));
      });
      const revived = new Phone(subject);
      revived.stored = dead.stored;
      expect((await revived.client.recover(CODE)).backupKey).toEqual(key);
      expect([await statusAt(one, subject), await statusAt(two, subject)]).toEqual([
        "not-registered",
        "active",
      ]);
    },
  );

  test("at the command line is configured by pins, and keeps what it has learnt in a file", async () => {
    const { dir } = two.site;
    for (const fleet of [one, two]) {
      const { manifest, issueToken } = fleet.site;
      writeFileSync(join(dir, `token-${manifest.fleet}`), await issueToken("late"));
    }
    const account = { tenant: TENANT, subject: "late", tokenFile: "token-{fleet}" };
    const config = join(dir, "client.yaml");
    const configure = (more: object): void => writeFileSync(config, JSON.stringify({ ...account, ...more }));
    const args = ["status", "--config", config, "--json"];
    configure({ pins: "pins.json", state: "trust.json", bundleUrls: [`${one.url}/v1/fleet`] });
    const { stdout, error } = await runCommand(clientCommand(), args);
    expect(error).toBeUndefined();
    expect(JSON.parse(stdout)).toMatchObject({ fleet: "fleet-two", state: "active" });
    expect(decodeTrustState(readFileSync(join(dir, "trust.json"))).epoch).toBe(2);
    for (const wrong of [
      { pins: "pins.json" },
      { manifest: "manifest.json", pins: "pins.json", state: "trust.json" },
      { manifest: "manifest.json", bundle: "1.json" },
      { pins: "pins.json", state: "trust.json", url: one.url },
      {},
    ]) {
      configure(wrong);
      expect((await runCommand(clientCommand(), args)).error).toMatchObject({ code: "config-invalid" });
    }
  });

  test("with a wrong code learns so from the fleet that has the record", async () => {
    await expect(phone.client.recover(OTHER_CODE)).rejects.toMatchObject({ code: "wrong-recovery-code" });
  });

  test("whose fleet was switched off looks for what came after it", async () => {
    await log.add({ fleets: [one.announced("revoked"), two.announced("active")] });
    two.place(3, log.newest.bytes);
    await two.serves(3);
    // It was registered at the second one, by another phone; of this one nothing but the first epoch is known.
    const fetchOther: typeof fetch = (input, init) =>
      urlOf(input).startsWith(one.url) ? Promise.reject(new TypeError("gone")) : fetch(input, init);
    const asleep = new Phone("late", undefined, {
      fetch: fetchOther,
      bundleUrls: [`${two.url}/v1/fleet`],
      retryForMs: 200,
    });
    for (const act of ["status", "recover"] as const) {
      asleep.stored = early;
      expect(asleep.epoch).toBe(1);
      expect(await asleep.client[act](CODE)).toMatchObject({ fleet: "fleet-two" });
      expect(asleep.epoch).toBe(3);
    }
  });

  test("never speaks to a revoked fleet again, and deletes where it is", async () => {
    await phone.client.status();
    phone.urls.length = 0;
    await phone.client.delete();
    expect(await statusAt(two, "alice")).toBe("not-registered");
    await expect(phone.client.recover(CODE)).rejects.toMatchObject({ code: "not-registered" });
    expect(phone.epoch).toBe(3);
    expect(phone.urls.filter((url) => url.startsWith(`${one.url}/v1/vault`))).toEqual([]);
  });
});
