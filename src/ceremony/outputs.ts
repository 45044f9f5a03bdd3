/**
 * What each action of a ceremony leaves in its statement, as types and as what is accepted from a file. All bytes are
 * lower-case hex, all sizes are bounded: a statement comes from another place and may have been made by anybody.
 */
import { z } from "zod";
import type { ActionName } from "./steps.ts";

const MAX_TEXT = 1000;
/** A token with more objects than that is not one of a ceremony. */
const MAX_ITEMS = 500;
const MAX_MEMBERS = 32;

const text = z.string().max(MAX_TEXT);
const label = z.string().max(200);
const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const keyName = z.string().regex(/^[a-z][a-z-]{0,30}(?:\.[0-9]{1,2})?$/);
const hexOf = (bytes: number): z.ZodType<string> => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const hexUpTo = (bytes: number): z.ZodType<string> =>
  z.string().regex(new RegExp(`^(?:[0-9a-f]{2}){1,${bytes}}$`));
const digest = hexOf(32);
const point = z.string().regex(/^04[0-9a-f]{128}$/);

const memberKey = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}\/(?:session|ake)$/);

/** One object of a token, without anything secret. */
export interface InventoryItem {
  readonly label: string;
  /** `private key`, `public key`, `secret key`, `certificate`, `data`, or a number. */
  readonly class: string;
  readonly keyType?: string | undefined;
  /** CKA_ID, hex. */
  readonly id?: string | undefined;
}
const inventory: z.ZodType<readonly InventoryItem[]> = z
  .array(
    z.strictObject({
      label,
      class: z.string().max(32),
      keyType: z.string().max(32).optional(),
      id: hexUpTo(64).optional(),
    }),
  )
  .max(MAX_ITEMS);

/** A fingerprint that a person read at one station and typed at another. */
export interface Comparison {
  readonly member: string;
  readonly words: string;
  readonly by: string;
}
const compared: z.ZodType<readonly Comparison[]> = z
  .array(z.strictObject({ member: name, words: text, by: text }))
  .max(MAX_MEMBERS);

/** KeyPackage of src/keys/travel.ts with its bytes in hex. */
export interface PackageText {
  readonly fleet: string;
  readonly key: string;
  readonly to: string;
  readonly oaepHash: "sha1" | "sha256" | "sha384" | "sha512";
  readonly oaep: string;
  readonly carried?:
    | {
        readonly format: "rfc5649" | "pkcs7-rfc3394" | "vendor";
        readonly wrapped: string;
        readonly publicKey: string;
      }
    | undefined;
  readonly nonce: string;
  readonly proof: string;
}

const OAEP_HASH = z.enum(["sha1", "sha256", "sha384", "sha512"]);

const proofs = z.array(z.strictObject({ key: keyName, proof: digest })).max(MAX_ITEMS);
const keys = z.array(keyName).max(MAX_ITEMS);
const labels = z.array(label).max(MAX_ITEMS);
const refusals = z
  .array(
    z.strictObject({
      key: keyName,
      wrap: text,
      reveal: text,
      reopen: text,
      extend: text,
      copy: text,
    }),
  )
  .max(MAX_ITEMS);

export interface ProofText {
  readonly key: string;
  /** 32 bytes. */
  readonly proof: string;
}

/** The attributes of one object as they were read back; bytes in hex. */
export interface PartText {
  readonly class: string;
  readonly attributes: Readonly<Record<string, boolean | number | string>>;
}

export interface ActionOutputs {
  readonly open: {
    readonly tool: { readonly release: string; readonly digest: string };
    readonly module: {
      /** Of the library's file. */
      readonly sha256: string;
      readonly manufacturer: string;
      readonly description: string;
      readonly version: string;
    };
    readonly token: {
      readonly label: string;
      readonly manufacturer: string;
      readonly model: string;
      readonly serial: string;
      readonly firmware: string;
    };
    readonly profile: string;
    /** A known software module. */
    readonly software: boolean;
    /** Opaque: what the vendor's tool gave, under `attachments/`. */
    readonly attestation?:
      | { readonly format: string; readonly file: string; readonly sha256: string }
      | undefined;
  };
  readonly initialise: {
    readonly state: "created" | "erased" | "completed" | "present";
    readonly label: string;
    readonly serial: string;
  };
  readonly "make-root": { readonly publicKey: string; readonly certificate: string };
  readonly "make-site-keys": {
    readonly identity: string;
    readonly session: string;
    readonly before: readonly InventoryItem[];
    readonly after: readonly InventoryItem[];
  };
  readonly certify: {
    readonly certificates: Readonly<Record<string, string>>;
    readonly compared: readonly Comparison[];
  };
  readonly "make-transport": {
    readonly transport: {
      readonly modulus: string;
      readonly exponent: string;
      readonly hashes: readonly ("sha1" | "sha256" | "sha384" | "sha512")[];
    };
  };
  readonly trust: {
    readonly trusted: readonly { readonly site: string; readonly fingerprint: string }[];
    readonly carriers: readonly string[];
    readonly compared: readonly Comparison[];
  };
  readonly "make-originals": { readonly keys: readonly string[] };
  readonly export: { readonly packages: readonly PackageText[] };
  readonly import: { readonly keys: readonly string[] };
  readonly challenge: {
    readonly nonce: string;
    /** Words that a witness gave when all had imported; empty where there was none. */
    readonly witness: string;
    /** By `<member>/session` and `<member>/ake`. */
    readonly points: Readonly<Record<string, string>>;
    /** SHA-256 of the scalar of each point. */
    readonly commitments: Readonly<Record<string, string>>;
  };
  readonly prove: {
    readonly keys: readonly ProofText[];
    readonly originals: readonly ProofText[];
    /** x(key · point), 32 bytes. */
    readonly possession: { readonly session: string; readonly ake: string };
  };
  readonly compare: {
    readonly equal: readonly { readonly key: string; readonly holders: readonly string[] }[];
    /** Told only now: anybody can check x = x(scalar · public key). */
    readonly scalars: Readonly<Record<string, string>>;
  };
  readonly "destroy-originals": { readonly destroyed: readonly string[] };
  readonly "remove-transport": { readonly removed: readonly string[] };
  readonly "remove-trusted": { readonly removed: readonly string[] };
  readonly verify: {
    readonly keys: readonly {
      readonly name: string;
      readonly label: string;
      readonly parts: readonly PartText[];
    }[];
    readonly refusals: readonly {
      readonly key: string;
      readonly wrap: string;
      readonly reveal: string;
      readonly reopen: string;
      readonly extend: string;
      readonly copy: string;
    }[];
    readonly inventory: readonly InventoryItem[];
    readonly publicKeys: { readonly identity: string; readonly session: string; readonly ake: string };
  };
  readonly "seal-credentials":
    | { readonly soPin: "destroyed" }
    | {
        readonly soPin: "split";
        readonly quorum: number;
        /** SHA-256 of salt and PIN. */
        readonly commitment: string;
        readonly salt: string;
        readonly shares: readonly { readonly custodian: string; readonly sha256: string }[];
      };
  readonly "destroy-keys": {
    readonly destroyed: readonly string[];
    readonly inventory: readonly InventoryItem[];
  };
  readonly manifest: { readonly sha256: string };
  readonly close: Readonly<Record<string, never>>;
}

