/** `strongroom fleet status`: every site of a fleet, as one of them sees it, and every member of its store. */
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { loadServiceConfig } from "../service/config.ts";
import type { FleetView } from "../service/fleet-parts.ts";
import { urlFromHere } from "../service/listener.ts";
import type { ClusterReport } from "../store/etcd/inspect.ts";
import { clusterReports, roleOf } from "./store.ts";
import { bold, dim, green, printJson, red, say, table, yellow } from "./terminal.ts";

interface StatusOptions {
  readonly config: string;
  readonly url?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
}

interface FleetStatus {
  readonly view: FleetView;
  readonly clusters: readonly ClusterReport[];
  /** Why the store's members are not known. */
  readonly storeProblem: string | undefined;
}

const ANSWER_MS = 5_000;
const WATCH_MS = 2_000;
/** Account tokens and channels allow for clocks that differ a little. */
const CLOCK_MS = 5_000;

/** Where the site's operations are, from this machine. @throws usage where only --url can tell */
function operationsUrl({ config, url }: StatusOptions): string {
  if (url !== undefined) {
    if (/^https?:\/\//.test(url) && URL.canParse(url)) return url.replace(/\/+$/, "");
    throw new StrongroomError("usage", `--url ${url} is no address`, {
      hint: "write e.g. http://127.0.0.1:8440",
    });
  }
  const { listen, operations } = loadServiceConfig(config);
  const address = operations ?? listen;
  if (address.port === 0)
    throw new StrongroomError("usage", "the configuration leaves the port to the system", {
      hint: "say where the site's operations are with --url",
    });
  return urlFromHere(address);
}

/** @throws unavailable */
async function fetchView(url: string): Promise<FleetView> {
  const trouble = (cause: unknown): StrongroomError =>
    new StrongroomError("unavailable", `the service does not answer at ${url}`, {
      cause,
      hint: "is `strongroom serve` running there? ask another site with --url",
    });
  const answer = await fetch(`${url}/fleetz`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(
    (cause: unknown) => {
      throw trouble(cause);
    },
  );
  const stranger = (what: string): StrongroomError =>
    new StrongroomError("unavailable", `${url} ${what}`, {
      hint: "that is not where the operations of a site are: see `operations` in its configuration",
    });
  if (!answer.ok) throw stranger(`answers with HTTP status ${answer.status}`);
  const view = (await answer.json().catch(() => undefined)) as FleetView | undefined;
  if (view?.self === undefined) throw stranger("answers, but not as a site does");
  return view;
}

async function ask(options: StatusOptions, url: string): Promise<FleetStatus> {
  const [view, store] = await Promise.all([
    fetchView(url),
    clusterReports(options.config).catch((error: unknown) => {
      if (!isStrongroomError(error)) throw error;
      return error;
    }),
  ]);
  const failed = store instanceof StrongroomError ? store : undefined;
  return { view, clusters: failed ? [] : (store as ClusterReport[]), storeProblem: failed?.message };
}

/** One site's member of each cluster, in few words. */
function members(site: string, clusters: readonly ClusterReport[]): string {
  return clusters
    .map((cluster) => {
      const member = cluster.members.find((one) => one.site === site);
      if (!member) return yellow("none");
      if (member.problem !== undefined) return red("down");
      const role = roleOf(member);
      return (member.lag ?? 0) > 0 ? `${role}, ${yellow(`${member.lag} behind`)}` : role;
    })
    .join(" ");
}

const part = ({ ok, detail }: { ok: boolean; detail: string }): string =>
  ok ? green("ok") : red(detail.length > 40 ? `${detail.slice(0, 39)}…` : detail);

/** How far the clock of a site that answers is from that of the one asked, in milliseconds, if it matters. */
function clockError({ self }: FleetView, { live, status }: FleetView["others"][number]): number | undefined {
  const skew = live && status !== undefined ? Math.abs(status.now - self.now) : 0;
  return skew > CLOCK_MS ? skew : undefined;
}

function render({ view, clusters, storeProblem }: FleetStatus): string {
  const { self, others } = view;
  const rows = others.map((other) => {
    const { site, live, expectedMs, status } = other;
    const skew = clockError(view, other);
    const known = live ? status : undefined;
    return {
      site,
      cells: [
        site,
        live ? green("answers") : red("away"),
        known ? part(known.token) : dim("?"),
        known ? part(known.store) : dim("?"),
        members(site, clusters),
        live ? `${expectedMs.toFixed(0)} ms` : "",
        known ? String(known.inFlight) : "",
        skew !== undefined ? red(`${(skew / 1000).toFixed(0)} s off`) : "",
        known ? (known.manifest === self.manifest ? green("same") : red("another")) : "",
      ],
    };
  });
  rows.push({
    site: self.site,
    cells: [
      self.site,
      green("asked"),
      part(self.token),
      part(self.store),
      members(self.site, clusters),
      "",
      String(self.inFlight),
      "",
      self.manifest.slice(0, 16),
    ],
  });
  rows.sort((a, b) => (a.site < b.site ? -1 : 1));
  const live = 1 + others.filter((other) => other.live).length;
  const spare = live - view.threshold;
  return [
    bold(`fleet ${view.fleet}`) +
      `: ${live} of ${others.length + 1} sites answer, ${view.threshold} evaluate together` +
      (spare < 0 ? red("; too few") : `; ${spare} more may fail before evaluations stop`),
    table(
      ["site", "service", "token", "store", "member", "takes", "load", "clock", "manifest"],
      rows.map(({ cells }) => cells),
    ),
    ...others.flatMap(({ live: up, reason }) => (up || reason === undefined ? [] : [yellow(reason)])),
    ...(storeProblem === undefined || others.length === 0 ? [] : [yellow(`store: ${storeProblem}`)]),
  ].join("\n");
}

/** Whether an operator has nothing to do. */
function healthy({ view, clusters, storeProblem }: FleetStatus): boolean {
  const { self, others } = view;
  return (
    self.token.ok &&
    self.store.ok &&
    others.every(({ live, status }) => live && status?.token.ok && status.store.ok) &&
    others.every(({ status }) => status?.manifest === self.manifest) &&
    others.every((other) => clockError(view, other) === undefined) &&
    (others.length === 0 ||
      (storeProblem === undefined &&
        clusters.every(
          ({ serves, members: all }) => serves && all.every((one) => one.problem === undefined),
        )))
  );
}

/** A terminal shows the newest; a file or a program gets one after the other, as lines of JSON if it wants them. */
async function watch(options: StatusOptions, url: string): Promise<never> {
  const clear = process.stdout.isTTY ? "\u001b[2J\u001b[H" : "";
  const show = (status: FleetStatus): string =>
    options.json ? JSON.stringify({ healthy: healthy(status), ...status }) : render(status);
  const trouble = (error: unknown): string => {
    const message = error instanceof Error ? error.message : String(error);
    return options.json ? JSON.stringify({ healthy: false, problem: message }) : red(message);
  };
  for (;;) {
    const text = await ask(options, url).then(show, trouble);
    const time = dim(`${new Date().toISOString()}; Ctrl-C ends`);
    process.stdout.write(options.json ? `${text}\n` : `${clear}${text}\n${time}\n`);
    await sleep(WATCH_MS);
  }
}

async function run(options: StatusOptions): Promise<void> {
  const url = operationsUrl(options);
  if (options.watch) return watch(options, url);
  const status = await ask(options, url);
  const fine = healthy(status);
  if (options.json) printJson({ healthy: fine, ...status });
  else process.stdout.write(`${render(status)}\n`);
  if (fine) return;
  say("hint: not everything is as it should be; /readyz of a site says what is wrong there");
  process.exitCode = 1;
}

/** The command, for fleet.ts. */
export function fleetStatusCommand(): Command {
  return new Command("status")
    .description("show every site: service, token, store member, load, as one site sees them")
    .requiredOption("--config <file>", "the configuration of the site that is asked")
    .option("--url <url>", "where its operations are, if not where the configuration says")
    .option("--watch", "show it again every two seconds")
    .option("--json", "the result for machines on stdout; with --watch one line each time")
    .addHelpText("after", "\nExit code 0 where nothing has to be done, 1 where something has.")
    .action(run);
}
