/**
 * Every key is in the hands of the station that says so. Identities sign. Session and ake keys only derive: the root
 * gave each a point P = s·G after all keys had been made, committed to s, and told it when all had answered. Whoever
 * answered x(k·P) before s was known had k; and x(s·K) is the same value, which anybody can compute from the public
 * key K.
 */
import { createECDH } from "node:crypto";
import { equal, fromHex, toHex } from "../../base/bytes.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import { checkPoint } from "../../crypto/node/p256.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { ROOT } from "../plan.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

const KEYS = ["session", "ake"] as const;

/** s·G and x(s·K); undefined for a scalar that is none. */
function products(
  scalar: Uint8Array,
  publicKey: Uint8Array,
): { readonly point: Uint8Array; readonly x: Uint8Array } | undefined {
  checkPoint(publicKey);
  const ecdh = createECDH("prime256v1");
  try {
    ecdh.setPrivateKey(scalar);
  } catch {
    return undefined;
  }
  return {
    point: Uint8Array.from(ecdh.getPublicKey()),
    x: Uint8Array.from(ecdh.computeSecret(publicKey)),
  };
}

/** The public key that a member says it has, hex, and what contradicts it. */
function publicKeyOf(
  evidence: EvidenceReading,
  member: string,
  key: (typeof KEYS)[number],
): { readonly publicKey: string; readonly problem: string | undefined } {
  const publicKey = evidence.one("verify", member).output.publicKeys[key];
  const born = key === "session" ? sessionAtBirth(evidence, member) : undefined;
  const problem =
    born === undefined || born === publicKey ? undefined : "The key was exchanged after it was made.";
  return { publicKey, problem };
}

function sessionAtBirth(evidence: EvidenceReading, member: string): string | undefined {
  if (evidence.has("make-site-keys")) return evidence.one("make-site-keys", member).output.session;
  return evidence.predecessor && sessionAtBirth(evidence.predecessor.reading, member);
}

function possessed(
  evidence: EvidenceReading,
  member: string,
  key: (typeof KEYS)[number],
): readonly Finding[] {
  const name = `${member}/${key}`;
  const { points, commitments } = evidence.one("challenge", ROOT).output;
  const [point, commitment] = [points[name], commitments[name]];
  const scalar = evidence.one("compare", ROOT).output.scalars[name];
  const { publicKey, problem } = publicKeyOf(evidence, member, key);
  const about = { station: member, key };
  if (point === undefined || commitment === undefined || scalar === undefined)
    return [{ ok: false, detail: "The key was never asked.", ...about }];
  const problems = problem === undefined ? [] : [problem];
  const secret = fromHex(scalar);
  if (sha256HexOf(secret) !== commitment)
    problems.push("The scalar that was told is not the one that was committed to.");
  const right = products(secret, fromHex(publicKey));
  if (!right || !equal(right.point, fromHex(point)))
    problems.push("The scalar does not belong to the point.");
  const answer = evidence.one("prove", member).output.possession[key];
  if (right && answer !== toHex(right.x)) problems.push("The answer is not the key's.");
  return judged(problems, "The key answered a point that nobody could know before.", about);
}

/** The identity signed the answers, which rest on the challenge. */
function signed(evidence: EvidenceReading, member: string): Finding {
  const { identity } = evidence.one("verify", member).output.publicKeys;
  const ok = identity === toHex(evidence.keyOf(member));
  return {
    ok,
    station: member,
    key: "identity",
    detail: ok
      ? "The key signed the answers to the challenge."
      : "The key in the token is another than the one that signed.",
  };
}

export const possession: ClaimRule = {
  id: "possession",
  title: "Every identity, session and ake key showed that its private half is there",
  source: "proved",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("prove"),
  check: (evidence) =>
    evidence.members.flatMap(({ name }) => [
      signed(evidence, name),
      ...KEYS.flatMap((key) => possessed(evidence, name, key)),
    ]),
};
