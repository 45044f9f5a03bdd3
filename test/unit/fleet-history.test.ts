/** The judge of test/fleet/faults.test.ts must be able to find somebody guilty, and not the innocent. */
import { expect, test } from "vitest";
import { type Told, violations } from "../support/fleet-history.ts";

const MAX_ATTEMPTS = 3;

type Short = Partial<Omit<Told, "act">> & Pick<Told, "act">;
const history = (...events: Short[]): Told[] =>
  events.map((event) => ({ round: 1, subject: "alice", outcome: "served", abandoned: 0, ...event }));
const registered: Short = { act: "register" };
const guess = (attemptsLeft: number): Short => ({ act: "guess", attemptsLeft });
const gone: Short = { act: "guess", outcome: "destroyed" };

test.each<[string, Short[]]>([
  ["three guesses and the end", [registered, guess(2), guess(1), guess(0), gone, gone]],
  ["a success gives all back", [registered, guess(2), { act: "recover" }, guess(2), guess(1)]],
  [
    "an attempt that nobody answered counts",
    [registered, guess(2), { act: "guess", outcome: "unserved" }, guess(0), gone],
  ],
  ["one that was tried at two sites may count late", [registered, { act: "guess", abandoned: 1 }, guess(0)]],
  [
    "what was perhaps registered may have taken the place",
    [registered, { act: "register", outcome: "unserved" }, { act: "recover", outcome: "wrong" }],
  ],
  ["after the end it may begin anew", [registered, guess(2), guess(1), guess(0), gone, registered, guess(2)]],
])("innocent: %s", (_, events) => {
  expect(violations(history(...events), MAX_ATTEMPTS)).toEqual([]);
});

test.each<[string, Short[]]>([
  ["destroyed too early", [registered, guess(2), gone]],
  ["a destroyed record came back", [registered, guess(2), guess(1), guess(0), gone, guess(2)]],
  ["lost", [registered, { act: "recover", outcome: "not-registered" }]],
  ["the right code refused", [registered, { act: "recover", outcome: "wrong" }]],
  ["an attempt that was not counted", [registered, guess(3)]],
  ["a success that gave nothing back", [registered, guess(2), { act: "recover" }, guess(1)]],
  [
    "a late attempt that is none any more",
    [registered, { act: "recover", abandoned: 1 }, { ...guess(1), round: 3 }],
  ],
  ["an answer that the client cannot make sense of", [{ act: "register", outcome: "broken: RangeError" }]],
])("guilty: %s", (_, events) => {
  expect(violations(history(...events), MAX_ATTEMPTS)).toHaveLength(1);
});
