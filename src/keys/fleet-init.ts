/**
 * Brings the tokens of a fleet to hold its keys (design §3), whatever they hold now: make, trust, wrap, unwrap,
 * compare, seal, try. Each step is one site's (site-steps.ts); between them nothing but public data passes.
 *
 * The order is what makes an interruption harmless. An original is destroyed only when all its holders have
 * answered as it does, so until then every copy can be made again; and nothing is published before all is sealed
 * and equal. Running it again on a finished fleet compares and tries everything, and changes nothing.
 */
import { randomBytes } from "node:crypto";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import type { KeyName } from "../token/token.ts";
import {
  type Delivery,
  type DistributionPlan,
  isComplete,
  needsCarrier,
  planDistribution,
} from "./distribution-plan.ts";
import { type FleetShape, fleetKeys, transportKey } from "./fleet-keys.ts";
import { EQUALITY_NONCE_BYTES, requireEqual } from "./key-equality.ts";
import type { Refusals } from "./sealing.ts";
import type { SiteSteps, StepName } from "./site-steps.ts";
import type { SiteSurvey } from "./survey.ts";
import type { TransportKey } from "./transport.ts";

/** A site that takes steps: a process here, files that travel in a ceremony. */
export interface SiteSteward {
  take<N extends StepName>(name: N, input: SiteSteps[N]["input"]): Promise<SiteSteps[N]["output"]>;
}

export interface FleetInitOptions {
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean | undefined;
  /** The fleet has been published: keys that are missing now are not made again. */
  readonly published?: boolean | undefined;
  /** For people: what is being done. */
  readonly progress?: ((line: string) => void) | undefined;
}

export interface FleetInitResult {
  /** made: something was made or sealed. unchanged: all was there. planned: a dry run with something to do. */
  readonly state: "made" | "unchanged" | "planned";
  readonly plan: DistributionPlan;
  /** As the tokens are now, one per site. */
  readonly surveys: readonly SiteSurvey[];
  /** How each token refused to give its keys away; empty in a dry run. */
  readonly refusals: readonly (readonly Refusals[])[];
  /** Of identity, session and ake, one map per site; empty in a dry run. */
  readonly publicKeys: readonly ReadonlyMap<KeyName, Uint8Array>[];
}

/**
 * @param sites one per name in `shape.sites`, in their order
 * @throws key-drift, key-missing where the tokens cannot be brought to it; manifest-invalid where a published fleet
 *   lacks keys; token-unsuitable; token errors, with the site's name before them
 */
export async function initFleet(
  shape: FleetShape,
  sites: readonly SiteSteward[],
  options: FleetInitOptions = {},
): Promise<FleetInitResult> {
  const fleet = new Fleet(shape, sites, options.progress ?? (() => undefined));
  const before = await fleet.each("survey", "looking at the token");
  const plan = planDistribution(shape, before);
  const complete = isComplete(plan);
  if (options.published && (plan.siteKeys.length > 0 || plan.deliveries.length > 0))
    throw new StrongroomError("manifest-invalid", "the fleet is published, but its tokens lack keys", {
      hint: "nothing was made; are these the right tokens? for a new fleet give another manifest file",
    });
  if (options.dryRun)
    return {
      state: complete ? "unchanged" : "planned",
      plan,
      surveys: before,
      refusals: [],
      publicKeys: [],
    };
  if (!complete) await fleet.distribute(plan);
  await fleet.compareAndSeal();
  const surveys = complete ? before : await fleet.each("survey", "looking at the token again");
  if (!complete && !isComplete(planDistribution(shape, surveys)))
    throw new StrongroomError("key-drift", "the tokens are not as they were left", {
      hint: "is another `fleet init` running? run it again",
    });
  const refusals = await fleet.each("try-refusals", "trying what sealed keys must refuse");
  const publicKeys = await fleet.each("public-keys", "reading public keys");
  return { state: complete ? "unchanged" : "made", plan, surveys, refusals, publicKeys };
}

class Fleet {
  readonly #shape: FleetShape;
  readonly #sites: readonly SiteSteward[];
  readonly #progress: (line: string) => void;

  constructor(shape: FleetShape, sites: readonly SiteSteward[], progress: (line: string) => void) {
    this.#shape = shape;
    this.#sites = sites;
    this.#progress = progress;
  }

  /** The same step at every site. */
  each<N extends StepName>(
    name: N & { [M in N]: SiteSteps[M]["input"] extends undefined ? M : never }[N],
    what: string,
  ): Promise<SiteSteps[N]["output"][]> {
    return this.#some(this.#all(), name, what, () => undefined);
  }

  /** Everything up to the holders having their keys. */
  async distribute({ siteKeys, deliveries, discardKeys, discardOriginals }: DistributionPlan): Promise<void> {
    const names = (all: readonly (readonly KeyName[])[]) => (site: number) => all[site] ?? [];
    const having = (all: readonly (readonly KeyName[])[]): number[] =>
      this.#all().filter((site) => (all[site]?.length ?? 0) > 0);
    await this.#some(siteKeys, "make-site-keys", "making the keys that stay", () => undefined);
    const unfinished = "destroying what an interrupted run left unfinished";
    await this.#some(having(discardKeys), "discard-keys", unfinished, names(discardKeys));
    await this.#some(having(discardOriginals), "discard-originals", unfinished, names(discardOriginals));
    if (deliveries.length > 0) await this.#deliver(deliveries);
  }

