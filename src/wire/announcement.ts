/**
 * The announcement: what one epoch of the audit log says about all fleets of an operator (design §10). JSON; auditor and
 * operator sign the SHA-256 of its exact bytes, never of a re-serialisation. It names the digest of the announcement
 * before it, so that the chain can be followed and no digest comes twice.
 */
import * as z from "zod";
import { encodeJson, parseJson } from "./json.ts";
import { type Manifest, manifestSchema } from "./manifest.ts";

/** active: new registrations go there. draining: recoveries only, clients move on. revoked: never to be used again. */
export type FleetStatus = "active" | "draining" | "revoked";

export interface AnnouncedFleet {
  readonly status: FleetStatus;
  readonly manifest: Manifest;
  /** SHA-256 (hex) of the manifest's own file, as the ceremony published it and its sites serve it. */
  readonly manifestSha256: string;
  /** SHA-256 (hex) of what the officers signed of the ceremony's evidence (`strongroom evidence build` prints it). */
  readonly evidenceSha256?: string | undefined;
}

/** Keys that clients trust from this epoch on: a rotation is an epoch that lists old and new ones, then one without the old. */
export interface AnnouncedKeys {
  /** Ed25519, 32 bytes, hex. */
  readonly auditors: readonly string[];
  /** Countersign keys: uncompressed P-256 points, 65 bytes, hex. */
  readonly operators: readonly string[];
  /** C2SP vkeys of the log: its origin, and its checkpoint keys. */
  readonly logs: readonly string[];
}

export interface Announcement {
  readonly type: "strongroom/announcement/v1";
  readonly namespace: string;
  /** From 1, without gaps. */
  readonly epoch: number;
  /** SHA-256 (hex) of the announcement of epoch − 1; absent in the first. */
  readonly previous?: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  /** Milliseconds since the Unix epoch; from then on nobody takes it for the newest. */
  readonly validUntil: number;
  readonly keys: AnnouncedKeys;
  readonly fleets: readonly AnnouncedFleet[];
}

export const MAX_ANNOUNCEMENT_BYTES: number = 512 * 1024;
export const NAMESPACE_PATTERN: RegExp = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const MAX_FLEETS = 16;
const MAX_KEYS = 8;

export const sha256Hex: z.ZodType<string> = z.string().regex(/^[0-9a-f]{64}$/);
const milliseconds = z.number().int().nonnegative().safe();
const keys = (pattern: RegExp): z.ZodType<readonly string[]> =>
  z
    .array(z.string().max(256).regex(pattern))
    .min(1)
    .max(MAX_KEYS)
    .refine((all) => new Set(all).size === all.length, "a key twice");

export const announcedKeysSchema: z.ZodType<AnnouncedKeys> = z.strictObject({
  auditors: keys(/^[0-9a-f]{64}$/),
  operators: keys(/^04[0-9a-f]{128}$/),
  logs: keys(/^[^\s+]{1,160}\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/),
});

const schema: z.ZodType<Announcement> = z
  .strictObject({
    type: z.literal("strongroom/announcement/v1"),
    namespace: z.string().regex(NAMESPACE_PATTERN),
    epoch: z.number().int().min(1).safe(),
    previous: sha256Hex.optional(),
    createdAt: milliseconds,
    validUntil: milliseconds,
    keys: announcedKeysSchema,
    fleets: z
      .array(
        z.strictObject({
          status: z.enum(["active", "draining", "revoked"]),
          manifest: manifestSchema,
          manifestSha256: sha256Hex,
          evidenceSha256: sha256Hex.optional(),
        }),
      )
      .min(1)
      .max(MAX_FLEETS),
  })
  .superRefine(({ epoch, previous, createdAt, validUntil, fleets }, context) => {
    const require = (holds: boolean, path: string, message: string): void => {
      if (!holds) context.addIssue({ code: "custom", path: [path], message });
    };
    require((epoch === 1) ===
      (previous === undefined), "previous", "every epoch but the first names the one before");
    require(validUntil > createdAt, "validUntil", "ends before it begins");
    require(fleets.filter(({ status }) => status === "active").length <=
      1, "fleets", "two fleets are active");
    const names = fleets.map(({ manifest }) => manifest.fleet);
    require(new Set(names).size === names.length, "fleets", "one fleet twice");
  });

export function encodeAnnouncement(announcement: Announcement): Uint8Array {
  return encodeJson(announcement);
}

/** @throws decode-failed */
export function decodeAnnouncement(bytes: Uint8Array): Announcement {
  return parseJson(bytes, {
    what: "announcement",
    schema,
    code: "decode-failed",
    maxBytes: MAX_ANNOUNCEMENT_BYTES,
  });
}
