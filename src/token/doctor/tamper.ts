/**
 * Tampered wrapped keys, tried in a child process: one module is known to corrupt its heap over them, and that
 * must be seen as what it is, not take the doctor down.
 */
import { fork } from "node:child_process";
import { childProgram } from "../child-process.ts";
import { chooseKeyWrap, wrapMechanism } from "../key-wrap.ts";
import { fail, mustRefuse, type Outcome, pass } from "./check.ts";
import { UNWRAPPED_SHARE } from "./share-template.ts";
import type { Origin, Workbench } from "./workbench.ts";

/** A device that hangs on a bad blob hangs the vault too. */
const DEADLINE_MS = 60_000;

/** What the child is told; the PIN travels over the channel, never through argv or the environment. */
export interface TamperOrder {
  readonly origin: Omit<Origin, "pin">;
  readonly pin: readonly number[] | undefined;
}

/** Every way to spoil a blob that is tried. */
function spoiled(blob: Uint8Array): readonly (readonly [string, Uint8Array])[] {
  const flip = (at: number): Uint8Array => blob.map((byte, i) => (i === at ? byte ^ 1 : byte));
  return [
    ["first byte", flip(0)],
    ["ninth byte", flip(8)],
    ["middle byte", flip(blob.length >> 1)],
    ["last byte", flip(blob.length - 1)],
    ["cut by 8", blob.slice(0, -8)],
    ["cut by 1", blob.slice(0, -1)],
    ["8 more", Uint8Array.from([...blob, 0, 0, 0, 0, 0, 0, 0, 0])],
    ["zeros", new Uint8Array(blob.length)],
  ];
}

/** Runs in the child. */
export function tryTampered(bench: Workbench): Outcome {
  const { session } = bench;
  const mechanism = wrapMechanism(chooseKeyWrap(session));
  const kek = bench.secret("AES", { WRAP: true, UNWRAP: true });
  const pair = bench.ecPair({ DERIVE: true, EXTRACTABLE: true });
  const blob = session.wrap(mechanism, kek, pair.privateKey);
  const codes = new Set<string>();
  const attempt = (what: string, key: Buffer, bytes: Uint8Array): Outcome =>
    mustRefuse(`accepted: ${what}`, () => bench.keep(session.unwrap(mechanism, key, bytes, UNWRAPPED_SHARE)));
  const attempts = spoiled(blob).map(([what, bytes]) => attempt(what, kek, bytes));
  attempts.push(attempt("another wrapping key", bench.secret("AES", { WRAP: true, UNWRAP: true }), blob));
  for (const { result, detail } of attempts) {
    if (result === "fail") return fail(detail);
    codes.add(detail.replace("refused: ", ""));
  }
  return pass(`${attempts.length} of ${attempts.length} refused: ${[...codes].join(", ")}`);
}

/** Starts the child and waits for what it says. */
export function tamperInChild(origin: Origin): Promise<Outcome> {
  const { path, execArgv } = childProgram(import.meta.url, "tamper-child");
  const child = fork(path, [], { execArgv: [...execArgv], stdio: ["ignore", "ignore", "ignore", "ipc"] });
  const { pin, ...rest } = origin;
  return new Promise((resolve) => {
    let said: Outcome | undefined;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, DEADLINE_MS);
    child.on("message", (message: Outcome) => {
      said = message;
    });
    child.once("error", (error) => resolve(fail(`the child process did not start: ${error.message}`)));
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      const end = signal ?? `exit ${code}`;
      if (!said && late) resolve(fail(`no answer within ${DEADLINE_MS / 1000} seconds`));
      else if (!said) resolve(fail(`the module took its process down (${end})`));
      else if (code === 0 || said.result !== "pass") resolve(said);
      else resolve(pass(`${said.detail}; but its process died afterwards (${end})`));
    });
    const order: TamperOrder = { origin: rest, pin: pin && [...pin] };
    child.send(order);
  });
}
