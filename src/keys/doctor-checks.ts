/**
 * What provisioning asks of a token besides, for `token doctor`: keys by the very templates that it will use, as session
 * objects that are gone afterwards. A device that refuses one of their attributes, or drops it, is found out before it
 * is in service.
 */
import type { Template } from "../token/attributes.ts";
import { type Check, fail, type Outcome, pass, refusalOf } from "../token/doctor/check.ts";
import type { Workbench } from "../token/doctor/workbench.ts";
import { driftOf, namesOf, readAttributes } from "../token/objects.ts";
import type { ObjectHandle } from "../token/session.ts";
import { attributeSupport } from "./provision.ts";
import { ROLES, type RoleName } from "./roles.ts";
import { keyTemplates, type ObjectTemplate } from "./templates.ts";

/** One of each template that a vault's keys have. */
const TRIED: readonly RoleName[] = ["identity", "session", "record", "share-kek"];

const passing = ({ create, expect }: ObjectTemplate): ObjectTemplate => ({
  create: { ...create, TOKEN: false },
  expect: { ...expect, TOKEN: false },
});

function make(bench: Workbench, role: RoleName): readonly (readonly [ObjectHandle, Template])[] {
  const { session, profile } = bench;
  const label = `strongroom/doctor/${role}`;
  const templates = keyTemplates({ name: role, role, label }, "sealed", attributeSupport(profile));
  const { aesKeygen, genericKeygen, ecKeygen } = session.traits.mechanisms;
  if (templates.kind === "secret") {
    const { create, expect } = passing(templates.secret);
    const mechanism = ROLES[role].type === "aes-256" ? aesKeygen : genericKeygen;
    return [[bench.keep(session.generateKey({ mechanism }, create)), expect]];
  }
  const [open, own] = [passing(templates.public), passing(templates.private)];
  const pair = session.generateKeyPair({ mechanism: ecKeygen }, open.create, own.create);
  return [
    [bench.keep(pair.privateKey), own.expect],
    [bench.keep(pair.publicKey), open.expect],
  ];
}

function templatesAreKept(bench: Workbench): Outcome {
  const wrong: string[] = [];
  for (const role of TRIED) {
    try {
      const drift = make(bench, role).flatMap(([object, expect]) =>
        driftOf(expect, readAttributes(bench.session, object, namesOf(expect))),
      );
      const names = [...new Set(drift.map(({ attribute }) => attribute))];
      if (names.length > 0) wrong.push(`${role} without ${names.join(", ")}`);
    } catch (error) {
      wrong.push(`${role}: ${refusalOf(error)}`);
    }
  }
  return wrong.length === 0
    ? pass(`${TRIED.join(", ")}: taken and kept`)
    : fail(`${wrong.join("; ")}; attributes in the profile says what is asked for`);
}

export const PROVISION_CHECKS: readonly Check[] = [
  {
    id: "provision.templates",
    title: "keys are made with every attribute that provisioning asks for",
    level: "required",
    run: templatesAreKept,
  },
];
