/**
 * Makes the keys that a fleet's token must hold, and checks those that are there already, attribute by
 * attribute, against the table in templates.ts. It never changes or deletes a key that it did not just make:
 * what differs is shown, and a person decides.
 */
import { StrongroomError } from "../base/errors.ts";
import { OBJECT_CLASS, type Template } from "../token/attributes.ts";
import { CKM } from "../token/cryptoki.ts";
import { type Drift, driftOf, namesOf, readAttributes } from "../token/objects.ts";
import { driverTraits, type Profile } from "../token/profile.ts";
import type { ObjectHandle, TokenSession } from "../token/session.ts";
import type { KeyName } from "../token/token.ts";
import { halvesProblem } from "./key-proof.ts";
import { type KeySpec, ROLES } from "./roles.ts";
import { type AttributeSupport, type KeyTemplates, keyTemplates, type Stage } from "./templates.ts";

type Part = "private key" | "public key" | "secret key";

/** One deviation, with the object that shows it. */
interface ObjectDrift extends Drift {
  readonly object: Part;
}

/**
 * created, missing: it was made now, or would be (dry run). ok: as the table says. drift: attributes differ.
 * duplicate: several objects carry its label. broken: a half is missing, or the halves do not belong together.
 */
export type KeyState = "created" | "missing" | "ok" | "drift" | "duplicate" | "broken";

export interface KeyReport {
  readonly name: KeyName;
  readonly label: string;
  readonly type: string;
  readonly state: KeyState;
  readonly drift: readonly ObjectDrift[];
  /** What is wrong, in words, for duplicate and broken. */
  readonly problem?: string | undefined;
  /** Of a broken pair, the half that is not there. */
  readonly absent?: Part | undefined;
}

export interface ProvisionOptions {
  /** Lists what would be made and makes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Where a key stands; sealed from birth by default, as in a fleet of one. */
  readonly stage?: ((key: KeySpec) => Stage) | undefined;
}

/** What the profile says about attributes; where it says nothing the standard is expected. */
export function attributeSupport(profile: Profile): AttributeSupport {
  const { modifiable, copyable, trusted } = profile.attributes;
  return {
    modifiable: modifiable.value !== false,
    copyable: copyable.value !== false,
    wrapWithTrusted: trusted.value !== "none",
    unwrapSeals: profile.unwrap.sealAfter.value !== true,
    edwardsParams: driverTraits(profile).edwardsParams,
  };
}

/**
 * @param session logged in as the user, read-write
 * @returns one report per key, in the order of `keys`
 * @throws token-unsuitable where a new key is not protected as asked (it is destroyed again); token errors
 */
export function provision(
  session: TokenSession,
  profile: Profile,
  keys: readonly KeySpec[],
  options: ProvisionOptions = {},
): readonly KeyReport[] {
  const support = attributeSupport(profile);
  // Everything is looked at before anything is made: a token with a wrong key is not filled up with right ones.
  const plan = keys.map((spec) => {
    const templates = keyTemplates(spec, options.stage?.(spec) ?? "sealed", support);
    return { spec, templates, report: inspect(session, spec, templates) };
  });
  const wrong = plan.some(({ report }) => !["ok", "missing"].includes(report.state));
  if (options.dryRun || wrong) return plan.map(({ report }) => report);
  return plan.map(({ spec, templates, report }) =>
    report.state === "missing" ? create(session, spec, templates) : report,
  );
}

/** Is everything there and as it should be? */
export function provisioned(reports: readonly KeyReport[]): boolean {
  return reports.every(({ state }) => state === "ok" || state === "created");
}

/** What each object of a key should be like, in the order of `generate`. */
export function expected(templates: KeyTemplates): readonly (readonly [Part, Template])[] {
  return templates.kind === "secret"
    ? [["secret key", templates.secret.expect]]
    : [
        ["private key", templates.private.expect],
        ["public key", templates.public.expect],
      ];
}

