/** `strongroom store`: what an operator does with the records of a site's store, none of which can be read here. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Command } from "commander";
import { parse } from "yaml";
import { z } from "zod";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { Cluster } from "../store/etcd/cluster.ts";
import { allFenced, fence, fencesOf, liftFence } from "../store/etcd/fence.ts";
import { type ClusterReport, inspectCluster } from "../store/etcd/inspect.ts";
import type { Keyspace } from "../store/etcd/keyspace.ts";
import { importRecords, snapshot } from "../store/etcd/transfer.ts";
import { openCluster, storeKeys } from "../store/open-etcd.ts";
import { openStore } from "../store/open-store.ts";
import { openRecordFile, type RecordFileHeader, writeRecordFile } from "../store/record-file.ts";
import {
  ALL_SHARDS,
  clustersOfShards,
  formatShardRange,
  parseShardRange,
  type ShardRange,
} from "../store/shard-map.ts";
import {
  type EtcdConfig,
  parseStoreConfig,
  resolveStorePaths,
  type StoreConfig,
} from "../store/store-config.ts";
import { bold, dim, green, printJson, red, say, table, yellow } from "./terminal.ts";

interface SiteStore {
  readonly site: string;
  readonly store: StoreConfig;
}

const siteFile = z.looseObject({ site: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/), store: z.unknown() });

/** The two keys of a site's configuration that matter here; the rest is `serve`'s business. */
function loadSiteStore(file: string): SiteStore {
  const path = resolve(file);
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${file} cannot be read as YAML`, {
      cause,
      hint: "name the site's configuration file with --config",
    });
  }
  const site = siteFile.safeParse(value);
  if (!site.success)
    throw new StrongroomError("config-invalid", `${file}: needs the keys site and store`, {
      hint: "strongroom serve --config FILE --check explains what is wrong",
    });
  try {
    const store = resolveStorePaths(parseStoreConfig(site.data.store), dirname(path));
    return { site: site.data.site, store };
  } catch (cause) {
    if (!isStrongroomError(cause, "config-invalid")) throw cause;
    throw new StrongroomError("config-invalid", `${file}: ${cause.message}`, {
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    });
  }
}

/** @throws usage for a store that is one directory, which is copied as such */
function etcdOf({ store }: SiteStore): EtcdConfig {
  if (store.etcd !== undefined) return store.etcd;
  throw new StrongroomError("usage", "this command is for stores on etcd", {
    hint: "a store on LMDB is one directory: stop the service and copy it",
  });
}

/** The cluster that is named, or the only one that has these shards. @throws usage */
function clusterFor(config: EtcdConfig, range: ShardRange, name: string | undefined): string {
  if (name !== undefined) return name;
  const table = clustersOfShards(config.shards, Object.keys(config.clusters));
  const [only, ...more] = new Set(table.slice(range.first, range.last + 1));
  if (only !== undefined && more.length === 0) return only;
  throw new StrongroomError("usage", `shards ${formatShardRange(range)} are spread over several clusters`, {
    hint: `name one with --cluster, or fewer shards: ${config.shards.ranges.map((r) => `${formatShardRange(r)} ${r.cluster}`).join(", ")}`,
  });
}

async function withCluster<T>(
  { site, store }: SiteStore,
  name: string,
  work: (cluster: Cluster, keys: Keyspace) => Promise<T>,
): Promise<T> {
  const config = etcdOf({ site, store });
  const cluster = openCluster(config, name, site);
  try {
    return await work(cluster, storeKeys(config));
  } finally {
    await cluster.close();
  }
}

/** A learner takes no part in a majority: its cluster has one member less than it seems. */
export function roleOf({ role = "follower" }: ClusterReport["members"][number]): string {
  if (role === "follower") return role;
  return role === "leader" ? green(role) : yellow(role);
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`;

function describe(report: ClusterReport, mapVersion: number): string {
  const lines = [
    `${bold(`cluster ${report.name}`)}: ${report.serves ? green("serves") : red("does not serve")}`,
  ];
  if (report.problem !== undefined) lines.push(`  ${report.problem}`);
  if (report.hint !== undefined) lines.push(`  hint: ${report.hint}`);
  const rows = report.members.map((m) => {
    if (m.problem !== undefined) return [m.site, m.address, red(m.problem)];
    const { dbBytes = 0, quotaBytes = 0, dbBytesInUse = 0, alarms = [], lag = 0 } = m;
    return [
      m.site,
      m.address,
      roleOf(m),
      m.version ?? "",
      `${mib(dbBytes)} of ${mib(quotaBytes)} (${Math.round((100 * dbBytes) / Math.max(quotaBytes, 1))} %)`,
      mib(dbBytesInUse),
      `${lag}`,
      alarms.length > 0 ? red(alarms.join(", ")) : "none",
    ];
  });
  lines.push(table(["site", "member", "role", "etcd", "database", "in use", "lag", "alarms"], rows));
  for (const name of report.unnamed) lines.push(yellow(`member ${name} is not in this site's configuration`));
  if (report.records !== undefined) lines.push(`records: ${report.records}`);
  if ((report.fenced?.length ?? 0) > 0)
    lines.push(yellow(`closed shards: ${report.fenced?.join(" ") ?? ""}`));
  for (const { site, shards, at } of report.sites ?? []) {
    const version = shards === mapVersion ? `${shards}` : yellow(`${shards ?? "?"}, not ${mapVersion}`);
    lines.push(dim(`site ${site}: last check ${at ?? "?"}, shard map `) + version);
  }
  return lines.join("\n");
}

interface Common {
  readonly config: string;
  readonly json?: boolean;
}

/** How every member of every cluster of the store is. @throws config-invalid; usage for a store on LMDB */
export async function clusterReports(config: string): Promise<readonly ClusterReport[]> {
  const siteStore = loadSiteStore(config);
  return Promise.all(
    Object.entries(etcdOf(siteStore).clusters).map(([name, settings]) =>
      withCluster(siteStore, name, (cluster, keys) => inspectCluster(cluster, settings, keys)),
    ),
  );
}

async function status({ config, json }: Common): Promise<void> {
  const siteStore = loadSiteStore(config);
  if (siteStore.store.etcd === undefined) {
    await check({ config, ...(json === undefined ? {} : { json }) });
    return;
  }
  const { etcd } = siteStore.store;
  const reports = await clusterReports(config);
  if (json) printJson({ shards: etcd.shards, clusters: reports });
  else process.stdout.write(`${reports.map((r) => describe(r, etcd.shards.version)).join("\n\n")}\n`);
  if (reports.some((report) => !report.serves || report.members.some((m) => (m.alarms?.length ?? 0) > 0)))
    process.exitCode = 1;
}

async function check({ config, json }: Common): Promise<void> {
  const { site, store } = loadSiteStore(config);
  const opened = await openStore(store, site);
  try {
    await opened.check();
    // Ids are HMAC values: nobody has this one, so the answer is known.
    for (let shard = 0; shard < 256; shard++) {
      const id = new Uint8Array(32).fill(0xff).fill(shard, 0, 1);
      if (store.etcd === undefined ? shard > 0 : !startsRange(store.etcd, shard)) continue;
      await opened.get(id);
    }
  } finally {
    await opened.close();
  }
  if (json) printJson({ store: "ok" });
  else say(green("the store takes writes and answers reads"));
}

/** One shard of each range is read, so that every cluster is asked. */
function startsRange(config: EtcdConfig, shard: number): boolean {
  return config.shards.ranges.some((range) => range.first === shard);
}

interface ExportOptions extends Common {
  readonly out: string;
  readonly shards?: string;
  readonly cluster?: string;
  readonly fence?: boolean;
}

async function exportShards(options: ExportOptions): Promise<void> {
  const siteStore = loadSiteStore(options.config);
  const etcd = etcdOf(siteStore);
  const shards = options.shards === undefined ? ALL_SHARDS : parseShardRange(options.shards);
  const name = clusterFor(etcd, shards, options.cluster);
  const result = await withCluster(siteStore, name, async (cluster, keys) => {
    if (options.fence) {
      await fence(cluster, keys, shards, "moved");
      say(`shards ${formatShardRange(shards)} of cluster ${name} are closed`);
    }
    const fenced = await allFenced(cluster, keys, shards);
    const { revision, records } = await snapshot(cluster, keys, shards);
    const header = { cluster: name, prefix: etcd.prefix, shards, fenced, revision };
    return { ...(await writeRecordFile(options.out, header, records)), revision: `${revision}`, fenced };
  });
  if (options.json)
    printJson({ cluster: name, shards: formatShardRange(shards), file: options.out, ...result });
  else
    say(
      `${options.out}: ${result.records} records of shards ${formatShardRange(shards)} at revision ${result.revision}`,
    );
  if (!result.fenced)
    say(
      yellow(
        "the shards are open: what is written from now on is not in the file; to move them, use --fence",
      ),
    );
}

interface ImportCommandOptions extends Common {
  readonly in: string;
  readonly cluster: string;
  readonly dryRun?: boolean;
  readonly unfenced?: boolean;
}

/**
 * A file of shards that stayed open lacks what was written after it: registrations, and attempts that people have used.
 * @throws conflict
 */
function assertMovable({ fenced, prefix }: RecordFileHeader, config: EtcdConfig, unfenced: boolean): void {
  if (prefix !== config.prefix)
    throw new StrongroomError("conflict", `the file's records are of ${prefix}, not of ${config.prefix}`, {
      hint: "they are another fleet's, which this one cannot open",
    });
  if (!fenced && !unfenced)
    throw new StrongroomError("conflict", "the file's shards were open when it was made", {
      hint: "export them again with --fence; with --unfenced all that was written to them since is given up",
    });
}

async function importShards(options: ImportCommandOptions): Promise<void> {
  const siteStore = loadSiteStore(options.config);
  const etcd = etcdOf(siteStore);
  const dryRun = options.dryRun === true;
  const file = await openRecordFile(options.in);
  try {
    const { shards } = file.header;
    assertMovable(file.header, etcd, options.unfenced === true);
    const summary = await withCluster(siteStore, options.cluster, (cluster, keys) =>
      importRecords(cluster, keys, file, { dryRun }),
    );
    if (options.json)
      printJson({ cluster: options.cluster, shards: formatShardRange(shards), dryRun, ...summary });
    else
      say(
        dryRun
          ? `${summary.records} records would go into shards ${formatShardRange(shards)} of cluster ${options.cluster}, which are empty`
          : `${summary.records} records are in shards ${formatShardRange(shards)} of cluster ${options.cluster}, read back and compared`,
      );
  } finally {
    await file.close();
  }
}

interface FenceOptions extends Common {
  readonly shards: string;
  readonly cluster?: string;
  readonly lift?: boolean;
}

async function fenceShards(options: FenceOptions): Promise<void> {
  const siteStore = loadSiteStore(options.config);
  const shards = parseShardRange(options.shards);
  const name = clusterFor(etcdOf(siteStore), shards, options.cluster);
  const closed = await withCluster(siteStore, name, async (cluster, keys) => {
    if (options.lift) await liftFence(cluster, keys, shards);
    else await fence(cluster, keys, shards, "closed by hand");
    return (await fencesOf(cluster, keys, shards)).size;
  });
  if (options.json) printJson({ cluster: name, shards: formatShardRange(shards), closed });
  else say(`shards ${formatShardRange(shards)} of cluster ${name} are ${closed > 0 ? "closed" : "open"}`);
}

/** `strongroom store status | check | export | import | fence`. */
export function storeCommand(): Command {
  const command = new Command("store").description("look after the store of sealed records");
  const sub = (name: string, description: string): Command =>
    command
      .command(name)
      .description(description)
      .requiredOption("--config <file>", "the site's configuration")
      .option("--json", "print the result as JSON");
  sub("status", "show members, leader, size, alarms, lag and records of each cluster").action(status);
  sub("check", "prove that the store takes a write and answers a read").action(check);
  sub("export", "write the records of some shards, still sealed, to a new file")
    .requiredOption("--out <file>", "the file to make")
    .option("--shards <range>", "two hex digits or a range of them, e.g. 80-8f; all by default")
    .option("--cluster <name>", "the cluster to read; by default the one that has the shards")
    .option("--fence", "close the shards in that cluster first, to move them")
    .action(exportShards);
  sub("import", "put exported records into empty shards of a cluster, and compare")
    .requiredOption("--in <file>", "a file that export made")
    .requiredOption("--cluster <name>", "the cluster to fill")
    .option("--dry-run", "check the file and the shards, write nothing")
    .option(
      "--unfenced",
      "take a file of shards that stayed open, though what was written since is not in it",
    )
    .action(importShards);
  sub("fence", "close shards of a cluster to every site, or open them again")
    .requiredOption("--shards <range>", "two hex digits or a range of them, e.g. 80-8f")
    .option("--cluster <name>", "by default the one that has the shards")
    .option("--lift", "open them")
    .action(fenceShards);
  return command;
}
