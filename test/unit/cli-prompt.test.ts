/** Questions at a real terminal: what is no answer ends them, a job that comes back is asked again, a paste is one answer. */
import { afterEach, test } from "vitest";
import { openTerminal, type Terminal } from "../support/tmux.ts";

const ASK = `
const { text, password } = await import(process.cwd() + "/dist/cli/prompt.js");
const show = (answer) => typeof answer === "symbol" ? "nothing" : JSON.stringify(answer);
const first = show(await text({ message: "The first?" }));
console.log("got " + first);
if (first !== "nothing") console.log("got " + show(await password({ message: "The second?" })));
`;
const COMMAND = [process.execPath, "--input-type=module", "-e", ASK] as const;

let terminal: Terminal | undefined;
afterEach(() => terminal?.close());

function open(command: readonly string[]): Terminal {
  terminal = openTerminal(command);
  return terminal;
}

test.each(["C-d", "C-c"])("%s is no answer, and the program goes on to its own end", async (key) => {
  const { see, press } = open(COMMAND);
  await see("The first?");
  press(key);
  await see("got nothing");
  await see("ended with 0");
});

test("a pasted text is one answer, without the frame and the keys in it", async () => {
  const { see, press, paste } = open(COMMAND);
  await see("The first?");
  paste("  able about\n│  above\u0003 absent\n");
  await see("able about above absent");
  press("Enter");
  await see('got "  able about above absent"');
  await see("The second?");
  paste("a  PIN\r\n");
  press("Enter");
  await see('got "a  PIN"');
  await see("ended with 0");
});

test("a job that was stopped asks again when it comes back", async () => {
  const { see, press, type } = open(["bash", "--norc", "--noprofile", "-i"]);
  type(COMMAND.map((word) => `'${word}'`).join(" "));
  await see("◆  The first?");
  press("C-z");
  await see("Stopped");
  type("fg");
  await see("◆  The first?", 2);
  type("here");
  await see('got "here"');
});