function inspect(session: TokenSession, spec: KeySpec, templates: KeyTemplates): KeyReport {
  const report = (state: KeyState, problem?: string, drift: readonly ObjectDrift[] = []): KeyReport => ({
    name: spec.name,
    label: spec.label,
    type: ROLES[spec.role].type,
    state,
    drift,
    problem,
  });
  const parts = expected(templates).map(([part, expect]) => ({
    part,
    expect,
    found: session.find({ CLASS: OBJECT_CLASS[part], LABEL: spec.label, TOKEN: true }),
  }));
  const all = session.find({ LABEL: spec.label, TOKEN: true });
  const counted = parts.reduce((sum, { found }) => sum + found.length, 0);
  if (all.length > counted)
    return report("duplicate", `${all.length - counted} objects of another class carry its label`);
  const twice = parts.find(({ found }) => found.length > 1);
  if (twice) return report("duplicate", `${twice.found.length} objects are its ${twice.part}`);
  if (counted === 0) return report("missing");
  const absent = parts.find(({ found }) => found.length === 0);
  if (absent) return { ...report("broken", `its ${absent.part} is missing`), absent: absent.part };

  const drift = parts.flatMap(({ part, expect, found }) =>
    found.flatMap((object) =>
      driftOf(expect, readAttributes(session, object, namesOf(expect))).map((difference) => ({
        ...difference,
        object: part,
      })),
    ),
  );
  if (drift.length > 0) return report("drift", undefined, drift);
  const [own, half] = parts.map(({ found }) => found[0]);
  if (own && half) {
    const problem = halvesProblem(session, spec, own, half);
    if (problem) return report("broken", problem);
  }
  return report("ok");
}

function create(session: TokenSession, spec: KeySpec, templates: KeyTemplates): KeyReport {
  const made = generate(session, spec, templates);
  try {
    requireProtected(session, made[0], templates, spec);
    const report = inspect(session, spec, templates);
    return report.state === "ok" ? { ...report, state: "created" } : report;
  } catch (error) {
    // Nothing depends on it yet; a key that may be readable must not stay under the label of a real one.
    session.discard(...made);
    throw error;
  }
}

/** The objects, the one that holds the secret first. */
export function generate(
  session: TokenSession,
  spec: KeySpec,
  templates: KeyTemplates,
): readonly [ObjectHandle, ...ObjectHandle[]] {
  const { ecKeygen, aesKeygen, genericKeygen, edwardsKeygen } = session.traits.mechanisms;
  const mechanism = {
    "ec-p256": ecKeygen,
    ed25519: edwardsKeygen,
    "rsa-3072": CKM.RSA_PKCS_KEY_PAIR_GEN,
    "aes-256": aesKeygen,
    "generic-256": genericKeygen,
  }[ROLES[spec.role].type];
  if (templates.kind === "secret") return [session.generateKey({ mechanism }, templates.secret.create)];
  const pair = session.generateKeyPair({ mechanism }, templates.public.create, templates.private.create);
  return [pair.privateKey, pair.publicKey];
}

/**
 * Some modules ignore what a template says about secrecy. What can be set afterwards is set; a key that still
 * would be revealed is an error, not drift.
 */
function requireProtected(
  session: TokenSession,
  object: ObjectHandle,
  templates: KeyTemplates,
  spec: KeySpec,
): void {
  const { expect } = templates.kind === "secret" ? templates.secret : templates.private;
  const SENSITIVE = expect.SENSITIVE === true;
  const EXTRACTABLE = expect.EXTRACTABLE === true;
  const asExpected = (): boolean => {
    const { sensitive, extractable } = session.secrecy(object);
    return sensitive === SENSITIVE && extractable === EXTRACTABLE;
  };
  if (!asExpected()) {
    session.setAttributes(object, { SENSITIVE, EXTRACTABLE });
    if (!asExpected())
      throw new StrongroomError("token-unsuitable", `the token would reveal the new key ${spec.label}`, {
        hint: "it was destroyed again; `strongroom token doctor` shows which attributes the token ignores",
      });
  }
  if (expect.LOCAL === true && session.attribute(object, "LOCAL") !== true)
    throw new StrongroomError("token-unsuitable", `the token denies having made ${spec.label} itself`, {
      hint: "CKA_LOCAL is not true on a key that it just generated; the key was destroyed again",
    });
}
