/**
 * Keys of auditors and witnesses: Ed25519 in a token, used through its pool. The public keys are configured, because
 * others pin them: a token with other keys than those must not sign in their name.
 */
import { randomBytes } from "node:crypto";
import { equal, framed, toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { verifyOwnEd25519 } from "../crypto/node/ed25519.ts";
import { type KeySpec, ROLES } from "../keys/roles.ts";
import { startTokenPool, type TokenConfig, type TokenObserver, type TokenPool } from "../token/pool.ts";
import type { KeyName, TokenHealth } from "../token/token.ts";
import { decodeHead, encodeHead, follows, type HeadAnchor, newestHead } from "./anchor.ts";

/** One signing key. */
export interface Signer {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Ed25519 over the message, 64 bytes, verified. @throws token errors */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>;
}

/** A key that must be on the token. */
export interface SignerKey extends KeySpec {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface SignerConfig extends Pick<TokenConfig, "uri" | "profile" | "deadlineMs" | "env"> {
  readonly keys: readonly SignerKey[];
}

export interface SignerToken {
  /** @throws key-missing for a name that was not configured */
  signer(name: KeyName): Signer;
  /** What the token remembers under that label. */
  anchor(label: string): HeadAnchor;
  health(): TokenHealth;
  close(): Promise<void>;
}

const START_MS = 15_000;

/** The keys of one namespace of an auditor; the names are unique over all namespaces, as one token may serve several. */
export function auditorKeys(namespace: string): { readonly audit: KeySpec; readonly checkpoint: KeySpec } {
  const spec = (role: "audit" | "checkpoint"): KeySpec => ({
    name: `${namespace}/${role}`,
    role,
    label: `strongroom/auditor/${namespace}/${role}`,
  });
  return { audit: spec("audit"), checkpoint: spec("checkpoint") };
}

/** CKA_LABEL of a namespace's anchor. */
export function anchorLabel(namespace: string): string {
  return `strongroom/auditor/${namespace}/head`;
}

/** @param name the witness's name, as in its vkey */
export function witnessKey(name: string): KeySpec {
  return { name: "witness", role: "witness", label: `strongroom/witness/${name}` };
}

/**
 * Opens the token and has every key sign once.
 * @throws uri-invalid, profile-invalid, pin-incorrect, token-absent, …; key-missing; key-drift where a key is not the
 *   configured one
 */
export async function openSigner(config: SignerConfig, observer: TokenObserver = {}): Promise<SignerToken> {
  const { keys, ...token } = config;
  for (const { role, label } of keys)
    if (ROLES[role].type !== "ed25519")
      throw new StrongroomError("internal", `${label} cannot sign messages`);
  // One worker: the anchor has one writer, and signing is rare.
  const pool = startTokenPool({ ...token, keys, workers: 1 }, observer);
  try {
    await pool.whenReady(START_MS);
    const signers = new Map(keys.map((key) => [key.name, signerOf(pool, key)]));
    // Nothing that is ever signed in earnest begins like this.
    for (const signer of signers.values())
      await signer.sign(framed("strongroom/key-proof/v1", randomBytes(32)));
    return {
      signer(name) {
        const signer = signers.get(name);
        if (!signer) throw new StrongroomError("key-missing", `no key ${name} is configured`);
        return signer;
      },
      anchor: (label) => anchorOn(pool, label),
      health: () => pool.health(),
      close: () => pool.close(),
    };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

function signerOf(pool: TokenPool, { name, label, publicKey }: SignerKey): Signer {
  return {
    publicKey,
    async sign(message) {
      const [signature] = await pool.run([{ op: "sign-message", key: name, message }]);
      if (verifyOwnEd25519(publicKey, message, signature)) return signature;
      throw new StrongroomError("key-drift", `the token's key ${label} is not the configured one`, {
        hint: `it does not sign for ${toHex(publicKey)}; is this the right token?`,
        details: { key: name },
      });
    },
  };
}

function anchorOn(pool: TokenPool, label: string): HeadAnchor {
  const values = async (): Promise<readonly Uint8Array[]> =>
    (await pool.run([{ op: "read-data", label }]))[0];
  return {
    read: async () => newestHead((await values()).map(decodeHead)),
    async write(head) {
      const expected = await values();
      const before = newestHead(expected.map(decodeHead));
      if (before && !follows(head, before))
        throw new StrongroomError(
          "auditor-refused",
          `the token remembers epoch ${before.epoch} and ${before.size} log entries; epoch ${head.epoch} and ${head.size} entries do not follow`,
          {
            hint: "this is an old copy of the data directory, or another auditor uses the token; nothing was signed",
          },
        );
      const value = encodeHead(head);
      await pool.run([{ op: "write-data", label, value, expected }]);
      const after = await values();
      if (after.length !== 1 || after.some((one) => !equal(one, value)))
        throw new StrongroomError("token-failed", `the token does not keep what it was told under ${label}`, {
          hint: "does it keep data objects (CKO_DATA)?",
        });
    },
  };
}
