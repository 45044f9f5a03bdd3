/**
 * Where an issuer's public keys come from: a JWKS file that is read again when it changes, or a URL that is
 * fetched again when it grows old. A source that cannot be read is `unavailable`: the account may be in order,
 * we just cannot tell.
 */
import { readFile, stat } from "node:fs/promises";
import {
  type CryptoKey,
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWTHeaderParameters,
} from "jose";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";

export const ISSUER_ALGORITHMS = ["EdDSA", "ES256", "RS256"] as const;
/** Signatures only, and only these: `none` and HMAC with a public key are how JWTs are forged. */
export type IssuerAlgorithm = (typeof ISSUER_ALGORITHMS)[number];

/** An app that signs account tokens; exactly one of `jwksFile` and `jwksUrl`. */
export interface IssuerConfig {
  /** The `iss` claim, compared byte for byte. */
  readonly issuer: string;
  /** Names the app in account ids. Two issuers with one tenant speak for the same accounts. */
  readonly tenant: string;
  readonly jwksFile?: string | undefined;
  readonly jwksUrl?: string | undefined;
  readonly algorithms: readonly IssuerAlgorithm[];
}

export interface IssuerKeys {
  /** Changes when the keys do: what was verified under an older version is verified again. */
  version(): Promise<number>;
  /** @throws unauthorized for a key that does not exist, unavailable where that cannot be known */
  find(header: JWTHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>;
}

/** A file is looked at this often at most, and a revoked key lives that long (milliseconds). */
const FILE_CHECK_MS = 1_000;
/** Keys from a URL are fetched again in the background at half this age and not used beyond it. */
const URL_MAX_AGE_MS = 30_000;
/** A made-up key id makes us ask the issuer at most this often. */
const URL_COOLDOWN_MS = 10_000;
const URL_TIMEOUT_MS = 3_000;
/** An issuer that is down is asked again at most this often. */
const URL_RETRY_MS = 1_000;
const MIN_RSA_BITS = 2048;

type FindKey = (header: JWTHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

/** Tells "there is no such key" from "we could not look". */
async function classify<T>(source: string, lookup: Promise<T>): Promise<T> {
  try {
    return await lookup;
  } catch (cause) {
    if (
      cause instanceof errors.JWKSNoMatchingKey ||
      cause instanceof errors.JWKSMultipleMatchingKeys ||
      cause instanceof errors.JOSENotSupported
    )
      throw new StrongroomError("unauthorized", `no key of the issuer fits the token (${cause.code})`);
    throw new StrongroomError("unavailable", `the issuer's keys at ${source} cannot be read`, { cause });
  }
}

/**
 * The public keys in a JWKS document.
 *
 * @throws config-invalid for anything that is not a set of public signature keys of sufficient strength
 */
function parseJwks(text: string, source: string): JSONWebKeySet {
  const refuse = (problem: string, hint: string): never => {
    throw new StrongroomError("config-invalid", `${source}: ${problem}`, { hint });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("not JSON", 'the file holds a JSON Web Key Set: {"keys": [...]}');
  }
  const keys = typeof value === "object" && value !== null && "keys" in value ? value.keys : undefined;
  if (!Array.isArray(keys) || keys.length === 0)
    return refuse("no keys", 'the file holds a JSON Web Key Set: {"keys": [...]}');
  const set: JSONWebKeySet = { keys };
  set.keys.forEach((key, index) => {
    if (typeof key !== "object" || key === null || typeof key.kty !== "string")
      refuse(`keys[${index}] is not a JSON Web Key`, "see RFC 7517 §4");
    if ("d" in key || key.kty === "oct")
      refuse(`keys[${index}] is a secret`, "keep private keys with the issuer; put only public keys here");
    if (key.kty === "RSA" && (typeof key.n !== "string" || rsaBits(key.n) < MIN_RSA_BITS))
      refuse(`keys[${index}] has fewer than ${MIN_RSA_BITS} bits`, "make a longer RSA key, or use EdDSA");
  });
  return set;
}

function rsaBits(modulus: string): number {
  const bytes = Buffer.from(modulus, "base64url");
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first - 1) * 8 + (32 - Math.clz32(bytes[first] ?? 0));
}

/** Reads and checks a JWKS file. @throws config-invalid */
export async function readJwksFile(path: string): Promise<JSONWebKeySet> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new StrongroomError("config-invalid", `${path} cannot be read`, {
      cause,
      hint: "name a readable JWKS file of the issuer in jwksFile",
    });
  });
  return parseJwks(text, path);
}

function fileKeys(path: string): IssuerKeys {
  let version = 0;
  let seen = "";
  let checkedAt = Number.NEGATIVE_INFINITY;
  let find: FindKey | undefined;
  let failure: unknown;
  let checking: Promise<void> | undefined;

  const check = async (): Promise<void> => {
    try {
      const { mtimeNs, ctimeNs, size, ino } = await stat(path, { bigint: true });
      const now = `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
      if (now === seen && find) return;
      // No keys in force while they change: a file that is half written must not keep a revoked key alive.
      find = undefined;
      version++;
      find = createLocalJWKSet(await readJwksFile(path));
      seen = now;
    } catch (cause) {
      find = undefined;
      failure = cause;
      version++;
    }
  };
  const refresh = async (): Promise<void> => {
    if (performance.now() - checkedAt < FILE_CHECK_MS && !checking) return;
    checking ??= check().finally(() => {
      checkedAt = performance.now();
      checking = undefined;
    });
    await checking;
  };
  return {
    async version() {
      await refresh();
      return version;
    },
    async find(header, token) {
      await refresh();
      return classify(path, find ? find(header, token) : Promise.reject(failure));
    },
  };
}

function urlKeys(url: string): IssuerKeys {
  const set = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: URL_MAX_AGE_MS,
    cooldownDuration: URL_COOLDOWN_MS,
    timeoutDuration: URL_TIMEOUT_MS,
  });
  let refreshAt = 0;
  let failedAt = Number.NEGATIVE_INFINITY;
  return {
    // What a removed key signed stops with the age of the keys and of the verified tokens (account-token.ts).
    version: async () => 0,
    async find(header, token) {
      const now = performance.now();
      if (!set.fresh && now - failedAt < URL_RETRY_MS)
        throw new StrongroomError("unavailable", `the issuer's keys at ${url} could not be read just now`);
      if (now >= refreshAt) {
        // Failure shows when the keys have grown too old; until then they serve.
        if (set.fresh) set.reload().catch(() => undefined);
        refreshAt = now + URL_MAX_AGE_MS / 2;
      }
      try {
        return await classify(url, set(header, token));
      } catch (error) {
        if (isStrongroomError(error, "unavailable")) failedAt = performance.now();
        throw error;
      }
    },
  };
}

/** The keys of one issuer. Nothing is read before it is needed. */
export function openIssuerKeys(issuer: IssuerConfig): IssuerKeys {
  if (issuer.jwksFile !== undefined) return fileKeys(issuer.jwksFile);
  if (issuer.jwksUrl !== undefined) return urlKeys(issuer.jwksUrl);
  throw new StrongroomError("config-invalid", `issuer ${issuer.issuer} has no keys`, {
    hint: "give it a jwksFile or a jwksUrl",
  });
}
