/**
 * The tokens of a test fleet: n SoftHSM tokens that hold its keys, brought there by what `strongroom fleet init`
 * runs, and its manifest.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../scripts/lib/free-ports.ts";
import { type FleetTokens as InitConfig, initFleetTokens } from "../../src/keys/fleet-tokens.ts";
import { type HolderSet, holderSets, majority } from "../../src/keys/holder-sets.ts";
import { decodeManifest, type Manifest } from "../../src/wire/manifest.ts";
import { createSoftHsm, type SoftHsm } from "./softhsm.ts";

export interface FleetTokensOptions {
  /** 1, 3, 5 or 7. */
  readonly sites: number;
  /** The majority by default. */
  readonly threshold?: number;
  readonly maxAttempts?: number;
  readonly fleet?: string;
  /** Where each site listens, for the manifest; 127.0.0.1 by default. */
  readonly hosts?: readonly string[];
}

export interface FleetTokens {
  readonly fleet: string;
  readonly threshold: number;
  /** In the order of the manifest's sites. */
  readonly tokens: readonly SoftHsm[];
  readonly names: readonly string[];
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly manifestFile: string;
  readonly sets: readonly HolderSet[];
  /** What was given to `initFleetTokens`, to run it again. */
  readonly config: InitConfig;
  /** A temporary directory with the manifest; others may use it. */
  readonly dir: string;
  remove(): void;
}

/** Tokens with no keys yet, and what `initFleetTokens` needs to fill them. */
export async function blankFleetTokens(
  options: FleetTokensOptions,
): Promise<{ tokens: readonly SoftHsm[]; config: InitConfig; dir: string; remove(): void }> {
  const { sites, threshold = majority(sites), maxAttempts = 10, fleet = "test-fleet" } = options;
  const dir = mkdtempSync(join(tmpdir(), "strongroom-fleet-"));
  const ports = await freePorts(sites);
  const tokens = ports.map(() => createSoftHsm());
  const config: InitConfig = {
    fleet,
    threshold,
    maxAttempts,
    manifest: join(dir, "manifest.json"),
    sites: tokens.map((hsm, i) => ({
      name: `site-${"abcdefg"[i]}`,
      url: `http://${options.hosts?.[i] ?? "127.0.0.1"}:${ports[i]}`,
      token: { uri: hsm.uri, soPinSource: hsm.soPinFile, profile: "softhsm2", env: hsm.env },
    })),
  };
  const remove = (): void => {
    for (const hsm of tokens) hsm.remove();
    rmSync(dir, { recursive: true, force: true });
  };
  return { tokens, config, dir, remove };
}

/** Makes the tokens and everything in them; some seconds of two processors for five sites. */
export async function createFleetTokens(options: FleetTokensOptions): Promise<FleetTokens> {
  const { tokens, config, dir, remove } = await blankFleetTokens(options);
  try {
    await initFleetTokens(config);
    const { fleet, threshold, manifest: manifestFile } = config;
    const manifestBytes = Uint8Array.from(readFileSync(manifestFile));
    return {
      fleet,
      threshold,
      tokens,
      names: config.sites.map(({ name }) => name),
      manifest: decodeManifest(manifestBytes),
      manifestBytes,
      manifestFile,
      sets: holderSets(config.sites.length, threshold),
      config,
      dir,
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}
