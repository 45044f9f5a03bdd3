/** What the configurations of an auditor and of a witness have in common: a service that signs with a token. */
import { resolve } from "node:path";
import { z } from "zod";
import { parseVkey, type VerifierKey } from "../merkle/vkey.ts";
import { configuredUri } from "../token/uri-schema.ts";
import { sha256Hex } from "../wire/announcement.ts";

export interface AuditorKey {
  /** CKA_LABEL. */
  readonly label: string;
  /** Ed25519, hex. */
  readonly publicKey: string;
}

export interface SigningServiceConfig {
  /** The data directory; absolute. */
  readonly dir: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly token: { readonly uri: string; readonly profile: string; readonly deadlineMs: number };
  readonly requestsPerSecondPerAddress: number;
  readonly trustProxy: false | number;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error" };
  readonly drain: { readonly noticeMs: number; readonly deadlineMs: number };
}

export const whole = (min: number, max: number, unit: string): z.ZodNumber =>
  z.number().int().min(min).max(max).describe(`write a whole number of ${unit} from ${min} to ${max}`);

/** @param example a port, for people */
export const listenOn = (example: number): z.ZodType<SigningServiceConfig["listen"]> =>
  z.strictObject({
    host: z.string().min(1).max(253).default("127.0.0.1").describe("write an address of this machine"),
    port: z
      .number()
      .int()
      .min(0)
      .max(65_535)
      .describe(`write a TCP port, e.g. ${example}; 0 takes any free one`),
  });

export const keyFields: { readonly [F in keyof AuditorKey]: z.ZodType<AuditorKey[F]> } = {
  label: z.string().min(1).max(200).describe("write the key's CKA_LABEL"),
  publicKey: sha256Hex.describe("write the Ed25519 public key: 64 hexadecimal digits, in quotes"),
};

export const tokenSchema: z.ZodType<SigningServiceConfig["token"]> = z.strictObject({
  uri: configuredUri.describe("write pkcs11:token=…?module-path=…&pin-source=file:…"),
  profile: z.string().min(1).describe("write the name of a file in hsm-config/profiles, or a path"),
  deadlineMs: whole(100, 60_000, "milliseconds").default(10_000),
});

interface CommonFields {
  readonly trustProxy: z.ZodType<false | number>;
  readonly log: z.ZodType<SigningServiceConfig["log"]>;
  readonly drain: z.ZodType<SigningServiceConfig["drain"]>;
}
export const commonFields: CommonFields = {
  trustProxy: z
    .union([z.literal(false), z.number().int().min(1).max(10)])
    .default(false)
    .describe("write false, or the number of proxies in front"),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error"]).default("info") }).prefault({}),
  drain: z
    .strictObject({
      noticeMs: whole(0, 120_000, "milliseconds").default(500),
      deadlineMs: whole(0, 600_000, "milliseconds").default(10_000),
    })
    .prefault({}),
};

/** Of a configuration in `dir`: a profile is a name, or a path from there. */
export function tokenIn<T extends { readonly profile: string }>(dir: string, token: T): T {
  const { profile } = token;
  return { ...token, profile: profile.includes("/") ? resolve(dir, profile) : profile };
}

export function isVkey(vkey: string, kind: VerifierKey["kind"]): boolean {
  try {
    return parseVkey(vkey).kind === kind;
  } catch {
    return false;
  }
}
