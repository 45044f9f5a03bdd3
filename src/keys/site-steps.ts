/**
 * The steps of a distribution as one site takes them, by name: plain data in, plain data out, each on one session.
 * A ceremony may carry the data between sites as files; `fleet init` carries it between processes.
 */
import { StrongroomError } from "../base/errors.ts";
import type { Profile } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { isHalfMade } from "./distribution-plan.ts";
import {
  type FleetKey,
  type FleetShape,
  fleetKeys,
  holdersOf,
  isAlone,
  keysOfSite,
  originalOf,
} from "./fleet-keys.ts";
import { destroyLabelled, secretPart, theObject } from "./fleet-objects.ts";
import { type EqualityProof, proveKey } from "./key-equality.ts";
import { type KeyReport, provision, provisioned } from "./provision.ts";
import { readPublicKeys } from "./public-keys.ts";
import { type KeySpec, ROLES } from "./roles.ts";
import { destroyOriginal, type HolderProofs, type Refusals, tryRefusals } from "./sealing.ts";
import { type SiteSurvey, surveySite } from "./survey.ts";
import {
  exportTransport,
  makeCarrier,
  makeTransport,
  removeTransport,
  removeTrusted,
  type TransportKey,
  truster,
  trustTransport,
} from "./transport.ts";
import { exportKey, importKey, type KeyPackage } from "./travel.ts";

/** Where a step is taken. */
export interface SiteContext {
  readonly session: TokenSession;
  readonly profile: Profile;
  readonly shape: FleetShape;
  /** The site's index; of a spare, that of the site whose keys it holds. */
  readonly site: number;
  /** The spare's name, where the token is a spare. */
  readonly spare?: string | undefined;
}

/** For each step: what it is given, and what it gives. */
export interface SiteSteps {
  readonly survey: { readonly input: undefined; readonly output: SiteSurvey };
  /** Makes the keys that stay in the token, and nothing that is there already; what is half made, it makes anew. */
  readonly "make-site-keys": { readonly input: undefined; readonly output: undefined };
  readonly "make-transport": { readonly input: undefined; readonly output: TransportKey };
  /** Makes the originals of keys of which this site is the origin. */
  readonly "make-originals": { readonly input: readonly KeyName[]; readonly output: undefined };
  /** Destroys copies of travelling keys that an interrupted import left unfit; their originals are there. */
  readonly "discard-keys": { readonly input: readonly KeyName[]; readonly output: undefined };
  /** Destroys originals that were not finished, and that nobody has a copy of. */
  readonly "discard-originals": { readonly input: readonly KeyName[]; readonly output: undefined };
  /** As the security officer: takes the keys for trusted, and makes carriers for sites that get EC keys. */
  readonly trust: {
    readonly input: { readonly keys: readonly TransportKey[]; readonly carriers: readonly string[] };
    readonly output: undefined;
  };
  readonly export: {
    readonly input: readonly { readonly key: KeyName; readonly to: TransportKey }[];
    readonly output: readonly KeyPackage[];
  };
  readonly import: { readonly input: readonly KeyPackage[]; readonly output: undefined };
  /** The site's own keys, and the originals that it has, answer a nonce. */
  readonly prove: {
    readonly input: Uint8Array;
    readonly output: {
      readonly keys: readonly EqualityProof[];
      readonly originals: readonly EqualityProof[];
    };
  };
  readonly "destroy-originals": {
    readonly input: readonly ({ readonly key: KeyName } & HolderProofs)[];
    readonly output: undefined;
  };
  readonly "remove-transport": { readonly input: undefined; readonly output: readonly string[] };
  /** As the security officer. */
  readonly "remove-trusted": { readonly input: undefined; readonly output: readonly string[] };
  readonly "try-refusals": { readonly input: undefined; readonly output: readonly Refusals[] };
  /** Of identity, session and ake, by name. */
  readonly "public-keys": {
    readonly input: undefined;
    readonly output: ReadonlyMap<KeyName, Uint8Array>;
  };
}

export type StepName = keyof SiteSteps;
type Step<N extends StepName> = (
  context: SiteContext,
  input: SiteSteps[N]["input"],
) => SiteSteps[N]["output"];

function memberName({ shape, site, spare }: SiteContext): string {
  return spare ?? shape.sites[site] ?? `${site}`;
}

function ownKey(context: SiteContext, name: KeyName): KeySpec {
  const spec = keysOfSite(context.shape, context.site).find((key) => key.name === name);
  if (spec) return spec;
  throw new StrongroomError("invalid-request", `${memberName(context)} holds no key ${name}`);
}

function keyMadeHere(context: SiteContext, name: KeyName): FleetKey {
  const key = fleetKeys(context.shape).find(({ spec }) => spec.name === name);
  if (key && makes(context, key)) return key;
  throw new StrongroomError("invalid-request", `${memberName(context)} does not make the key ${name}`);
}

