/**
 * One false thing at a time, and everything else properly signed, by keys that this test has: the claim that it
 * contradicts fails, and with it only those that rest on it.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { concat, fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { checkClaims } from "../../src/ceremony/claims/all.ts";
import type { ClaimId } from "../../src/ceremony/claims/claim.ts";
import { decodeEnvelope, encodeEnvelope, signEnvelope } from "../../src/ceremony/dsse.ts";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import {
  type EvidenceQuestions,
  EvidenceReading,
  type PlannedCalls,
} from "../../src/ceremony/evidence-reading.ts";
import type { ActionOutputs, PartText } from "../../src/ceremony/outputs.ts";
import type { CeremonyPlan } from "../../src/ceremony/plan.ts";
import { STEP_PAYLOAD } from "../../src/ceremony/statement.ts";
import type { ActionName, CeremonyStep } from "../../src/ceremony/steps.ts";
import { encodeLine, readTranscript } from "../../src/ceremony/transcript-lines.ts";
import { planOf, replacement, retirement } from "../support/ceremony-plan.ts";
import {
  asEvidence,
  type Falsehoods,
  type PaperFiles,
  paperCeremony,
  signList,
  withOfficers,
} from "../support/paper-ceremony.ts";
import { PaperOutputs } from "../support/paper-outputs.ts";
import { EcSigner, paperOfficer } from "../support/signers.ts";

const officers = ["Ada", "Bela", "Chen"].map(paperOfficer);
const plan = withOfficers(planOf({ sites: 3, spares: 1 }), officers, 2);
let outputs: PaperOutputs;

beforeAll(async () => {
  outputs = await new PaperOutputs(plan).prepare();
});

/** On paper nobody calls a token; what the calls of a run are compared with, evidence.test.ts shows. */
const NO_CALLS = (): PlannedCalls => new Map();

const read = (files: PaperFiles, questions: EvidenceQuestions = {}) =>
  checkClaims(new EvidenceReading(asEvidence(files), { questions, plannedCalls: NO_CALLS }));

/** The claims that fail of themselves: not those that could not be checked. */
async function contradicted(
  falsehoods: Falsehoods,
  questions: EvidenceQuestions = {},
  of: CeremonyPlan = plan,
): Promise<readonly ClaimId[]> {
  const claims = read(await paperCeremony(of, officers, outputs, falsehoods), questions);
  return failedClaims(claims.filter(({ detail }) => !detail.startsWith("Not checked")));
}

/** Changes what one step says. */
function says<A extends ActionName>(
  action: A,
  station: string,
  change: (output: ActionOutputs[A]) => ActionOutputs[A],
): Falsehoods {
  return {
    output: (output, step) =>
      step.action === action && step.station === station ? change(output as ActionOutputs[A]) : output,
  };
}

const at = (action: ActionName, station: string) => (step: CeremonyStep) =>
  step.action === action && step.station === station;

/** One attribute of one object of a key. */
function attribute(key: string, what: string, name: string, value: boolean | number | string): Falsehoods {
  const changed = (part: PartText): PartText =>
    part.class === what ? { ...part, attributes: { ...part.attributes, [name]: value } } : part;
  return says("verify", "site-b", (output) => ({
    ...output,
    keys: output.keys.map((one) => (one.name === key ? { ...one, parts: one.parts.map(changed) } : one)),
  }));
}

test("honest evidence passes every claim", async () => {
  const claims = read(await paperCeremony(plan, officers, outputs));
  expect(claims.filter(({ ok }) => !ok)).toEqual([]);
  expect(new Set(claims.map(({ id }) => id)).size).toBe(25);
});

test.each([
  ["one site", planOf({ sites: 1, spares: 0 })],
  ["one site with a spare", planOf({ sites: 1, spares: 1 })],
  ["seven sites, two of which suffice", planOf({ sites: 7, threshold: 2, spares: 2 })],
] as const)("honest evidence of %s passes", async (_name, shape) => {
  const own = withOfficers({ ...shape, credentials: { soPin: "destroy" } }, officers, 3);
  const files = await paperCeremony(own, officers, await new PaperOutputs(own).prepare());
  expect(read(files).filter(({ ok }) => !ok)).toEqual([]);
});

