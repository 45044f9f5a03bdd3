/**
 * A real etcd cluster on this machine, as a fleet runs it (hsm-config/etcd): TLS with client certificates,
 * separate authorities for clients and peers, access control with one role that sees the vault's prefix only.
 * Used by the tests, the walk-through and the bench; needs Debian's packages etcd-server and etcd-client.
 *
 * A cluster started in a directory of an earlier one goes on with its data, ports and certificates.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Authority, authority, type CertificateFiles, certificate } from "./etcd-certificates.ts";

const run = promisify(execFile);

export interface EtcdClusterOptions {
  /** How many members; 3 by default. */
  readonly members?: number;
  /** Where data, certificates and logs go and stay; by default a temporary directory that `close` deletes. */
  readonly dir?: string;
  /** What the vault's role may touch; `/strongroom/` by default. */
  readonly prefix?: string;
  /** The vault's user: the CN of its certificate; `vault` by default. */
  readonly user?: string;
  /** Address of each member; 127.0.0.1 by default. */
  readonly hosts?: readonly string[];
  /** --quota-backend-bytes; 8 GiB by default. */
  readonly quotaBytes?: number;
  /** Milliseconds; 100 and 1000 by default. */
  readonly heartbeatMs?: number;
  readonly electionTimeoutMs?: number;
  /** Wraps the command of a member, e.g. in `ip netns exec …`. */
  readonly launch?: (member: number, command: readonly string[]) => readonly string[];
}

interface EtcdMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

export interface EtcdCluster {
  readonly dir: string;
  readonly members: readonly EtcdMember[];
  readonly clientUrls: readonly string[];
  readonly prefix: string;
  /** What the vault needs to connect. */
  readonly vault: CertificateFiles;
  /** A client certificate for another user; without a name it has no CN. */
  clientCertificate(user?: string): Promise<CertificateFiles>;
  /** Runs etcdctl as etcd's root user against every member, or one; returns what it prints. */
  etcdctl(args: readonly string[], member?: number): Promise<string>;
  /** Which member leads, by its index. @throws Error if none does */
  leader(): Promise<number>;
  /** SIGKILL, and waits until the process is gone. */
  kill9(member: number): Promise<void>;
  /** SIGTERM, and waits until the process is gone. */
  terminate(member: number): Promise<void>;
  /** SIGSTOP: the process hangs, its connections stay open. */
  stop(member: number): void;
  /** SIGCONT. */
  cont(member: number): void;
  /** Starts a member that was killed; resolves when it answers. */
  restart(member: number): Promise<void>;
  /** A member's disk is lost: it leaves the cluster, joins it with an empty one, and answers when it has caught up. */
  rejoin(member: number): Promise<void>;
  /** Kills every member and, if the directory is a temporary one, deletes it. */
  close(): Promise<void>;
}

/** What must stay as it is when a cluster is started again: members know each other by these addresses. */
interface Layout {
  readonly token: string;
  readonly members: readonly EtcdMember[];
}

function bindable(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // An address that is not here is that of a network namespace, which is the cluster's alone.
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "EADDRNOTAVAIL"));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** A free port below the range that the kernel gives to outgoing connections, so that none of them takes it. */
async function freePort(host: string, taken: Set<number>): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (taken.has(port) || !(await bindable(host, port))) continue;
    taken.add(port);
    return port;
  }
}

async function layoutIn(dir: string, hosts: readonly string[]): Promise<Layout> {
  const file = join(dir, "cluster.json");
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Layout;
  const taken = new Set<number>();
  const members: EtcdMember[] = [];
  for (const [i, host] of hosts.entries()) {
    members.push({
      name: `e${i + 1}`,
      clientUrl: `https://${host}:${await freePort(host, taken)}`,
      peerUrl: `https://${host}:${await freePort(host, taken)}`,
    });
  }
  const layout = { token: `strongroom-${process.pid}-${Date.now()}`, members };
  writeFileSync(file, `${JSON.stringify(layout, null, 2)}\n`);
  return layout;
}