/** A spare only receives. */
function makes({ site, spare }: SiteContext, { origin }: FleetKey): boolean {
  return origin === site && spare === undefined;
}

/** @throws key-drift where something is not as it should be; nothing was made then */
function requireMade(reports: readonly KeyReport[]): void {
  if (provisioned(reports)) return;
  const wrong = reports.filter(({ state }) => state !== "ok" && state !== "missing");
  throw new StrongroomError(
    "key-drift",
    `not as they should be: ${wrong.map(({ name, state }) => `${name} (${state})`).join(", ")}`,
    { hint: "nothing was made or changed; `strongroom token inventory` shows the token" },
  );
}

const STEPS: { readonly [N in StepName]: Step<N> } = {
  survey: ({ session, profile, shape, site }) => surveySite(session, profile, shape, site),

  "make-site-keys"({ session, profile, shape, site }) {
    const alone = isAlone(shape);
    const keys = keysOfSite(shape, site).filter(({ role }) => alone || ROLES[role].life === "kept");
    const halves = provision(session, profile, keys, { dryRun: true }).filter(isHalfMade);
    destroyLabelled(
      session,
      halves.map(({ label }) => label),
    );
    requireMade(provision(session, profile, keys));
    return undefined;
  },

  "make-transport"(context) {
    const { session, profile, shape } = context;
    makeTransport(session, profile, shape.fleet);
    return exportTransport(session, profile, shape.fleet, memberName(context));
  },

  "make-originals"(context, names) {
    const specs = names.map((name) => originalOf(keyMadeHere(context, name).spec));
    requireMade(provision(context.session, context.profile, specs, { stage: () => "open" }));
    return undefined;
  },

  "discard-keys"(context, names) {
    const specs = names.map((name) => ownKey(context, name));
    const travelling = specs.filter(({ role }) => ROLES[role].life === "sealed");
    destroyLabelled(
      context.session,
      travelling.map(({ label }) => label),
    );
    return undefined;
  },

  "discard-originals"(context, names) {
    const labels = names.map((name) => originalOf(keyMadeHere(context, name).spec).label);
    destroyLabelled(context.session, labels);
    return undefined;
  },

  trust({ session, profile, shape }, { keys, carriers }) {
    for (const key of keys) trustTransport(session, profile, key);
    for (const site of carriers) makeCarrier(session, profile, shape.fleet, site);
    return undefined;
  },

  export(context, wanted) {
    return wanted.map(({ key, to }) => {
      const made = keyMadeHere(context, key);
      // The one thing that no package may do: take a share to a site that must never have it.
      if (!holdersOf(context.shape, made).includes(to.site))
        throw new StrongroomError("invalid-request", `${to.site} is no holder of ${key}`);
      return exportKey(context.session, context.profile, made.spec, to);
    });
  },

  import(context, packages) {
    const { session, profile } = context;
    for (const parcel of packages)
      importKey(session, profile, ownKey(context, parcel.key), memberName(context), parcel);
    return undefined;
  },

  prove(context, nonce) {
    const { session, shape, site } = context;
    const prove = (spec: KeySpec, label: string): EqualityProof => ({
      key: spec.name,
      proof: proveKey(session, spec, theObject(session, secretPart(spec), label), nonce),
    });
    const own = fleetKeys(shape).filter(({ holders }) => holders.includes(site));
    const originals = own.filter(
      (key) =>
        makes(context, key) && session.find({ TOKEN: true, LABEL: originalOf(key.spec).label }).length > 0,
    );
    return {
      keys: own.map(({ spec }) => prove(spec, spec.label)),
      originals: originals.map(({ spec }) => prove(spec, originalOf(spec).label)),
    };
  },

  "destroy-originals"(context, all) {
    for (const { key, ...proofs } of all) {
      const made = keyMadeHere(context, key);
      const holders = holdersOf(context.shape, made).length;
      destroyOriginal(context.session, made.spec, holders, proofs);
    }
    return undefined;
  },

  "remove-transport": ({ session, shape }) => removeTransport(session, shape.fleet),
  "remove-trusted": ({ session, shape }) => removeTrusted(session, shape),
  "try-refusals": ({ session, profile, shape, site }) =>
    tryRefusals(session, profile, keysOfSite(shape, site)),
  "public-keys": ({ session, shape, site }) => readPublicKeys(session, keysOfSite(shape, site)),
};

/** @throws what the step throws */
export function takeStep<N extends StepName>(
  name: N,
  context: SiteContext,
  input: SiteSteps[N]["input"],
): SiteSteps[N]["output"] {
  const step: Step<N> = STEPS[name];
  return step(context, input);
}

/** Who must be logged in for a step. */
export function loginFor(name: StepName, profile: Profile): "user" | "so" {
  return name === "trust" || name === "remove-trusted" ? truster(profile) : "user";
}
