/**
 * Every key of a site's configuration file: type, bounds, default, and in `describe` what to write there, which
 * is the fix that an error message offers. hsm-config/sites/example-site.yaml explains each to people.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { type StoreConfig, storeSchema } from "../store/store-config.ts";
import { configuredUri } from "../token/uri-schema.ts";
import { schemaKeys } from "../token/yaml-config.ts";
import { ISSUER_ALGORITHMS, type IssuerConfig } from "../vault/issuer-keys.ts";
import { LONGEST_REQUEST_BYTES, MAX_REQUEST_BYTES } from "../wire/limits.ts";
import type { BrowserOrigins } from "./cross-origin.ts";

export interface Listen {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface ServiceLimits {
  readonly bodyBytes: number;
  readonly headerBytes: number;
  readonly requestsPerSecondPerAddress: number;
  readonly burst: number;
  /** Vault requests that are worked on at once. */
  readonly concurrency: number;
  readonly connections: number;
  /** For a request to arrive in full. */
  readonly requestTimeoutMs: number;
}

/** One site's service; paths are absolute. */
export interface ServiceConfig {
  readonly fleet: string;
  readonly site: string;
  readonly listen: Listen;
  readonly operations?: Listen | undefined;
  readonly token: {
    readonly uri: string;
    readonly profile: string;
    readonly workers: number;
    readonly queueLimit: number;
    readonly deadlineMs: number;
  };
  readonly store: StoreConfig;
  /** Where the site's guard is kept: a directory of its own; in fleets whose threshold is above 1. */
  readonly guard?: { readonly path: string } | undefined;
  /** Where this site reaches others, where that is not the manifest's URL. */
  readonly peers: Readonly<Record<string, string>>;
  readonly manifest: string;
  /** Directory of the validation bundles that clients are given, `<epoch>.json`. */
  readonly bundles?: string | undefined;
  /** What those are verified with. */
  readonly pins?: string | undefined;
  readonly policy: {
    readonly maxAttempts: number;
    readonly evaluationBurst: number;
    readonly evaluationsPerDay: number;
  };
  readonly issuers: readonly IssuerConfig[];
  readonly limits: ServiceLimits;
  /** Whose X-Forwarded-For is believed: nobody's, that of so many hops, or that of these addresses. */
  readonly trustProxy: false | number | readonly string[];
  /** Whose pages may use the vault in a browser. */
  readonly browserOrigins: BrowserOrigins;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error" };
  readonly drain: {
    /** How long /readyz is red before the site stops accepting. */
    readonly noticeMs: number;
    /** How long requests that have been accepted may take to finish. */
    readonly deadlineMs: number;
  };
}

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "not a name");
const path = z.string().min(1).max(4096);
const whole = (min: number, max: number, unit: string): z.ZodNumber =>
  z.number().int().min(min).max(max).describe(`write a whole number of ${unit} from ${min} to ${max}`);

const listen = z
  .strictObject({
    host: z
      .string()
      .min(1)
      .max(253)
      .default("127.0.0.1")
      .describe("write an address of this machine, e.g. 127.0.0.1"),
    port: z.number().int().min(0).max(65_535).describe("write a TCP port, e.g. 8440; 0 takes any free one"),
  })
  .describe("write a host and a port, e.g. {host: 127.0.0.1, port: 8440}");

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];
const keysUrl = z.string().superRefine((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const secure = url?.protocol === "https:";
  if (secure || (url?.protocol === "http:" && LOOPBACK.includes(url.hostname))) return;
  context.addIssue({ code: "custom", message: "not an https: URL" });
});

const siteUrl = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && ["http:", "https:"].includes(url.protocol) && url.search + url.hash === "";
}, "not an http: or https: URL");

const issuer = z
  .strictObject({
    issuer: z.string().min(1).max(512).describe("write the iss claim of the app's tokens"),
    tenant: name.describe("write a short name of the app: lower-case letters, digits and hyphens"),
    jwksFile: path.optional().describe("write the path of the issuer's public keys (JWKS)"),
    jwksUrl: keysUrl.optional().describe("write the https: URL of the issuer's public keys (JWKS)"),
    algorithms: z
      .array(z.enum(ISSUER_ALGORITHMS))
      .min(1)
      .max(ISSUER_ALGORITHMS.length)
      .describe(`write those that the issuer signs with: ${ISSUER_ALGORITHMS.join(", ")}`),
  })
  .refine((value) => (value.jwksFile === undefined) !== (value.jwksUrl === undefined), {
    message: "needs exactly one of jwksFile and jwksUrl",
  })
  .describe("say where the issuer's public keys are");