const attributeValue = z.union([z.boolean(), z.number(), z.string().max(2000)]);

/** What is accepted, by action. */
export const OUTPUT_SCHEMAS: { readonly [A in ActionName]: z.ZodType<ActionOutputs[A]> } = {
  open: z.strictObject({
    tool: z.strictObject({ release: text, digest }),
    module: z.strictObject({ sha256: digest, manufacturer: text, description: text, version: text }),
    token: z.strictObject({ label, manufacturer: text, model: text, serial: text, firmware: text }),
    profile: text,
    software: z.boolean(),
    attestation: z.strictObject({ format: text, file: text, sha256: digest }).optional(),
  }),
  initialise: z.strictObject({
    state: z.enum(["created", "erased", "completed", "present"]),
    label,
    serial: text,
  }),
  "make-root": z.strictObject({ publicKey: point, certificate: hexUpTo(4000) }),
  "make-site-keys": z.strictObject({ identity: point, session: point, before: inventory, after: inventory }),
  certify: z.strictObject({ certificates: z.record(name, hexUpTo(4000)), compared }),
  "make-transport": z.strictObject({
    transport: z.strictObject({
      modulus: hexOf(384),
      exponent: hexUpTo(8),
      hashes: z.array(OAEP_HASH).min(1).max(4),
    }),
  }),
  trust: z.strictObject({
    trusted: z.array(z.strictObject({ site: name, fingerprint: digest })).max(MAX_MEMBERS),
    carriers: z.array(name).max(MAX_MEMBERS),
    compared,
  }),
  "make-originals": z.strictObject({ keys }),
  export: z.strictObject({
    packages: z
      .array(
        z.strictObject({
          fleet: name,
          key: keyName,
          to: name,
          oaepHash: OAEP_HASH,
          oaep: hexUpTo(1024),
          carried: z
            .strictObject({
              format: z.enum(["rfc5649", "pkcs7-rfc3394", "vendor"]),
              wrapped: hexUpTo(1024),
              publicKey: point,
            })
            .optional(),
          nonce: digest,
          proof: digest,
        }),
      )
      .max(2000),
  }),
  import: z.strictObject({ keys }),
  challenge: z.strictObject({
    nonce: digest,
    witness: text,
    points: z.record(memberKey, point),
    commitments: z.record(memberKey, digest),
  }),
  prove: z.strictObject({
    keys: proofs,
    originals: proofs,
    possession: z.strictObject({ session: digest, ake: digest }),
  }),
  compare: z.strictObject({
    equal: z.array(z.strictObject({ key: keyName, holders: z.array(name).max(MAX_MEMBERS) })).max(MAX_ITEMS),
    scalars: z.record(memberKey, digest),
  }),
  "destroy-originals": z.strictObject({ destroyed: labels }),
  "remove-transport": z.strictObject({ removed: labels }),
  "remove-trusted": z.strictObject({ removed: labels }),
  verify: z.strictObject({
    keys: z
      .array(
        z.strictObject({
          name: keyName,
          label,
          parts: z
            .array(
              z.strictObject({
                class: z.string().max(32),
                attributes: z.record(z.string().regex(/^[A-Z][A-Z_]{1,40}$/), attributeValue),
              }),
            )
            .max(2),
        }),
      )
      .max(MAX_ITEMS),
    refusals,
    inventory,
    publicKeys: z.strictObject({ identity: point, session: point, ake: point }),
  }),
  "seal-credentials": z.union([
    z.strictObject({ soPin: z.literal("destroyed") }),
    z.strictObject({
      soPin: z.literal("split"),
      quorum: z.number().int().min(2).max(MAX_MEMBERS),
      commitment: digest,
      salt: digest,
      shares: z.array(z.strictObject({ custodian: text, sha256: digest })).max(MAX_MEMBERS),
    }),
  ]),
  "destroy-keys": z.strictObject({ destroyed: labels, inventory }),
  manifest: z.strictObject({ sha256: digest }),
  close: z.strictObject({}),
};
