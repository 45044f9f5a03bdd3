/**
 * Proof of possession (a key exists in the token that says so) and of equality (the holders have the same key), by a
 * challenge that nobody could know before all keys had arrived.
 *
 * A key that only derives cannot sign. Its point is s·G with a scalar s that the root alone knows: whoever answers with
 * x(key · s·G) before s is told has the key, and when s is told anybody can check x = x(s · public key). The root
 * commits to every s in the statement of the challenge, so it cannot choose one afterwards.
 */
import { createECDH, randomBytes } from "node:crypto";
import { equal, framed, fromHex, toHex, utf8, wipe } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import { randomScalar } from "../../crypto/node/ephemeral.ts";
import { fleetKeys, holdersOf, keysOfSite } from "../../keys/fleet-keys.ts";
import { secretPart, theObject } from "../../keys/fleet-objects.ts";
import { takeStep } from "../../keys/site-steps.ts";
import { encodePoint } from "../../token/points.ts";
import type { ActionOutputs } from "../outputs.ts";
import { shapeOf, stepsOf } from "../steps.ts";
import { type Action, type ActionContext, memberOf, siteContext } from "./context.ts";

const POSSESSED = ["session", "ake"] as const;
const SCALARS = "challenge-scalars.json";

/** scalar · point (G by default): the whole point, uncompressed, and its x-coordinate. */
function multiply(scalar: Uint8Array, point?: Uint8Array): Uint8Array {
  const engine = createECDH("prime256v1");
  engine.setPrivateKey(scalar);
  return new Uint8Array(point ? engine.computeSecret(point) : engine.getPublicKey());
}

/** The members that answer. */
function answering({ plan }: ActionContext): readonly string[] {
  return stepsOf(plan)
    .filter(({ action }) => action === "prove")
    .map(({ station }) => station);
}

export const challenge: Action<"challenge"> = async (context) => {
  const { folder, hands, step } = context;
  const witness = await hands.witness(step.station);
  const random = randomBytes(32);
  const nonce = sha256HexOf(framed("strongroom/challenge/v1", random, utf8(witness)));
  const scalars: Record<string, string> = {};
  const points: Record<string, string> = {};
  const commitments: Record<string, string> = {};
  for (const member of answering(context))
    for (const key of POSSESSED) {
      const scalar = randomScalar();
      const name = `${member}/${key}`;
      scalars[name] = toHex(scalar);
      points[name] = toHex(multiply(scalar));
      commitments[name] = sha256HexOf(scalar);
      wipe(scalar);
    }
  const kept = utf8(JSON.stringify(scalars));
  folder.keep(SCALARS, kept);
  wipe(kept);
  return { nonce, witness, points, commitments };
};

export const prove: Action<"prove"> = (context) =>
  context.token.with("user", (session) => {
    const site = siteContext(context, session);
    const { name, seat } = memberOf(context);
    const [asked] = context.earlier.all("challenge");
    if (!asked) throw new StrongroomError("ceremony-stopped", "there is no challenge");
    const { nonce, points } = asked.output;
    const { keys, originals } = takeStep("prove", site, fromHex(nonce));
    const own = keysOfSite(site.shape, seat);
    const possessed = (role: "session" | "ake"): string => {
      const spec = own.find((key) => key.role === role);
      const point = points[`${name}/${role}`];
      if (!spec || point === undefined)
        throw new StrongroomError("ceremony-stopped", `the challenge asks ${name} for no ${role} key`);
      const object = theObject(session, secretPart(spec), spec.label);
      return toHex(session.derive(object, encodePoint(fromHex(point), session.traits.pointSend)));
    };
    const text = (proofs: typeof keys): { key: string; proof: string }[] =>
      proofs.map(({ key, proof }) => ({ key, proof: toHex(proof) }));
    return {
      keys: text(keys),
      originals: text(originals),
      possession: { session: possessed("session"), ake: possessed("ake") },
    };
  });

function keptScalars(
  { folder }: ActionContext,
  commitments: Readonly<Record<string, string>>,
): [string, string][] {
  const bytes = folder.kept(SCALARS);
  if (!bytes)
    throw new StrongroomError("ceremony-stopped", "the scalars of the challenge are not at this station", {
      hint: "the root compares where it challenged: resume in that directory",
    });
  const scalars = JSON.parse(Buffer.from(bytes).toString()) as Record<string, string>;
  wipe(bytes);
  const entries = Object.entries(scalars);
  const isWhole = Object.entries(commitments).every(
    ([name, commitment]) => sha256HexOf(fromHex(scalars[name] ?? "00")) === commitment,
  );
  if (isWhole && entries.length === Object.keys(commitments).length) return entries;
  throw new StrongroomError("ceremony-stopped", "the scalars that were kept are not those of the challenge");
}

/** @throws ceremony-stopped where answers differ, are missing, or do not show possession; nothing is sealed then */
export const compare: Action<"compare"> = (context) => {
  const { plan, earlier } = context;
  const [asked] = earlier.all("challenge");
  if (!asked) throw new StrongroomError("ceremony-stopped", "there is no challenge");
  const scalars = keptScalars(context, asked.output.commitments);
  const answers = new Map(answering(context).map((member) => [member, earlier.one("prove", member).output]));
  for (const [name, scalar] of scalars) requirePossession(context, name, fromHex(scalar), answers);
  const shape = shapeOf(plan);
  const equalKeys = fleetKeys(shape).map((key) => {
    const { name } = key.spec;
    const holders = holdersOf(shape, key).filter((holder) => answers.has(holder));
    const said = holders.map(
      (holder) => answers.get(holder)?.keys.find((proof) => proof.key === name)?.proof,
    );
    const originals = [...answers.values()].flatMap(({ originals: all }) =>
      all.filter(({ key: k }) => k === name),
    );
    const all = [...said, ...originals.map(({ proof }) => proof)];
    if (all.some((proof) => proof === undefined || proof !== all[0]))
      throw new StrongroomError("ceremony-stopped", `the holders do not have the same key ${name}`, {
        hint: "nothing was sealed; find out which token has another key, and how it came there",
        details: { key: name },
      });
    return { key: name, holders };
  });
  context.folder.forget(SCALARS);
  return Promise.resolve({
    equal: equalKeys.filter(({ holders }) => holders.length > 0),
    scalars: Object.fromEntries(scalars),
  });
};

/** The public keys that are known here: of sessions always, of ake where it travelled. */
function requirePossession(
  { earlier }: ActionContext,
  name: string,
  scalar: Uint8Array,
  answers: ReadonlyMap<string, ActionOutputs["prove"]>,
): void {
  const [member = "", key] = name.split("/");
  const answer = answers.get(member)?.possession[key === "ake" ? "ake" : "session"];
  const publicKey =
    key === "ake"
      ? earlier
          .all("export")
          .flatMap(({ output }) => output.packages)
          .find((parcel) => parcel.key === "ake")?.carried?.publicKey
      : earlier.all("make-site-keys").find(({ station }) => station === member)?.output.session;
  if (publicKey === undefined) return;
  if (answer !== undefined && equal(multiply(scalar, fromHex(publicKey)), fromHex(answer))) return;
  throw new StrongroomError("ceremony-stopped", `${member} has not shown that it has its ${key ?? ""} key`, {
    hint: "nothing was sealed; find out what answered in its place",
    details: { member },
  });
}
