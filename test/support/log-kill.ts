/**
 * A process that opens the log of a folder and appends to it, and is killed at a chosen step: before every call that
 * changes something on the disk or in the anchor, before every signature, and in the middle of every write.
 *
 *     node log-kill.mjs DIR KILL_AT ENTRY…      prints the number of steps where nothing killed it
 */
import fsPromises, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { openFileLog } from "./log-writer.ts";

const [, , dir = "", killAt = "", ...entries] = process.argv;
let steps = 0;
const step = (): void => {
  if (steps++ === Number(killAt)) process.kill(process.pid, "SIGKILL");
};

const probe = await fsPromises.open(dir, "r");
const handle = Object.getPrototypeOf(probe) as Pick<FileHandle, "sync" | "writeFile">;
await probe.close();
const { sync, writeFile } = handle;
handle.sync = function (this: FileHandle) {
  step();
  return Reflect.apply(sync, this, []);
};
handle.writeFile = async function (this: FileHandle, bytes: Uint8Array) {
  step();
  if (steps === Number(killAt)) await Reflect.apply(writeFile, this, [bytes.subarray(0, bytes.length >> 1)]);
  step();
  await Reflect.apply(writeFile, this, [bytes]);
};
for (const name of ["mkdir", "rename", "unlink", "rm"] as const) {
  const call = fsPromises[name] as (...args: readonly unknown[]) => unknown;
  Object.assign(fsPromises, {
    [name]: (...args: readonly unknown[]) => {
      step();
      return call(...args);
    },
  });
}
syncBuiltinESMExports();

const log = await openFileLog(dir, { step });
// Whoever comes after an accident may have something else to say; what is logged by then stays.
await log.appendAll(
  entries.map((text) => Uint8Array.from(Buffer.from(text))),
  log.size(),
);
await log.close();
process.stdout.write(`${steps}\n`);
