/** An auditor put together: its token, and every namespace with its log, on one data directory that one process has. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { makeFolder } from "../base/node/durable-file.ts";
import { Opened } from "../base/opened.ts";
import { lockFile } from "../store/single-writer.ts";
import type { TokenObserver } from "../token/pool.ts";
import type { TokenHealth } from "../token/token.ts";
import type { AuditorConfig, NamespaceConfig } from "./config.ts";
import { EvidenceChecks } from "./evidence-process.ts";
import { openLog } from "./log.ts";
import { AuditedNamespace, type NamespaceParts } from "./namespace.ts";
import { auditKeyName, logKeyOf, signerKeys } from "./namespace-keys.ts";
import { publicDirOf, stateDirOf } from "./places.ts";
import { loadPolicy } from "./policy.ts";
import { anchorLabel, auditorKeys, openSigner, type SignerToken } from "./signer.ts";

export interface Auditor {
  readonly namespaces: ReadonlyMap<string, AuditedNamespace>;
  health(): TokenHealth;
  /** Refuses audits that still wait for the verdict on their evidence: nothing of them has been signed. */
  abandon(): void;
  close(): Promise<void>;
}

export interface OpenAuditorOptions {
  readonly observer?: TokenObserver | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now?: (() => number) | undefined;
}

/**
 * Opens everything, and finishes what an accident interrupted.
 * @throws config-invalid; store-unavailable where another process has the directory; auditor-refused where directory and
 *   token do not fit together; key-missing, key-drift and other token errors; log-invalid, record-corrupt
 */
export async function openAuditor(config: AuditorConfig, options: OpenAuditorOptions = {}): Promise<Auditor> {
  const policy = loadPolicy(config.policy);
  const all = new Opened();
  try {
    all.add(await lockDirectory(config.dir));
    const { uri, profile, deadlineMs } = config.token;
    const keys = config.namespaces.flatMap(signerKeys);
    const token = await openSigner({ uri, profile, deadlineMs, keys }, options.observer);
    all.add(() => token.close());
    const checks = new EvidenceChecks(config.evidenceCheck);
    all.add(() => checks.stop());
    const { check: checkEvidence } = checks;
    const { now = Date.now } = options;
    const namespaces = new Map<string, AuditedNamespace>();
    for (const namespace of config.namespaces) {
      const opened = await openNamespace(config.dir, namespace, token, { policy, checkEvidence, now });
      all.add(opened.close);
      namespaces.set(namespace.name, opened.namespace);
    }
    return {
      namespaces,
      health: () => token.health(),
      abandon: () => checks.stop(),
      close: () => all.close(),
    };
  } catch (error) {
    await all.close();
    throw error;
  }
}

async function lockDirectory(dir: string): Promise<() => void> {
  const state = join(dir, "state");
  if (!existsSync(state)) await makeFolder(state);
  return lockFile(
    join(state, "writer.pid"),
    (pid) =>
      new StrongroomError("store-unavailable", `the data directory is in use by process ${pid}`, {
        hint: `stop process ${pid} first; two auditors on one directory would show two histories`,
      }),
  );
}

async function openNamespace(
  dir: string,
  config: NamespaceConfig,
  token: SignerToken,
  common: Pick<NamespaceParts, "policy" | "checkEvidence" | "now">,
): Promise<{ readonly namespace: AuditedNamespace; readonly close: () => Promise<void> }> {
  const { name, origin, keys } = config;
  const anchor = token.anchor(anchorLabel(name));
  const publicDir = publicDirOf(dir, name);
  const stateDir = stateDirOf(dir, name);
  const log = await openLog({
    dir: publicDir,
    stateDir: join(stateDir, "log"),
    origin,
    signer: token.signer(auditorKeys(name).checkpoint.name),
    anchor,
    witnesses: {
      witnesses: config.witnesses,
      quorum: config.witnessQuorum,
      timeoutMs: config.witnessTimeoutMs,
    },
  });
  try {
    const signers = new Map(
      keys.audit.map(({ publicKey }, index) => [publicKey, token.signer(auditKeyName(name, index))]),
    );
    const namespace = await AuditedNamespace.open({
      config,
      logKey: logKeyOf(config).vkey,
      anchor,
      signers,
      log,
      publicDir,
      stateDir,
      ...common,
    });
    return { namespace, close: () => log.close() };
  } catch (error) {
    await log.close();
    throw error;
  }
}
