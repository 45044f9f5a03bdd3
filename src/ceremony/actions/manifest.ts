/** The fleet's manifest, made of what the tokens have shown, and signed by the root. */
import { fromHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import { type ManifestSiteFacts, manifestOf } from "../../keys/manifest-of.ts";
import type { KeyName } from "../../token/token.ts";
import { encodeManifest, type Manifest, manifestKey } from "../../wire/manifest.ts";
import { signManifest } from "../approvals.ts";
import { encodeEnvelope } from "../dsse.ts";
import { ROOT } from "../plan.ts";
import { rootKey, signWith } from "../station-keys.ts";
import type { Action, ActionContext, Predecessor } from "./context.ts";

/** What a member has shown in `verify`. @throws ceremony-stopped where its identity is not the one that signed */
function shownBy({ earlier }: ActionContext, member: string): ReadonlyMap<KeyName, Uint8Array> {
  const { publicKeys } = earlier.one("verify", member).output;
  const keys = new Map(Object.entries(publicKeys).map(([name, text]) => [name, fromHex(text)]));
  const identity = earlier.keyOf(member);
  if (identity && Buffer.compare(keys.get("identity") ?? new Uint8Array(), identity) === 0) return keys;
  throw new StrongroomError("ceremony-stopped", `${member} shows another identity key than it signs with`);
}

function published({ manifest }: Predecessor, site: string): ReadonlyMap<KeyName, Uint8Array> {
  const point = (role: "identity" | "session" | "ake"): Uint8Array =>
    fromHex(manifestKey(manifest, role, role === "ake" ? undefined : site).publicKey);
  return new Map([
    ["identity", point("identity")],
    ["session", point("session")],
    ["ake", point("ake")],
  ]);
}

function created(context: ActionContext): readonly ManifestSiteFacts[] {
  const { plan, earlier } = context;
  return plan.sites.map(({ name, url }) => ({
    name,
    url,
    tokenSerial: earlier.one("initialise", name).output.serial,
    publicKeys: shownBy(context, name),
  }));
}

/** The sites of the predecessor, with the one change that the plan names. */
function changed(context: ActionContext, predecessor: Predecessor): readonly ManifestSiteFacts[] {
  const { plan, earlier } = context;
  const { site: target, spare } = plan.change ?? {};
  return predecessor.manifest.sites.map(({ name, url, tokenSerial, retired }) => {
    if (retired || (name === target && spare === undefined))
      return { name, url, tokenSerial, retired: true, publicKeys: new Map() };
    if (name !== target || spare === undefined)
      return { name, url, tokenSerial, publicKeys: published(predecessor, name) };
    const serial = earlier.one("open", spare).output.token.serial;
    return { name, url: urlOf(context, name, url), tokenSerial: serial, publicKeys: shownBy(context, spare) };
  });
}

/** A spare may stand elsewhere: the plan says where the site is reached from now on. */
function urlOf({ plan }: ActionContext, site: string, before: string): string {
  return plan.sites.find(({ name }) => name === site)?.url ?? before;
}

/** @throws ceremony-stopped; manifest-invalid, key-drift where the facts are none of a fleet; token errors */
export const manifest: Action<"manifest"> = (context) =>
  context.token.with("user", async (session) => {
    const { plan, planHash, earlier, predecessor, folder } = context;
    if (plan.kind !== "create" && !predecessor)
      throw new StrongroomError("ceremony-stopped", "the evidence of the ceremony before is not there");
    const root = earlier.keyOf(ROOT);
    if (!root) throw new StrongroomError("ceremony-stopped", "the root key has not been made");
    const made: Manifest = manifestOf({
      fleet: plan.fleet,
      predecessor: predecessor?.sha256,
      threshold: plan.threshold,
      maxAttempts: plan.maxAttempts,
      // The time of what it is made of, so that making it again after an interruption makes the same bytes.
      createdAt: earlier.latest(),
      sites: predecessor ? changed(context, predecessor) : created(context),
    });
    const bytes = encodeManifest(made);
    const sha256 = sha256HexOf(bytes);
    const signature = await signManifest(
      {
        type: "strongroom/manifest-signature/v1",
        plan: planHash,
        mode: plan.mode,
        sha256,
        ...(predecessor ? { predecessor: predecessor.sha256 } : {}),
      },
      { publicKey: root, sign: (pae) => signWith(session, rootKey(plan.fleet), pae) },
    );
    folder.publish("manifest.json", bytes);
    folder.publish("manifest.sig.json", encodeEnvelope(signature));
    return { sha256 };
  });
