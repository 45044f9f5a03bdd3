/** Appends to a log on a disk that fills up, and again when there is room; tells what happened as JSON. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isStrongroomError } from "../../src/base/errors.ts";
import { verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { leafHash } from "../../src/merkle/tree.ts";
import { makeLogFolder, openFileLog } from "./log-writer.ts";

const [, , disk = ""] = process.argv;
const dir = join(disk, "log");
const ballast = join(disk, "ballast");
const entry = (index: number): Uint8Array => new Uint8Array(8_000).fill(index);

makeLogFolder(dir);
writeFileSync(ballast, new Uint8Array(256 * 1024));
let log = await openFileLog(dir);
const codes: string[] = [];
for (let tries = 0; codes.length < 3; tries++) {
  if (tries > 1_000) throw new Error("the disk never filled up");
  await log.append(entry(log.size()), log.size()).catch((error: unknown) => {
    codes.push(isStrongroomError(error) ? error.code : String(error));
  });
}
const full = log.size();
const readable = await log.proofOf(full - 1);
verifyTlogProof(readable, entry(full - 1), { logs: [log.key] });
rmSync(ballast);
// The same request again; and what a new start finds is whole.
await log.append(entry(full), full);
await log.close();
log = await openFileLog(dir);
for (let index = 0; index <= full; index++)
  verifyTlogProof(await log.proofOf(index), entry(index), { logs: [log.key] });
process.stdout.write(
  JSON.stringify({ codes, grew: full > 3, size: log.size() - full, hash: leafHash(entry(0)).length }),
);
await log.close();
