/**
 * An auditor as a service on a real token: what its operator hands in, what it refuses and why, and what everybody may
 * read of it, in the shapes that the client of the Plexi auditor takes.
 */
import { createPublicKey, verify } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPolicy } from "../../src/auditor/policy.ts";
import { fromHex } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { parseVkey } from "../../src/merkle/vkey.ts";
import { type RunningAuditor, startAuditor } from "../../src/service/auditor-start.ts";
import type { AnnouncedFleet } from "../../src/wire/announcement.ts";
import { type Audit, auditSchema } from "../../src/wire/audit.ts";
import { type Bundle, decodeBundle, logEntry } from "../../src/wire/bundle.ts";
import {
  type AuditorWorld,
  announce,
  createAuditorWorld,
  NAMESPACE,
  OperatorClient,
  ORIGIN,
  type PaperFleet,
  paperFleet,
} from "../support/auditor-world.ts";
import { planOf, replacement } from "../support/ceremony-plan.ts";
import { OperatorSigner } from "../support/signers.ts";

let world: AuditorWorld;
let operator: OperatorSigner;
let running: RunningAuditor;
let client: OperatorClient;
let one: PaperFleet;
const lines: string[] = [];

const start = async (): Promise<void> => {
  running = await startAuditor(world.config(), { write: (line) => lines.push(line) });
  client = new OperatorClient(running.url, world.token);
};
const get = (path: string) => fetch(`${running.url}${path}`);
const json = async (path: string) => (await (await get(path)).json()) as Record<string, unknown>;

beforeAll(async () => {
  [world, one] = await Promise.all([createAuditorWorld(), paperFleet("one")]);
  await start();
});
afterAll(async () => {
  await running.close();
  world.remove();
});

let two: PaperFleet;
let first: { readonly bytes: Uint8Array; readonly digest: string };
let audit: Audit;

test("before the first epoch a namespace is being initialised, and has nothing", async () => {
  expect(await json(`/namespaces/${NAMESPACE}`)).toEqual({
    name: NAMESPACE,
    status: "Initialization",
    reports_uri: `/namespaces/${NAMESPACE}/reports`,
    audits_uri: `/namespaces/${NAMESPACE}/audits`,
    signature_version: 1,
    ciphersuite: 1,
  });
  for (const path of ["last-verified-epoch", "audits/1", "audits/0", "audits/01", "audits/9007199254740993"])
    expect((await get(`/namespaces/${NAMESPACE}/${path}`)).status, path).toBe(404);
  expect((await get("/namespaces/nobody")).status).toBe(404);
});

test("without the operator's token nothing is taken", async () => {
  for (const token of [undefined, "not-the-operators-token"]) {
    const stranger = new OperatorClient(running.url, token);
    expect((await stranger.post("audits", { epoch: 1, digest: "00".repeat(32) })).status).toBe(401);
    expect((await stranger.put(`announcements/${"00".repeat(32)}`, new Uint8Array())).status).toBe(401);
  }
});

describe("what is handed in", () => {
  test("is what its name says, and of a name that evidence may have", async () => {
    const { bytes, digest } = announce(world, 1, undefined, [one.announced]);
    expect(await client.put(`announcements/${"00".repeat(32)}`, bytes)).toMatchObject({
      status: 400,
      json: { code: "auditor-refused", message: expect.stringContaining(digest) },
    });
    for (const path of ["secret.txt", "..%2F..%2Fauditor.yaml", "steps/..%2fx.json", "attachments/.hidden"])
      expect((await client.put(`evidence/${one.evidenceSha256}/${path}`, bytes)).status, path).toBe(400);
  });

  test.each([
    ["not JSON", "{"],
    ["another field", { epoch: 1, digest: "00".repeat(32), more: 1 }],
    ["an epoch that JSON cannot say", `{"epoch":9007199254740993,"digest":"${"00".repeat(32)}"}`],
    ["too long", "x".repeat(5_000)],
  ])("a request is read strictly: %s", async (_what, body) => {
    expect([400, 413]).toContain((await client.post("audits", body)).status);
  });
});

