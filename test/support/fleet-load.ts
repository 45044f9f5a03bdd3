/**
 * People who use a fleet from anywhere, while it is being broken: each request goes to a random site, and as it is to
 * another one where that does not help. What they are told is written into a history.
 *
 * Users keep a registration and use it, with a wrong code now and then. Guessers never prove a success: nothing may
 * give them an attempt back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { VaultRequest } from "../../src/wire/messages.ts";
import type { TestFleet } from "./fleet.ts";
import type { Told } from "./fleet-history.ts";
import type { FlowTarget } from "./flow.ts";
import { Person } from "./people.ts";
import { exchange } from "./sealed.ts";

const TRY_MS = 6_000;
const PATIENCE_MS = 30_000;
const PAUSE_MS = 40;

/** What another site may see differently: it reaches others, or has another clock. */
const ELSEWHERE: readonly string[] = ["unavailable", "unauthorized", "expired"];

class Unserved extends Error {}

/** The name of what a site said; undefined for what should not have happened. */
function outcomeOf(error: unknown): string {
  if (error instanceof Unserved) return "unserved";
  const said = error instanceof Error && /^[a-z]+-?[a-z]+: ([a-z-]+)$/.exec(error.message);
  return said ? (said[1] ?? "") : `broken: ${error instanceof Error ? error.stack : String(error)}`;
}

/** Whether the request may have been lost, rather than the test be wrong. */
function isLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { name, message } = error;
  return name === "TimeoutError" || message === "fetch failed" || /terminated|in the clear/.test(message);
}

export interface Cast {
  readonly users: readonly Player[];
  /** Places where somebody guesses until the record is destroyed; then somebody else takes the place. */
  readonly places: readonly Player[][];
  readonly history: Told[];
  /** Written into the history. */
  round: number;
  /** Acts of users that were served. */
  served: number;
}

export class Player {
  readonly person: Person;
  readonly #cast: Cast;
  #abandoned = 0;

  constructor(fleet: TestFleet, cast: Cast) {
    this.#cast = cast;
    const route = async <R extends VaultRequest>(request: R) => {
      const sites = fleet.urls.length;
      const deadline = performance.now() + PATIENCE_MS;
      let site = Math.floor(Math.random() * sites);
      for (let tries = 1; ; tries++) {
        try {
          const target = { ...fleet.target(site), signal: AbortSignal.timeout(TRY_MS) };
          const exchanged = await exchange(target, request);
          const { answer } = exchanged;
          if (!("error" in answer) || !ELSEWHERE.includes(answer.error)) return exchanged;
        } catch (error) {
          if (!isLoss(error)) throw error;
          this.#abandoned++;
        }
        if (performance.now() > deadline) throw new Unserved(request.op);
        site = (site + 1) % sites;
        if (tries % sites === 0) await sleep(200);
      }
    };
    const target: FlowTarget = { ...fleet.target(0), route };
    this.person = new Person(target);
  }

  get subject(): string {
    return this.person.subject;
  }

  async #tell(act: Told["act"], work: () => Promise<Partial<Told>>): Promise<Told> {
    this.#abandoned = 0;
    const result = await work().catch((error: unknown) => ({ outcome: outcomeOf(error) }));
    const { round, history } = this.#cast;
    const { subject } = this;
    const told: Told = { outcome: "served", ...result, round, subject, act, abandoned: this.#abandoned };
    history.push(told);
    return told;
  }

  register(): Promise<Told> {
    return this.#tell("register", async () => {
      await this.person.register();
      return {};
    });
  }

  /** With the right code. */
  recover(): Promise<Told> {
    return this.#tell("recover", async () => {
      const { holds } = this.person;
      return holds && (await this.person.recover(holds)) ? {} : { outcome: "wrong" };
    });
  }

  guess(): Promise<Told> {
    return this.#tell("guess", async () => {
      const { answered } = this.person;
      const before = answered.length;
      await this.person.guess();
      const now = answered.at(-1);
      if (answered.length === before || !now) return { outcome: "destroyed" };
      return { attemptsLeft: now.attemptsLeft };
    });
  }

  status(): Promise<Told> {
    return this.#tell("status", async () => {
      const status = await this.person.status();
      if ("error" in status) return { outcome: status.error };
      const { state } = status;
      return "attemptsLeft" in status ? { state, attemptsLeft: status.attemptsLeft } : { state };
    });
  }
}

export function createCast(fleet: TestFleet, users: number, places: number): Cast {
  const cast = {
    users: [] as Player[],
    places: Array.from({ length: places }, (): Player[] => []),
    history: [] as Told[],
    round: 0,
    served: 0,
  };
  for (let i = 0; i < users; i++) cast.users.push(new Player(fleet, cast));
  return cast;
}

/** One thing that a user does, by turns. What was perhaps registered is registered anew, so that there is no perhaps. */
async function use(user: Player, turn: number): Promise<Told> {
  const { holds, perhaps } = user.person;
  if (!holds || perhaps.length > 0 || turn % 5 === 0) return user.register();
  if (turn % 5 === 1) await user.guess();
  const recovered = await user.recover();
  // Lost by mistake or by right, which the history tells; the show goes on.
  if (recovered.outcome === "destroyed") return user.register();
  return recovered.outcome === "served" && turn % 5 === 2 ? user.status() : recovered;
}

async function attack(fleet: TestFleet, cast: Cast, place: Player[]): Promise<void> {
  let guesser = place.at(-1);
  if (!guesser || guesser.person.destroyed) {
    // Whoever was here before looks whether something has come back.
    await place[Math.floor(Math.random() * place.length)]?.status();
    guesser = new Player(fleet, cast);
    place.push(guesser);
  }
  const { holds, perhaps } = guesser.person;
  await (holds && perhaps.length === 0 ? guesser.guess() : guesser.register());
}

/** @returns what ends the load; resolves when everybody has finished what they were doing */
export function startLoad(fleet: TestFleet, cast: Cast): () => Promise<void> {
  let over = false;
  const loop = async (act: (turn: number) => Promise<unknown>, first: number): Promise<void> => {
    for (let turn = first; !over; turn++) {
      await act(turn);
      await sleep(PAUSE_MS);
    }
  };
  const loops = [
    ...cast.users.map((user, i) =>
      loop(async (turn) => {
        if ((await use(user, turn)).outcome === "served") cast.served++;
      }, i),
    ),
    ...cast.places.map((place) => loop(() => attack(fleet, cast, place), 0)),
  ];
  return async () => {
    over = true;
    await Promise.all(loops);
  };
}
