/** Puts a witness's service together, and takes it down without losing an answer. */
import { join } from "node:path";
import { openSigner, witnessKey } from "../auditor/signer.ts";
import { Witness, witnessAnchorLabel } from "../auditor/witness.ts";
import { type WitnessConfig, witnessLogs } from "../auditor/witness-config.ts";
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { createAuditorMetrics } from "./auditor-metrics.ts";
import { trustedProxies } from "./client-address.ts";
import type { ServiceLimits } from "./config-schema.ts";
import { closingWhile, drain, type Phase } from "./drain.ts";
import { listen } from "./listener.ts";
import { createServiceLog, type LogOutput, type ServiceLog } from "./log.ts";
import { createRateLimiter } from "./rate-limit.ts";
import { runUntilStopped } from "./run.ts";
import { createWitnessApp } from "./witness-app.ts";
import { createWorkCount } from "./work-count.ts";

export interface RunningWitness {
  readonly url: string;
  readonly witness: Witness;
  readonly log: ServiceLog;
  /** Drains and closes; the second call waits for the first. */
  close(): Promise<void>;
}

const LIMITS: ServiceLimits = {
  bodyBytes: 1 << 20,
  headerBytes: 8_192,
  requestsPerSecondPerAddress: 20,
  burst: 80,
  concurrency: 64,
  connections: 1_024,
  requestTimeoutMs: 30_000,
};

/** Serves until a signal. @throws what `startWitness` throws */
export async function runWitness(config: WitnessConfig): Promise<void> {
  const { noticeMs, deadlineMs } = config.drain;
  runUntilStopped(await startWitness(config), noticeMs + deadlineMs + config.token.deadlineMs);
}

/**
 * @param output where log lines go; standard output by default
 * @throws config-invalid where the address cannot be listened on; what `Witness.open` and `openSigner` throw
 */
export async function startWitness(config: WitnessConfig, output?: LogOutput): Promise<RunningWitness> {
  const log = createServiceLog(config.log.level, output);
  const metrics = createAuditorMetrics();
  const { name, key, token, dir } = config;
  const spec = { ...witnessKey(name), label: key.label, publicKey: fromHex(key.publicKey) };
  const signer = await openSigner(
    { ...token, keys: [spec] },
    {
      call: metrics.tokenCall,
      step: metrics.tokenStep,
      event: (event, fields) =>
        log.event(event === "token-stopped" ? "error" : "info", `token ${event}`, fields),
    },
  );
  let witness: Witness | undefined;
  try {
    const opened = await Witness.open({
      stateDir: join(dir, "state"),
      name,
      signer: signer.signer(spec.name),
      logs: witnessLogs(config),
      anchorOf: (origin) => signer.anchor(witnessAnchorLabel(name, origin)),
      now: Date.now,
    });
    witness = opened;
    metrics.observeToken(() => signer.health());
    const phase: Phase = { draining: false, stopped: false };
    const work = createWorkCount();
    const app = createWitnessApp({
      witness: opened,
      tokenHealth: () => signer.health(),
      draining: () => phase.draining,
      admit: () => {
        if (phase.stopped) throw new StrongroomError("unavailable", "the witness stops");
      },
      count: work.count,
      metrics,
      log,
      limiter: createRateLimiter({
        perSecond: config.requestsPerSecondPerAddress,
        burst: 4 * config.requestsPerSecondPerAddress,
        clock: { now: () => performance.now() },
      }),
      trusts: trustedProxies(config.trustProxy),
    });
    const main = await listen(config.listen, LIMITS, closingWhile(phase, app));
    log.event("info", "listening", { url: main.url });
    const close = async (): Promise<void> => {
      await drain(config.drain, phase, main, work, log);
      main.cut();
      await work.idle();
      await opened.close();
      await signer.close();
      log.flush();
    };
    let closing: Promise<void> | undefined;
    return {
      url: main.url,
      witness: opened,
      log,
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    await witness?.close();
    await signer.close();
    throw error;
  }
}