describe("evidence is looked at before anything is signed", () => {
  const refusal = async (fleet: PaperFleet, handedIn: PaperFleet = fleet): Promise<unknown> => {
    if (handedIn.files.size > 0) await client.evidence(handedIn);
    const { status, json: body } = await client.audit(1, announce(world, 1, undefined, [fleet.announced]));
    expect(status).toBe(400);
    expect(body.code).toBe("auditor-refused");
    return body.message;
  };

  test("that is not there", async () => {
    expect(await refusal({ ...one, files: new Map() })).toMatch(/no evidence whose signed list/);
  });
  test("of another manifest", async () => {
    const other = await paperFleet("two");
    const { evidenceSha256 } = other;
    expect(await refusal({ ...one, announced: { ...one.announced, evidenceSha256 } }, other)).toMatch(
      /another manifest/,
    );
  });
  test("of a manifest that says something else", async () => {
    const manifest = { ...one.announced.manifest, createdAt: 1 };
    expect(await refusal({ ...one, announced: { ...one.announced, manifest } })).toMatch(/says otherwise/);
  });
  test("of which a claim does not hold", async () => {
    const unsigned = await paperFleet("three", { falsehoods: { closing: [0] } });
    expect(await refusal(unsigned)).toMatch(/closing-approved/);
  });
  test("none at all", async () => {
    const { evidenceSha256: _, ...bare } = one.announced;
    expect(await refusal({ ...one, announced: bare, files: new Map() })).toMatch(/brings no evidence/);
  });
  test("and nothing of it was published, nothing signed", async () => {
    expect((await get(`/log/${NAMESPACE}/evidence/${one.evidenceSha256}/files.json`)).status).toBe(404);
    expect((await get(`/namespaces/${NAMESPACE}/audits/1`)).status).toBe(404);
  });
});

describe("the first epoch", () => {
  test("is signed, and the same request has the same answer", async () => {
    first = announce(world, 1, undefined, [one.announced]);
    await client.evidence(one);
    const answer = await client.audit(1, first);
    expect(answer.status, answer.text).toBe(200);
    audit = auditSchema.parse(answer.json);
    expect(audit.digest).toBe(first.digest);
    const spki = Buffer.concat([fromHex("302a300506032b6570032100"), fromHex(world.keys.auditors[0] ?? "")]);
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    expect(verify(null, fromHex(audit.serialized_message), key, fromHex(audit.signature))).toBe(true);
    expect((await client.audit(1, first)).text).toBe(answer.text);
    expect(await (await get(`/namespaces/${NAMESPACE}/audits/1`)).text()).toBe(answer.text);
  });

  test("is never signed with another digest, and no later one before it is logged", async () => {
    const other = announce(world, 1, undefined, [one.announced], { createdAt: Date.now() - 1 });
    expect(await client.audit(1, other)).toMatchObject({ status: 400, json: { code: "auditor-refused" } });
    const second = announce(world, 2, first.digest, [one.announced]);
    expect((await client.audit(2, second)).json.message).toMatch(/not countersigned/);
  });

  test("is countersigned by a key of the operator, over the auditor's signature", async () => {
    const [auditor = ""] = world.keys.auditors;
    const good = world.operator.countersign(audit, auditor);
    const stranger = new OperatorSigner().countersign(audit, auditor);
    const { signature } = audit;
    const flipped = {
      ...audit,
      signature: `${signature.slice(0, -1)}${signature.endsWith("0") ? "1" : "0"}`,
    };
    for (const [what, wrong] of Object.entries({
      stranger,
      "a stranger under the operator's key": { ...stranger, operatorKey: good.operatorKey },
      "another signature of the auditor": world.operator.countersign(flipped, auditor),
      "an epoch that was not signed": { ...good, epoch: 2 },
    }))
      expect(await client.post("countersignatures", wrong), what).toMatchObject({
        status: 400,
        json: { code: "auditor-refused" },
      });
  });

  test("is logged and published when it is countersigned; the same again is the same bundle", async () => {
    const [auditor = ""] = world.keys.auditors;
    const good = await client.post("countersignatures", world.operator.countersign(audit, auditor));
    expect(good.status, good.text).toBe(200);
    // ECDSA signs otherwise each time: the first counts.
    const again = await client.post("countersignatures", world.operator.countersign(audit, auditor));
    expect(again.text).toBe(good.text);
    const published = await get(`/log/${NAMESPACE}/bundles/1.json`);
    expect(await published.text()).toBe(good.text);
    const bundle: Bundle = decodeBundle(Buffer.from(good.text));
    const { checkpoint } = verifyTlogProof(bundle.proof, logEntry(bundle.audit, bundle.countersignature), {
      logs: world.keys.logs.map(parseVkey),
    });
    expect(checkpoint).toMatchObject({ origin: ORIGIN, size: 1 });
    expect(sha256HexOf(bundle.announcement)).toBe(first.digest);
  });
});

