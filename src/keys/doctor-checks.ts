/**
 * What provisioning asks of a token besides, for `token doctor`: keys by the very templates that it will use, as session
 * objects that are gone afterwards. A device that refuses one of their attributes, or drops it, is found out before it
 * is in service.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../base/bytes.ts";
import type { Template } from "../token/attributes.ts";
import { type Check, fail, type Outcome, pass, refusalOf, unsupported } from "../token/doctor/check.ts";
import { hmacSha256 } from "../token/doctor/software.ts";
import type { Workbench } from "../token/doctor/workbench.ts";
import { driftOf, namesOf, readAttributes } from "../token/objects.ts";
import type { ObjectHandle } from "../token/session.ts";
import { halvesProblem } from "./key-proof.ts";
import { attributeSupport, expected, generate } from "./provision.ts";
import type { KeySpec, RoleName } from "./roles.ts";
import { type KeyTemplates, keyTemplates, type ObjectTemplate, type Stage } from "./templates.ts";
import { oaepHashes } from "./transport.ts";
import { oaepMechanism } from "./travel.ts";

/** One of each template that a vault's keys have. */
const TRIED: readonly RoleName[] = ["identity", "session", "record", "share-kek"];

const passing = ({ create, expect }: ObjectTemplate): ObjectTemplate => ({
  create: { ...create, TOKEN: false },
  expect: { ...expect, TOKEN: false },
});

const spec = (role: RoleName): KeySpec => ({ name: role, role, label: `strongroom/doctor/${role}` });

function templatesOf({ profile }: Workbench, role: RoleName, stage: Stage): KeyTemplates {
  const lasting = keyTemplates(spec(role), stage, attributeSupport(profile));
  return lasting.kind === "secret"
    ? { ...lasting, secret: passing(lasting.secret) }
    : { ...lasting, private: passing(lasting.private), public: passing(lasting.public) };
}

function make(bench: Workbench, role: RoleName): readonly (readonly [ObjectHandle, Template])[] {
  const templates = templatesOf(bench, role, "sealed");
  const objects = generate(bench.session, spec(role), templates).map((object) => bench.keep(object));
  const expects = expected(templates).map(([, expect]) => expect);
  return objects.map((object, i) => [object, expects[i] ?? {}]);
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

/** The way of a fleet's keys to another site: a transport pair, RSA-OAEP under it, and the key as it arrives. */
function keysTravel(bench: Workbench): Outcome {
  const { session, profile } = bench;
  const arriving = templatesOf(bench, "record", "sealed-later");
  if (arriving.kind !== "secret") return fail("record is no secret key");
  const tried: string[] = [];
  try {
    const [own, half] = make(bench, "transport").map(([object]) => object);
    if (!own || !half) return fail("no transport pair");
    const problem = halvesProblem(session, spec("transport"), own, half);
    if (problem) return fail(`transport key: ${problem}`);
    const { key, value, how } = bench.knownSecret("generic secret", { SIGN: true, EXTRACTABLE: true });
    if (how !== "imported") return unsupported(`comparing keys between sites needs one: ${how}`);
    for (const hash of oaepHashes(profile)) {
      tried.push(hash);
      const mechanism = oaepMechanism(hash);
      const wrapped = session.wrap(mechanism, half, key);
      const arrived = bench.keep(session.unwrap(mechanism, own, wrapped, arriving.secret.create));
      const data = Uint8Array.from(randomBytes(32));
      const mac = session.sign(session.traits.mechanisms.hmac, arrived, data);
      if (!equal(mac, hmacSha256(value, data))) return fail(`${hash}: another key arrived`);
    }
  } catch (error) {
    return unsupported(`${["RSA-3072", ...tried.slice(-1)].join(", RSA-OAEP with ")}: ${refusalOf(error)}`);
  }
  return pass(`RSA-3072, RSA-OAEP with ${tried.join(", ")}`);
}

export const PROVISION_CHECKS: readonly Check[] = [
  {
    id: "provision.templates",
    title: "keys are made with every attribute that provisioning asks for",
    level: "required",
    run: templatesAreKept,
  },
  {
    id: "provision.travel",
    title: "for fleets of several sites: a key can be brought from another token",
    level: "recommended",
    run: keysTravel,
  },
];