/** Starts a cluster and waits until it has a leader and access control is on. */
export async function startEtcdCluster(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "strongroom-etcd-"));
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const hosts = options.hosts ?? Array<string>(options.members ?? 3).fill("127.0.0.1");
  const prefix = options.prefix ?? "/strongroom/";
  const user = options.user ?? "vault";
  const { token, members } = await layoutIn(dir, hosts);
  const pki = join(dir, "pki");
  const clients = await authority(pki, "clients");
  const peers = await authority(pki, "peers");
  const root = await certificate(pki, "client-root", clients, { commonName: "root" }, ["clientAuth"]);
  const vault = await certificate(pki, `client-${user}`, clients, { commonName: user }, ["clientAuth"]);
  const processes: (ChildProcess | undefined)[] = members.map(() => undefined);
  const killAll = (): void => {
    for (const child of processes) child?.kill("SIGKILL");
  };
  process.once("exit", killAll);

  async function start(i: number, state: "new" | "existing" = "new"): Promise<void> {
    const command = await memberCommand(i, members, { dir, token, pki, clients, peers, state }, options);
    const log = openSync(join(dir, `${members[i]?.name}.log`), "a");
    const [program = "etcd", ...args] = options.launch?.(i, command) ?? command;
    const child = spawn(program, args, { stdio: ["ignore", log, log], env: { PATH: process.env.PATH } });
    closeSync(log);
    const failure = new Promise<never>((_, reject) => child.once("error", reject));
    failure.catch(() => undefined);
    processes[i] = child;
    await Promise.race([failure, sleep(20)]);
  }

  async function etcdctl(args: readonly string[], member?: number): Promise<string> {
    const endpoints = members.filter((_, i) => member === undefined || member === i);
    const { stdout } = await run("etcdctl", [
      `--endpoints=${endpoints.map((m) => m.clientUrl).join(",")}`,
      ...[`--cacert=${root.ca}`, `--cert=${root.cert}`, `--key=${root.key}`],
      ...["--dial-timeout=2s", "--command-timeout=5s", ...args],
    ]);
    return stdout;
  }

  /** A member that has just started refuses connections, then has no leader: try again until it answers. */
  async function untilItWorks<T>(what: string, work: () => Promise<T>): Promise<T> {
    let last: unknown;
    for (let i = 0; i < 150; i++) {
      for (const [m, child] of processes.entries()) {
        if (child && child.exitCode !== null)
          throw new Error(
            `etcd member ${m} ended:\n${readFileSync(join(dir, `e${m + 1}.log`), "utf8").slice(-2000)}`,
          );
      }
      try {
        return await work();
      } catch (error) {
        last = error;
        await sleep(200);
      }
    }
    throw new Error(`${what} did not succeed`, { cause: last });
  }

  async function end(i: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = processes[i];
    if (child === undefined) return;
    processes[i] = undefined;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await gone;
    }
  }

  /** etcd refuses a known member with an empty disk: it may have promised what it has forgotten. */
  async function rejoin(i: number): Promise<void> {
    const { name = "", peerUrl = "" } = members[i] ?? {};
    const other = processes.findIndex((child, m) => m !== i && child !== undefined);
    await end(i, "SIGKILL");
    rmSync(join(dir, name), { recursive: true, force: true });
    const listed = await etcdctl(["member", "list"], other);
    const id = listed.split("\n").find((line) => line.includes(peerUrl));
    const change = (...args: string[]): Promise<string> =>
      untilItWorks(`member ${args[0]}`, () => etcdctl(["member", ...args], other));
    await change("remove", id?.split(",")[0] ?? "");
    await change("add", name, `--peer-urls=${peerUrl}`);
    await start(i, "existing");
    await untilItWorks(`member ${i} to catch up`, () => etcdctl(["get", prefix], i));
  }

  async function close(): Promise<void> {
    process.removeListener("exit", killAll);
    await Promise.all(members.map((_, i) => end(i, "SIGKILL")));
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
  }

  /** Access control, once per cluster: the role's permission is the vault's prefix and nothing else. */
  async function protect(): Promise<void> {
    const done = join(dir, "auth-enabled");
    if (existsSync(done)) return;
    const steps = [
      ["user", "add", "root", "--no-password"],
      ["role", "add", "root"],
      ["user", "grant-role", "root", "root"],
      ["user", "add", user, "--no-password"],
      ["role", "add", user],
      ["role", "grant-permission", user, "readwrite", "--prefix=true", prefix],
      ["user", "grant-role", user, user],
      ["auth", "enable"],
    ];
    for (const step of steps) await etcdctl(step);
    writeFileSync(done, "");
  }

  try {
    await Promise.all(members.map((_, i) => start(i)));
    await untilItWorks("starting etcd", () => etcdctl(["endpoint", "health"]));
    await protect();
  } catch (error) {
    await close();
    throw error;
  }

  return {
    dir,
    members,
    clientUrls: members.map((m) => m.clientUrl),
    prefix,
    vault,
    clientCertificate: (name) =>
      certificate(
        pki,
        `client-${name ?? "(nameless)"}`,
        clients,
        name === undefined ? {} : { commonName: name },
        ["clientAuth"],
      ),
    etcdctl,
    leader: () =>
      untilItWorks("finding the leader", async () => {
        for (const i of members.keys()) {
          if (processes[i] === undefined) continue;
          const [answer] = JSON.parse(await etcdctl(["endpoint", "status", "-w", "json"], i)) as {
            Status: { leader?: number; header: { member_id: number } };
          }[];
          if (answer && answer.Status.leader === answer.Status.header.member_id) return i;
        }
        throw new Error("no member leads");
      }),
    kill9: (i) => end(i, "SIGKILL"),
    terminate: (i) => end(i, "SIGTERM"),
    stop: (i) => {
      processes[i]?.kill("SIGSTOP");
    },
    cont: (i) => {
      processes[i]?.kill("SIGCONT");
    },
    restart: async (i) => {
      await start(i);
      await untilItWorks(`restarting member ${i}`, () => etcdctl(["get", prefix, "--consistency=s"], i));
    },
    rejoin,
    close,
  };
}

