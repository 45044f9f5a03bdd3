/**
 * The evaluator of a fleet of many (design §4): the site that a client asked has the shares evaluated by t sites,
 * itself among them, and adds what they answer.
 *
 * A user waits for the slowest of them, so none is waited for long: shares whose site fails, refuses, or takes several
 * times as long as usual are asked of their other holders as well, and whichever is complete first counts. All of
 * this is one attempt: the same number and the same blinded element go to every site, and a guard takes a repetition
 * for what it is.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { HolderSet } from "../keys/holder-sets.ts";
import type { Evaluator, Registered } from "../vault/evaluator.ts";
import type { Share } from "../vault/record.ts";
import { type Assignment, assignShares, chooseSites, rankSites, spreadOf } from "./shares.ts";
import { sumOf } from "./site-evaluator.ts";
import type { SiteService } from "./site-service.ts";

/** Another site, as the coordinator needs it. */
export interface ReachableSite {
  readonly service: SiteService;
  live(): boolean;
  /** How long an answer takes at present, milliseconds. */
  expectedMs(): number;
}

/** Why shares were asked of a second site. */
export type Replacement = "slow" | "failed";

export interface SharedEvaluatorOptions {
  /** This site's own side. */
  readonly self: SiteService;
  readonly selfIndex: number;
  readonly peers: ReadonlyMap<number, ReachableSite>;
  /** Of the fleet: `holderSets(n, t)`. */
  readonly sets: readonly HolderSet[];
  readonly threshold: number;
  /** How long any site is given before another is asked as well, milliseconds; 50 by default. */
  readonly patienceMs?: number | undefined;
  /** Called when a site's shares are asked of others. */
  readonly observe?: ((replaced: Replacement, site: number, error?: StrongroomError) => void) | undefined;
}

/** A site is slow after so many times its usual time … */
const SLOW_FACTOR = 4;
/** … and not before: a pause of its collector is no reason. */
const PATIENCE_MS = 50;
/** A timer that fires later than this says that this process was held up, not the site. */
const HELD_UP_MS = 5;
/** Weight of the newest answer in what is expected of this site itself. */
const NEWEST = 0.2;

/** What one site gave for its shares. */
interface Part {
  readonly shares: readonly Share[];
  readonly partial: Uint8Array;
}

type Ask = (service: SiteService, numbers: readonly number[]) => Promise<Part>;

/** One request: everything that is asked for it, and what went wrong where. */
interface Gathering {
  readonly ask: Ask;
  readonly spread: number;
  readonly failures: Map<number, StrongroomError>;
}

function asOurs(error: unknown): StrongroomError {
  return isStrongroomError(error)
    ? error
    : new StrongroomError("internal", "a site failed", { cause: error });
}

/** What the request fails with: what most of the sites said that did not help, else that too few did. */
function verdict(failures: ReadonlyMap<number, StrongroomError>): StrongroomError {
  const errors = [...failures.values()];
  const most = errors.find(({ code }) => {
    const same = errors.filter((one) => one.code === code);
    return 2 * same.length > errors.length;
  });
  if (most) return most;
  const codes = errors.map(({ code }) => code).join(", ");
  return new StrongroomError("peer-unavailable", `too few sites could evaluate: ${codes}`, {
    cause: errors[0],
  });
}

/**
 * Whether `settled` takes longer than so many milliseconds. Answers that have arrived are read before that is said,
 * and time in which this process could not read them does not count: otherwise a busy coordinator would find all
 * sites slow and ask for everything twice.
 */
async function takesLonger(settled: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const over = (async (): Promise<true> => {
    for (let wait = milliseconds; wait > HELD_UP_MS; ) {
      const start = performance.now();
      const planned = wait;
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, planned);
      });
      wait = performance.now() - start - planned;
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
    return true;
  })();
  const late = await Promise.race([settled.then(() => false), over]);
  clearTimeout(timer);
  return late;
}

