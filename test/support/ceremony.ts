/** Ceremonies for tests: a plan in a file, the built command, and rehearsals on SoftHSM tokens. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { readTranscript, type TranscriptLine } from "../../src/ceremony/transcript-lines.ts";
import { planOf } from "./ceremony-plan.ts";
import { STRONGROOM } from "./cli.ts";
import { softHsmModule } from "./softhsm.ts";

/** A temporary directory, removed by whoever made it. */
export function temporary(): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-ceremony-"));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** @returns the path of the plan's file */
export function writePlan(dir: string, plan: CeremonyPlan, name: string = "the-plan.yaml"): string {
  const path = join(dir, name);
  writeFileSync(path, stringify(plan));
  return path;
}

export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built command, to its end. */
export function strongroom(...args: readonly string[]): Answer {
  return strongroomWith({}, ...args);
}

/** The same with more in its environment, and in that of its children. */
export function strongroomWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...STRONGROOM, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

/** @param planHash SHA-256 of the plan's bytes, hex */
export function transcriptOf(dir: string, station: string, planHash: string): readonly TranscriptLine[] {
  return readTranscript(Uint8Array.from(readFileSync(join(dir, "transcripts", `${station}.jsonl`))), planHash)
    .lines;
}

/** SHA-256 of a file, hex. */
export function sha256Hex(path: string): string {
  return sha256HexOf(readFileSync(path));
}

/**
 * A rehearsal's plan of one site on SoftHSM tokens of its own.
 * @param pins by station, security officer's and user's, in files; typed by a person where there are none
 */
export function softPlan(
  home: string,
  pins?: Readonly<Record<string, readonly [officer: string, user: string]>>,
): CeremonyPlan {
  const token = (label: string): CeremonyPlan["root"]["token"] => {
    const folder = join(home, label);
    mkdirSync(join(folder, "objects"), { recursive: true });
    const conf = join(folder, "softhsm2.conf");
    writeFileSync(conf, `directories.tokendir = ${join(folder, "objects")}\nlog.level = ERROR\n`);
    const uri = `pkcs11:token=${label}?module-path=${softHsmModule()}`;
    const rest = { profile: "softhsm2", env: { SOFTHSM2_CONF: conf } };
    const [officer, user] = pins?.[label] ?? [];
    if (officer === undefined || user === undefined) return { uri, ...rest };
    writeFileSync(join(folder, "so-pin"), officer, { mode: 0o600 });
    writeFileSync(join(folder, "pin"), user, { mode: 0o600 });
    return {
      uri: `${uri}&pin-source=file:${join(folder, "pin")}`,
      soPinSource: `file:${join(folder, "so-pin")}`,
      ...rest,
    };
  };
  const plan = planOf(
    { sites: 1, spares: 0 },
    { mode: "rehearsal", title: "REHEARSAL on tokens of its own", root: { token: token("root") } },
  );
  return {
    ...plan,
    sites: plan.sites.map((site) => ({ ...site, token: token(site.name) })),
    credentials: { soPin: "destroy" },
  };
}

/** The plan's file, for the program that the tests run. @returns its path */
export function writeOwnPlan(home: string, plan: CeremonyPlan): string {
  const draft = writePlan(home, plan, "draft.yaml");
  const { software } = JSON.parse(strongroom("ceremony", "plan", draft, "--json").stdout) as {
    software: CeremonyPlan["software"];
  };
  return writePlan(home, { ...plan, software });
}

/** The test plan's officer `n` has the number, 32 times, for a private key. */
export function officerFile(home: string, n: number): string {
  const path = join(home, `officer-${n}.pem`);
  const der = Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.alloc(32).fill(n),
  ]);
  writeFileSync(path, `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`, {
    mode: 0o600,
  });
  return path;
}
