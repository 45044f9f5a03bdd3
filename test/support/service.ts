/**
 * A complete site for tests: a fresh SoftHSM token with provisioned keys, a manifest, an issuer, a store and a
 * configuration file, all in one temporary directory; and the service on it, in this process or in its own.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stringify } from "yaml";
import { freePort } from "../../scripts/lib/free-ports.ts";
import { publishManifest } from "../../src/keys/manifest-file.ts";
import { manifestOf } from "../../src/keys/manifest-of.ts";
import { provision, provisioned } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { vaultKeys } from "../../src/keys/roles.ts";
import { loadServiceConfig, type ServiceConfig } from "../../src/service/config.ts";
import { type RunningService, startService } from "../../src/service/start.ts";
import { openSession } from "../../src/token/open.ts";
import type { TokenPool } from "../../src/token/pool.ts";
import { decodeManifest, type Manifest } from "../../src/wire/manifest.ts";
import { STRONGROOM } from "./cli.ts";
import { createIssuer, FLEET, type Issuer } from "./issuer.ts";
import { createSoftHsm, type SoftHsm } from "./softhsm.ts";

export { FLEET, TENANT } from "./issuer.ts";

const SITE = "site-a";

export interface Site {
  readonly hsm: SoftHsm;
  /** Holds everything; removed by `remove`. */
  readonly dir: string;
  readonly configFile: string;
  /** Where the service will listen: the manifest says so, so the port is chosen once. */
  readonly url: string;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** A fresh account token of the site's issuer. */
  readonly issueToken: Issuer["issueToken"];
  readonly remove: () => void;
}

/** Parts of the configuration file to replace; one level deep. */
export type Overrides = {
  readonly [K in keyof ServiceConfig]?: ServiceConfig[K] extends object ? object | false | number : unknown;
};

/** Where a site differs by more than its configuration file. */
export interface SiteOptions {
  readonly tokenLabel?: string;
  /** The PKCS#11 module through which everybody sees the token, provisioning included; SoftHSM's own by default. */
  readonly module?: string;
  readonly maxAttempts?: number;
  readonly fleet?: string;
  /** Called when the keys are there and the module is closed. */
  readonly provisioned?: () => void;
}

/** Provisions the token and writes every file that a service needs. Sets this process's SOFTHSM2_CONF. */
export async function createSite(overrides: Overrides = {}, options: SiteOptions = {}): Promise<Site> {
  const hsm = createSoftHsm(options.tokenLabel);
  hsm.use();
  const { dir } = hsm;
  const uri = hsm.uri.replace(hsm.module, options.module ?? hsm.module);
  const maxAttempts = options.maxAttempts ?? 10;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { fleet = FLEET } = options;
  const keys = vaultKeys(fleet, [0]);
  const { session, profile } = await openSession({ uri, profile: "softhsm2", keys });
  const manifestFile = join(dir, "manifest.json");
  try {
    if (!provisioned(provision(session, profile, keys))) throw new Error("provisioning failed");
    const publicKeys = readPublicKeys(session, keys);
    const sites = [{ name: SITE, url, tokenSerial: hsm.label, publicKeys }];
    const facts = { fleet, threshold: 1, maxAttempts, createdAt: Date.now(), sites };
    await publishManifest(manifestFile, manifestOf(facts));
  } finally {
    session.close();
  }
  options.provisioned?.();
  const issuer = await createIssuer(dir, fleet);

  const defaults: Record<string, unknown> = {
    fleet,
    site: SITE,
    listen: { host: "127.0.0.1", port },
    token: { uri, profile: "softhsm2", workers: 1 },
    store: { lmdb: { path: "./records" } },
    manifest: "./manifest.json",
    issuers: [issuer.config],
    limits: { requestsPerSecondPerAddress: 100_000, burst: 100_000 },
    policy: { maxAttempts, evaluationBurst: 1_000, evaluationsPerDay: 10_000 },
    drain: { noticeMs: 0, deadlineMs: 5_000 },
    log: { level: "debug" },
  };
  const merged = Object.entries(overrides).map(([name, value]) => {
    const before = defaults[name];
    const both = [before, value].every(
      (part) => typeof part === "object" && part !== null && !Array.isArray(part),
    );
    return [name, both ? { ...Object(before), ...Object(value) } : value];
  });
  const configFile = join(dir, "site.yaml");
  writeFileSync(configFile, stringify({ ...defaults, ...Object.fromEntries(merged) }));
  const manifestBytes = Uint8Array.from(readFileSync(manifestFile));
  return {
    hsm,
    dir,
    configFile,
    url,
    manifest: decodeManifest(manifestBytes),
    manifestBytes,
    issueToken: issuer.issueToken,
    remove: () => hsm.remove(),
  };
}

export interface TestService extends Site {
  /** Every log line since the first start, as written. */
  readonly logs: string[];
  /** The running service's; another one after `restart`. */
  readonly pool: TokenPool;
  readonly service: RunningService;
  /** Stops and starts it on the same token, store and port. */
  restart(): Promise<void>;
  /** Stops it and removes the site. */
  close(): Promise<void>;
}

/** A service in this process, ready to serve. */
export async function startTestService(
  overrides: Overrides = {},
  options: SiteOptions = {},
): Promise<TestService> {
  const site = await createSite(overrides, options);
  const logs: string[] = [];
  const start = (): Promise<RunningService> =>
    startService(loadServiceConfig(site.configFile), { write: (line) => logs.push(line) });
  let service = await start();
  return {
    ...site,
    logs,
    get pool() {
      return service.token;
    },
    get service() {
      return service;
    },
    async restart() {
      await service.close();
      service = await start();
    },
    async close() {
      await service.close();
      site.remove();
    },
  };
}

export interface SpawnedService extends Site {
  /** The process that is running now. */
  readonly child: ChildProcess;
  /** Its log lines, those of earlier ones included. */
  readonly logs: string[];
  /** SIGKILL, and waits for the end of the process. */
  kill9(): Promise<void>;
  /** Sends a signal and waits for the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Starts it again on the same token, store and port. */
  restart(): Promise<void>;
  /** Kills it if need be and removes the site. */
  close(): Promise<void>;
}

/**
 * `strongroom serve` as a process of its own, ready to serve.
 * @param env besides that of this process; read at each start
 */
export async function spawnService(
  overrides: Overrides = {},
  env: Readonly<Record<string, string>> = {},
  options: SiteOptions = {},
): Promise<SpawnedService> {
  const site = await createSite(overrides, options);
  const logs: string[] = [];
  let child: ChildProcess;

  async function start(): Promise<void> {
    child = spawn(process.execPath, [...STRONGROOM, "serve", "--config", site.configFile], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...site.hsm.env, ...env },
    });
    const { stdout, stderr } = child;
    if (!stdout || !stderr) throw new Error("no pipes");
    let said = "";
    stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const listening = new Promise<void>((resolve, reject) => {
      createInterface(stdout).on("line", (line) => {
        logs.push(`${line}\n`);
        if (line.includes('"msg":"listening"')) resolve();
      });
      child.once("exit", (code) => reject(new Error(`strongroom serve ended with ${code}: ${said}`)));
    });
    await listening;
  }
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
    return child.exitCode;
  };
  await start();
  return {
    ...site,
    logs,
    get child() {
      return child;
    },
    stop,
    kill9: async () => {
      await stop("SIGKILL");
    },
    restart: async () => {
      await stop();
      await start();
    },
    async close() {
      await stop("SIGKILL");
      site.remove();
    },
  };
}
