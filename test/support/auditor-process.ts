/** `strongroom auditor serve` as it is built, in a process of its own, and everything that it shows while it lives. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { NamespaceConfig } from "../../src/auditor/config.ts";
import { logKeyOf } from "../../src/auditor/namespace-keys.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { verifyEd25519 } from "../../src/crypto/ed25519.ts";
import { verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { type Audit, auditMessage, auditSchema, statementOf } from "../../src/wire/audit.ts";
import { STRONGROOM } from "./cli.ts";

export interface AuditorProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** SIGKILL, if it still lives; returns when it is gone. */
  kill(): Promise<void>;
}

/** Starts it, and waits for the line that says where it listens. @throws what it said, where it ended instead */
export async function spawnAuditor(
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<AuditorProcess> {
  const child = spawn(process.execPath, [...STRONGROOM, "auditor", "serve", "--data", dir], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const gone = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  const url = await new Promise<string>((resolve, reject) => {
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      const found = /"url":"([^"]+)"/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", () => reject(new Error(`the auditor did not start: ${said}`)));
  });
  return {
    url,
    child,
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await gone;
    },
  };
}

const READ_EVERY_MS = 3;

/** What an auditor has ever shown of a namespace, to anybody. */
export class Shown {
  /** By size: the roots of checkpoints. */
  readonly roots: Map<number, Set<string>> = new Map();
  /** By epoch: the digests of audits. */
  readonly digests: Map<number, Set<string>> = new Map();
  /** By epoch: the audits, every field of them. */
  readonly audits: Map<number, Set<string>> = new Map();
  readonly #config: NamespaceConfig;

  constructor(config: NamespaceConfig) {
    this.#config = config;
  }

  /** @throws where it is not signed by the namespace's keys */
  audit(value: unknown): Audit {
    const audit = auditSchema.parse(value);
    const statement = statementOf(audit);
    const signed = this.#config.keys.audit.some(({ publicKey }) =>
      verifyEd25519(fromHex(publicKey), auditMessage(statement), fromHex(audit.signature)),
    );
    if (!signed) throw new Error(`nobody signed the audit of epoch ${audit.epoch}`);
    add(this.digests, audit.epoch, audit.digest);
    add(this.audits, audit.epoch, JSON.stringify(audit));
    return audit;
  }

  /** @returns its size @throws where the log's key did not sign it */
  checkpoint(text: string): number {
    const { checkpoint } = verifyCheckpoint(text, { logs: [logKeyOf(this.#config)] });
    add(this.roots, checkpoint.size, toHex(checkpoint.root));
    return checkpoint.size;
  }

  /** What a mirror that copies the public folder would have got. */
  look(dir: string): void {
    const log = join(dir, "public", "log", this.#config.name);
    if (existsSync(join(log, "checkpoint"))) this.checkpoint(readFileSync(join(log, "checkpoint"), "utf8"));
    const bundles = join(log, "bundles");
    for (const name of existsSync(bundles) ? readdirSync(bundles) : []) {
      if (!name.endsWith(".json")) continue;
      const { audit } = JSON.parse(readFileSync(join(bundles, name), "utf8")) as { audit: unknown };
      this.audit(audit);
    }
  }

  /** Reads as fast as it can until the auditor is gone. @throws what was shown and should not have been */
  async readAll({ url }: Pick<AuditorProcess, "url">, epoch: number): Promise<void> {
    const { name } = this.#config;
    const get = async (path: string): Promise<string | undefined> => {
      const response = await fetch(`${url}/${path}`);
      const text = await response.text();
      return response.ok ? text : undefined;
    };
    for (;;) {
      let texts: readonly (string | undefined)[];
      try {
        texts = await Promise.all([get(`log/${name}/checkpoint`), get(`namespaces/${name}/audits/${epoch}`)]);
      } catch (error) {
        // What fetch says when the connection breaks.
        if (error instanceof TypeError) return;
        throw error;
      }
      const [checkpoint, audit] = texts;
      if (checkpoint !== undefined) this.checkpoint(checkpoint);
      if (audit !== undefined) this.audit(JSON.parse(audit));
      await sleep(READ_EVERY_MS);
    }
  }
}

function add<K>(map: Map<K, Set<string>>, key: K, value: string): void {
  map.set(key, (map.get(key) ?? new Set()).add(value));
}
