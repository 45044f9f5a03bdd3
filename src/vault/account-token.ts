/**
 * Account tokens: short-lived JWTs in which the app says who its user is and what may be done (design §6).
 *
 * Whoever can make such a token can spend the account's attempts, so the checks are narrow on purpose: only
 * signatures, only configured issuers, only this fleet, ten minutes at most. Why a token was refused is for the
 * log; the client learns `unauthorized` and nothing else.
 */
import { createHash } from "node:crypto";
import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { Clock } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { MAX_ACCOUNT_TOKEN_BYTES, MAX_ACCOUNT_TOKEN_LIFETIME_MS } from "../wire/limits.ts";
import type { Account } from "../wire/transcripts.ts";
import { type IssuerConfig, type IssuerKeys, openIssuerKeys } from "./issuer-keys.ts";

export type { IssuerAlgorithm, IssuerConfig } from "./issuer-keys.ts";
export type AccountScope = "register" | "recover" | "status" | "delete";

export interface AccountVerifier {
  /**
   * The account that the token speaks for.
   * @throws unauthorized, unavailable (the issuer's keys cannot be read now)
   */
  readonly verify: (token: string, scope: AccountScope) => Promise<Account>;
}

/** How far the issuer's clock may be off. */
const CLOCK_SKEW_SECONDS = 5;
const MAX_SUBJECT_LENGTH = 256;
/** The finish message of a recovery follows within seconds; a revoked key must not live on for longer. */
const REMEMBER_MS = 30_000;
const REMEMBERED_TOKENS = 10_000;

interface Verified {
  readonly account: Account;
  readonly scopes: ReadonlySet<string>;
  readonly keys: IssuerKeys;
  readonly version: number;
  /** Milliseconds since the Unix epoch. */
  readonly until: number;
}

interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: IssuerKeys;
}

function refused(reason: string, cause?: unknown): StrongroomError {
  return new StrongroomError("unauthorized", `account token refused: ${reason}`, { cause });
}

/** jose's own codes and claim names; never its messages, which may quote the token. */
function describe(cause: unknown): string {
  if (cause instanceof errors.JWTClaimValidationFailed) return `claim ${cause.claim} (${cause.reason})`;
  if (cause instanceof errors.JOSEError) return cause.code;
  return "the key cannot verify it";
}

/** Stray bits in the last character would give one signature several tokens, each new to whoever counts tokens. */
function isCanonical(part: string): boolean {
  return Buffer.from(part, "base64url").toString("base64url") === part;
}

/** Claims that jose does not bound. @throws unauthorized */
function checkClaims(payload: JWTPayload, now: number): { subject: string; expires: number } {
  const { sub, exp, iat } = payload;
  if (typeof exp !== "number" || !Number.isFinite(exp)) throw refused("claim exp");
  if (typeof iat !== "number" || !Number.isFinite(iat)) throw refused("claim iat");
  if (iat * 1000 > now + CLOCK_SKEW_SECONDS * 1000) throw refused("issued in the future");
  if ((exp - iat) * 1000 > MAX_ACCOUNT_TOKEN_LIFETIME_MS) throw refused("lives too long");
  // An unpaired surrogate has no UTF-8, and so no unambiguous record id.
  if (typeof sub !== "string" || sub === "" || sub.length > MAX_SUBJECT_LENGTH || /\p{Surrogate}/u.test(sub))
    throw refused("claim sub");
  return { subject: sub, expires: exp * 1000 };
}

/**
 * @param options.fleet   what `aud` must be, or contain
 * @param options.issuers every issuer once; anybody else is refused
 */
export function createAccountVerifier(options: {
  readonly fleet: string;
  readonly issuers: readonly IssuerConfig[];
  readonly clock: Clock;
}): AccountVerifier {
  const { fleet, clock } = options;
  const issuers = new Map<string, Issuer>(
    options.issuers.map((config) => [config.issuer, { config, keys: openIssuerKeys(config) }]),
  );
  /** Verified tokens by their hash, least recently used first. */
  const remembered = new Map<string, Verified>();

  function issuerOf(token: string): Issuer {
    if (!token.split(".").every(isCanonical)) throw refused("not canonical base64url");
    let iss: string | undefined;
    try {
      iss = decodeJwt(token).iss;
    } catch {
      throw refused("not a JWT");
    }
    const issuer = issuers.get(iss ?? "");
    if (!issuer) throw refused("unknown issuer");
    return issuer;
  }

  async function verifySignature(token: string): Promise<Verified> {
    const { config, keys } = issuerOf(token);
    const version = await keys.version();
    const now = clock.now();
    let payload: JWTPayload;
    try {
      const verified = await jwtVerify(token, (header, jws) => keys.find(header, jws), {
        algorithms: [...config.algorithms],
        issuer: config.issuer,
        audience: fleet,
        requiredClaims: ["sub", "exp", "iat"],
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: new Date(now),
      });
      payload = verified.payload;
    } catch (cause) {
      throw isStrongroomError(cause) ? cause : refused(describe(cause), cause);
    }
    const { subject, expires } = checkClaims(payload, now);
    const { scope } = payload;
    return {
      account: { tenant: config.tenant, subject },
      scopes: new Set(typeof scope === "string" ? scope.split(" ") : []),
      keys,
      version,
      until: Math.min(expires, now + REMEMBER_MS),
    };
  }

  async function recall(hash: string): Promise<Verified | undefined> {
    const known = remembered.get(hash);
    if (!known) return undefined;
    remembered.delete(hash);
    if (clock.now() >= known.until || (await known.keys.version()) !== known.version) return undefined;
    remembered.set(hash, known);
    return known;
  }

  function remember(hash: string, verified: Verified): void {
    remembered.set(hash, verified);
    if (remembered.size <= REMEMBERED_TOKENS) return;
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }

  return {
    async verify(token, scope) {
      if (token.length > MAX_ACCOUNT_TOKEN_BYTES) throw refused("too long");
      const hash = createHash("sha256").update(token).digest("base64");
      let verified = await recall(hash);
      if (!verified) {
        verified = await verifySignature(token);
        remember(hash, verified);
      }
      if (!verified.scopes.has(scope)) throw refused(`lacks the scope ${scope}`);
      return verified.account;
    },
  };
}
