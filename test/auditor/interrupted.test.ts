/**
 * An epoch's whole way, from the announcement to the bundle, with the power failing at every call of the file system.
 * After each failure the operator comes back with another announcement: either nothing had been signed, and it is taken,
 * or the first one has to be finished. Never two digests of an epoch, never two roots of a size, and never a dead end.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { NamespaceConfig } from "../../src/auditor/config.ts";
import { FIRST_HEAD, makeKey } from "../../src/auditor/init.ts";
import { openLog, type TransparencyLog } from "../../src/auditor/log.ts";
import { AuditedNamespace } from "../../src/auditor/namespace.ts";
import { logKeyOf } from "../../src/auditor/namespace-keys.ts";
import { loadPolicy } from "../../src/auditor/policy.ts";
import { auditorKeys, openSigner, type SignerToken } from "../../src/auditor/signer.ts";
import { fromHex } from "../../src/base/bytes.ts";
import { verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { openSession } from "../../src/token/open.ts";
import type { AnnouncedFleet } from "../../src/wire/announcement.ts";
import { type Bundle, logEntry } from "../../src/wire/bundle.ts";
import { announce, NAMESPACE, ORIGIN, paperFleet } from "../support/auditor-world.ts";
import { withPowerFailure } from "../support/power.ts";
import { OperatorSigner } from "../support/signers.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";

const home = mkdtempSync(join(tmpdir(), "strongroom-power-"));
const KEYS = auditorKeys(NAMESPACE);
const operator = new OperatorSigner();
const policy = {
  ...loadPolicy("hsm-config/auditor/policy.yaml"),
  // Evidence is many files, each written in the same way as all others.
  evidenceRequired: false,
};
let hsm: SoftHsm;
let token: SignerToken;
let config: NamespaceConfig;
let fleet: AnnouncedFleet;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  const { session, profile } = await openSession({ uri: hsm.uri, profile: "softhsm2" });
  const [audit, checkpoint] = [
    makeKey(session, profile, KEYS.audit),
    makeKey(session, profile, KEYS.checkpoint),
  ];
  session.close();
  token = await openSigner({
    uri: hsm.uri,
    profile: "softhsm2",
    keys: [
      { ...KEYS.audit, publicKey: fromHex(audit.publicKey) },
      { ...KEYS.checkpoint, publicKey: fromHex(checkpoint.publicKey) },
    ],
  });
  config = {
    name: NAMESPACE,
    disabled: false,
    origin: ORIGIN,
    ciphersuite: 1,
    operatorToken: "00".repeat(32),
    keys: { audit: [{ ...audit, notBefore: 0 }], checkpoint },
    witnesses: [],
    witnessQuorum: 0,
    witnessTimeoutMs: 1_000,
  };
  const { evidenceSha256: _, ...bare } = (await paperFleet("one")).announced;
  fleet = bare;
});
afterAll(async () => {
  await token.close();
  hsm.remove();
  rmSync(home, { recursive: true });
});

/** Everything that anybody was ever shown, and every statement that was signed. */
class Shown {
  readonly roots = new Map<number, Set<string>>();
  readonly signed = new Map<number, Set<string>>();

  note<K>(map: Map<K, Set<string>>, key: K, value: string): void {
    map.set(key, (map.get(key) ?? new Set()).add(value));
  }

  look(publicDir: string): void {
    const path = join(publicDir, "checkpoint");
    if (!existsSync(path)) return;
    const { checkpoint } = verifyCheckpoint(readFileSync(path, "utf8"), { logs: [logKeyOf(config)] });
    this.note(this.roots, checkpoint.size, Buffer.from(checkpoint.root).toString("hex"));
  }
}

interface Machine {
  readonly namespace: AuditedNamespace;
  readonly log: TransparencyLog;
}

async function start(name: string, shown: Shown): Promise<Machine> {
  const dir = join(home, name);
  const anchor = token.anchor(`strongroom/auditor/${name}/head`);
  if (!(await anchor.read())) await anchor.write(FIRST_HEAD);
  const publicDir = join(dir, "public");
  const { publicKey, sign } = token.signer(KEYS.audit.name);
  const signer = {
    publicKey,
    sign: (message: Uint8Array) => {
      shown.note(shown.signed, 1, Buffer.from(message.subarray(-32)).toString("hex"));
      return sign(message);
    },
  };
  const log = await openLog({
    dir: publicDir,
    stateDir: join(dir, "log"),
    origin: ORIGIN,
    signer: token.signer(KEYS.checkpoint.name),
    anchor,
  });
  try {
    const namespace = await AuditedNamespace.open({
      config,
      logKey: logKeyOf(config).vkey,
      policy,
      anchor,
      signers: new Map([[config.keys.audit[0]?.publicKey ?? "", signer]]),
      log,
      checkEvidence: async () => [],
      publicDir,
      stateDir: dir,
      now: Date.now,
    });
    return { namespace, log };
  } catch (error) {
    await log.close();
    throw error;
  }
}

function announced(createdAt: number) {
  const keys = {
    auditors: config.keys.audit.map(({ publicKey }) => publicKey),
    operators: [operator.hex],
    logs: [logKeyOf(config).vkey],
  };
  return announce({ keys }, 1, undefined, [fleet], { createdAt });
}

async function rollOut(
  { namespace }: Machine,
  { bytes, digest }: ReturnType<typeof announced>,
): Promise<Bundle> {
  await namespace.putAnnouncement(digest, bytes);
  const audit = await namespace.audit(1, digest);
  return namespace.countersign(operator.countersign(audit, config.keys.audit[0]?.publicKey ?? ""));
}

/** Every run of the suite takes every tenth of some 115 calls, from another one on. */
const STEP = 10;

test("the power fails at every call", async () => {
  const [first, second] = [announced(Date.now() - 2_000), announced(Date.now() - 1_000)];
  const taken = { first: 0, second: 0 };
  let failures = 0;
  for (let at = Math.floor(Math.random() * STEP); ; at += STEP) {
    const name = `run-${at}`;
    const shown = new Shown();
    let machine: Machine | undefined;
    const { failed } = await withPowerFailure(at, async () => {
      machine = await start(name, shown);
      await rollOut(machine, first);
    });
    await machine?.log.close();
    shown.look(join(home, name, "public"));
    if (!failed) break;
    failures++;

    const again = await start(name, shown);
    shown.look(join(home, name, "public"));
    let bundle: Bundle;
    try {
      bundle = await rollOut(again, second);
      taken.second++;
    } catch (error) {
      expect(error).toMatchObject({ code: "auditor-refused" });
      bundle = await rollOut(again, first);
      taken.first++;
    }
    shown.look(join(home, name, "public"));
    expect(await again.namespace.bundleOf(1)).toEqual(bundle);
    verifyTlogProof(bundle.proof, logEntry(bundle.audit, bundle.countersignature), {
      logs: [logKeyOf(config)],
    });
    for (const [what, map] of Object.entries({ digests: shown.signed, roots: shown.roots }))
      for (const [key, values] of map) expect([...values], `${what} of ${key}, call ${at}`).toHaveLength(1);
    await again.log.close();
  }
  // Long before and long after the token was told: both ways were gone.
  expect(failures).toBeGreaterThan(8);
  expect(taken.first).toBeGreaterThan(1);
  expect(taken.second).toBeGreaterThan(1);
});
