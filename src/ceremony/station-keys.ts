/** The key by which a station signs: the root's, or the identity of a member. */

import { sha256Of } from "../base/node/sha256.ts";
import { theObject } from "../keys/fleet-objects.ts";
import { readPublicPoint } from "../keys/public-keys.ts";
import type { KeySpec } from "../keys/roles.ts";
import type { TokenSession } from "../token/session.ts";
import { ROOT } from "./plan.ts";

export function rootKey(fleet: string): KeySpec {
  return { name: "root", role: "root", label: `strongroom/${fleet}/root` };
}

export function stationKey(fleet: string, station: string): KeySpec {
  return station === ROOT
    ? rootKey(fleet)
    : { name: "identity", role: "identity", label: `strongroom/${fleet}/identity` };
}

/** Its public half, 65 bytes. @throws key-missing, key-drift; token errors */
export function readStationKey(session: TokenSession, key: KeySpec): Uint8Array {
  return readPublicPoint(session, theObject(session, "public key", key.label));
}

/**
 * ECDSA over the SHA-256 of a message, in the token; the digest is made here.
 * @param session logged in as the user
 * @returns r ‖ s, 64 bytes
 * @throws key-missing, key-drift; token errors
 */
export function signWith(session: TokenSession, key: KeySpec, message: Uint8Array): Uint8Array {
  const digest = sha256Of(message);
  const object = theObject(session, "private key", key.label);
  return Uint8Array.from(session.sign(session.traits.mechanisms.ecdsa, object, digest));
}
