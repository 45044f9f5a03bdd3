/** A service that does nothing but sign, an auditor or a witness: put together, and taken down without losing an answer. */
import type { RequestListener } from "node:http";
import type { SigningServiceConfig } from "../auditor/signing-service-config.ts";
import { StrongroomError } from "../base/errors.ts";
import { Opened } from "../base/opened.ts";
import type { TokenObserver } from "../token/pool.ts";
import type { TokenHealth } from "../token/token.ts";
import { type BaseMetrics, createBaseMetrics } from "./base-metrics.ts";
import { trustedProxies } from "./client-address.ts";
import { closingWhile, drain, type Phase } from "./drain.ts";
import { type Listener, type ListenerLimits, listen } from "./listener.ts";
import { createServiceLog, type LogOutput, type ServiceLog } from "./log.ts";
import type { SigningAppOptions } from "./operations-pages.ts";
import { createRateLimiter } from "./rate-limit.ts";
import { tokenObserver } from "./token-observer.ts";
import { createWorkCount } from "./work-count.ts";

/** What signs. */
interface Signing {
  health(): TokenHealth;
  /** Gives up what it has not begun to sign, and what might take long. */
  abandon?(): void;
  close(): Promise<void>;
}

interface SigningKind<T extends Signing> {
  readonly limits: ListenerLimits;
  /** So many times the requests per second and address may come at once. */
  readonly burst: number;
  open(observer: TokenObserver): Promise<T>;
  apps(
    opened: T,
    options: SigningAppOptions & { readonly metrics: BaseMetrics },
  ): { readonly main: RequestListener; readonly operations?: RequestListener | undefined };
}

export interface RunningSigningService<T> {
  readonly url: string;
  readonly operationsUrl: string;
  readonly signing: T;
  readonly log: ServiceLog;
  /** Drains and closes; the second call waits for the first. */
  close(): Promise<void>;
}

/**
 * @param output where log lines go; standard output by default
 * @throws config-invalid where an address cannot be listened on, and what `open` throws
 */
export async function startSigningService<T extends Signing>(
  config: SigningServiceConfig & { readonly operations?: SigningServiceConfig["listen"] | undefined },
  kind: SigningKind<T>,
  output?: LogOutput,
): Promise<RunningSigningService<T>> {
  const log = createServiceLog(config.log.level, output);
  const metrics = createBaseMetrics();
  const opened = new Opened();
  opened.add(() => log.flush());
  try {
    const signing = await kind.open(tokenObserver(metrics, log));
    opened.add(() => signing.close());
    metrics.observeToken(() => signing.health());
    const phase: Phase = { draining: false, stopped: false };
    const work = createWorkCount();
    // What was begun is finished: the token has been told of it.
    opened.add(() => work.idle());
    opened.add(() => signing.abandon?.());
    const perSecond = config.requestsPerSecondPerAddress;
    const apps = kind.apps(signing, {
      tokenHealth: () => signing.health(),
      draining: () => phase.draining,
      admit: () => {
        if (phase.stopped) throw new StrongroomError("unavailable", "draining");
      },
      count: work.count,
      metrics,
      log,
      limiter: createRateLimiter({
        perSecond,
        burst: kind.burst * perSecond,
        clock: { now: () => performance.now() },
      }),
      trusts: trustedProxies(config.trustProxy),
    });
    const main = await listen(config.listen, kind.limits, closingWhile(phase, apps.main));
    opened.add(() => main.cut());
    let operations: Listener | undefined;
    if (config.operations && apps.operations) {
      operations = await listen(config.operations, kind.limits, apps.operations);
      opened.add(() => operations?.cut());
    }
    const operationsUrl = (operations ?? main).url;
    log.event("info", "listening", { url: main.url, operationsUrl });
    let closing: Promise<void> | undefined;
    return {
      url: main.url,
      operationsUrl,
      signing,
      log,
      close: () => {
        closing ??= drain(config.drain, phase, main, work, log).then(() => opened.close());
        return closing;
      },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}
