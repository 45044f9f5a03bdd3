/**
 * What a worker does when the token forgets it: a second binding to the same library plays the token that
 * closes sessions, logs out and loses objects behind the driver's back.
 */
// biome-ignore lint/correctness/noUnresolvedImports: a CommonJS module that declares its types as an ambient one
import { PKCS11 } from "pkcs11js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSession } from "../../src/token/open.ts";
import { Runner } from "../../src/token/runner.ts";
import { TokenSession } from "../../src/token/session.ts";
import type { TokenStep } from "../../src/token/token.ts";
import { parseTokenUri } from "../../src/token/uri.ts";
import { codeOf } from "../support/codes.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import { DRIVER_KEYS, makeDriverKeys, randomPoint } from "../support/token-keys.ts";

let hsm: SoftHsm;
let session: TokenSession;
let runner: Runner;
let behind: PKCS11;
let slot: Buffer;

beforeEach(async () => {
  hsm = createSoftHsm();
  hsm.use();
  ({ session } = await openSession({ uri: hsm.uri, profile: "softhsm2", keys: DRIVER_KEYS }));
  makeDriverKeys(session);
  runner = new Runner(session);
  behind = new PKCS11();
  behind.load(hsm.module);
  const found = behind.C_GetSlotList(true)[0];
  if (!found) throw new Error("no slot");
  slot = found;
  session.module.takeCounts();
});
afterEach(() => {
  try {
    session.close();
  } finally {
    hsm.remove();
  }
});

const work: readonly TokenStep[] = [
  { op: "hmac", key: "record", data: new Uint8Array(4) },
  { op: "ecdh", key: "ake", points: [randomPoint()] },
  { op: "create-share", kek: "share-kek.0", points: [randomPoint()] },
];
const calls = (fn: string): number =>
  session.module
    .takeCounts()
    .filter(([name]) => name === fn)
    .reduce((sum, [, , count]) => sum + count, 0);

test("a closed session is opened again, once", () => {
  behind.C_CloseAllSessions(slot);
  expect(codeOf(() => runner.run(work))).toBe("no error");
  expect(runner.verdict).toBe("none");
  expect(calls("C_OpenSession")).toBe(1);
});

test("a silent logout is followed by one login", () => {
  const other = behind.C_OpenSession(slot, 4);
  behind.C_Logout(other);
  expect(codeOf(() => runner.run(work))).toBe("no error");
  expect(runner.verdict).toBe("none");
  expect(calls("C_Login")).toBe(1);
});

test("a PIN that the token refused to another worker is not tried here", () => {
  session.forbidLogin();
  expect(codeOf(() => runner.run(work))).toBe("no error");
  const other = behind.C_OpenSession(slot, 4);
  behind.C_Logout(other);
  expect(codeOf(() => runner.run(work))).toBe("pin-incorrect");
  expect(runner.verdict).toBe("recycle");
  expect(calls("C_Login")).toBe(0);
});

test("a key that was replaced is found again", () => {
  const [old] = session.find({ LABEL: "driver/record", TOKEN: true });
  if (!old) throw new Error("no key");
  expect(codeOf(() => runner.run(work))).toBe("no error");
  session.destroy(old);
  expect(codeOf(() => runner.run(work))).toBe("key-missing");
  expect(runner.verdict).toBe("none");
  makeDriverKeysAgain();
  expect(codeOf(() => runner.run([{ op: "hmac", key: "record", data: new Uint8Array(4) }]))).toBe("no error");
});

/** Only `record` again: the others would be doubles. */
function makeDriverKeysAgain(): void {
  for (const label of ["driver/ake", "driver/identity", "driver/share-kek.0"])
    for (const object of session.find({ LABEL: label })) session.destroy(object);
  makeDriverKeys(session);
}

test("a finalized module and a vanished token are for a new process", () => {
  hsm.takeAway();
  expect(codeOf(() => runner.probe())).toBe("token-absent");
  expect(runner.verdict).toBe("recycle");
  hsm.putBack();
});

test("a module that was finalized behind our back is for a new process", () => {
  behind.C_Finalize();
  expect(codeOf(() => runner.run(work))).toBe("token-failed");
  expect(runner.verdict).toBe("recycle");
  // So that closing the session finds what it expects.
  behind.C_Initialize({ flags: 2 });
});

test("a session object that could not be destroyed goes with its session", () => {
  const made = session.generateKey({ mechanism: 0x350 }, { TOKEN: false, PRIVATE: true, VALUE_LEN: 32 });
  session.destroy(made);
  session.discard(made, undefined);
  expect(calls("C_OpenSession")).toBe(0);
  expect(codeOf(() => runner.run(work))).toBe("no error");
  expect(calls("C_OpenSession")).toBe(1);
  expect(session.find({ TOKEN: false })).toEqual([]);
});

test("a probe proves that a key still works", () => {
  expect(codeOf(() => runner.probe())).toBe("no error");
  const counts = session.module.takeCounts();
  expect(counts).toContainEqual(["C_Sign", "CKR_OK", 1]);
});

test("ambiguous and absent tokens", () => {
  const traits = session.traits;
  const open = (uri: string): string =>
    codeOf(() => new TokenSession({ uri: parseTokenUri(uri), traits }).close());
  const query = hsm.uri.slice(hsm.uri.indexOf("?"));
  expect(open(`pkcs11:token=nobody${query}`)).toBe("token-absent");
  expect(open(`pkcs11:serial=${session.info().serial}${query}`)).toBe("no error");
  expect(open(`pkcs11:token=${hsm.label}?module-path=/no/such/module.so`)).toBe("module-failed");
  expect(open(`pkcs11:token=${hsm.label}?module-path=${import.meta.filename}`)).toBe("module-failed");
  expect(open(`pkcs11:token=${hsm.label}?module-path=${hsm.module}`)).toBe("pin-unavailable");
});

test("a typed PIN is used once and never as the zeros it became", async () => {
  session.close();
  const uri = hsm.uri.replace(/&pin-source=.*/, "");
  const pin = new TextEncoder().encode((await import("node:fs")).readFileSync(hsm.pinFile, "utf8").trim());
  ({ session } = await openSession(
    { uri, profile: "softhsm2", keys: DRIVER_KEYS },
    { prompt: () => Promise.resolve(pin) },
  ));
  expect(pin.every((byte) => byte === 0)).toBe(true);
  expect(codeOf(() => session.login())).toBe("pin-unavailable");
  expect(session.key("ake")).toBeDefined();
});
