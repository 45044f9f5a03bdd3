/** The keys in each token: their attributes, what they refused, and that nothing can leave any more. */
import { fromHex } from "../../base/bytes.ts";
import { keysOfSite } from "../../keys/fleet-keys.ts";
import { attributeSupport } from "../../keys/provision.ts";
import { type KeySpec, ROLES } from "../../keys/roles.ts";
import { keyTemplates, type ObjectTemplate, type Stage } from "../../keys/templates.ts";
import {
  ATTRIBUTES,
  type AttributeName,
  type AttributeValue,
  isAttributeName,
  showAttribute,
  type Template,
} from "../../token/attributes.ts";
import { driftOf } from "../../token/objects.ts";
import type { Profile } from "../../token/profile.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import type { PartText } from "../outputs.ts";
import type { Member } from "../plan.ts";
import { isAlone } from "../steps.ts";
import { type ClaimRule, type Finding, judged } from "./claim.ts";

/** What a key is in the token of a member when the ceremony ends. */
function finalStage(evidence: EvidenceReading, spec: KeySpec): Stage {
  return !isAlone(evidence.plan) && ROLES[spec.role].life === "sealed" ? "sealed-later" : "sealed";
}

/** The objects of a key as the table of templates has them. */
export function partsOf(
  evidence: EvidenceReading,
  spec: KeySpec,
  profile: Profile,
): readonly ObjectTemplate[] {
  const templates = keyTemplates(spec, finalStage(evidence, spec), attributeSupport(profile));
  return templates.kind === "secret" ? [templates.secret] : [templates.private, templates.public];
}

/** A value as it stands in a statement, undefined where it is not of the attribute's kind. */
function typed(name: AttributeName, value: boolean | number | string): AttributeValue | undefined {
  switch (ATTRIBUTES[name].kind) {
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "number":
      return typeof value === "number" ? value : undefined;
    case "text":
      return typeof value === "string" ? value : undefined;
    case "bytes":
      return typeof value === "string" && /^(?:[0-9a-f]{2})*$/.test(value) ? fromHex(value) : undefined;
  }
}

function templateOf({ attributes }: PartText): Template {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => {
      const known = isAttributeName(name) ? typed(name, value) : undefined;
      return known === undefined ? [] : [[name, known]];
    }),
  );
}

function attributesOf(evidence: EvidenceReading, { name, seat }: Member): readonly Finding[] {
  const told = evidence.one("verify", name).output.keys;
  const wanted = keysOfSite(evidence.shape, seat);
  const profile = evidence.profile(name);
  const strangers = told.filter((key) => !wanted.some((spec) => spec.name === key.name));
  return [
    ...strangers.map((key) => ({
      ok: false,
      station: name,
      key: key.name,
      detail: "It should not be there.",
    })),
    ...wanted.flatMap((spec) => {
      const about = { station: name, key: spec.name };
      const [key, second] = told.filter((one) => one.name === spec.name);
      if (!key || second) return [{ ok: false, detail: "Its attributes were not read, or twice.", ...about }];
      const parts = partsOf(evidence, spec, profile);
      const problems = parts.flatMap(({ expect }) => {
        const what = showAttribute("CLASS", expect.CLASS);
        const part = key.parts.find((one) => one.class === what);
        if (!part) return [`There is no ${what}.`];
        return driftOf(expect, templateOf(part)).map(({ attribute, expected, actual: is }) => {
          const want = showAttribute(attribute, expected);
          return `${attribute} of the ${what} is ${showAttribute(attribute, is)}; the plan wants ${want}.`;
        });
      });
      if (key.label !== spec.label) problems.push(`It is called ${key.label}; the plan wants ${spec.label}.`);
      if (key.parts.length !== parts.length)
        problems.push(`It has ${key.parts.length} objects, not ${parts.length}.`);
      const count = parts.reduce((sum, { expect }) => sum + Object.keys(expect).length, 0);
      return judged(problems, `${count} attributes as planned.`, about);
    }),
  ];
}

