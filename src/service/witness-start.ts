/** A witness as a service. */
import { join } from "node:path";
import { openSigner, witnessKey } from "../auditor/signer.ts";
import { Witness, witnessAnchorLabel } from "../auditor/witness.ts";
import { type WitnessConfig, witnessLogs } from "../auditor/witness-config.ts";
import { fromHex } from "../base/bytes.ts";
import { Opened } from "../base/opened.ts";
import type { TokenObserver } from "../token/pool.ts";
import type { TokenHealth } from "../token/token.ts";
import type { LogOutput } from "./log.ts";
import { runUntilStopped } from "./run.ts";
import { type RunningSigningService, startSigningService } from "./signing-service.ts";
import { createWitnessApp } from "./witness-app.ts";

interface OpenWitness {
  readonly witness: Witness;
  health(): TokenHealth;
  close(): Promise<void>;
}

export type RunningWitness = RunningSigningService<OpenWitness>;

/** Serves until a signal. @throws what `startWitness` throws */
export async function runWitness(config: WitnessConfig): Promise<never> {
  return runUntilStopped(await startWitness(config), config);
}

/**
 * @param output where log lines go; standard output by default
 * @throws config-invalid where the address cannot be listened on; what `Witness.open` and `openSigner` throw
 */
export function startWitness(config: WitnessConfig, output?: LogOutput): Promise<RunningWitness> {
  return startSigningService(
    config,
    {
      limits: { headerBytes: 8_192, connections: 1_024, requestTimeoutMs: 30_000 },
      burst: 4,
      open: (observer) => openWitness(config, observer),
      apps: ({ witness }, options) => ({ main: createWitnessApp({ ...options, witness }) }),
    },
    output,
  );
}

async function openWitness(config: WitnessConfig, observer: TokenObserver): Promise<OpenWitness> {
  const { name, key, token, dir } = config;
  const spec = { ...witnessKey(name), label: key.label, publicKey: fromHex(key.publicKey) };
  const opened = new Opened();
  try {
    const signer = await openSigner({ ...token, keys: [spec] }, observer);
    opened.add(() => signer.close());
    const witness = await Witness.open({
      stateDir: join(dir, "state"),
      name,
      signer: signer.signer(spec.name),
      logs: witnessLogs(config),
      anchorOf: (origin) => signer.anchor(witnessAnchorLabel(name, origin)),
      now: Date.now,
    });
    opened.add(() => witness.close());
    return { witness, health: () => signer.health(), close: () => opened.close() };
  } catch (error) {
    await opened.close();
    throw error;
  }
}
