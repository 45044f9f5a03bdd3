/** Entry of the child process of tamper.ts. */
import { openSession } from "../open.ts";
import { type Outcome, outcomeOf } from "./check.ts";
import { type TamperOrder, tryTampered } from "./tamper.ts";
import { Workbench } from "./workbench.ts";

async function run({ origin, pin }: TamperOrder): Promise<Outcome> {
  const prompt = pin ? (): Promise<Uint8Array> => Promise.resolve(Uint8Array.from(pin)) : undefined;
  const { session, profile } = await openSession(origin, { prompt });
  const bench = new Workbench(session, profile, origin);
  try {
    return tryTampered(bench);
  } finally {
    bench.clear();
    session.close();
  }
}

process.once("message", (order: TamperOrder) => {
  run(order)
    .catch((error: unknown) => outcomeOf(error))
    .then((outcome) => process.send?.(outcome, () => process.disconnect()))
    .catch(() => process.exit(1));
});
