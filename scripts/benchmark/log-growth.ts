/**
 * What a transparency log costs as it grows (Must show 6 of its issue): at 1,000 entries, ten times as many, and so on.
 * Key and anchor are in a real token; the disk is real. Filling goes by batches, then single appends and proofs are
 * measured at each size.
 */
import { createHash } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { FIRST_HEAD } from "../../src/auditor/init.ts";
import { openLog, type TransparencyLog } from "../../src/auditor/log.ts";
import { anchorLabel, auditorKeys, openSigner } from "../../src/auditor/signer.ts";
import { say } from "../../src/cli/terminal.ts";
import { provision } from "../../src/keys/provision.ts";
import { readPublicKeys } from "../../src/keys/public-keys.ts";
import { verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { parseTlogProof, verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { settleHeap } from "../../src/service/heap.ts";
import { openSession } from "../../src/token/open.ts";
import { createSoftHsm, type SoftHsm } from "../../test/support/softhsm.ts";
import { load, type Phase } from "./phase.ts";
import { rssBytes } from "./processes.ts";

const NAMESPACE = "bench.example";
const FIRST_STEP = 1_000;
const BATCH = 4_096;
/** As the entry of an epoch: signed message, two signatures, a digest, framed. */
const ENTRY_BYTES = 241;
const SAMPLES = 200;

/** With the processor time of this process for one operation, which other load on the machine does not change. */
interface TimedPhase extends Phase {
  readonly cpuMs: number;
}

interface LogStep {
  readonly entries: number;
  /** By batches, since the step before. */
  readonly filledPerSecond: number;
  /** One entry with its own checkpoint. */
  readonly append: TimedPhase;
  readonly inclusion: TimedPhase;
  readonly verification: TimedPhase;
  readonly consistency: TimedPhase;
  /** In an inclusion proof, at most. */
  readonly proofHashes: number;
  readonly hashTileBytes: number;
  readonly entryBytes: number;
  readonly files: number;
  /** Of this process, after collecting; the heap has what the log keeps. */
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** How long a start takes: the edge is read, and compared with the token. */
  readonly openMs: number;
}

export interface LogReport {
  readonly entryBytes: number;
  readonly steps: readonly LogStep[];
}

/** Always the same entry at an index, never the same as another. */
function entry(index: number): Uint8Array {
  const bytes = new Uint8Array(ENTRY_BYTES);
  bytes.set(createHash("sha256").update(`${index}`).digest());
  return bytes;
}

function diskUse(dir: string): { readonly bytes: number; readonly files: number } {
  let [bytes, files] = [0, 0];
  for (const item of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!item.isFile()) continue;
    files++;
    bytes += statSync(join(item.parentPath, item.name)).size;
  }
  return { bytes, files };
}

async function openers(hsm: SoftHsm): Promise<{
  readonly open: () => Promise<TransparencyLog>;
  readonly close: () => Promise<void>;
}> {
  const { checkpoint } = auditorKeys(NAMESPACE);
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  provision(session, profile, [checkpoint]);
  const publicKey = readPublicKeys(session, [checkpoint]).get(checkpoint.name);
  session.close();
  if (!publicKey) throw new Error("the token made no key");
  const token = await openSigner({ uri: hsm.uri, profile: "softhsm2", keys: [{ ...checkpoint, publicKey }] });
  const anchor = token.anchor(anchorLabel(NAMESPACE));
  await anchor.write(FIRST_HEAD);
  return {
    open: () =>
      openLog({
        dir: join(hsm.dir, "public"),
        stateDir: join(hsm.dir, "state"),
        origin: "auditor.example/logs/bench",
        signer: token.signer(checkpoint.name),
        anchor,
      }),
    close: () => token.close(),
  };
}

async function measure(
  log: TransparencyLog,
  filledPerSecond: number,
  openMs: number,
  dir: string,
): Promise<LogStep> {
  const one = async (run: (index: number) => Promise<void>): Promise<TimedPhase> => {
    const before = process.cpuUsage();
    const phase = await load(run, { count: SAMPLES, concurrency: 1 });
    const { user, system } = process.cpuUsage(before);
    return { ...phase, cpuMs: (user + system) / 1_000 / SAMPLES };
  };
  const append = await one(() => log.append(entry(log.size()), log.size()));
  const size = log.size();
  const indexOf = (at: number): number => Math.floor((at * (size - 1)) / (SAMPLES - 1));
  const proofs: string[] = [];
  const inclusion = await one(async (at) => {
    proofs.push(await log.proofOf(indexOf(at)));
  });
  const keys = { logs: [log.key] };
  const verification = await one((at) => {
    verifyTlogProof(proofs[at] ?? "", entry(indexOf(at)), keys);
    return Promise.resolve();
  });
  const consistency = await one(async (at) => {
    await log.consistency(Math.max(1, indexOf(at)), size);
  });
  const hashTiles = ["0", "1", "2"].map((level) => {
    const at = join(dir, "tile", level);
    return statSync(at, { throwIfNoEntry: false }) ? diskUse(at) : { bytes: 0, files: 0 };
  });
  const entries = diskUse(join(dir, "tile/entries"));
  settleHeap();
  return {
    entries: size,
    filledPerSecond,
    append,
    inclusion,
    verification,
    consistency,
    proofHashes: Math.max(...proofs.map((proof) => parseTlogProof(proof).path.length)),
    hashTileBytes: hashTiles.reduce((sum, { bytes }) => sum + bytes, 0),
    entryBytes: entries.bytes,
    files: entries.files + hashTiles.reduce((sum, { files }) => sum + files, 0),
    heapBytes: process.memoryUsage().heapUsed,
    residentBytes: rssBytes(process.pid),
    openMs,
  };
}

/** @param entries how many the log has at the last step */
export async function benchLog(entries: number): Promise<LogReport> {
  const hsm = createSoftHsm();
  hsm.use();
  const steps: LogStep[] = [];
  const { open, close } = await openers(hsm);
  const dir = join(hsm.dir, "public");
  try {
    for (let target = Math.min(FIRST_STEP, entries); ; target = Math.min(entries, target * 10)) {
      let log = await open();
      const from = log.size();
      const began = performance.now();
      while (log.size() < target - SAMPLES) {
        const first = log.size();
        const count = Math.min(BATCH, target - SAMPLES - first);
        await log.appendAll(
          Array.from({ length: count }, (_, at) => entry(first + at)),
          first,
        );
      }
      const filled = ((log.size() - from) * 1_000) / (performance.now() - began);
      await log.close();
      const reopened = performance.now();
      log = await open();
      const step = await measure(log, filled, performance.now() - reopened, dir);
      verifyCheckpoint(log.checkpoint() ?? "", { logs: [log.key] });
      await log.close();
      steps.push(step);
      say(
        `${step.entries} entries: append ${step.append.p50.toFixed(1)} ms, proof ${step.inclusion.p50.toFixed(1)} ms`,
      );
      if (target >= entries) return { entryBytes: ENTRY_BYTES, steps };
    }
  } finally {
    await close();
    rmSync(dir, { recursive: true, force: true });
    hsm.remove();
  }
}
