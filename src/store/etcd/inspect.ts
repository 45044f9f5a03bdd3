/** What an operator wants to know of a cluster: who is there, who leads, how full, how far behind. */
import { fromUtf8 } from "../../base/bytes.ts";
import { isStrongroomError } from "../../base/errors.ts";
import { ALL_SHARDS } from "../shard-map.ts";
import type { EtcdClusterConfig } from "../store-config.ts";
import type { Cluster } from "./cluster.ts";
import type { Endpoint } from "./endpoint.ts";
import { fencesOf } from "./fence.ts";
import type { Keyspace } from "./keyspace.ts";
import {
  decodeMembers,
  decodeRange,
  decodeStatus,
  encodeRange,
  MEMBER_LIST,
  RANGE,
  STATUS,
  type StatusResponse,
} from "./messages.ts";
import { countRecords } from "./transfer.ts";

const STATUS_TIMEOUT_MS = 1500;

interface MemberReport {
  readonly site: string;
  readonly address: string;
  /** Why it did not answer; everything below is missing then. */
  readonly problem?: string | undefined;
  readonly version?: string;
  readonly role?: "leader" | "follower" | "learner";
  /** Bytes on disk, and how many of them are in use; the difference is what defragmenting gives back. */
  readonly dbBytes?: number;
  readonly dbBytesInUse?: number;
  readonly quotaBytes?: number;
  readonly alarms?: readonly string[];
  /** Log entries that others have applied and it has not. */
  readonly lag?: number;
}

interface SiteReport {
  readonly site: string;
  /** Version of the shard map that the site runs with. */
  readonly shards?: number;
  /** When it last checked the store. */
  readonly at?: string;
}

export interface ClusterReport {
  readonly name: string;
  /** Whether a majority answers linearizable reads. */
  readonly serves: boolean;
  readonly problem?: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
  readonly members: readonly MemberReport[];
  /** Members of the cluster that the configuration does not name. */
  readonly unnamed: readonly string[];
  readonly records?: number;
  /** Shards that are closed here, as two hex digits. */
  readonly fenced?: readonly string[];
  readonly sites?: readonly SiteReport[];
}

async function memberStatus(endpoint: Endpoint): Promise<StatusResponse | string> {
  const answer = await endpoint.call(STATUS, new Uint8Array(), STATUS_TIMEOUT_MS, false);
  if (!answer.ok) return answer.failure.message;
  try {
    return decodeStatus(answer.message);
  } catch {
    return "unreadable answer";
  }
}

/** Never throws: what cannot be learned is missing, with the reason. */
export async function inspectCluster(
  cluster: Cluster,
  config: EtcdClusterConfig,
  keys: Keyspace,
): Promise<ClusterReport> {
  const sites = new Map(Object.entries(config.endpoints).map(([site, url]) => [new URL(url).host, site]));
  const statuses = await Promise.all(cluster.endpoints.map(memberStatus));
  const applied = statuses.map((status) => (typeof status === "string" ? 0 : Number(status.appliedIndex)));
  const newest = Math.max(...applied);
  const members = cluster.endpoints.map(({ address }, i): MemberReport => {
    const place = { site: sites.get(address) ?? "", address };
    const status = statuses[i];
    if (status === undefined || typeof status === "string") return { ...place, problem: status };
    return {
      ...place,
      version: status.version,
      role: status.isLearner ? "learner" : status.leader === status.memberId ? "leader" : "follower",
      dbBytes: Number(status.dbSize),
      dbBytesInUse: Number(status.dbSizeInUse),
      quotaBytes: Number(status.quota ?? config.quotaBytes),
      alarms: status.errors,
      lag: newest - Number(status.appliedIndex),
    };
  });
  const named = new Set(statuses.flatMap((s) => (typeof s === "string" ? [] : [s.memberId])));
  const silent = members.filter((member) => member.problem !== undefined);
  const base = { name: cluster.name, members: members.toSorted((a, b) => a.site.localeCompare(b.site)) };
  try {
    const { records, fenced, reports, listed } = await contents(cluster, keys);
    const urls = new Set(silent.map((member) => member.address));
    const unnamed = listed.filter(
      (member) =>
        !named.has(member.id) &&
        !member.clientUrls.some((url) => URL.canParse(url) && urls.has(new URL(url).host)),
    );
    return {
      ...base,
      serves: true,
      unnamed: unnamed.map((member) => member.name || `${member.id.toString(16)} (not started)`),
      records,
      fenced,
      sites: reports,
    };
  } catch (error) {
    return {
      ...base,
      serves: false,
      ...(isStrongroomError(error)
        ? { problem: error.message, hint: error.hint }
        : { problem: String(error) }),
      unnamed: [],
    };
  }
}

async function contents(
  cluster: Cluster,
  keys: Keyspace,
): Promise<{
  readonly records: number;
  readonly fenced: readonly string[];
  readonly reports: readonly SiteReport[];
  readonly listed: ReturnType<typeof decodeMembers>;
}> {
  const records = await countRecords(cluster, keys, ALL_SHARDS);
  const fenced = [...(await fencesOf(cluster, keys, ALL_SHARDS)).keys()];
  const healths = await cluster.request(RANGE, encodeRange(keys.healths()), decodeRange);
  const listed = await cluster.request(MEMBER_LIST, new Uint8Array(), decodeMembers);
  return {
    records,
    fenced: fenced.map((shard) => shard.toString(16).padStart(2, "0")),
    reports: healths.kvs.map(({ key, value }) => siteReport(key.subarray(keys.healths().key.length), value)),
    listed,
  };
}

/** What EtcdRecordStore's check wrote; of a site of another version it may be anything. */
function siteReport(name: Uint8Array, value: Uint8Array): SiteReport {
  const site = fromUtf8(name);
  try {
    const sign: unknown = JSON.parse(fromUtf8(value));
    if (typeof sign !== "object" || sign === null) return { site };
    return {
      site,
      ...("shards" in sign && typeof sign.shards === "number" ? { shards: sign.shards } : {}),
      ...("at" in sign && typeof sign.at === "string" ? { at: sign.at } : {}),
    };
  } catch {
    return { site };
  }
}
