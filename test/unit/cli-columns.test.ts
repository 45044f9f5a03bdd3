/** Tables and lines in a terminal's columns. */
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { columnsOf, fitted, wrapped } from "../../src/cli/columns.ts";
import { table } from "../../src/cli/terminal.ts";

const RED = "\u001b[31m";
const RESET = "\u001b[0m";

test.each([
  ["site-a", 6],
  ["Zürich", 6],
  ["Zu\u0308rich", 6],
  ["東京", 4],
  ["서울", 4],
  ["🔑", 2],
  [`${RED}red${RESET}`, 3],
])("%j takes %d columns", (text, columns) => {
  expect(columnsOf(text)).toBe(columns);
});

test("lines break between words, and each has its own colour", () => {
  expect(wrapped("one two three", 7)).toEqual(["one two", "three"]);
  expect(wrapped("indivisible", 5)).toEqual(["indivisible"]);
  expect(wrapped("  indented", 20)).toEqual(["  indented"]);
  expect(wrapped(`${RED}one two${RESET} three`, 5)).toEqual([
    `${RED}one${RESET}`,
    `${RED}two${RESET}`,
    "three",
  ]);
});

test("the widest columns give way, unless too little would be left", () => {
  expect(fitted([5, 60, 20], 60)).toEqual([5, 35, 20]);
  expect(fitted([20, 20, 20], 20)).toEqual([10, 10, 10]);
  expect(fitted([5, 60], Number.POSITIVE_INFINITY)).toEqual([5, 60]);
});

test("a table stays in the terminal, and is whole where there is none", () => {
  const rows = [
    ["東京", "a check that takes many words to say what it is about", "ok"],
    ["b", "short", "failed"],
  ];
  const narrow = table(["site", "check", "result"], rows, 40).split("\n");
  expect(Math.max(...narrow.map((line) => columnsOf(line)))).toBeLessThanOrEqual(40);
  expect(narrow.map(stripVTControlCharacters).at(-1)).toBe("b     short                       failed");
  expect(table(["site", "check", "result"], rows).split("\n")).toHaveLength(3);
});