const hash = (bytes: Uint8Array = utf8("")) => sha256HexOf(bytes);
const STRANGER = new EcSigner();

/** What is false; the claims that it contradicts. */
const FALSE: readonly (readonly [string, Falsehoods, readonly ClaimId[]])[] = [
  // People.
  ["an officer's approval is missing", { approving: [1] }, ["plan-approved"]],
  ["an officer's signature of the end is missing", { closing: [2] }, ["closing-approved"]],
  [
    "an approval lies under another officer's name",
    {
      files: (files) => {
        files.set("approvals/Ada.json", files.get("approvals/Bela.json") ?? utf8(""));
      },
    },
    ["plan-approved"],
  ],
  [
    "the fingerprint of another key was compared",
    says("certify", "root", (output) => ({
      ...output,
      compared: output.compared.map((one) => ({ ...one, words: "abandon ability able" })),
    })),
    ["certificates"],
  ],
  [
    "nobody decided an exception",
    {
      lines: (lines, step) =>
        at("import", "site-a")(step)
          ? [
              ...lines,
              { kind: "exception", expected: "it works", happened: "it did not", decided: "", by: "" },
            ]
          : lines,
    },
    ["exceptions"],
  ],

  // Statements and transcripts.
  [
    "a statement is not signed",
    {
      envelope: (envelope, step) =>
        at("verify", "site-a")(step) ? { ...envelope, signatures: [] } : envelope,
    },
    ["statements-signed"],
  ],
  [
    "a statement says that it is of another plan",
    { statement: (one, step) => (at("import", "site-c")(step) ? { ...one, plan: "00".repeat(32) } : one) },
    ["plan-fixed"],
  ],
  [
    "a statement rests on one input less",
    {
      statement: (one, step) => (at("compare", "root")(step) ? { ...one, inputs: one.inputs.slice(1) } : one),
    },
    ["statements-linked"],
  ],
  [
    "a statement names another line of its transcript",
    {
      statement: (one, step) =>
        at("prove", "site-a")(step)
          ? { ...one, transcript: { ...one.transcript, lines: one.transcript.lines - 1 } }
          : one,
    },
    ["transcript-intact"],
  ],
  [
    "a statement without the head of its transcript",
    {
      statement: (one, step) =>
        at("close", "site-a")(step)
          ? { ...one, transcript: { ...one.transcript, head: "00".repeat(32) } }
          : one,
    },
    ["transcript-intact"],
  ],
  [
    "a step was begun out of turn",
    {
      lines: (lines, step) =>
        at("import", "site-a")(step) ? [{ kind: "step", step: "001.site-a.open" }, ...lines] : lines,
    },
    ["transcript-follows-plan"],
  ],
  [
    "a rehearsal passed off as production",
    { statement: (one, step) => (at("open", "root")(step) ? { ...one, mode: "rehearsal" } : one) },
    ["mode"],
  ],
  [
    "a software token in production",
    says("open", "site-c", (output) => ({ ...output, software: true })),
    ["mode"],
  ],

  [
    "a line after the end of a transcript",
    {
      files: (files) => {
        const path = "transcripts/site-a.jsonl";
        const bytes = files.get(path) ?? utf8("");
        const { head } = readTranscript(bytes, hash(files.get("plan.yaml")));
        files.set(path, concat(bytes, utf8(`${encodeLine({ kind: "stop" }, head, 0)}\n`)));
      },
    },
    ["closed"],
  ],
  [
    "an attestation that is not attached",
    says("open", "site-a", (output) => ({
      ...output,
      attestation: { format: "vendor-x", file: "attestation.bin", sha256: "00".repeat(32) },
    })),
    ["attachments"],
  ],

  // Stations.
  [
    "another device",
    says("initialise", "site-b", (output) => ({ ...output, serial: "9999" })),
    ["devices", "manifest"],
  ],
  [
    "another build of the tool",
    says("open", "site-b", (output) => ({ ...output, tool: { release: "0.1.0", digest: "00".repeat(32) } })),
    ["software"],
  ],
  [
    "an extra site in the certificates",
    says("certify", "root", (output) => ({
      ...output,
      certificates: { ...output.certificates, "site-x": output.certificates["site-a"] ?? "" },
    })),
    ["sites"],
  ],
  [
    "an extra site's transcript",
    {
      files: (files) => {
        files.set("transcripts/site-x.jsonl", files.get("transcripts/site-a.jsonl") ?? utf8(""));
      },
    },
    ["sites"],
  ],
  [
    "a swapped certificate",
    says("certify", "root", (output) => {
      const { certificates } = output;
      const [a, b] = [certificates["site-a"] ?? "", certificates["site-b"] ?? ""];
      return { ...output, certificates: { ...certificates, "site-a": b, "site-b": a } };
    }),
    ["certificates"],
  ],
  [
    "an identity key that nobody compared before it was certified",
    says("certify", "root", (output) => ({
      ...output,
      compared: output.compared.filter(({ member }) => member !== "site-b"),
    })),
    ["certificates"],
  ],
  [
    "a key wrapped for a stranger in a step that was interrupted and begun again",
    {
      lines: (lines, step) =>
        step.id.endsWith("site-a.export")
          ? [
              ...lines,
              {
                kind: "call",
                fn: "C_WrapKey",
                args: {
                  mechanism: "CKM_RSA_PKCS_OAEP",
                  wrapping: "eve",
                  key: "strongroom/demo/record/original",
                },
                ckr: "CKR_OK",
                ms: 1,
              },
              { kind: "resumed", step: step.id, torn: 0 },
              ...lines,
            ]
          : lines,
    },
    ["transcript-follows-plan"],
  ],
  [
    "a swapped certificate's file",
    {
      files: (files) => {
        files.set("certificates/site-a.pem", files.get("certificates/site-b.pem") ?? utf8(""));
      },
    },
    ["certificates"],
  ],

  // Keys.
  [
    "a key that never proved possession",
    says("prove", "site-b", (output) => ({
      ...output,
      possession: { ...output.possession, session: "77".repeat(32) },
    })),
    ["possession"],
  ],
  [
    "a session key exchanged for a stranger's",
    says("verify", "site-b", (output) => ({
      ...output,
      publicKeys: { ...output.publicKeys, session: STRANGER.hex },
    })),
    ["possession"],
  ],
  [
    "a wrong scalar",
    says("compare", "root", (output) => ({
      ...output,
      scalars: { ...output.scalars, "site-a/ake": output.scalars["site-b/ake"] ?? "" },
    })),
    ["possession"],
  ],
  [
    "a commitment to another scalar",
    says("challenge", "root", (output) => ({
      ...output,
      commitments: { ...output.commitments, "site-a/ake": "00".repeat(32) },
    })),
    ["possession"],
  ],
  ["an extractable key", attribute("record", "secret key", "EXTRACTABLE", true), ["attributes"]],
  ["a use too many", attribute("ake", "private key", "SIGN", true), ["attributes"]],
  ["an attribute of another kind", attribute("ake", "private key", "SENSITIVE", "true"), ["attributes"]],
  [
    "a key that let itself be wrapped",
    says("verify", "site-a", (output) => ({
      ...output,
      refusals: output.refusals.map((one) => (one.key === "ake" ? { ...one, wrap: "CKR_OK" } : one)),
    })),
    ["refusals"],
  ],
  [
    "a key that nobody tried, since the device was gone",
    says("verify", "site-a", (output) => ({
      ...output,
      refusals: output.refusals.map((one) => ({ ...one, copy: "CKR_DEVICE_REMOVED" })),
    })),
    ["refusals"],
  ],
  [
    "another key under the same name",
    says("prove", "site-c", (output) => ({
      ...output,
      keys: output.keys.map((one) => (one.key === "record" ? { ...one, proof: "66".repeat(32) } : one)),
    })),
    ["holders"],
  ],
  [
    "a share at a site that must not have it",
    {
      output: (output, step) => {
        if (!at("prove", "site-a")(step)) return output;
        const own = output as ActionOutputs["prove"];
        const holder = outputs.of({ ...step, station: "site-b" }) as ActionOutputs["prove"];
        return { ...own, keys: [...own.keys, ...holder.keys.filter(({ key }) => key === "share-kek.0")] };
      },
    },
    ["holders"],
  ],
  [
    "a share that lies in the token of a site that must not have it",
    says("verify", "site-a", (output) => ({
      ...output,
      inventory: [...output.inventory, { label: "strongroom/demo/share-kek.0", class: "secret key" }],
    })),
    ["holders", "inventory"],
  ],
  [
    "a package for somebody who is no holder",
    says("export", "site-b", (output) => ({
      packages: output.packages.map((one) => (one.to === "site-c" ? { ...one, to: "site-a" } : one)),
    })),
    ["holders"],
  ],
  [
    "a transport key trusted that is not the holder's",
    says("trust", "site-a", (output) => ({
      ...output,
      trusted: output.trusted.map((one) => ({ ...one, fingerprint: "00".repeat(32) })),
    })),
    ["holders"],
  ],
  [
    "an object that nobody expects",
    says("verify", "site-a", (output) => ({
      ...output,
      inventory: [...output.inventory, { label: "spare key", class: "secret key" }],
    })),
    ["inventory"],
  ],
  [
    "a token that was not empty",
    says("make-site-keys", "site-a", (output) => ({
      ...output,
      before: [{ label: "old", class: "private key" }],
    })),
    ["inventory"],
  ],
  [
    "an original that stayed",
    says("destroy-originals", "site-a", (output) => ({ destroyed: output.destroyed.slice(1) })),
    ["inventory"],
  ],
  [
    "a PIN that two custodians could put together who are not in the plan",
    says("seal-credentials", "root", (output) =>
      output.soPin === "split"
        ? { ...output, shares: output.shares.map((one, i) => ({ ...one, custodian: `Eve ${i}` })) }
        : output,
    ),
    ["credentials"],
  ],

  // The manifest.
  [
    "a wrong key in the manifest",
    {
      manifest: (manifest) => ({
        ...manifest,
        keys: manifest.keys.map((key) =>
          key.role === "session" && key.site === "site-b" ? { ...key, publicKey: STRANGER.hex } : key,
        ),
      }),
    },
    ["manifest"],
  ],
  [
    "another policy in the manifest",
    { manifest: (manifest) => ({ ...manifest, policy: { ...manifest.policy, maxAttempts: 99 } }) },
    ["manifest"],
  ],
  [
    "a manifest signed for another plan",
    { manifestSignature: (signature) => ({ ...signature, plan: "00".repeat(32) }) },
    ["manifest"],
  ],
];

