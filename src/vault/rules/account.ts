/** Status and deletion. */
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
 * @throws not-registered
 */
export const deleteRecord: Rule<Deleted> = (record) => {
  if (!record || record.state === "vacant" || record.state === "deleted") throw notRegistered();
  const generation = record.generation + 1;
  return {
    write: { ...record, state: "deleted", generation, registration: undefined },
    outcome: { ok: { generation } },
    event: "deleted",
  };
};
