/** Plans for the tests that read, check and print them. */
import { ed25519 } from "@noble/curves/ed25519.js";
import { toHex } from "../../src/base/bytes.ts";
import type { CeremonyPlan, PlannedToken } from "../../src/ceremony/plan.ts";

/** An officer's public key; the private one is the number, 32 times. */
export const officerKey = (n: number): string => toHex(ed25519.getPublicKey(new Uint8Array(32).fill(n)));

const token = (label: string, serial: number): PlannedToken => ({
  uri: `pkcs11:token=${label}?module-path=/usr/lib/libCryptoki2.so`,
  profile: "luna7",
  serial: String(serial),
});

export interface PlanShape {
  readonly sites: number;
  readonly threshold?: number;
  /** How many sites, from the first, have a spare. */
  readonly spares?: number;
}

/** A production plan without a fault. */
export function planOf(
  { sites, threshold = Math.floor(sites / 2) + 1, spares = sites }: PlanShape,
  change: Partial<CeremonyPlan> = {},
): CeremonyPlan {
  const name = (site: number): string => `site-${String.fromCharCode(97 + site)}`;
  const numbers = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
  return {
    type: "strongroom/ceremony-plan/v1",
    kind: "create",
    mode: "production",
    title: "A fleet for the tests",
    date: "2026-11-24",
    fleet: "demo",
    threshold,
    maxAttempts: 10,
    officers: {
      quorum: 2,
      members: ["Ada", "Bela", "Chen"].map((person, i) => ({ name: person, publicKey: officerKey(i + 1) })),
    },
    credentials: { soPin: "split", quorum: 2, custodians: ["Dora", "Emil", "Fay"] },
    software: { release: "0.1.0", digest: "ab".repeat(32) },
    auditor: { name: "An auditor" },
    root: { token: token("root", 1000), location: "Vault 1" },
    sites: numbers(sites).map((i) => ({
      name: name(i),
      url: `https://${name(i)}.example`,
      token: token(name(i), 2000 + i),
    })),
    spares: numbers(spares).map((i) => ({
      name: `spare-${String.fromCharCode(97 + i)}`,
      for: name(i),
      token: token(`spare-${i}`, 3000 + i),
    })),
    ...change,
  };
}

const predecessor = { manifest: "cd".repeat(32), evidence: "../created" };

/** The first site's spare takes its place. */
export const replacement = (shape: PlanShape, change: Partial<CeremonyPlan> = {}): CeremonyPlan =>
  planOf(shape, { kind: "replace", predecessor, change: { site: "site-a", spare: "spare-a" }, ...change });

/** The last site leaves. */
export const retirement = (shape: PlanShape, change: Partial<CeremonyPlan> = {}): CeremonyPlan =>
  planOf(shape, {
    kind: "retire",
    predecessor,
    change: { site: `site-${String.fromCharCode(96 + shape.sites)}` },
    ...change,
  });