describe("one false thing", () => {
  test.each(FALSE)("%s", async (_name, falsehoods, wanted) => {
    expect(await contradicted(falsehoods)).toEqual(wanted);
  });

  test("a statement signed by another key", async () => {
    const files = new Map(await paperCeremony(plan, officers, outputs));
    const path = [...files.keys()].find((one) => one.endsWith("site-b.verify.json")) ?? "";
    const { payloadType, payload } = decodeEnvelope(files.get(path) ?? utf8(""), STEP_PAYLOAD);
    files.set(path, encodeEnvelope(await signEnvelope(payloadType, payload, [STRANGER])));
    await signList(files, plan, officers);
    expect(failedClaims(read(files))[0]).toBe("statements-signed");
  });
});

test.each([
  ["SoftHSM project", "SoftHSM v2"],
  ["Mozilla Foundation", "NSS 3"],
  ["IBM", "Soft"],
])("a software token is none of the devices of production, whatever its profile: %s %s", async (...words) => {
  const [manufacturer, model] = words;
  const soft = says("open", "site-a", (output) => ({
    ...output,
    token: { ...output.token, manufacturer, model },
  }));
  expect(await contradicted(soft)).toEqual(["mode"]);
  const accepted = { ...plan, softwareTokensAccepted: "A test." };
  const own = await new PaperOutputs(accepted).prepare();
  expect(failedClaims(read(await paperCeremony(accepted, officers, own, soft)))).toEqual([]);
});