/** The command line of hsm-config/etcd/etcd.service, with this member's addresses. */
async function memberCommand(
  i: number,
  members: readonly EtcdMember[],
  place: {
    dir: string;
    token: string;
    pki: string;
    clients: Authority;
    peers: Authority;
    state: "new" | "existing";
  },
  options: EtcdClusterOptions,
): Promise<readonly string[]> {
  const member = members[i];
  if (member === undefined) throw new Error(`there is no member ${i}`);
  const { name, clientUrl, peerUrl } = member;
  const { dir, token, pki, clients, peers, state } = place;
  const host = new URL(clientUrl).hostname.replace(/^\[|\]$/g, "");
  const usage = ["serverAuth", "clientAuth"] as const;
  const server = await certificate(pki, `server-${name}`, clients, {}, usage, [host]);
  const peer = await certificate(pki, `peer-${name}`, peers, {}, usage, [host]);
  return [
    "etcd",
    ...["--name", name, "--data-dir", join(dir, name)],
    ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ...["--initial-cluster", members.map((m) => `${m.name}=${m.peerUrl}`).join(",")],
    ...["--initial-cluster-token", token, "--initial-cluster-state", state],
    ...["--heartbeat-interval", `${options.heartbeatMs ?? 100}`],
    ...["--election-timeout", `${options.electionTimeoutMs ?? 1000}`, "--pre-vote"],
    ...["--quota-backend-bytes", `${options.quotaBytes ?? 8 * 2 ** 30}`],
    ...["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "5m"],
    ...["--snapshot-count", "10000"],
    ...["--client-cert-auth", "--trusted-ca-file", clients.cert],
    ...["--cert-file", server.cert, "--key-file", server.key],
    ...["--peer-client-cert-auth", "--peer-trusted-ca-file", peers.cert],
    ...["--peer-cert-file", peer.cert, "--peer-key-file", peer.key],
    ...["--logger", "zap", "--log-level", "warn"],
  ];
}
