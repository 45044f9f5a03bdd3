/**
 * Proof that the two halves of a key pair on a token belong together. Labels and ids only say that somebody
 * meant them to: a public key copied from elsewhere would make clients seal to a stranger.
 */
import { randomBytes } from "node:crypto";
import { sha256 } from "@noble/hashes/sha2.js";
import { equal } from "../base/bytes.ts";
import { verifyOwnEd25519 } from "../crypto/node/ed25519.ts";
import { GENERATOR } from "../crypto/node/p256.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import { encodePoint } from "../token/points.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import { readEdwardsPoint, readModulus, readPublicPoint } from "./public-keys.ts";
import { type KeySpec, ROLES } from "./roles.ts";

/** Uses the private half once; one of RSA, which only unwraps, tells its modulus. @returns what is wrong, undefined if nothing is. @throws token errors */
export function halvesProblem(
  session: TokenSession,
  key: KeySpec,
  privateKey: ObjectHandle,
  publicKey: ObjectHandle,
): string | undefined {
  if (ROLES[key.role].type === "ed25519") {
    const message = Uint8Array.from(randomBytes(32));
    const signature = session.sign(session.traits.mechanisms.eddsa, privateKey, message);
    return verifyOwnEd25519(readEdwardsPoint(session, publicKey), message, signature) ? undefined : STRANGERS;
  }
  if (ROLES[key.role].type === "rsa-3072") {
    const [own, half] = [privateKey, publicKey].map((object) => readModulus(session, object));
    return own && half && equal(own, half) ? undefined : STRANGERS;
  }
  const point = readPublicPoint(session, publicKey);
  const belongs = ROLES[key.role].usage.includes("sign")
    ? signs(session, privateKey, point)
    : // k·G is the public key itself, so its x-coordinate must come out.
      equal(
        session.derive(privateKey, encodePoint(GENERATOR, session.traits.pointSend)),
        point.subarray(1, 33),
      );
  return belongs ? undefined : STRANGERS;
}

const STRANGERS = "its public key does not belong to its private key";

function signs(session: TokenSession, privateKey: ObjectHandle, point: Uint8Array): boolean {
  const message = Uint8Array.from(randomBytes(32));
  const signature = session.sign(session.traits.mechanisms.ecdsa, privateKey, sha256(message));
  return verifySignature(point, message, signature);
}