test("an attestation of a vendor that nobody knows is carried, and vouches for nothing", async () => {
  const file = utf8("opaque");
  const files = await paperCeremony(plan, officers, outputs, {
    ...says("open", "site-a", (output) => ({
      ...output,
      attestation: { format: "vendor-x", file: "attestation.bin", sha256: hash(file) },
    })),
    files: (all) => all.set("attachments/attestation.bin", file),
  });
  const claims = read(files);
  expect(failedClaims(claims)).toEqual([]);
  const device = claims.find(({ id, station }) => id === "devices" && station === "site-a");
  expect(device).toMatchObject({
    source: "library-reported",
    detail: expect.stringContaining("Not attested"),
  });
});

test("a plan that cannot work is no evidence of anything", async () => {
  const impossible = withOfficers(plan, officers, 4);
  expect(await contradicted({}, {}, impossible)).toContain("plan-possible");
});

describe("what the verifier knows", () => {
  test("another plan was expected", async () => {
    expect(await contradicted({}, { expectPlan: "00".repeat(32) })).toEqual(["plan-fixed"]);
  });

  test("another root was expected", async () => {
    expect(await contradicted({}, { rootFingerprint: "00".repeat(32) })).toEqual(["certificates"]);
  });

  test("a rehearsal passes, says what it is, and is no production", async () => {
    const rehearsal: CeremonyPlan = { ...plan, mode: "rehearsal" };
    const own = await new PaperOutputs(rehearsal).prepare();
    const files = await paperCeremony(rehearsal, officers, own);
    const claims = read(files);
    expect(failedClaims(claims)).toEqual([]);
    expect(claims.find(({ id }) => id === "mode")?.detail).toMatch(/^REHEARSAL/);
    expect(failedClaims(read(files, { production: true }))).toEqual(["mode"]);
  });
});

