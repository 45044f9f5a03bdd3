/** The token's raw rates (raw-rates.ts), and the time that an operation's calls take at them. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { TokenRates } from "../../src/fleet/sizing.ts";
import { type CallCounts, type SiteCalls, TOKEN_CALLS } from "../../src/fleet/token-calls.ts";
import { FLEET } from "../../test/support/issuer.ts";
import type { SoftHsm } from "../../test/support/softhsm.ts";
import { root } from "../lib/show.ts";

/** @param seconds for each kind of call */
export function rawRates({ module, label, pinFile, env }: SoftHsm, seconds: number): TokenRates {
  const script = join(root, "scripts/benchmark/raw-rates.ts");
  const args = ["--import", "tsx", script, module, label, pinFile, FLEET, String(seconds)];
  const text = execFileSync(process.execPath, args, { env: { ...process.env, ...env }, encoding: "utf8" });
  return JSON.parse(text) as TokenRates;
}

/** The machine may have become faster or slower meanwhile: rates of before and after together. */
export function meanRates(before: TokenRates, after: TokenRates): TokenRates {
  const entries = TOKEN_CALLS.map((call) => [call, (before[call] + after[call]) / 2] as const);
  return Object.fromEntries(entries) as Record<keyof CallCounts, number>;
}

/** Seconds of one worker for the calls. */
export function tokenSeconds(calls: CallCounts, rates: TokenRates): number {
  return TOKEN_CALLS.reduce((sum, call) => sum + calls[call] / rates[call], 0);
}

/**
 * The calls of a recovery by an account that was here before. The counts are for one that was not; a bench has few
 * accounts and many recoveries, and vault and site each remember the record ids that they asked of the token: one
 * HMAC less for the vault at the site asked, and where shares are spread one less at each site that takes part.
 */
export function ofKnownAccount({ coordinator, peer, bystander }: SiteCalls, threshold: number): SiteCalls {
  const spread = threshold > 1 ? 1 : 0;
  return {
    coordinator: { ...coordinator, hmac: coordinator.hmac - 1 - spread },
    peer: { ...peer, hmac: peer.hmac - spread },
    bystander,
  };
}
