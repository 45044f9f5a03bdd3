/** What sealed keys must refuse is tried; every attribute and the inventory are read; nothing may differ. */
import { toHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { keysOfSite } from "../../keys/fleet-keys.ts";
import { secretPart, theObject } from "../../keys/fleet-objects.ts";
import { attributeSupport } from "../../keys/provision.ts";
import type { KeySpec } from "../../keys/roles.ts";
import { takeStep } from "../../keys/site-steps.ts";
import { keyTemplates, type ObjectTemplate, stageInService } from "../../keys/templates.ts";
import { attributeEntries, type OBJECT_CLASS, type Template } from "../../token/attributes.ts";
import { driftOf, namesOf, readAttributes } from "../../token/objects.ts";
import type { TokenSession } from "../../token/session.ts";
import { takeInventory } from "../inventory.ts";
import type { PartText } from "../outputs.ts";
import { membersOf } from "../plan.ts";
import { type Action, type ActionContext, memberOf, siteContext } from "./context.ts";

type Part = keyof typeof OBJECT_CLASS;

function attributesText(attributes: Template): PartText["attributes"] {
  return Object.fromEntries(
    attributeEntries(attributes).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? toHex(value) : value,
    ]),
  );
}

function readPart(session: TokenSession, spec: KeySpec, part: Part, { expect }: ObjectTemplate): PartText {
  const attributes = readAttributes(session, theObject(session, part, spec.label), namesOf(expect));
  const drift = driftOf(expect, attributes);
  if (drift.length > 0)
    throw new StrongroomError(
      "ceremony-stopped",
      `${spec.label} (${part}) is not as the plan has it: ${drift.map(({ attribute }) => attribute).join(", ")}`,
      { hint: "do not use the fleet's keys; the token does not keep what it was told" },
    );
  return { class: part, attributes: attributesText(attributes) };
}

function readKey({ plan, token }: ActionContext, session: TokenSession, spec: KeySpec): readonly PartText[] {
  const stage = stageInService(spec.role, membersOf(plan).length);
  const templates = keyTemplates(spec, stage, attributeSupport(token.profile));
  return templates.kind === "secret"
    ? [readPart(session, spec, secretPart(spec), templates.secret)]
    : [
        readPart(session, spec, "private key", templates.private),
        readPart(session, spec, "public key", templates.public),
      ];
}

/** @throws ceremony-stopped where an attribute differs; token-unsuitable where the token does what it must refuse */
export const verify: Action<"verify"> = (context) =>
  context.token.with("user", (session) => {
    const site = siteContext(context, session);
    const specs = keysOfSite(site.shape, memberOf(context).seat);
    const refusals = takeStep("try-refusals", site, undefined);
    const keys = specs.map((spec) => ({
      name: spec.name,
      label: spec.label,
      parts: readKey(context, session, spec),
    }));
    const points = takeStep("public-keys", site, undefined);
    const point = (name: string): string => toHex(points.get(name) ?? new Uint8Array());
    return {
      keys,
      refusals,
      inventory: takeInventory(session),
      publicKeys: { identity: point("identity"), session: point("session"), ake: point("ake") },
    };
  });
