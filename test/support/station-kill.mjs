/**
 * Loaded into the processes of stations by --import: ends one with SIGKILL at a chosen moment of a chosen action.
 * STRONGROOM_TEST_KILL is JSON: `action`; `call`, so many PKCS#11 calls of the step are made; `after`, a function after
 * whose first call it ends instead; `written`, stations whose statement gets its name before the end.
 */
import fs from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import process from "node:process";

const { action, call, after, written } = JSON.parse(process.env.STRONGROOM_TEST_KILL ?? "{}");
let step = "";
let calls = 0;

const kill = () => process.kill(process.pid, "SIGKILL");
const isHere = () => step.endsWith(`.${action}`);
const isWritten = () => written.some((station) => step.includes(`.${station}.`));

function install() {
  const { emit } = process;
  process.emit = function (event, ...args) {
    if (event === "message" && args[0]?.kind === "step") {
      step = args[0].order.step;
      calls = 0;
    }
    return Reflect.apply(emit, this, [event, ...args]);
  };

  const { PKCS11 } = createRequire(join(process.cwd(), "package.json"))("pkcs11js");
  const load = PKCS11.prototype.load;
  PKCS11.prototype.load = function (...args) {
    for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(this)).concat(Object.keys(this))) {
      const real = this[name];
      if (!name.startsWith("C_") || typeof real !== "function" || name.endsWith("Async")) continue;
      this[name] = (...values) => {
        const result = Reflect.apply(real, this, values);
        if (isHere() && !isWritten()) {
          calls++;
          if (after === undefined ? calls === call : name === after) kill();
        }
        return result;
      };
    }
    return Reflect.apply(load, this, args);
  };

  const { renameSync } = fs;
  fs.renameSync = (from, to) => {
    const isStatement = isHere() && String(to).endsWith(`${step}.json`);
    // A step with fewer calls than that ends here at the latest.
    if (isStatement && !isWritten()) kill();
    renameSync(from, to);
    if (isStatement) kill();
  };
  syncBuiltinESMExports();
}

if (process.argv[1]?.includes("station-child")) install();
