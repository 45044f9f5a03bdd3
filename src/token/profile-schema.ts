/** The form of a profile (profile.ts), checked. Errors name the file, the line and the fix. */
import { z } from "zod";
import { StrongroomError } from "../base/errors.ts";
import type { ExtraAttribute, Fact, KeyWrap, Known, Oaep, Profile } from "./profile.ts";
import { contentOf, locate, parseYaml } from "./yaml-source.ts";

const source = z.string().min(1).max(500);
const number32 = z.int().min(0).max(0xffffffff);
const hex = z.string().regex(/^(?:[0-9a-f]{2})+$/, "must be lower-case hex of whole bytes, in quotes");

function fact<T>(value: z.ZodType<T>): z.ZodType<Fact<T>> {
  const known: z.ZodType<Known<T>> = z.union([z.literal("unknown"), value]);
  return z
    .strictObject({ value: known, source, verified: z.boolean(), note: source.optional() })
    .refine((statement) => statement.value !== "unknown" || !statement.verified, {
      message: "an unknown fact cannot be verified",
      path: ["verified"],
    });
}

const keyWrap: z.ZodType<KeyWrap> = z.strictObject({
  mechanism: number32,
  format: z.enum(["rfc5649", "pkcs7-rfc3394", "vendor"]),
  parameter: hex.optional(),
});
const extraAttribute: z.ZodType<ExtraAttribute> = z.strictObject({ attribute: number32, value: hex });
const oaep: z.ZodType<Oaep> = z.strictObject({
  hashes: z.array(z.enum(["sha1", "sha256", "sha384", "sha512"])).min(1),
  wraps: z.enum(["secret", "any", "unknown"]),
});

const schema: z.ZodType<Profile> = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "must be lower-case letters, digits and hyphens"),
  device: z.string().min(1),
  usable: z
    .strictObject({
      value: z.union([z.literal("unknown"), z.boolean()]),
      source,
      verified: z.boolean(),
      note: source.optional(),
      reason: source.optional(),
    })
    .refine((usable) => usable.value !== false || usable.reason !== undefined, {
      message: "a device that is not usable needs a reason",
      path: ["reason"],
    }),
  modules: fact(z.array(z.string().startsWith("/", "must be an absolute path")).min(1)),
  needsLibraryParameters: fact(z.boolean()),
  login: fact(z.enum(["pin", "user-password", "protected-path"])),
  sessions: z.strictObject({ max: fact(z.int().min(1)), readWriteOnly: fact(z.boolean()) }),
  mechanisms: z.strictObject({
    ecKeygen: fact(number32),
    aesKeygen: fact(number32),
    genericKeygen: fact(number32),
    ecdh: fact(number32),
    hmac: fact(number32),
    ecdsa: fact(number32),
    keyWrap: fact(
      // A stored share says its mechanism and no more: two formats of one could not be told apart.
      z.array(keyWrap).refine((all) => new Set(all.map(({ mechanism }) => mechanism)).size === all.length, {
        message: "a mechanism is listed twice",
      }),
    ),
    oaep: fact(oaep),
  }),
  points: z.strictObject({ send: fact(z.enum(["raw", "der"])), read: fact(z.enum(["raw", "der"])) }),
  secretOut: fact(z.enum(["read", "wrap-out", "none"])),
  unwrap: z.strictObject({
    sessionObjects: fact(z.boolean()),
    omit: fact(z.array(number32)),
    extra: fact(z.array(extraAttribute)),
    sealAfter: fact(z.boolean()),
  }),
  attributes: z.strictObject({
    enforced: fact(z.boolean()),
    modifiable: fact(z.boolean()),
    copyable: fact(z.boolean()),
    seal: fact(z.boolean()),
    trusted: fact(z.enum(["so-create", "so-set", "none"])),
  }),
  ed25519: fact(z.boolean()),
  edwards: z.strictObject({ keygen: fact(number32), eddsa: fact(number32), params: fact(hex) }).optional(),
  quirks: z.array(fact(z.string().min(1))),
});

/** Of a union, the complaint of the member that came closest is the one a person can act on. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const nested = issue.errors.at(-1)?.[0];
  return nested ? innermost({ ...nested, path: [...issue.path, ...nested.path] }) : issue;
}

/**
 * Parses the text of a profile.
 * @param file what errors call it
 * @throws profile-invalid
 */
export function parseProfile(text: string, file: string): Profile {
  const source = parseYaml(text, file, "profile-invalid");
  const result = schema.safeParse(contentOf(source, "profile-invalid"));
  if (result.success) return result.data;
  const first = result.error.issues[0];
  const issue = first && innermost(first);
  const path = issue?.path ?? [];
  const where = path.map(String).join(".") || "profile";
  const missing = issue?.code === "invalid_type" && source.document.getIn(path) === undefined;
  const hint = missing
    ? `add ${where}; a fact is { value, source, verified }, and value may be unknown`
    : issue?.code === "unrecognized_keys"
      ? "remove it, or compare with hsm-config/profiles/softhsm2.yaml"
      : `correct ${where}; hsm-config/profiles/softhsm2.yaml shows every field`;
  throw new StrongroomError(
    "profile-invalid",
    `${locate(source, path)}: ${where}: ${missing ? "is missing" : (issue?.message ?? "invalid")}`,
    { hint },
  );
}