export const attributes: ClaimRule = {
  id: "attributes",
  title: "Every key has the attributes of its role, and no use that it does not need",
  source: "library-reported",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("verify"),
  check: (evidence) => evidence.members.flatMap((member) => attributesOf(evidence, member)),
};

/** Return codes that say no to what was asked; others (a device that is gone, say) say nothing about the key. */
const REFUSED: readonly string[] = [
  "CKR_ACTION_PROHIBITED",
  "CKR_ATTRIBUTE_READ_ONLY",
  "CKR_ATTRIBUTE_SENSITIVE",
  "CKR_ATTRIBUTE_TYPE_INVALID",
  "CKR_ATTRIBUTE_VALUE_INVALID",
  "CKR_FUNCTION_NOT_SUPPORTED",
  "CKR_KEY_FUNCTION_NOT_PERMITTED",
  "CKR_KEY_NOT_WRAPPABLE",
  "CKR_KEY_UNEXTRACTABLE",
  "CKR_TEMPLATE_INCONSISTENT",
];
/** The token said yes and did nothing of the kind; sealing.ts looked. */
const IGNORED = "CKR_OK, without effect";
const NOT_TRIED = "not tried: the key is modifiable on this token";
const ASKED = {
  wrap: "to be wrapped",
  reveal: "to tell its value",
  reopen: "to become extractable",
  extend: "for another use",
  copy: "for an extractable copy",
} as const;

function refusalsOf(evidence: EvidenceReading, { name, seat }: Member): readonly Finding[] {
  const told = evidence.one("verify", name).output.refusals;
  const { modifiable, unwrapSeals } = attributeSupport(evidence.profile(name));
  const isFrozen = modifiable && unwrapSeals;
  return keysOfSite(evidence.shape, seat).map((spec): Finding => {
    const about = { station: name, key: spec.name };
    const [tried, twice] = told.filter(({ key }) => key === spec.name);
    if (!tried || twice) return { ok: false, detail: "Nothing was tried, or twice.", ...about };
    const asked = Object.entries(ASKED) as [keyof typeof ASKED, string][];
    const wrong = asked.filter(([what]) => {
      const answer = tried[what];
      if (what === "extend" && answer === NOT_TRIED) return isFrozen;
      return answer !== IGNORED && !REFUSED.includes(answer);
    });
    const shown = (wrong.length > 0 ? wrong : asked).map(([what, words]) => `${words}: ${tried[what]}`);
    return { ok: wrong.length === 0, detail: `Asked ${shown.join("; ")}.`, ...about };
  });
}

export const refusals: ClaimRule = {
  id: "refusals",
  title: "Every key refused to be wrapped, read, copied, made extractable or used for something else",
  source: "library-reported",
  needs: ["statements-linked"],
  appliesTo: (evidence) => evidence.has("verify"),
  check: (evidence) => evidence.members.flatMap((member) => refusalsOf(evidence, member)),
};

/** SENSITIVE and not EXTRACTABLE, whatever else the table of templates may say. */
function isSealed({ class: what, attributes: { SENSITIVE, EXTRACTABLE } }: PartText): boolean {
  return what === "public key" || (SENSITIVE === true && EXTRACTABLE === false);
}

export const sealed: ClaimRule = {
  id: "sealed",
  title: "No fleet key can leave any token: all are sealed, and the originals and transport keys are gone",
  source: "library-reported",
  needs: ["attributes", "refusals", "inventory"],
  appliesTo: (evidence) => evidence.has("verify"),
  check: (evidence) =>
    evidence.members.map(({ name }): Finding => {
      const { keys } = evidence.one("verify", name).output;
      const open = keys.filter(({ parts }) => parts.length === 0 || !parts.every(isSealed));
      return {
        ok: open.length === 0,
        station: name,
        detail:
          open.length === 0
            ? `${keys.length} keys, sensitive and not extractable.`
            : `Not sealed: ${open.map((key) => key.name).join(", ")}.`,
      };
    }),
};