const PROXY_RANGES = ["loopback", "linklocal", "uniquelocal"];
function isAddressRange(text: string): boolean {
  if (PROXY_RANGES.includes(text)) return true;
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** As a browser writes it, for it is compared as it is; apps in a web view have schemes of their own. */
function isOrigin(text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.:[\]-]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, origin } = new URL(text);
  return !["https:", "http:"].includes(protocol) || origin === text;
}

/** The whole file. Private to the service: everything else sees {@link ServiceConfig}. */
const schema = z.strictObject({
  fleet: name.describe("write the fleet's name: lower-case letters, digits and hyphens"),
  site: name.describe("write the site's name as in the manifest"),
  listen,
  operations: listen.optional(),
  token: z
    .strictObject({
      uri: configuredUri.describe(
        "write e.g. pkcs11:token=site-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/strongroom/pin",
      ),
      profile: path.describe("write the name of a file in hsm-config/profiles, e.g. softhsm2, or a path"),
      workers: whole(1, 64, "processes").default(1),
      queueLimit: whole(1, 65_536, "waiting calls").default(256),
      deadlineMs: whole(100, 60_000, "milliseconds").default(5_000),
    })
    .describe("say which token holds the site's keys"),
  store: storeSchema,
  guard: z
    .strictObject({ path: path.describe("write a directory on a local disk, not the store's") })
    .optional()
    .describe("say where the site's guard is kept, e.g. {path: ./guard}"),
  peers: z
    .record(name, siteUrl)
    .default({})
    .describe("write site: URL for each site that is reached elsewhere than the manifest says"),
  manifest: path.describe("write the path of the fleet's manifest"),
  bundles: path
    .optional()
    .describe("write the directory that `strongroom bundle fetch` fills, e.g. ./bundles, and pins beside it"),
  pins: path.optional().describe("write the pins file that the bundles are verified with, e.g. ./pins.json"),
  policy: z
    .strictObject({
      maxAttempts: whole(1, 100, "wrong codes").default(10),
      evaluationBurst: whole(1, 1_000, "evaluations").default(30),
      evaluationsPerDay: whole(1, 10_000, "evaluations").default(30),
    })
    .prefault({}),
  issuers: z
    .array(issuer)
    .min(1)
    .max(256)
    .refine((all) => new Set(all.map((one) => one.issuer)).size === all.length, "an issuer occurs twice")
    .describe("list every app whose tokens are accepted, once"),
  limits: z
    .strictObject({
      bodyBytes: whole(LONGEST_REQUEST_BYTES, MAX_REQUEST_BYTES, "bytes").default(MAX_REQUEST_BYTES),
      headerBytes: whole(2_048, 65_536, "bytes").default(8_192),
      requestsPerSecondPerAddress: z
        .number()
        .min(0.1)
        .max(1e6)
        .default(50)
        .describe("write a number from 0.1 to 1000000"),
      burst: whole(1, 1_000_000, "requests").default(200),
      concurrency: whole(1, 65_536, "requests").default(256),
      connections: whole(1, 1_000_000, "connections").default(4_096),
      requestTimeoutMs: whole(500, 120_000, "milliseconds").default(10_000),
    })
    .prefault({}),
  trustProxy: z
    .union([
      z.literal(false),
      z.number().int().min(1).max(10),
      z.array(z.string().refine(isAddressRange)).min(1),
    ])
    .default(false)
    .describe("write false, the number of proxies in front, or a list of their addresses"),
  browserOrigins: z
    .union([z.literal("*"), z.array(z.string().max(253).refine(isOrigin)).max(256)])
    .default("*")
    .describe('write "*", or a list of origins: scheme, host and port, e.g. ["https://app.example"]'),
  log: z
    .strictObject({
      level: z
        .enum(["debug", "info", "warn", "error"])
        .default("info")
        .describe("write debug, info, warn or error"),
    })
    .prefault({}),
  drain: z
    .strictObject({
      noticeMs: whole(0, 120_000, "milliseconds").default(500),
      deadlineMs: whole(0, 600_000, "milliseconds").default(10_000),
    })
    .prefault({}),
});

/** The same, for those who read a file by it. */
export const serviceSchema: z.ZodType<ServiceConfig> = schema;

/** Every key that can be written. For the test that all are documented. */
export function configKeys(): readonly string[] {
  return schemaKeys(serviceSchema);
}