describe("everybody", () => {
  test("reads what the Plexi client reads", async () => {
    const { keys, logs } = await json("/info");
    expect(keys).toEqual([{ public_key: world.keys.auditors[0], not_before: expect.any(Number) }]);
    expect(logs).toEqual([NAMESPACE]);
    expect(await json("/namespaces")).toEqual({ namespaces: [await json(`/namespaces/${NAMESPACE}`)] });
    expect(await json(`/namespaces/${NAMESPACE}`)).toMatchObject({
      status: "Online",
      last_verified_epoch: 1,
    });
    expect(await json(`/namespaces/${NAMESPACE}/last-verified-epoch`)).toEqual({
      job_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      epoch: 1,
      start_hash: "00".repeat(32),
      end_hash: first.digest,
      timestamp: audit.timestamp,
    });
  });

  test("gets public files, for ever or each time anew; evidence does nothing in a browser", async () => {
    const base = `/log/${NAMESPACE}`;
    const evidence = `evidence/${one.evidenceSha256}`;
    const listing = (await json(`${base}/${evidence}/files.json`)) as {
      files: { path: string; sha256: string }[];
    };
    expect(listing.files.map(({ path }) => path).sort()).toEqual([...one.files.keys()].sort());
    for (const { path, sha256: hash } of listing.files)
      expect(
        sha256HexOf(new Uint8Array(await (await get(`${base}/${evidence}/files/${path}`)).arrayBuffer())),
      ).toBe(hash);
    const caching = async (path: string) => (await get(`${base}/${path}`)).headers.get("cache-control");
    for (const path of [
      "tile/entries/000.p/1",
      "tile/0/000.p/1",
      "bundles/1.json",
      `announcements/${first.digest}.json`,
    ])
      expect(await caching(path), path).toMatch(/immutable/);
    for (const path of ["checkpoint", "index.json", "policy.json"])
      expect(await caching(path), path).toBe("public, no-cache");
    const { headers } = await get(`${base}/${evidence}/files/plan.yaml`);
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("content-security-policy")).toBe("sandbox; default-src 'none'");
    for (const path of ["../../../auditor.yaml", "..%2f..%2f..%2fauditor.yaml", ".writer", ""])
      expect((await get(`${base}/${path}`)).status, path).toBe(404);
  });

  test("reads the policy by which is signed: all of it, and nothing of what its people noted beside it", async () => {
    const file = world.config().policy;
    writeFileSync(file, `# of our people, not for others\n${readFileSync(file, "utf8")}`);
    const applied = loadPolicy(file);
    await running.close();
    await start();
    const text = await (await get(`/log/${NAMESPACE}/policy.json`)).text();
    expect(JSON.parse(text)).toEqual(applied);
    expect(text).not.toContain("of our people");
    // As it is, it judges evidence elsewhere.
    const copy = join(world.home, "policy.json");
    writeFileSync(copy, text);
    expect(loadPolicy(copy)).toEqual(applied);
    // It is the one that is applied now.
    writeFileSync(file, readFileSync(file, "utf8").replace(/maxValidityDays: \d+/, "maxValidityDays: 30"));
    await running.close();
    await start();
    expect(await json(`/log/${NAMESPACE}/policy.json`)).toEqual({ ...applied, maxValidityDays: 30 });
  });

  test("and may not write where one reads", async () => {
    expect((await fetch(`${running.url}/info`, { method: "POST" })).status).toBe(405);
    expect((await get(`/namespaces/${NAMESPACE}/audits`)).status).toBe(405);
  });
});

test("the machine's operators see whether it works, and what it does", async () => {
  expect(await json("/readyz")).toMatchObject({ ready: true });
  const text = await (await get("/metrics")).text();
  expect(text).toContain(`strongroom_auditor_epochs{namespace="${NAMESPACE}"} 1`);
  expect(text).toMatch(/strongroom_token_step_seconds_count\{step="sign-message",outcome="ok"\} [1-9]/);
  expect(lines.join("")).not.toContain(world.token);
});

