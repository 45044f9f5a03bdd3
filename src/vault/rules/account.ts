/** Status and deletion. */
import { StrongroomError } from "../../base/errors.ts";
import type { Deleted, StatusAnswer } from "../../wire/messages.ts";
import { attemptsLeft, destroyed, isOverdue, notRegistered } from "./attempts.ts";
import type { Rule } from "./decision.ts";

/**
 * Of a destroyed registration nothing is kept, so its counters and its date read 0.
 * @throws not-registered
 */
export const readStatus: Rule<StatusAnswer> = (record, now) => {
  if (!record || record.state === "vacant" || record.state === "deleted") throw notRegistered();
  const { generation, registration } = record;
  const overdue = isOverdue(record, now);
  if (!registration || overdue)
    return {
      write: overdue ? destroyed(record) : undefined,
      outcome: { ok: { state: "destroyed", generation, attemptsLeft: 0, maxAttempts: 0, registeredAt: 0 } },
      event: overdue ? "destroyed" : undefined,
    };
  const { maxAttempts, registeredAt } = registration;
  return {
    outcome: {
      ok: {
        state: "active",
        generation,
        attemptsLeft: attemptsLeft(registration),
        maxAttempts,
        registeredAt,
      },
    },
  };
};

/**
 * Leaves a tombstone that keeps the budget and counts as a generation of its own: a registration that was begun
 * before the deletion expects the generation before it, and cannot bring the record back.
 *
 * @param generation which one is to go: a request that was held back on its way must not delete what was registered
 *   since, and one that is repeated finds its own tombstone
 * @throws not-registered; conflict for another generation
 */
export function deleteRecord(generation: number): Rule<Deleted> {
  return (record) => {
    const after = generation + 1;
    if (record?.state === "deleted" && record.generation === after)
      return { outcome: { ok: { generation: after } } };
    if (!record || record.state === "vacant" || record.state === "deleted") throw notRegistered();
    if (record.generation !== generation)
      throw new StrongroomError("conflict", "registered anew since this was to be deleted");
    return {
      write: { ...record, state: "deleted", generation: after, registration: undefined },
      outcome: { ok: { generation: after } },
      event: "deleted",
    };
  };
}
