/**
 * Token profiles: what is known of a device, as data (hsm-config/profiles/*.yaml). Every fact says where it
 * comes from and whether it was proved on the device; what nobody knows stays "unknown", and the doctor decides.
 */
import { fromHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

export type Known<T> = T | "unknown";

/** One statement about a device. */
export interface Fact<T> {
  readonly value: Known<T>;
  /** Who says so: a document, a header file, a run on the device. */
  readonly source: string;
  /** True only where `strongroom token doctor` (or a test here) has seen it on the device itself. */
  readonly verified: boolean;
  readonly note?: string | undefined;
}

/**
 * How a wrapped key looks, which is what the mechanism number does not say: 0x210A is RFC 5649 in one module
 * and PKCS#7 padding before RFC 3394 in another. vendor: a format of the device's own.
 */
export type WrapFormat = "rfc5649" | "pkcs7-rfc3394" | "vendor";

export interface KeyWrap {
  /** CKM number. */
  readonly mechanism: number;
  readonly format: WrapFormat;
  /** Mechanism parameter, hex; absent for none. */
  readonly parameter?: string | undefined;
}

/** An attribute that a template must have besides the usual ones. */
export interface ExtraAttribute {
  /** CKA number. */
  readonly attribute: number;
  /** Its value, hex. */
  readonly value: string;
}

export interface Oaep {
  readonly hashes: readonly ("sha1" | "sha256" | "sha384" | "sha512")[];
  /** What C_WrapKey takes under it. */
  readonly wraps: Known<"secret" | "any">;
}

/** pin: as it is. user-password: `name:password` in one string. protected-path: typed at the device. */
type LoginKind = "pin" | "user-password" | "protected-path";
export type PointEncoding = "raw" | "der";
/** read: C_GetAttributeValue gives x. wrap-out: derived extractable, wrapped to a host key. none: not at all. */
type SecretOut = "read" | "wrap-out" | "none";

export interface Profile {
  readonly name: string;
  /** Device and version that the facts are about. */
  readonly device: string;
  /** Can the vault run on it? `false` needs a reason; the tools then refuse the device. */
  readonly usable: Fact<boolean> & { readonly reason?: string | undefined };
  readonly modules: Fact<readonly string[]>;
  /** The module has no token without `x-library-parameters` in the URI. */
  readonly needsLibraryParameters: Fact<boolean>;
  readonly login: Fact<LoginKind>;
  readonly sessions: {
    /** Open at the same time, per process. */
    readonly max: Fact<number>;
    readonly readWriteOnly: Fact<boolean>;
  };
  /** CKM numbers. */
  readonly mechanisms: {
    readonly ecKeygen: Fact<number>;
    readonly aesKeygen: Fact<number>;
    readonly genericKeygen: Fact<number>;
    readonly ecdh: Fact<number>;
    readonly hmac: Fact<number>;
    readonly ecdsa: Fact<number>;
    /** In order of preference. */
    readonly keyWrap: Fact<readonly KeyWrap[]>;
    readonly oaep: Fact<Oaep>;
  };
  readonly points: {
    /** How the peer's point goes into CK_ECDH1_DERIVE_PARAMS. */
    readonly send: Fact<PointEncoding>;
    /** How CKA_EC_POINT comes out; both are read, this is what to expect. */
    readonly read: Fact<PointEncoding>;
  };
  readonly secretOut: Fact<SecretOut>;
  readonly unwrap: {
    /** Can an EC private key be unwrapped as a session object? */
    readonly sessionObjects: Fact<boolean>;
    /** CKA numbers that must not be in the template. */
    readonly omit: Fact<readonly number[]>;
    readonly extra: Fact<readonly ExtraAttribute[]>;
    /** SENSITIVE and EXTRACTABLE of the template are ignored and must be set again on the new object. */
    readonly sealAfter: Fact<boolean>;
  };
  readonly attributes: {
    /** EXTRACTABLE, WRAP_WITH_TRUSTED and the usage flags are enforced, not just stored. */
    readonly enforced: Fact<boolean>;
    /** CKA_MODIFIABLE=false is accepted and kept. */
    readonly modifiable: Fact<boolean>;
    /** CKA_COPYABLE=false is accepted and kept. */
    readonly copyable: Fact<boolean>;
    /** EXTRACTABLE can go from true to false on an existing key. */
    readonly seal: Fact<boolean>;
    /** Who can make a TRUSTED key: the security officer when creating it, or also later, or nobody. */
    readonly trusted: Fact<"so-create" | "so-set" | "none">;
  };
  readonly ed25519: Fact<boolean>;
  /** Where the device does Ed25519 otherwise than PKCS#11 3.1 has it. */
  readonly edwards?:
    | {
        /** CKM numbers. */
        readonly keygen: Fact<number>;
        readonly eddsa: Fact<number>;
        /** CKA_EC_PARAMS, hex: the object identifier or the curve's name. */
        readonly params: Fact<string>;
      }
    | undefined;
  /** Everything else that somebody who builds on the device must know. */
  readonly quirks: readonly Fact<string>[];
}

/** The facts that the driver acts on, unknown ones replaced by the standard's way of doing it. */
export interface DriverTraits {
  readonly modules: readonly string[];
  readonly needsLibraryParameters: boolean;
  readonly login: LoginKind;
  readonly maxSessions: number | undefined;
  readonly readWriteOnly: boolean;
  readonly mechanisms: {
    readonly ecKeygen: number;
    readonly aesKeygen: number;
    readonly genericKeygen: number;
    readonly ecdh: number;
    readonly hmac: number;
    readonly ecdsa: number;
    readonly edwardsKeygen: number;
    readonly eddsa: number;
  };
  /** CKA_EC_PARAMS of Ed25519. */
  readonly edwardsParams: Uint8Array;
  readonly keyWrap: readonly KeyWrap[];
  readonly pointSend: PointEncoding;
  readonly secretOut: SecretOut;
  readonly unwrapOmit: readonly number[];
  readonly unwrapExtra: readonly ExtraAttribute[];
  readonly sealAfterUnwrap: boolean;
  readonly modifiable: boolean;
  readonly copyable: boolean;
}

/** DER of 1.3.101.112 (RFC 8410); every module at hand that does Ed25519 takes it, and not all take the curve's name. */
const ED25519_OID = "06032b6570";

const known = <T>(fact: Fact<T>, otherwise: T): T => (fact.value === "unknown" ? otherwise : fact.value);

/**
 * Numbers are those of PKCS#11 2.40 and 3.0. A key wrap nobody knows of is tried as 3.0 defines it
 * (CKM_AES_KEY_WRAP_KWP, which is RFC 5649); the doctor's known-answer check says whether that holds.
 */
export function driverTraits(profile: Profile): DriverTraits {
  const { mechanisms, unwrap, attributes, edwards } = profile;
  return {
    modules: known(profile.modules, []),
    needsLibraryParameters: known(profile.needsLibraryParameters, false),
    login: known(profile.login, "pin"),
    maxSessions: profile.sessions.max.value === "unknown" ? undefined : profile.sessions.max.value,
    readWriteOnly: known(profile.sessions.readWriteOnly, false),
    mechanisms: {
      ecKeygen: known(mechanisms.ecKeygen, 0x1040),
      aesKeygen: known(mechanisms.aesKeygen, 0x1080),
      genericKeygen: known(mechanisms.genericKeygen, 0x0350),
      ecdh: known(mechanisms.ecdh, 0x1050),
      hmac: known(mechanisms.hmac, 0x0251),
      ecdsa: known(mechanisms.ecdsa, 0x1041),
      edwardsKeygen: edwards ? known(edwards.keygen, 0x1055) : 0x1055,
      eddsa: edwards ? known(edwards.eddsa, 0x1057) : 0x1057,
    },
    edwardsParams: fromHex(edwards ? known(edwards.params, ED25519_OID) : ED25519_OID),
    keyWrap: known(mechanisms.keyWrap, [{ mechanism: 0x210b, format: "rfc5649" }]),
    pointSend: known(profile.points.send, "raw"),
    secretOut: known(profile.secretOut, "read"),
    unwrapOmit: known(unwrap.omit, []),
    unwrapExtra: known(unwrap.extra, []),
    sealAfterUnwrap: known(unwrap.sealAfter, false),
    modifiable: known(attributes.modifiable, true),
    copyable: known(attributes.copyable, true),
  };
}

/** @throws token-unsuitable where the profile says that the vault cannot run on the device */
export function requireUsable(profile: Profile): void {
  if (profile.usable.value !== false) return;
  throw new StrongroomError(
    "token-unsuitable",
    `the vault cannot run on ${profile.device}: ${profile.usable.reason ?? "see its profile"}`,
    { hint: "use another device; `strongroom token doctor` shows what a token must be able to do" },
  );
}