describe("files", () => {
  /** Lines of a transcript changed, and the list signed anew by the same officers. */
  async function edited(change: (lines: string[]) => string[]): Promise<readonly ClaimId[]> {
    const files = new Map(await paperCeremony(plan, officers, outputs));
    const path = "transcripts/site-a.jsonl";
    const lines = fromUtf8(files.get(path) ?? utf8(""))
      .split("\n")
      .slice(0, -1);
    files.set(
      path,
      utf8(
        change(lines)
          .map((line) => `${line}\n`)
          .join(""),
      ),
    );
    await signList(files, plan, officers);
    const failed = read(files).filter(({ ok, detail }) => !ok && !detail.startsWith("Not checked"));
    return failedClaims(failed);
  }

  test.each([
    ["dropped", (lines: string[]) => lines.toSpliced(5, 1)],
    ["dropped at the end", (lines: string[]) => lines.slice(0, -1)],
    ["swapped", (lines: string[]) => lines.toSpliced(5, 2, lines[6] ?? "", lines[5] ?? "")],
    ["edited", (lines: string[]) => lines.with(5, (lines[5] ?? "").replace("kind", "kinb"))],
  ] as const)("a transcript's line %s", async (_name, change) => {
    expect(await edited((lines) => change(lines))).toContain("transcript-intact");
  });

  test("the plan changed after it was fixed", async () => {
    const files = new Map(await paperCeremony(plan, officers, outputs));
    files.set(
      "plan.yaml",
      utf8(fromUtf8(files.get("plan.yaml") ?? utf8("")).replace("maxAttempts: 10", "maxAttempts: 99")),
    );
    await signList(files, plan, officers);
    const failed = failedClaims(read(files));
    expect(failed[0]).toBe("plan-fixed");
    expect(failed).toContain("plan-approved");
  });
});

