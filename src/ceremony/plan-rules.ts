/**
 * What each action needs of the tokens, and what it leaves behind. A rule refuses what could not or must not happen: a
 * key that is used before it exists, a key for somebody who is no holder, a thing destroyed before it is replaced.
 */
import { keysOfSite } from "../keys/fleet-keys.ts";
import { ROLES } from "../keys/roles.ts";
import { ROOT } from "./plan.ts";
import { demand, type Station, type Walk } from "./plan-model.ts";
import { type ActionName, type CeremonyStep, shapeOf } from "./steps.ts";

type Rule = (walk: Walk, station: Station, step: CeremonyStep) => void;

/** First what must hold before, then what holds after. That a token is open and erased is plan-walk.ts's to ask. */
export const RULES: Readonly<Record<ActionName, Rule>> = {
  open(_walk, station) {
    station.opened = true;
  },
  initialise(walk, station, step) {
    demand(walk.plan.kind === "create", step, "the fleet exists");
    demand(!station.initialised, step, "it would erase a token of this ceremony");
    station.initialised = true;
  },
  "make-root"(_walk, station, step) {
    demand(station.name === ROOT, step, "the root key is made at the root only");
    demand(!station.keys.has(ROOT), step, "there is a root key already");
    station.keys.add(ROOT);
  },
  "make-site-keys"(walk, station, step) {
    demand(station.member !== undefined, step, "the root has no site's keys");
    demand(station.keys.size === 0, step, "the keys are there already");
    const kept = keysOfSite(shapeOf(walk.plan), station.member?.seat ?? 0).filter(
      ({ role }) => walk.alone || ROLES[role].life === "kept",
    );
    for (const { name } of kept) station.keys.add(name);
  },
  certify(walk, station, step) {
    demand(station.keys.has(ROOT), step, "there is no root key");
    demand(!walk.certified, step, "the certificates are there already");
    walk.read(step, "make-site-keys", walk.parts);
    walk.certified = true;
  },
  "make-transport"(walk, station, step) {
    demand(station.keys.size > 0 && station.member !== undefined, step, "no identity key can sign for it");
    demand(!station.transport && !walk.compared, step, "there is, or was, a transport key already");
    walk.read(step, "certify", [walk.root]);
    station.transport = true;
  },
  trust(walk, station, step) {
    const destinations = walk.destinationsOf(station);
    demand(destinations.length > 0, step, "no key is made here that others must get");
    demand(station.officerPin, step, "the security officer's PIN has been given up");
    demand(
      station.trusted.size === 0 && !walk.compared,
      step,
      "transport keys are, or were, trusted already",
    );
    walk.read(step, "certify", [walk.root]);
    walk.read(step, "make-transport", destinations);
    for (const { name } of destinations) station.trusted.add(name);
  },
  "make-originals"(walk, station, step) {
    demand(walk.plan.kind === "create", step, "the fleet has its keys");
    demand(walk.madeAt(station).length > 0, step, "no key of the fleet is made here");
    demand(station.keys.size > 0, step, "no identity key can sign for it");
    demand(station.originals.size === 0 && !walk.compared, step, "the originals are, or were, there already");
    for (const { spec } of walk.madeAt(station)) station.originals.add(spec.name);
  },
  export(walk, station, step) {
    const keys = walk.madeAt(station);
    demand(keys.length > 0, step, "no key of the fleet is made here");
    walk.read(step, "certify", [walk.root]);
    for (const key of keys) {
      const { name } = key.spec;
      demand(station.originals.has(name), step, `the original of ${name} is not there`);
      const holders = walk.holdersOf(key);
      walk.read(step, "make-transport", holders);
      for (const to of holders) {
        demand(station.trusted.has(to.name), step, `the transport key of ${to.name} is not trusted`);
        demand(!walk.packages.has(`${name}>${to.name}`), step, `${name} has been wrapped for ${to.name}`);
        walk.packages.add(`${name}>${to.name}`);
      }
    }
  },
  import(walk, station, step) {
    const mine = walk.fleetKeys.filter((key) => walk.holdersOf(key).includes(station));
    demand(mine.length > 0, step, "the plan gives it no key");
    demand(station.transport, step, "there is no transport key");
    walk.read(step, "certify", [walk.root]);
    for (const { spec, origin } of mine) {
      demand(!station.keys.has(spec.name), step, `${spec.name} is there already`);
      const from = walk.parts.filter(({ member }) => member && !member.isSpare && member.seat === origin);
      walk.read(step, "export", from);
      demand(walk.packages.has(`${spec.name}>${station.name}`), step, `nobody wrapped ${spec.name} for it`);
      station.keys.add(spec.name);
    }
  },
  challenge(walk, station, step) {
    demand(walk.plan.kind !== "retire", step, "a site that leaves has nothing to prove");
    demand(station.keys.has(ROOT), step, "there is no root key");
    demand(walk.certified && !walk.challenged, step, "it comes once, after the certificates");
    if (walk.plan.kind === "create" && !walk.alone) walk.read(step, "import", walk.parts);
    walk.challenged = true;
  },
  prove(walk, station, step) {
    demand(station.member !== undefined && !walk.proved.has(station.name), step, "each member answers once");
    demand(walk.isComplete(station), step, "keys that shall answer are not there");
    walk.read(step, "challenge", [walk.root]);
    walk.proved.add(station.name);
  },
  compare(walk, station, step) {
    demand(station.keys.has(ROOT), step, "there is no root key");
    demand(!walk.compared, step, "the answers were compared already");
    walk.read(step, "prove", walk.parts);
    walk.compared = true;
  },
  "destroy-originals"(walk, station, step) {
    demand(walk.compared, step, "nobody has compared the copies yet");
    demand(station.originals.size > 0, step, "there are no originals");
    const root = walk.root;
    walk.read(step, "compare", [root]);
    walk.read(step, "challenge", [root]);
    walk.read(step, "prove", walk.parts);
    station.originals.clear();
  },
  "remove-transport"(walk, station, step) {
    demand(walk.compared, step, "nobody has compared the copies yet");
    demand(station.transport, step, "there is no transport key");
    walk.read(step, "compare", [walk.root]);
    station.transport = false;
  },
  "remove-trusted"(walk, station, step) {
    demand(walk.compared, step, "nobody has compared the copies yet");
    demand(station.trusted.size > 0, step, "no transport key is trusted");
    demand(station.officerPin, step, "the security officer's PIN has been given up");
    walk.read(step, "compare", [walk.root]);
    station.trusted.clear();
  },
  verify(walk, station, step) {
    demand(station.member !== undefined && !station.verified, step, "each member is verified once");
    walk.read(step, "compare", [walk.root]);
    demand(station.originals.size === 0, step, "open originals are there");
    demand(!station.transport && station.trusted.size === 0, step, "keys of the distribution are there");
    demand(walk.isComplete(station), step, "keys are missing");
    station.verified = true;
  },
  "seal-credentials"(walk, station, step) {
    demand(station.officerPin, step, "the security officer's PIN has been given up already");
    demand(walk.compared, step, "the keys are not known to be equal yet");
    demand(station.name === ROOT || station.verified, step, "what is found wrong later could not be mended");
    station.officerPin = false;
  },
  manifest(walk, station, step) {
    demand(station.keys.has(ROOT), step, "there is no root key");
    demand(!walk.manifest, step, "the manifest is signed already");
    if (walk.plan.kind === "retire") walk.read(step, "open", walk.parts);
    else {
      walk.read(step, "verify", walk.parts);
      walk.read(step, "prove", walk.parts);
    }
    if (walk.plan.kind === "create") {
      walk.read(step, "make-site-keys", walk.parts);
      walk.read(step, "seal-credentials", walk.stations);
    }
    walk.manifest = true;
  },
  "destroy-keys"(walk, station, step) {
    demand(walk.plan.kind === "retire", step, "only retiring a site destroys keys of the fleet");
    demand(station.member !== undefined && station.keys.size > 0, step, "there are no keys of the fleet");
    walk.read(step, "manifest", [walk.root]);
    station.keys.clear();
  },
  close(walk, station, step) {
    const last = walk.plan.kind === "retire" ? "destroy-keys" : "manifest";
    walk.read(step, last, last === "manifest" ? [walk.root] : walk.parts);
    station.closed = true;
  },
};
