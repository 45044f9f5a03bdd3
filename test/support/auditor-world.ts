/**
 * An auditor on a SoftHSM token, and an operator who announces fleets to it. The evidence is that of ceremonies on
 * paper (paper-ceremony.ts): all of its claims hold but the one that compares calls of tokens, which nobody made.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type AuditorConfig, loadAuditorConfig } from "../../src/auditor/config.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { EVIDENCE_FILE } from "../../src/ceremony/evidence-files.ts";
import { openEvidence } from "../../src/ceremony/evidence-statement.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { auditorCommand } from "../../src/cli/auditor.ts";
import {
  type AnnouncedFleet,
  type AnnouncedKeys,
  type Announcement,
  encodeAnnouncement,
} from "../../src/wire/announcement.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { planOf } from "./ceremony-plan.ts";
import { runCommand } from "./command.ts";
import { type Falsehoods, type PaperFiles, paperCeremony, withOfficers } from "./paper-ceremony.ts";
import { PaperOutputs } from "./paper-outputs.ts";
import { OperatorSigner, paperOfficer } from "./signers.ts";
import { createSoftHsm, type SoftHsm } from "./softhsm.ts";

export const NAMESPACE = "vault.example";
export const ORIGIN = "auditor.example/logs/vault.example";

/** A fleet as its operator announces it, with what its ceremony left behind. */
export interface PaperFleet {
  readonly announced: AnnouncedFleet;
  readonly files: PaperFiles;
  readonly evidenceSha256: string;
  readonly outputs: PaperOutputs;
}

const officers = ["Ada", "Bela", "Chen"].map(paperOfficer);

export interface FleetOptions {
  readonly plan?: CeremonyPlan;
  readonly falsehoods?: Falsehoods;
  /** Whose keys it has: those of the fleet that it is a change of. */
  readonly of?: PaperFleet;
}

/** A fleet of one site, by default. */
export async function paperFleet(
  fleet: string,
  { plan, falsehoods, of }: FleetOptions = {},
): Promise<PaperFleet> {
  const named = withOfficers(plan ?? planOf({ sites: 1, spares: 0 }, { fleet }), officers, 2);
  const outputs = await new PaperOutputs(named, ...(of ? [of.outputs.keys] : [])).prepare();
  const files = await paperCeremony(named, officers, outputs, falsehoods);
  const bytes = files.get("manifest.json") ?? new Uint8Array();
  const list = files.get(EVIDENCE_FILE) ?? new Uint8Array();
  const evidenceSha256 = sha256HexOf(openEvidence(list).envelope.payload);
  const manifest = decodeManifest(bytes);
  return {
    announced: { status: "active", manifest, manifestSha256: sha256HexOf(bytes), evidenceSha256 },
    files,
    evidenceSha256,
    outputs,
  };
}

/** Writes evidence into a folder, as `strongroom evidence build --out` does. */
export function writeEvidence(dir: string, files: PaperFiles): void {
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), bytes);
  }
}

export interface AuditorWorld {
  readonly home: string;
  readonly dir: string;
  readonly hsm: SoftHsm;
  readonly operator: OperatorSigner;
  /** The operator's bearer token. */
  readonly token: string;
  /** As `auditor init` printed them, and the operator's. */
  readonly keys: AnnouncedKeys;
  config(change?: Partial<AuditorConfig>): AuditorConfig;
  remove(): void;
}

/** Claims of the example, but the one that is about calls of tokens; runs of the command are in this process. */
export async function createAuditorWorld(): Promise<AuditorWorld> {
  const home = mkdtempSync(join(tmpdir(), "strongroom-auditor-"));
  const hsm = createSoftHsm();
  hsm.use();
  const dir = join(home, "auditor");
  const policy = join(home, "policy.yaml");
  const example = readFileSync("hsm-config/auditor/policy.yaml", "utf8");
  writeFileSync(policy, example.replace(/^ {2}transcript-follows-plan:.*\n/m, ""));
  const { stdout, error } = await runCommand(auditorCommand(), [
    ...["init", "--data", dir, "--namespace", NAMESPACE, "--origin", ORIGIN],
    ...["--uri", hsm.uri, "--policy", policy, "--listen", "127.0.0.1:0"],
  ]);
  if (error !== undefined) throw error;
  const { keys } = JSON.parse(stdout) as { keys: Omit<AnnouncedKeys, "operators"> };
  const operator = new OperatorSigner();
  return {
    home,
    dir,
    hsm,
    operator,
    token: readFileSync(join(dir, `${NAMESPACE}.operator-token`), "utf8").trim(),
    keys: { ...keys, operators: [operator.hex] },
    config: (change = {}) => ({
      ...loadAuditorConfig(dir),
      drain: { noticeMs: 0, deadlineMs: 5_000 },
      ...change,
    }),
    remove() {
      hsm.remove();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The announcement of an epoch: its bytes, and their hash. */
export function announce(
  world: Pick<AuditorWorld, "keys">,
  epoch: number,
  previous: string | undefined,
  fleets: readonly AnnouncedFleet[],
  change: Partial<Announcement> = {},
): { readonly bytes: Uint8Array; readonly digest: string } {
  const createdAt = Date.now();
  const bytes = encodeAnnouncement({
    type: "strongroom/announcement/v1",
    namespace: NAMESPACE,
    epoch,
    ...(previous === undefined ? {} : { previous }),
    createdAt,
    validUntil: createdAt + 86_400_000,
    keys: world.keys,
    fleets,
    ...change,
  });
  return { bytes, digest: sha256HexOf(bytes) };
}

/** What an operator's tools ask of an auditor. */
export class OperatorClient {
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, token: string | undefined, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url;
    this.#token = token;
    this.#headers = headers;
  }

  async #send(method: string, path: string, body: Uint8Array | string): Promise<Answer> {
    const response = await fetch(`${this.#url}/namespaces/${NAMESPACE}/${path}`, {
      method,
      headers: {
        ...this.#headers,
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      },
      body: Buffer.from(body),
    });
    const text = await response.text();
    return { status: response.status, text, json: text === "" ? {} : JSON.parse(text) };
  }

  put(path: string, bytes: Uint8Array): Promise<Answer> {
    return this.#send("PUT", path, bytes);
  }
  post(path: string, value: object | string): Promise<Answer> {
    return this.#send("POST", path, typeof value === "string" ? value : JSON.stringify(value));
  }

  /** Hands in a fleet's evidence. */
  async evidence({ evidenceSha256, files }: Pick<PaperFleet, "evidenceSha256" | "files">): Promise<void> {
    for (const [path, bytes] of files) {
      const { status, text } = await this.put(`evidence/${evidenceSha256}/${path}`, bytes);
      if (status !== 204) throw new Error(`${path}: ${text}`);
    }
  }

  /** Hands in an announcement, and asks for its audit. */
  async audit(epoch: number, { bytes, digest }: { bytes: Uint8Array; digest: string }): Promise<Answer> {
    const { status, text } = await this.put(`announcements/${digest}`, bytes);
    if (status !== 204) throw new Error(text);
    return this.post("audits", { epoch, digest });
  }
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Empty where there was none. */
  readonly json: Readonly<Record<string, unknown>>;
}
