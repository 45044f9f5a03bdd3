/** The statements of steps that were taken before, each verified: what a step reads of other stations. */
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { ROOT } from "./plan.ts";
import { requireAction, type StepStatement } from "./statement.ts";
import type { ActionName } from "./steps.ts";

export interface EarlierStatement {
  readonly statement: StepStatement;
  /** Of its file, hex. */
  readonly sha256: string;
}

export class Earlier {
  readonly #all: readonly EarlierStatement[];
  readonly #before: Earlier | undefined;

  /**
   * @param all    in the order of the steps
   * @param before statements of the ceremony that made the tokens, where this one finds them made
   */
  constructor(all: readonly EarlierStatement[], before?: Earlier) {
    this.#all = all;
    this.#before = before;
  }

  /** Every statement of an action. */
  all<A extends ActionName>(action: A): readonly StepStatement<A>[] {
    return this.#all
      .filter(({ statement }) => statement.action === action)
      .map(({ statement }) => requireAction(statement, action));
  }

  /** @throws ceremony-stopped where it is not there */
  one<A extends ActionName>(action: A, station: string): StepStatement<A> {
    const found = this.all(action).find((statement) => statement.station === station);
    if (found) return found;
    throw new StrongroomError("ceremony-stopped", `${station} has not taken the step ${action}`);
  }

  /** @throws ceremony-stopped where it is not there */
  sha256(step: string): string {
    const found = this.#all.find(({ statement }) => statement.step === step);
    if (found) return found.sha256;
    throw new StrongroomError("ceremony-stopped", `the statement of ${step} is not here`);
  }

  /** When the last of them was made, milliseconds since the Unix epoch. */
  latest(): number {
    return Math.max(0, ...this.#all.map(({ statement }) => statement.time));
  }

  /** The key by which a station signs, undefined before it has made one. */
  keyOf(station: string): Uint8Array | undefined {
    const text =
      station === ROOT
        ? this.all("make-root")[0]?.output.publicKey
        : this.all("make-site-keys").find((statement) => statement.station === station)?.output.identity;
    return text === undefined ? this.#before?.keyOf(station) : fromHex(text);
  }
}