describe("the next epoch", () => {
  test("adds a fleet by its evidence, and asks none again of the one that is there", async () => {
    two = await paperFleet("two", { plan: planOf({ sites: 1, spares: 1 }, { fleet: "two" }) });
    await client.evidence(two);
    const fleets = [two.announced, { ...one.announced, status: "draining" as const }];
    const second = announce(world, 2, first.digest, fleets);
    const { status, text, json: body } = await client.audit(2, second);
    expect(status, text).toBe(200);
    const signed = auditSchema.parse(body);
    const countersignature = world.operator.countersign(signed, world.keys.auditors[0] ?? "");
    // In between, the auditor is stopped and started: nothing is lost.
    await running.close();
    await start();
    const bundle = await client.post("countersignatures", countersignature);
    expect(bundle.status, bundle.text).toBe(200);
    expect(await json(`/log/${NAMESPACE}/index.json`)).toMatchObject({ epochs: 2, origin: ORIGIN });
    first = second;
  });

  test("a change of a fleet brings the evidence before it, wherever its plan says", async () => {
    for (const [evidence, message] of [
      // On paper nobody called a token, and this claim says so of the evidence before: it was found, and read.
      ["../../somewhere/before", /predecessor: Its evidence does not hold: transcript-follows-plan/],
      ["../".repeat(40), /leads elsewhere/],
      ["attachments/before", /leads elsewhere/],
    ] as const) {
      const predecessor = { manifest: two.announced.manifestSha256, evidence };
      const plan = replacement({ sites: 1, spares: 1 }, { fleet: "two", predecessor });
      const changed = await paperFleet("two", { plan, of: two });
      await client.evidence(changed);
      const answer = await client.audit(3, announce(world, 3, first.digest, [changed.announced]));
      expect(answer.json.message).toMatch(message);
    }
  });
});

test("a copy of the data directory from before is refused, and so is a second auditor on this one", async () => {
  await expect(startAuditor(world.config(), { write: () => undefined })).rejects.toMatchObject({
    code: "store-unavailable",
  });
  const copy = join(world.home, "copy");
  cpSync(world.dir, copy, { recursive: true });
  // Its operator changes keys: those of the epoch before still say so.
  const next = new OperatorSigner();
  const keys = { ...world.keys, operators: [next.hex] };
  const third = announce(world, 3, first.digest, [one.announced], { keys });
  const { json: body } = await client.audit(3, third);
  const by = (operator: OperatorSigner) =>
    operator.countersign(auditSchema.parse(body), world.keys.auditors[0] ?? "");
  await running.close();
  const old = world.config({ dir: copy, policy: join(copy, "policy.yaml") });
  await expect(startAuditor(old, { write: () => undefined })).rejects.toMatchObject({
    code: "auditor-refused",
    details: { reason: "log-behind" },
  });
  await start();
  expect((await client.post("countersignatures", by(next))).status).toBe(400);
  expect((await client.post("countersignatures", by(world.operator))).status).toBe(200);
  first = third;
  operator = next;
});

test("a fleet that was left out comes back as it was left, a revoked one revoked", async () => {
  const keys = { ...world.keys, operators: [operator.hex] };
  const epoch = (number: number, fleets: readonly AnnouncedFleet[]) =>
    announce(world, number, first.digest, fleets, { keys });
  const publish = async (number: number, fleets: readonly AnnouncedFleet[]): Promise<void> => {
    const next = epoch(number, fleets);
    const { json: body, text } = await client.audit(number, next);
    const signed = auditSchema.safeParse(body);
    if (!signed.success) throw new Error(text);
    const { status } = await client.post(
      "countersignatures",
      operator.countersign(signed.data, world.keys.auditors[0] ?? ""),
    );
    expect(status).toBe(200);
    first = next;
  };
  const revoked: AnnouncedFleet = { ...one.announced, status: "revoked" };
  // The third epoch had no fleet two.
  await publish(4, [two.announced, revoked]);
  await publish(5, [two.announced]);
  await publish(6, [two.announced]);
  const draining: AnnouncedFleet = { ...one.announced, status: "draining" };
  for (const fleets of [[two.announced, draining], [one.announced]])
    expect((await client.audit(7, epoch(7, fleets))).json.message).toMatch(/was revoked/);
  // What was checked under a hash is what stays announced under it.
  const [, ...keysOfTwo] = two.announced.manifest.keys;
  const [session] = one.announced.manifest.keys;
  const swapped: AnnouncedFleet = {
    ...two.announced,
    manifest: {
      ...two.announced.manifest,
      keys: session ? [{ ...session, site: two.announced.manifest.keys[0]?.site }, ...keysOfTwo] : [],
    },
  };
  expect((await client.audit(7, epoch(7, [swapped]))).json.message).toMatch(/under the same hash/);
  const other = await paperFleet("one");
  await client.evidence(other);
  const { message } = (await client.audit(7, epoch(7, [{ ...other.announced, status: "revoked" }]))).json;
  expect(message).toMatch(/does not follow/);
  await publish(7, [two.announced, revoked]);
});
