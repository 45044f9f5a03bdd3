/** The tokens of a fleet that a rehearsal made, in the form in which test/support/fleet.ts starts services on them. */
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../scripts/lib/free-ports.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { holderSets } from "../../src/keys/holder-sets.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { strongroom, writePlan } from "./ceremony.ts";
import { planOf } from "./ceremony-plan.ts";
import type { FleetTokens } from "./fleet-tokens.ts";
import { FLEET } from "./issuer.ts";
import { type SoftHsm, softHsmModule } from "./softhsm.ts";

/** A token of a rehearsal; what only tests of single tokens do with one is not there. */
function softHsm(dir: string, label: string): SoftHsm {
  const home = join(dir, "tokens", label);
  const unused = (): never => {
    throw new Error("not for the token of a rehearsal");
  };
  const module = softHsmModule();
  const pinFile = join(home, "pin");
  return {
    uri: `pkcs11:token=${label}?module-path=${module}&pin-source=file:${pinFile}`,
    env: { SOFTHSM2_CONF: join(home, "softhsm2.conf") },
    dir: home,
    module,
    label,
    pinFile,
    soPinFile: join(home, "so-pin"),
    use: unused,
    takeAway: unused,
    putBack: unused,
    remove: () => undefined,
  };
}

export interface RehearsedFleet {
  readonly tokens: FleetTokens;
  readonly plan: CeremonyPlan;
  /** The evidence of the ceremony that made it. */
  readonly evidence: string;
  /** A spare's token. */
  spare(name: string): SoftHsm;
}

/** @param home a temporary directory, removed with the fleet that is started on it */
export async function rehearseFleet(home: string, sites: number, spares: number): Promise<RehearsedFleet> {
  const ports = await freePorts(sites);
  const planned = planOf({ sites, spares });
  const plan: CeremonyPlan = {
    ...planned,
    fleet: FLEET,
    sites: planned.sites.map((site, i) => ({ ...site, url: `http://127.0.0.1:${ports[i]}` })),
  };
  const evidence = join(home, "created");
  const { status, stderr } = strongroom("ceremony", "rehearse", writePlan(home, plan), "--dir", evidence);
  if (status !== 0) throw new Error(stderr);
  const manifestFile = join(home, "manifest.json");
  copyFileSync(join(evidence, "manifest.json"), manifestFile);
  const manifestBytes = Uint8Array.from(readFileSync(manifestFile));
  const names = plan.sites.map(({ name }) => name);
  const tokens = names.map((name) => softHsm(evidence, name));
  const { plan: rehearsed } = readPlan(join(evidence, "plan.yaml"));
  return {
    plan,
    evidence,
    spare: (name) => softHsm(evidence, name),
    tokens: {
      fleet: FLEET,
      threshold: plan.threshold,
      tokens,
      names,
      manifest: decodeManifest(manifestBytes),
      manifestBytes,
      manifestFile,
      sets: holderSets(sites, plan.threshold),
      config: {
        fleet: FLEET,
        threshold: plan.threshold,
        maxAttempts: plan.maxAttempts,
        manifest: manifestFile,
        sites: rehearsed.sites.map(({ name, url, token }) => ({ name, url, token })),
      },
      dir: home,
      remove: () => undefined,
    },
  };
}