  async #deliver(deliveries: readonly Delivery[]): Promise<void> {
    const at = (origin: number): readonly Delivery[] => deliveries.filter(({ key }) => key.origin === origin);
    const origins = this.#all().filter((site) => at(site).length > 0);
    const destinations = this.#all().filter((site) => deliveries.some(({ to }) => to.includes(site)));
    const making = (origin: number): KeyName[] =>
      at(origin).flatMap(({ key, make }) => (make ? [key.spec.name] : []));
    await this.#some(
      origins.filter((site) => making(site).length > 0),
      "make-originals",
      "making fleet keys",
      making,
    );
    const given = await this.#some(destinations, "make-transport", "making a transport key", () => undefined);
    const transport = (site: number): TransportKey => {
      const key = given[destinations.indexOf(site)];
      if (key) return key;
      throw new StrongroomError("internal", "a key is to go to a site without a transport key");
    };
    const targets = (some: readonly Delivery[]): number[] => [...new Set(some.flatMap(({ to }) => to))];
    await this.#some(
      origins,
      "trust",
      "taking transport keys for trusted, as security officer",
      (origin) => ({
        keys: targets(at(origin)).map(transport),
        carriers: targets(at(origin).filter(needsCarrier)).map((site) => transport(site).site),
      }),
    );
    const wrapped = await this.#some(origins, "export", "wrapping fleet keys", (origin) =>
      at(origin).flatMap(({ key, to }) => to.map((site) => ({ key: key.spec.name, to: transport(site) }))),
    );
    const packages = wrapped.flat();
    await this.#some(destinations, "import", "unwrapping fleet keys", (site) =>
      packages.filter(({ to }) => to === this.#shape.sites[site]),
    );
  }

  /** Every holder answers one nonce; what is equal everywhere is sealed. @throws key-drift */
  async compareAndSeal(): Promise<void> {
    if (this.#sites.length === 1) return;
    const nonce = Uint8Array.from(randomBytes(EQUALITY_NONCE_BYTES));
    const said = await this.#some(this.#all(), "prove", "answering for every key", () => nonce);
    const answers = fleetKeys(this.#shape).map(({ spec, origin, holders }) => {
      const of = (proofs: readonly { key: KeyName; proof: Uint8Array }[] = []): Uint8Array[] =>
        proofs.filter(({ key }) => key === spec.name).map(({ proof }) => proof);
      const proofs = holders.flatMap((site) => of(said[site]?.keys));
      const originals = of(said[origin]?.originals);
      if (proofs.length !== holders.length)
        throw new StrongroomError("key-missing", `not every holder has answered for ${spec.name}`);
      requireEqual(spec.name, [...proofs, ...originals]);
      return { key: spec.name, origin, proofs, open: originals.length > 0 };
    });
    const left = await this.each("survey", "looking for what is left of the distribution");
    const open = (site: number): typeof answers =>
      answers.filter((answer) => answer.open && answer.origin === site);
    await this.#some(
      this.#all().filter((site) => open(site).length > 0),
      "destroy-originals",
      "sealing: destroying the originals",
      (site) => open(site).map(({ key, proofs }) => ({ key, nonce, proofs })),
    );
    const transport = transportKey(this.#shape.fleet).label;
    const having = (is: (label: string) => boolean): number[] =>
      this.#all().filter((site) => left[site]?.temporary.some(is));
    // The pair goes first: without it nothing that was wrapped can be opened, whoever kept a copy of the rest.
    const pairs = having((label) => label === transport);
    await this.#some(pairs, "remove-transport", "sealing: destroying the transport key", () => undefined);
    const trusted = having((label) => label !== transport);
    await this.#some(trusted, "remove-trusted", "sealing: destroying trusted copies", () => undefined);
  }

  #all(): number[] {
    return this.#sites.map((_, site) => site);
  }

  /** At several sites at once. Nobody is still at work when it returns or throws. */
  async #some<N extends StepName>(
    which: readonly number[],
    name: N,
    what: string,
    input: (site: number) => SiteSteps[N]["input"],
  ): Promise<SiteSteps[N]["output"][]> {
    const settled = await Promise.allSettled(
      which.map(async (site) => {
        const siteName = this.#shape.sites[site] ?? `${site}`;
        this.#progress(`${siteName}: ${what}`);
        const steward = this.#sites[site];
        if (!steward) throw new StrongroomError("internal", `nobody acts for ${siteName}`);
        try {
          return await steward.take(name, input(site));
        } catch (error) {
          throw named(siteName, error);
        }
      }),
    );
    return settled.map((one) => {
      if (one.status === "rejected") throw one.reason;
      return one.value;
    });
  }
}

/** The error with the site's name before it. */
function named(site: string, error: unknown): unknown {
  if (!isStrongroomError(error)) return error;
  const { code, message, hint, details, cause } = error;
  return new StrongroomError(code, `${site}: ${message}`, {
    details: { ...details, site },
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}
