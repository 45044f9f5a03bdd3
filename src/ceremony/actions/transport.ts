/** The ways by which fleet keys come to the members: made, compared, trusted, and destroyed at the end. */
import { concat, fromHex, toHex } from "../../base/bytes.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import { fleetKeys, holdersOf, transportKey, trustedLabels } from "../../keys/fleet-keys.ts";
import { destroyLabelled } from "../../keys/fleet-objects.ts";
import { ROLES } from "../../keys/roles.ts";
import { takeStep } from "../../keys/site-steps.ts";
import { type TransportKey, truster } from "../../keys/transport.ts";
import type { ActionOutputs, Comparison } from "../outputs.ts";
import { shapeOf } from "../steps.ts";
import { compareWords } from "./compared.ts";
import { type Action, type ActionContext, memberOf, siteContext } from "./context.ts";

export const makeTransport: Action<"make-transport"> = (context) =>
  context.token.with("user", (session) => {
    const { modulus, exponent, hashes } = takeStep(
      "make-transport",
      siteContext(context, session),
      undefined,
    );
    return { transport: { modulus: toHex(modulus), exponent: toHex(exponent), hashes } };
  });

/** What people compare, and what the statement of `trust` names: modulus and exponent, big-endian. */
export function transportBytes({
  modulus,
  exponent,
}: ActionOutputs["make-transport"]["transport"]): Uint8Array {
  return concat(fromHex(modulus), fromHex(exponent));
}

/** A member's transport key, as its statement has it. */
export function transportOf({ plan, earlier }: ActionContext, site: string): TransportKey {
  const { modulus, exponent, hashes } = earlier.one("make-transport", site).output.transport;
  return { fleet: plan.fleet, site, modulus: fromHex(modulus), exponent: fromHex(exponent), hashes };
}

/** The members that get keys from this one, and those that get EC keys. */
function destinations({ plan, member }: ActionContext): {
  all: readonly string[];
  carriers: readonly string[];
} {
  const shape = shapeOf(plan);
  const made = fleetKeys(shape).filter(({ origin }) => origin === member?.seat);
  const distinct = (keys: typeof made): readonly string[] => [
    ...new Set(keys.flatMap((key) => holdersOf(shape, key))),
  ];
  return {
    all: distinct(made),
    carriers: distinct(made.filter(({ spec }) => ROLES[spec.role].type === "ec-p256")),
  };
}

/** @throws ceremony-stopped where a comparison fails; token errors */
export const trust: Action<"trust"> = async (context) => {
  const { all, carriers } = destinations(context);
  const compared: Comparison[] = [];
  const trusted: { site: string; fingerprint: string }[] = [];
  for (const site of all) {
    const bytes = transportBytes(context.earlier.one("make-transport", site).output.transport);
    compared.push(await compareWords(context, site, "transport key", bytes));
    trusted.push({ site, fingerprint: sha256HexOf(bytes) });
  }
  await context.token.with(truster(context.token.profile), (session) =>
    takeStep("trust", siteContext(context, session), {
      keys: all.map((site) => transportOf(context, site)),
      carriers,
    }),
  );
  return { trusted, carriers, compared };
};

export const removeTransport: Action<"remove-transport"> = (context) =>
  context.token.with("user", (session) => {
    memberOf(context);
    const { label } = transportKey(context.plan.fleet);
    destroyLabelled(session, [label]);
    return { removed: [label] };
  });

/** Every label that could be there is looked for, and all are named: after an interruption some are gone already. */
export const removeTrusted: Action<"remove-trusted"> = (context) =>
  context.token.with(truster(context.token.profile), (session) => {
    const { all, carriers } = destinations(context);
    const isMade = (label: string): boolean =>
      all.some((site) => label.endsWith(`/transport/${site}`)) ||
      carriers.some((site) => label.endsWith(`/carrier/${site}`));
    const labels = trustedLabels(shapeOf(context.plan)).filter(isMade);
    destroyLabelled(session, labels);
    return { removed: labels };
  });
