/**
 * The fleet manifest: the public keys and roles of a fleet (design §2, §3). JSON, hashed and pinned by its
 * exact bytes and never by a re-serialisation.
 */
import * as z from "zod";
import { StrongroomError } from "../base/errors.ts";
import { encodeJson, parseJson } from "./json.ts";

export type ManifestRole = "identity" | "session" | "ake";

export interface ManifestKey {
  /** First 8 bytes of SHA-256 over the uncompressed point, hex. */
  readonly kid: string;
  readonly role: ManifestRole;
  /** The site whose key it is; absent for keys of the whole fleet. */
  readonly site?: string | undefined;
  readonly algorithm: "P-256";
  /** Uncompressed SEC1 point, 65 bytes, hex. */
  readonly publicKey: string;
}

export interface ManifestSite {
  readonly name: string;
  /** Where clients reach it, e.g. `https://site-a.example`. */
  readonly url: string;
  readonly tokenSerial: string;
  /** It has left the fleet: its place stays, so that the others keep their numbers, but nobody has its keys. */
  readonly retired?: true | undefined;
}

export interface Manifest {
  readonly type: "strongroom/fleet-manifest/v1";
  readonly fleet: string;
  /** SHA-256 (hex) of the manifest that this one takes the place of: a site was replaced or retired. */
  readonly predecessor?: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly policy: { readonly threshold: number; readonly maxAttempts: number };
  readonly sites: readonly ManifestSite[];
  readonly keys: readonly ManifestKey[];
}

/** How many sites a fleet may have: an even number would bear no more failures than one site less. */
export const FLEET_SIZES: readonly number[] = [1, 3, 5, 7];

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and hyphens");

const shape = z.strictObject({
  type: z.literal("strongroom/fleet-manifest/v1"),
  fleet: name,
  predecessor: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  createdAt: z.number().int().nonnegative().safe(),
  policy: z.strictObject({
    threshold: z.number().int().min(1).max(7),
    maxAttempts: z.number().int().min(1).max(100),
  }),
  sites: z
    .array(
      z.strictObject({
        name,
        url: z.url(),
        tokenSerial: z.string().max(64),
        retired: z.literal(true).optional(),
      }),
    )
    .min(1)
    .max(7),
  keys: z
    .array(
      z.strictObject({
        kid: z.string().regex(/^[0-9a-f]{16}$/),
        role: z.enum(["identity", "session", "ake"]),
        site: name.optional(),
        algorithm: z.literal("P-256"),
        publicKey: z.string().regex(/^04[0-9a-f]{128}$/),
      }),
    )
    .min(3)
    .max(64),
});

const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;

/** What a fleet is made of, beyond the types of its fields: each site once, and each key that it needs once. */
export const manifestSchema: z.ZodType<Manifest> = shape.superRefine(({ sites, keys, policy }, context) => {
  const require = (holds: boolean, path: string[], message: string): void => {
    if (!holds) context.addIssue({ code: "custom", path, message });
  };
  require(FLEET_SIZES.includes(sites.length), ["sites"], `a fleet has ${FLEET_SIZES.join(", ")} sites`);
  require(policy.threshold <= Math.floor(sites.length / 2) + 1, [
    "policy",
    "threshold",
  ], "more than a majority of the sites");
  require(distinct(sites.map((site) => site.name)), ["sites"], "two sites have one name");
  require(distinct(sites.map((site) => site.url)), ["sites"], "two sites have one url");
  const serving = sites.filter(({ retired }) => !retired);
  require(serving.length >= policy.threshold, ["sites"], "fewer sites serve than an evaluation needs");
  const wanted = [
    ...serving.flatMap((site) => [`identity of ${site.name}`, `session of ${site.name}`]),
    "ake of the fleet",
  ];
  const present = keys.map(({ role, site }) => `${role} of ${site ?? "the fleet"}`);
  for (const key of wanted) require(present.includes(key), ["keys"], `no key ${key}`);
  require(present.length === wanted.length, ["keys"], "a key twice, or of nobody in the fleet");
  require(distinct(keys.map(({ publicKey }) => publicKey)), ["keys"], "one public key twice");
});

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeJson(manifest);
}

/** @throws manifest-invalid */
export function decodeManifest(bytes: Uint8Array): Manifest {
  return parseJson(bytes, { what: "manifest", schema: manifestSchema, code: "manifest-invalid" });
}

/** The sites that have not been retired, with their places among all. */
export function servingSites({ sites }: Manifest): readonly (ManifestSite & { readonly index: number })[] {
  return sites.map((site, index) => ({ ...site, index })).filter(({ retired }) => !retired);
}

/** The key of a role (and site, for keys of one site). @throws manifest-invalid */
export function manifestKey(manifest: Manifest, role: ManifestRole, site?: string): ManifestKey {
  const key = manifest.keys.find((candidate) => candidate.role === role && candidate.site === site);
  if (key) return key;
  throw new StrongroomError(
    "manifest-invalid",
    `the manifest has no ${role} key${site ? ` of ${site}` : ""}`,
  );
}
