/**
 * Loaded into the processes of a site by --import: lets the site's clock jump. Its time is the machine's plus the
 * milliseconds in the file STRONGROOM_TEST_CLOCK, which may change at any moment.
 */
import { readFileSync } from "node:fs";

const file = process.env.STRONGROOM_TEST_CLOCK;
const LOOK_MS = 50;

function install(path) {
  const { now } = Date;
  let shift = 0;
  const look = () => {
    try {
      shift = Number(readFileSync(path, "utf8"));
    } catch {
      shift = 0;
    }
  };
  look();
  setInterval(look, LOOK_MS).unref();
  const shifted = () => now() + shift;
  Date.now = shifted;
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, made) =>
      Reflect.construct(target, args.length === 0 ? [shifted()] : args, made),
  });
}

if (file) install(file);
