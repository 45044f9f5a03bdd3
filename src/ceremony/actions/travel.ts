/** Fleet keys are made at their origins, wrapped for each holder, unwrapped there, and the originals destroyed. */
import { fromHex, toHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { type FleetKey, fleetKeys, holdersOf, originalOf } from "../../keys/fleet-keys.ts";
import { destroyLabelled, secretPart } from "../../keys/fleet-objects.ts";
import type { KeySpec } from "../../keys/roles.ts";
import { takeStep } from "../../keys/site-steps.ts";
import type { KeyPackage } from "../../keys/travel.ts";
import { OBJECT_CLASS } from "../../token/attributes.ts";
import type { TokenSession } from "../../token/session.ts";
import type { PackageText } from "../outputs.ts";
import { shapeOf } from "../steps.ts";
import { type Action, type ActionContext, memberOf, siteContext } from "./context.ts";
import { transportOf } from "./transport.ts";

function madeHere(context: ActionContext): readonly FleetKey[] {
  const { seat } = memberOf(context);
  return fleetKeys(shapeOf(context.plan)).filter(({ origin }) => origin === seat);
}

function packageText(parcel: KeyPackage): PackageText {
  const { carried, ...rest } = parcel;
  return {
    ...rest,
    oaep: toHex(parcel.oaep),
    ...(carried
      ? {
          carried: {
            format: carried.format,
            wrapped: toHex(carried.wrapped),
            publicKey: toHex(carried.publicKey),
          },
        }
      : {}),
    nonce: toHex(parcel.nonce),
    proof: toHex(parcel.proof),
  };
}

function packageOf(parcel: PackageText): KeyPackage {
  const { carried } = parcel;
  return {
    ...parcel,
    oaep: fromHex(parcel.oaep),
    carried: carried && {
      format: carried.format,
      wrapped: fromHex(carried.wrapped),
      publicKey: fromHex(carried.publicKey),
    },
    nonce: fromHex(parcel.nonce),
    proof: fromHex(parcel.proof),
  };
}

function isOpenable(session: TokenSession, spec: KeySpec): boolean {
  const { label } = originalOf(spec);
  return session.find({ CLASS: OBJECT_CLASS[secretPart(spec)], TOKEN: true, LABEL: label }).length > 0;
}

export const makeOriginals: Action<"make-originals"> = (context) =>
  context.token.with("user", (session) => {
    const site = siteContext(context, session);
    const names = madeHere(context).map(({ spec }) => spec.name);
    // Nobody has a copy of an original from an unfinished step.
    if (context.isResumed) takeStep("discard-originals", site, names);
    takeStep("make-originals", site, names);
    return { keys: names };
  });

export const exportKeys: Action<"export"> = (context) =>
  context.token.with("user", (session) => {
    const shape = shapeOf(context.plan);
    const wanted = madeHere(context).flatMap((key) =>
      holdersOf(shape, key).map((holder) => ({ key: key.spec.name, to: transportOf(context, holder) })),
    );
    return { packages: takeStep("export", siteContext(context, session), wanted).map(packageText) };
  });

/** @throws ceremony-stopped where a package is missing or there is one too many; what `importKey` throws */
export const importKeys: Action<"import"> = (context) =>
  context.token.with("user", (session) => {
    const { name, seat } = memberOf(context);
    const site = siteContext(context, session);
    const keys = fleetKeys(site.shape)
      .filter(({ holders }) => holders.includes(seat))
      .map(({ spec }) => spec.name);
    const packages = context.earlier
      .all("export")
      .flatMap(({ output }) => output.packages)
      .filter(({ to }) => to === name);
    if (
      packages
        .map(({ key }) => key)
        .sort()
        .join() !== [...keys].sort().join()
    )
      throw new StrongroomError("ceremony-stopped", `${name} was sent other keys than the plan gives it`, {
        hint: "compare the statements of the origins with the plan",
      });
    // The originals are still there, so what arrived in an unfinished step can be had again.
    if (context.isResumed) takeStep("discard-keys", site, keys);
    takeStep("import", site, packages.map(packageOf));
    return { keys };
  });

export const destroyOriginals: Action<"destroy-originals"> = (context) =>
  context.token.with("user", (session) => {
    const shape = shapeOf(context.plan);
    const [challenge] = context.earlier.all("challenge");
    if (!challenge) throw new StrongroomError("ceremony-stopped", "there is no challenge");
    const nonce = fromHex(challenge.output.nonce);
    const made = madeHere(context);
    // Of an unfinished step some are gone already, or only the public half is left; the holders had proved these too.
    const left = context.isResumed ? made.filter(({ spec }) => isOpenable(session, spec)) : made;
    destroyLabelled(
      session,
      made.filter((key) => !left.includes(key)).map(({ spec }) => originalOf(spec).label),
    );
    takeStep(
      "destroy-originals",
      siteContext(context, session),
      left.map((key) => ({
        key: key.spec.name,
        nonce,
        proofs: holdersOf(shape, key).flatMap((holder) =>
          context.earlier
            .one("prove", holder)
            .output.keys.filter((proof) => proof.key === key.spec.name)
            .map(({ proof }) => fromHex(proof)),
        ),
      })),
    );
    return { destroyed: made.map(({ spec }) => originalOf(spec).label) };
  });
