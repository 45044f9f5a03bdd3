/**
 * The operator's countersign key (design §10): what says that an audited announcement is the operator's own. It is made in
 * the operator's token, belongs to a namespace and not to a fleet, and signs nothing else.
 */
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import type { Profile } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import { provision, provisioned } from "./provision.ts";
import { readPublicKeys } from "./public-keys.ts";
import type { KeySpec } from "./roles.ts";

/** @param index of rotations: 0 is the first key, further ones have a number in their label */
export function countersignKey(namespace: string, index: number = 0): KeySpec {
  const number = index === 0 ? "" : `.${index}`;
  return { name: "countersign", role: "countersign", label: `strongroom/${namespace}/countersign${number}` };
}

/**
 * Makes the key, or finds the one that is there.
 * @returns its public key, uncompressed point, 65 bytes
 * @throws key-drift where the token has another object of that label; token errors
 */
export function makeCountersignKey(
  session: TokenSession,
  profile: Profile,
  key: KeySpec,
): { readonly state: "created" | "unchanged"; readonly publicKey: Uint8Array } {
  const [report] = provision(session, profile, [key]);
  if (!report || !provisioned([report]))
    throw new StrongroomError("key-drift", `the key ${key.label} is not as it should be: ${report?.state}`, {
      hint: "`strongroom token inventory` shows it; nothing was changed",
    });
  return {
    state: report.state === "created" ? "created" : "unchanged",
    publicKey: countersignPoint(session, key),
  };
}

/** @returns uncompressed point, 65 bytes @throws key-missing, key-drift, token errors */
export function countersignPoint(session: TokenSession, key: KeySpec): Uint8Array {
  const point = readPublicKeys(session, [key]).get(key.name);
  if (!point) throw new StrongroomError("internal", "a countersign key has a public half");
  return point;
}

/**
 * ECDSA P-256 with SHA-256 over the message, verified before it is returned.
 * @returns r ‖ s, 64 bytes
 * @throws key-missing, key-drift, token errors
 */
export function countersign(session: TokenSession, key: KeySpec, message: Uint8Array): Uint8Array {
  const digest = sha256Of(message);
  const signature = session.sign(session.traits.mechanisms.ecdsa, session.key(key.name), digest, 128);
  if (verifySignature(countersignPoint(session, key), message, signature)) return signature;
  throw new StrongroomError("key-drift", `what ${key.label} signs does not verify under its public half`);
}