describe("a change of the fleet", () => {
  async function changed(
    make: typeof replacement,
    falsehoods: Falsehoods = {},
    change: Partial<CeremonyPlan> = {},
    failedBefore: readonly ClaimId[] = [],
    questions: EvidenceQuestions = {},
  ) {
    const before = await paperCeremony(plan, officers, outputs);
    const manifest = hash(before.get("manifest.json"));
    const named = make({ sites: 3, spares: 1 }, { predecessor: { manifest, evidence: "before" }, ...change });
    const own = withOfficers(named, officers, 2);
    const files = await paperCeremony(own, officers, new PaperOutputs(own, outputs.keys), falsehoods);
    const predecessor = {
      reading: new EvidenceReading(asEvidence(before), { plannedCalls: NO_CALLS }),
      failed: failedBefore,
    };
    const context = { predecessor, plannedCalls: NO_CALLS, questions };
    return checkClaims(new EvidenceReading(asEvidence(files), context));
  }
  const failed = (claims: Awaited<ReturnType<typeof changed>>) =>
    failedClaims(claims.filter(({ detail }) => !detail.startsWith("Not checked")));

  test.each([
    ["a spare takes a site's place", replacement],
    ["a site leaves", retirement],
  ] as const)("%s: honest evidence passes", async (_name, make) => {
    expect((await changed(make)).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("without the evidence of the fleet before, nothing holds", async () => {
    const own = withOfficers(replacement({ sites: 3, spares: 1 }), officers, 2);
    const files = await paperCeremony(own, officers, new PaperOutputs(own, outputs.keys));
    expect(failed(read(files))).toContain("predecessor");
  });

  test("evidence before that does not hold", async () => {
    expect(failed(await changed(replacement, {}, {}, ["holders"]))).toEqual(["predecessor"]);
  });

  test.each([
    ["a spare takes a site's place", replacement],
    ["a site leaves", retirement],
  ] as const)("%s: another root was expected", async (_name, make) => {
    const rootFingerprint = "00".repeat(32);
    expect(failed(await changed(make, {}, {}, [], { rootFingerprint }))).toEqual(["predecessor"]);
    const own = sha256HexOf(outputs.keys.root.publicKey);
    expect(failed(await changed(make, {}, {}, [], { rootFingerprint: own }))).toEqual([]);
  });

  test("a spare that answers alone proves nothing of what others hold", async () => {
    const claims = await changed(replacement);
    const record = claims.find(({ id, key }) => id === "holders" && key === "record");
    expect(record).toMatchObject({ ok: true, source: "library-reported" });
    expect(record?.detail).toContain("nobody to compare");
  });

  test("another manifest before", async () => {
    const predecessor = { manifest: "00".repeat(32), evidence: "before" };
    expect(failed(await changed(replacement, {}, { predecessor }))).toEqual(["predecessor"]);
  });

  test("a key of another site is changed on the way", async () => {
    const manifest: Falsehoods["manifest"] = (made) => ({
      ...made,
      keys: made.keys.map((key) =>
        key.site === "site-c" && key.role === "session" ? { ...key, publicKey: STRANGER.hex } : key,
      ),
    });
    expect(failed(await changed(replacement, { manifest }))).toEqual(["manifest"]);
  });

  test("a retired site that stays in the manifest", async () => {
    const before = outputs.manifest();
    const manifest: Falsehoods["manifest"] = (made) => ({ ...made, sites: before.sites, keys: before.keys });
    expect(failed(await changed(retirement, { manifest }))).toEqual(["manifest"]);
  });

  test("keys of a retired site that are still in its token", async () => {
    const kept = says("destroy-keys", "site-c", (output) => ({
      ...output,
      inventory: [...output.inventory, { label: "strongroom/demo/record", class: "secret key" }],
    }));
    expect(failed(await changed(retirement, kept))).toEqual(["change"]);
  });

  test("another policy than before", async () => {
    expect(failed(await changed(retirement, {}, { maxAttempts: 20 }))).toEqual(["change"]);
  });
});