export function createSharedEvaluator(options: SharedEvaluatorOptions): Evaluator {
  const { self, selfIndex, peers, sets, threshold, observe, patienceMs = PATIENCE_MS } = options;
  /** Answers that each site owes for longer than it should. */
  const overdue = new Map<number, number>();
  let selfMs: number | undefined;
  const own: ReachableSite = { service: self, live: () => true, expectedMs: () => selfMs ?? 0 };
  const sites = new Map<number, ReachableSite>([[selfIndex, own], ...peers]);

  const owes = (site: number, change: number): void => {
    overdue.set(site, (overdue.get(site) ?? 0) + change);
  };

  /** Everybody who may be asked, in the order of preference: this site itself first, if it is up to it. */
  function ranked({ spread, failures }: Gathering, tried: ReadonlySet<number>): readonly number[] {
    const candidates = [...sites]
      .filter(([site]) => !tried.has(site))
      .map(([site, one]) => ({
        site,
        live: one.live() && (overdue.get(site) ?? 0) === 0 && !failures.has(site),
        expectedMs: one.expectedMs(),
      }));
    const first = candidates.filter(({ site, live }) => site === selfIndex && live);
    const others = candidates.filter((one) => !first.includes(one));
    return [...first.map(({ site }) => site), ...rankSites(others, spread)];
  }

  /** Who is to get `numbers`, without the sites that were tried. @throws peer-unavailable */
  function dealt(
    numbers: readonly number[],
    gathering: Gathering,
    tried: ReadonlySet<number>,
    atLeast: number,
  ): readonly Assignment[] {
    const dealing = sets.filter(({ share }) => numbers.includes(share));
    const chosen = chooseSites(dealing, ranked(gathering, tried), atLeast);
    return assignShares(dealing, chosen, gathering.spread);
  }

  async function asked({ site, shares }: Assignment, gathering: Gathering): Promise<Part> {
    const service = sites.get(site)?.service;
    if (!service) throw new StrongroomError("internal", `there is no site ${site}`);
    const start = performance.now();
    try {
      const part = await gathering.ask(service, shares);
      if (site === selfIndex) {
        const took = performance.now() - start;
        selfMs = selfMs === undefined ? took : selfMs + NEWEST * (took - selfMs);
      }
      return part;
    } catch (cause) {
      const error = asOurs(cause);
      gathering.failures.set(site, error);
      throw error;
    }
  }

  async function gatherAll(
    assignments: readonly Assignment[],
    gathering: Gathering,
    tried: ReadonlySet<number>,
  ): Promise<readonly Part[]> {
    const parts = await Promise.all(assignments.map((one) => gather(one, gathering, tried)));
    return parts.flat();
  }

  /** The shares of one assignment, from its site or, should that take too long or fail, from others. */
  async function gather(
    assignment: Assignment,
    gathering: Gathering,
    tried: ReadonlySet<number>,
  ): Promise<readonly Part[]> {
    const { site, shares } = assignment;
    const usual = sites.get(site)?.expectedMs() ?? 0;
    const answer = asked(assignment, gathering);
    // Who is replaced first may fail later, when nobody listens any more.
    const settled = answer.then(
      () => true,
      () => true,
    );
    const late = await takesLonger(settled, Math.max(patienceMs, SLOW_FACTOR * usual));
    if (late) {
      owes(site, 1);
      void settled.then(() => owes(site, -1));
    }
    const others = async (why: Replacement, error?: StrongroomError): Promise<readonly Part[]> => {
      observe?.(why, site, error);
      const without = new Set([...tried, site]);
      return gatherAll(dealt(shares, gathering, without, 1), gathering, without);
    };
    if (late) return Promise.any([answer.then((part) => [part]), others("slow")]);
    try {
      return [await answer];
    } catch (error) {
      return others("failed", asOurs(error));
    }
  }

  /** @throws what most sites refused with, or peer-unavailable */
  async function complete(recordId: Uint8Array, ask: Ask): Promise<readonly Part[]> {
    const gathering: Gathering = { ask, spread: spreadOf(recordId), failures: new Map() };
    const all = sets.map(({ share }) => share);
    try {
      const none = new Set<number>();
      return await gatherAll(dealt(all, gathering, none, threshold), gathering, none);
    } catch (error) {
      throw gathering.failures.size > 0 ? verdict(gathering.failures) : asOurs(error);
    }
  }

  return {
    async create(request) {
      const parts = await complete(request.recordId, async (service, numbers) => {
        const part = await service.create({ ...request, numbers });
        if (part.shares.length !== numbers.length || part.shares.some(({ share }, i) => share !== numbers[i]))
          throw new StrongroomError("record-corrupt", "a site made other shares than it was asked for");
        return part;
      });
      const shares = parts.flatMap((part) => part.shares).sort((a, b) => a.share - b.share);
      return { shares, evaluated: sumOf(parts.map(({ partial }) => partial)) };
    },

    async evaluate(request) {
      if (request.shares.length !== sets.length || request.shares.some(({ share }, i) => share !== i))
        throw new StrongroomError("record-corrupt", "the record's shares are not this fleet's");
      const parts = await complete(request.recordId, async (service, numbers) => {
        const shares = request.shares.filter(({ share }) => numbers.includes(share));
        return { shares, ...(await service.evaluate({ ...request, shares })) };
      });
      return sumOf(parts.map(({ partial }) => partial));
    },

    async announce(registered: Registered) {
      const told = await Promise.allSettled(
        [...sites].map(async ([site, { service }]) => {
          const held = new Set(
            sets.filter(({ holders }) => holders.includes(site)).map(({ share }) => share),
          );
          const shares = registered.shares.filter(({ share }) => held.has(share));
          await service.announce({ ...registered, shares });
        }),
      );
      const missed = told.filter(({ status }) => status === "rejected").length;
      if (missed > 0)
        throw new StrongroomError("peer-unavailable", `${missed} sites did not hear of a registration`);
    },
  };
}
