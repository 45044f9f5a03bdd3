/** Entry of the child process of station-process.ts: takes the steps of one station until its parent has gone. */
import { StrongroomError } from "../base/errors.ts";
import { errorTold, toldError } from "../base/told-error.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import type { StationHands } from "./hands.ts";
import type { FromStation, ToStation } from "./station-process.ts";
import { runStep } from "./station-run.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const waiting = new Map<number, Waiting>();
let asked = 0;

function send(message: FromStation): void {
  // The parent was killed: nobody waits for the answer.
  process.send?.(message, undefined, undefined, (error) => {
    if (error) process.exit(1);
  });
}

function ask(method: keyof StationHands, question: unknown): Promise<unknown> {
  asked++;
  send({ kind: "ask", id: asked, method, question });
  return new Promise((resolve, reject) => {
    waiting.set(asked, { resolve, reject });
  });
}

// The parent answers by the same interface, so its answers are the methods'.
const hands: StationHands = {
  compare: (question) => ask("compare", question) as ReturnType<StationHands["compare"]>,
  confirm: (question) => ask("confirm", question) as ReturnType<StationHands["confirm"]>,
  pin: (question) => ask("pin", question) as ReturnType<StationHands["pin"]>,
  witness: (station) => ask("witness", station) as ReturnType<StationHands["witness"]>,
  exception: (question) => ask("exception", question) as ReturnType<StationHands["exception"]>,
  ready: (question) => ask("ready", question) as ReturnType<StationHands["ready"]>,
};

let folder: CeremonyFolder | undefined;

process.on("message", (message: ToStation) => {
  switch (message.kind) {
    case "open":
      folder = new CeremonyFolder(message.dir);
      return;
    case "answer":
      waiting.get(message.id)?.resolve(message.value);
      waiting.delete(message.id);
      return;
    case "no-answer":
      waiting.get(message.id)?.reject(errorTold(message.error));
      waiting.delete(message.id);
      return;
    case "step":
      take(message.order);
  }
});

function take(order: Extract<ToStation, { kind: "step" }>["order"]): void {
  if (!folder) throw new StrongroomError("internal", "a step came before its directory");
  runStep(folder, order, hands)
    .then((result): FromStation => ({ kind: "taken", result }))
    .catch((error: unknown): FromStation => ({ kind: "failed", error: toldError(error) }))
    .then(send)
    .catch(() => process.exit(1));
}

process.once("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group; the parent decides, and what is under way is finished or stopped by it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
