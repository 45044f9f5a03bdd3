/**
 * The `store` section of a site's configuration: LMDB for a fleet of one, etcd for more. Descriptions are the
 * fixes that an error message offers.
 */
import { resolve } from "node:path";
import { z } from "zod";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { clustersOfShards, formatShardRange, parseShardRange, SHARDS, type ShardMap } from "./shard-map.ts";

/** Paths of PEM files: the members' authority, this site's client certificate (CN = etcd user) and its key. */
interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EtcdClusterConfig {
  /** `https://host:port` of each member by the name of its site. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** Where it differs from that of the other clusters. */
  readonly tls?: EtcdTls | undefined;
  /** The members' --quota-backend-bytes, for `strongroom store status`. */
  readonly quotaBytes: number;
}

export interface EtcdConfig {
  /** What the vault's role may touch; ends with a slash. */
  readonly prefix: string;
  readonly tls: EtcdTls;
  readonly clusters: Readonly<Record<string, EtcdClusterConfig>>;
  readonly shards: ShardMap;
  /** The members' --election-timeout, from which the deadlines are taken. */
  readonly electionTimeoutMs: number;
  /** For one call; 1.5 election timeouts by default. */
  readonly tryMs?: number | undefined;
  /** For an operation with all its tries; 4 election timeouts by default. */
  readonly operationMs?: number | undefined;
  /** Connections to each member, 64 calls each. */
  readonly channels: number;
}

export type StoreConfig =
  | { readonly lmdb: { readonly path: string }; readonly etcd?: undefined }
  | { readonly etcd: EtcdConfig; readonly lmdb?: undefined };

const path = z.string().min(1).max(4096);
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "not a name");
const milliseconds = (min: number, max: number): z.ZodNumber =>
  z.number().int().min(min).max(max).describe(`write milliseconds from ${min} to ${max}`);

const tls = z
  .strictObject({
    ca: path.describe("write the path of the authority's certificate (PEM)"),
    cert: path.describe("write the path of this site's client certificate (PEM)"),
    key: path.describe("write the path of its private key (PEM, mode 0600)"),
  })
  .describe("say with which certificate this site connects: {ca: …, cert: …, key: …}");

const endpoint = z
  .string()
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url?.protocol === "https:" && url.port !== "" && text.replace(/\/$/, "") === `https://${url.host}`;
  }, "not an https: URL with a port and nothing else")
  .describe("write the member's client URL, e.g. https://10.0.1.10:2379");

const shardKey = z
  .string()
  .regex(/^[0-9a-f]{2}(?:-[0-9a-f]{2})?$/, "not a range of shards")
  .describe("write two hex digits or a range of them, e.g. 00-7f");

/** A file may leave the map out while there is one cluster, which then has all shards. */
const shards = z
  .strictObject({
    version: z.number().int().min(1).max(1_000_000).describe("write a number that grows with each change"),
    ranges: z.record(shardKey, name).describe('give every shard to a cluster, e.g. {"00-ff": main}'),
  })
  .describe('write the version and the ranges, e.g. {version: 1, ranges: {"00-ff": main}}');

const etcd = z
  .strictObject({
    prefix: z
      .string()
      .regex(/^\/(?:[a-z0-9-]{1,63}\/)+$/, "not a prefix")
      .describe("write the prefix of the vault's role, e.g. /strongroom/my-fleet/"),
    tls,
    clusters: z
      .record(
        name,
        z.strictObject({
          endpoints: z
            .record(name, endpoint)
            .refine((all) => Object.keys(all).length > 0, "names no member")
            .describe("list the members by their sites, e.g. {site-a: https://10.0.1.10:2379}"),
          tls: tls.optional(),
          quotaBytes: z
            .number()
            .int()
            .min(2 ** 20)
            .max(2 ** 40)
            .default(8 * 2 ** 30)
            .describe("write the members' --quota-backend-bytes"),
        }),
      )
      .refine((all) => Object.keys(all).length > 0, "names no cluster")
      .describe("name at least one cluster"),
    shards: shards.optional(),
    electionTimeoutMs: milliseconds(100, 50_000).default(1000),
    tryMs: milliseconds(50, 120_000).optional(),
    operationMs: milliseconds(100, 600_000).optional(),
    channels: z.number().int().min(1).max(16).default(1).describe("write a number from 1 to 16"),
  })
  .transform((value, context): EtcdConfig => {
    const { shards: written, ...rest } = value;
    const names = Object.keys(value.clusters);
    try {
      if (written === undefined && names.length > 1)
        throw new StrongroomError("config-invalid", "several clusters need a shard map", {
          hint: "add shards: {version: 1, ranges: …} (src/store/shard-map.ts explains moving shards)",
        });
      const map: ShardMap = {
        version: written?.version ?? 1,
        ranges: Object.entries(
          written?.ranges ?? { [formatShardRange({ first: 0, last: SHARDS - 1 })]: names[0] ?? "" },
        ).map(([range, cluster]) => ({ ...parseShardRange(range), cluster })),
      };
      clustersOfShards(map, names);
      return { ...rest, shards: map };
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      context.addIssue({ code: "custom", message: error.message, params: { fix: error.hint } });
      return z.NEVER;
    }
  })
  .describe("name the clusters, the prefix and the certificates");

const lmdb = z
  .strictObject({ path: path.describe("write a directory on a local disk") })
  .describe("write a path");

/** Part of the schema of a site's configuration. */
export const storeSchema: z.ZodType<StoreConfig> = z
  .strictObject({ lmdb: lmdb.optional(), etcd: etcd.optional() })
  .refine((store) => (store.lmdb === undefined) !== (store.etcd === undefined), "needs either lmdb or etcd")
  // Exactly one is there, which is what the union says.
  .transform((store) => store as StoreConfig)
  .describe("say where records are kept: {lmdb: {path: ./records}}, or etcd with its clusters");

/** @throws config-invalid */
export function parseStoreConfig(value: unknown): StoreConfig {
  const result = storeSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const fix: unknown = issue.code === "custom" ? issue.params?.fix : undefined;
    return `store.${issue.path.join(".")}: ${issue.message}${typeof fix === "string" ? ` — ${fix}` : ""}`;
  });
  throw new StrongroomError("config-invalid", problems.join("\n"), {
    hint: "hsm-config/etcd/store.yaml is an example",
  });
}

/** The same with every path taken from the directory `base`. */
export function resolveStorePaths(config: StoreConfig, base: string): StoreConfig {
  const here = (text: string): string => resolve(base, text);
  if (config.etcd === undefined) return { lmdb: { path: here(config.lmdb.path) } };
  const files = (one: EtcdTls): EtcdTls => ({ ca: here(one.ca), cert: here(one.cert), key: here(one.key) });
  return {
    etcd: {
      ...config.etcd,
      tls: files(config.etcd.tls),
      clusters: Object.fromEntries(
        Object.entries(config.etcd.clusters).map(([key, cluster]) => [
          key,
          { ...cluster, tls: cluster.tls && files(cluster.tls) },
        ]),
      ),
    },
  };
}
