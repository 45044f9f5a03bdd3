/** The built service of one site, as it is run in production. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Site } from "../../test/support/service.ts";
import { cli } from "../lib/show.ts";
import { childrenOf, cpuSeconds, rssBytes } from "./processes.ts";

/** As in hsm-config/systemd/strongroom.service. */
const NODE_ARGS = ["--max-semi-space-size=8"] as const;

export interface ServiceProcess {
  /** Of the service and its token workers together. */
  readonly rssBytes: () => number;
  /** Seconds of processor time so far: the service itself, and its token workers. */
  readonly cpu: () => { readonly service: number; readonly workers: number };
  stop(): Promise<void>;
}

/** Resolves when it is ready. */
export async function serve(site: Site): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [...NODE_ARGS, cli, "serve", "--config", site.configFile], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, ...site.hsm.env, NODE_ENV: "production" },
  });
  let ended: number | null | undefined;
  child.once("exit", (code) => {
    ended = code;
  });
  const ready = (): Promise<boolean> =>
    fetch(`${site.url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await ready())) {
    if (ended !== undefined) throw new Error(`strongroom serve ended with ${ended}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const pid = child.pid ?? 0;
  return {
    rssBytes: () => rssBytes(pid, ...childrenOf(pid)),
    cpu: () => ({ service: cpuSeconds(pid), workers: cpuSeconds(...childrenOf(pid)) }),
    stop: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}
