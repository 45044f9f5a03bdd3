/** A whole ceremony on SoftHSM tokens without a person, by the built command; and what it leaves behind. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { combine } from "shamir-secret-sharing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { fromHex } from "../../src/base/bytes.ts";
import { sameCalls } from "../../src/ceremony/calls.ts";
import { dryRun } from "../../src/ceremony/dry-run.ts";
import { failedClaims } from "../../src/ceremony/evidence-judge.ts";
import { verifyEvidence } from "../../src/ceremony/evidence-verify.ts";
import { readPlan } from "../../src/ceremony/read-plan.ts";
import { stepsOf } from "../../src/ceremony/steps.ts";
import type { CallArgs } from "../../src/token/call-record.ts";
import { openSession } from "../../src/token/open.ts";
import { decodeManifest } from "../../src/wire/manifest.ts";
import { type Answer, strongroom, temporary, transcriptOf, writePlan } from "../support/ceremony.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { softHsmModule } from "../support/softhsm.ts";

const { dir: home, remove } = temporary();
afterAll(remove);

const everyFile = (dir: string): readonly string[] =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile());

describe("three sites and a spare", () => {
  const dir = join(home, "three");
  let answer: Answer;
  beforeAll(() => {
    const plan = writePlan(home, planOf({ sites: 3, spares: 1 }));
    answer = strongroom("ceremony", "rehearse", plan, "--dir", dir, "--json");
  }, 240_000);

  test("the command says that it is a rehearsal, and where everything is", () => {
    expect(answer.status, answer.stderr).toBe(0);
    expect(answer.stderr).toContain("*** REHEARSAL ***");
    expect(JSON.parse(answer.stdout)).toMatchObject({
      mode: "rehearsal",
      manifest: join(dir, "manifest.json"),
      officers: ["Ada", "Bela", "Chen"],
    });
  });

  test("the evidence holds, and passes for a rehearsal only", async () => {
    expect(failedClaims(await verifyEvidence(dir))).toEqual([]);
    expect(failedClaims(await verifyEvidence(dir, { production: true }))).toContain("mode");
  });

  test("the manifest has the sites, and no spare", () => {
    const manifest = decodeManifest(Uint8Array.from(readFileSync(join(dir, "manifest.json"))));
    expect(manifest.sites.map(({ name }) => name)).toEqual(["site-a", "site-b", "site-c"]);
    expect(manifest.keys).toHaveLength(7);
  });

  test("the calls are those of the dry run, in their order", async () => {
    const plan = readPlan(join(dir, "plan.yaml"));
    for (const { step, calls } of await dryRun(plan)) {
      const lines = transcriptOf(dir, step.station, plan.sha256);
      const from = lines.findIndex((line) => line.kind === "step" && line.step === step.id);
      const to = lines.findIndex((line, at) => at > from && (line.kind === "step" || line.kind === "stop"));
      const made = lines
        .slice(from, to < 0 ? undefined : to)
        .flatMap((line) => (line.kind === "call" ? [{ ...line, args: line.args as CallArgs }] : []));
      expect(sameCalls(calls, made), step.id).toBeUndefined();
    }
  });

  test("the plan that was rehearsed says of itself what it is", () => {
    const plan = parse(readFileSync(join(dir, "plan.yaml"), "utf8")) as Record<string, unknown>;
    expect(plan).toMatchObject({ mode: "rehearsal", title: "REHEARSAL: A fleet for the tests" });
  });

  test("no PIN is in what can be published, and others can read none", () => {
    const pins = ["root", "site-a", "spare-a"].flatMap((station) =>
      ["pin", "so-pin"].map((name) => join(dir, "tokens", station, name)),
    );
    for (const path of pins) expect(statSync(path).mode & 0o077).toBe(0);
    for (const path of everyFile(join(dir, "private"))) expect(statSync(path).mode & 0o077, path).toBe(0);
    const secrets = pins.map((path) => readFileSync(path, "utf8"));
    for (const folder of ["steps", "transcripts", "approvals", "certificates"])
      for (const path of everyFile(join(dir, folder))) {
        const text = readFileSync(path, "utf8");
        for (const secret of secrets) expect(text.includes(secret), path).toBe(false);
      }
  });

  test("custodians' shares are there to be handed out, and the root's scalars are gone", () => {
    expect(readdirSync(join(dir, "private")).sort()).toEqual(["officers", "shares"]);
    expect(readdirSync(join(dir, "private", "shares"))).toHaveLength(15);
  });

  test("two custodians together have the security officer's PIN, the old one and one share have not", async () => {
    const shares = [1, 3].map((custodian) => {
      const file = join(dir, "private", "shares", `site-b.${custodian}.json`);
      return fromHex((JSON.parse(readFileSync(file, "utf8")) as { share: string }).share);
    });
    const home = join(dir, "tokens", "site-b");
    process.env.SOFTHSM2_CONF = join(home, "softhsm2.conf");
    const uri = `pkcs11:token=site-b?module-path=${softHsmModule()}`;
    const openAs = async (pin: Uint8Array): Promise<void> => {
      const prompt = (): Promise<Uint8Array> => Promise.resolve(Uint8Array.from(pin));
      (await openSession({ uri, profile: "softhsm2" }, { login: "so", prompt })).session.close();
    };
    await openAs(await combine(shares));
    const old = Uint8Array.from(readFileSync(join(home, "so-pin")));
    await expect(openAs(old)).rejects.toMatchObject({ code: "pin-incorrect" });
    await expect(openAs((shares[0] ?? old).subarray(0, 16))).rejects.toMatchObject({ code: "pin-incorrect" });
  });

  test("what was finished is not begun again", async () => {
    const again = strongroom("ceremony", "rehearse", join(home, "the-plan.yaml"), "--dir", dir);
    expect(again.status, again.stderr).toBe(0);
    expect(again.stderr).toContain("001.root.open (was taken)");
    expect(failedClaims(await verifyEvidence(dir))).toEqual([]);
  });

  test("status and verify say how far it came", () => {
    const status = JSON.parse(strongroom("ceremony", "status", dir, "--json").stdout) as {
      steps: { state: string }[];
    };
    const { plan } = readPlan(join(dir, "plan.yaml"));
    expect(status.steps).toHaveLength(stepsOf(plan).length);
    expect(status.steps.every(({ state }) => state === "taken")).toBe(true);
    expect(strongroom("ceremony", "verify", dir).status).toBe(0);
  });
});

describe("provision", () => {
  test("refuses a plan for production", () => {
    const plan = writePlan(home, planOf({ sites: 1, spares: 1 }), "production.yaml");
    const answer = strongroom("provision", plan, "--dir", join(home, "production"));
    expect(answer.status).toBe(2);
    expect(answer.stderr).toContain("not run without people");
  });
});
