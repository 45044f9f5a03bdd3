/** A ceremony's tokens as a model: which have been opened and erased, what they hold, whom they trust. */
import { StrongroomError } from "../base/errors.ts";
import { type FleetKey, fleetKeys, keysOfSite } from "../keys/fleet-keys.ts";
import { type CeremonyPlan, type Member, membersOf, ROOT } from "./plan.ts";
import { type ActionName, type CeremonyStep, shapeOf } from "./steps.ts";

/** What is known of a token. Keys go by their names in the fleet. */
export interface Station {
  readonly name: string;
  /** Undefined for the root. */
  readonly member: Member | undefined;
  opened: boolean;
  initialised: boolean;
  /** The security officer's PIN is at hand. */
  officerPin: boolean;
  /** Keys for good: `root`, kept keys, sealed fleet keys. */
  readonly keys: Set<string>;
  /** Open originals of fleet keys. */
  readonly originals: Set<string>;
  transport: boolean;
  /** Members whose transport keys the token trusts. */
  readonly trusted: Set<string>;
  verified: boolean;
  closed: boolean;
}

/** @throws plan-invalid unless the condition holds */
export function demand(condition: boolean, step: CeremonyStep, why: string): asserts condition {
  if (condition) return;
  throw new StrongroomError("plan-invalid", `step ${step.id} cannot be taken: ${why}`, {
    hint: "the plan or the list of its steps is wrong; nothing was done",
  });
}

export class Walk {
  readonly plan: CeremonyPlan;
  readonly fleetKeys: readonly FleetKey[];
  readonly #bySeat: readonly (readonly string[])[];
  readonly root: Station;
  /** The members whose tokens this ceremony fills or examines. */
  readonly parts: readonly Station[];
  readonly alone: boolean;
  readonly done: CeremonyStep[] = [];
  /** `key>member`. */
  readonly packages: Set<string> = new Set();
  certified = false;
  challenged = false;
  readonly proved: Set<string> = new Set();
  compared = false;
  manifest = false;

  constructor(plan: CeremonyPlan) {
    const { change, kind } = plan;
    const members = membersOf(plan);
    this.plan = plan;
    this.alone = members.length === 1;
    const shape = shapeOf(plan);
    this.fleetKeys = fleetKeys(shape);
    this.#bySeat = shape.sites.map((_, seat) => keysOfSite(shape, seat).map(({ name }) => name));
    const isNew = kind === "create";
    const taking = kind === "replace" ? change?.spare : change?.site;
    const station = (name: string, member: Member | undefined): Station => ({
      name,
      member,
      opened: false,
      initialised: !isNew,
      officerPin: isNew,
      keys: new Set(isNew ? [] : this.keysWanted(member)),
      originals: new Set(),
      transport: false,
      trusted: new Set(),
      verified: false,
      closed: false,
    });
    this.parts = members
      .filter(({ name }) => isNew || name === taking)
      .map((member) => station(member.name, member));
    this.root = station(ROOT, undefined);
    this.certified = !isNew;
  }

  get stations(): readonly Station[] {
    return [this.root, ...this.parts];
  }

  /** What a token shall hold in the end. */
  keysWanted(member: Member | undefined): readonly string[] {
    return member ? (this.#bySeat[member.seat] ?? []) : [ROOT];
  }

  isComplete(station: Station): boolean {
    return this.keysWanted(station.member).every((name) => station.keys.has(name));
  }

  madeAt({ member }: Station): readonly FleetKey[] {
    return this.fleetKeys.filter(({ origin }) => member && !member.isSpare && origin === member.seat);
  }

  /** The tokens that shall get a key: the holders' own and their spares. */
  holdersOf({ holders }: FleetKey): readonly Station[] {
    return this.parts.filter(({ member }) => member && holders.includes(member.seat));
  }

  /** The members to which a station gives keys. */
  destinationsOf(station: Station): readonly Station[] {
    return this.parts.filter((part) =>
      this.madeAt(station).some((key) => this.holdersOf(key).includes(part)),
    );
  }

  /** The statements of these steps are there, and the step reads them. */
  read(step: CeremonyStep, action: ActionName, from: readonly Station[]): void {
    for (const { name } of from) {
      const other = this.done.find((one) => one.action === action && one.station === name);
      demand(other !== undefined, step, `${action} at ${name} has not been done`);
      demand(step.needs.includes(other.id), step, `it does not read the statement of ${other.id}`);
    }
  }
}
