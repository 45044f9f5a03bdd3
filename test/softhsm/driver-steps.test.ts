/** Every step on a real token against what software computes; hostile input; nothing left behind. */
import { createHmac, createPublicKey, verify } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ATTRIBUTES, KEY_TYPE, OBJECT_CLASS } from "../../src/token/attributes.ts";
import { UNWRAPPED_SHARE } from "../../src/token/doctor/share-template.ts";
import { openSession } from "../../src/token/open.ts";
import type { DriverTraits, WrapFormat } from "../../src/token/profile.ts";
import { TokenSession } from "../../src/token/session.ts";
import { type StepResult, StepRunner } from "../../src/token/steps.ts";
import type { CreatedShare, TokenStep, WrappedShare } from "../../src/token/token.ts";
import { parseTokenUri } from "../../src/token/uri.ts";
import { codeOf } from "../support/codes.ts";
import { createSoftHsm, type SoftHsm } from "../support/softhsm.ts";
import {
  DRIVER_KEYS,
  importEcKey,
  type KnownKeys,
  makeDriverKeys,
  publicPoint,
  randomPoint,
  softwareX,
} from "../support/token-keys.ts";

let hsm: SoftHsm;
let session: TokenSession;
let runner: StepRunner;
let known: KnownKeys;

beforeAll(async () => {
  hsm = createSoftHsm();
  hsm.use();
  ({ session } = await openSession({ uri: hsm.uri, profile: "softhsm2", keys: DRIVER_KEYS }));
  known = makeDriverKeys(session);
  runner = new StepRunner(session);
  runner.prepare();
});
afterAll(() => {
  session.close();
  hsm.remove();
});
const sessionObjects = (): number => session.find({ TOKEN: false }).length;
afterEach(() => expect(sessionObjects()).toBe(0));

const KEK = "share-kek.0";
const bytes = (result: StepResult): Uint8Array => {
  if (result instanceof Uint8Array) return result;
  throw new Error("not bytes");
};
const list = (result: StepResult): readonly Uint8Array[] => {
  if (Array.isArray(result)) return result;
  throw new Error("not a list");
};
const createShare = (points: readonly Uint8Array[] = []): CreatedShare => {
  const result = runner.run({ op: "create-share", kek: KEK, points });
  if ("wrapped" in result) return result;
  throw new Error("not a share");
};
const evaluate = (share: WrappedShare, points: readonly Uint8Array[], by = runner): readonly Uint8Array[] =>
  list(by.run({ op: "evaluate-share", kek: KEK, share, points }));
test("ecdh gives the x-coordinates that OpenSSL gives", () => {
  const points = [randomPoint(), randomPoint(), publicPoint(known.scalar)];
  const xs = list(runner.run({ op: "ecdh", key: "ake", points }));
  expect(xs).toEqual(points.map((point) => softwareX(known.scalar, point)));
});

test("an x-coordinate keeps its leading zero bytes", () => {
  let point = randomPoint();
  while (softwareX(known.scalar, point)[0] !== 0) point = randomPoint();
  const [x] = list(runner.run({ op: "ecdh", key: "ake", points: [point] }));
  expect(x).toEqual(softwareX(known.scalar, point));
  expect(x).toHaveLength(32);
});

test("hmac, sign and random", () => {
  const data = new TextEncoder().encode("what is signed");
  const mac = bytes(runner.run({ op: "hmac", key: "record", data }));
  expect(Buffer.from(mac)).toEqual(createHmac("sha256", known.secret).update(data).digest());

  const signature = bytes(runner.run({ op: "sign", key: "identity", digest: mac }));
  const point = publicPoint(known.scalar);
  const key = createPublicKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      x: Buffer.from(point.subarray(1, 33)).toString("base64url"),
      y: Buffer.from(point.subarray(33)).toString("base64url"),
    },
  });
  // The step signs a digest, and what was MACed above stands for one: SHA-256 is not applied again.
  expect(signature).toHaveLength(64);
  const message = new TextEncoder().encode("message");
  const digest = new Uint8Array(
    Buffer.from("ab530a13e45914982b79f9b7e3fba994cfd1f3fb22f71cea1afbf02b460c6d1d", "hex"),
  );
  const real = bytes(runner.run({ op: "sign", key: "identity", digest }));
  expect(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, real)).toBe(true);
  expect(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)).toBe(false);

  const random = bytes(runner.run({ op: "random", length: 32 }));
  expect(random).toHaveLength(32);
  expect(bytes(runner.run({ op: "random", length: 32 }))).not.toEqual(random);
});

test("a share is created, evaluated, and only its point leaves the token", () => {
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => i + 3);
  const point = publicPoint(scalar);
  const share = createShare([point]);
  // k · (s · G) = s · (k · G): software knows s and the share's public key.
  const expected = softwareX(scalar, share.publicKey);
  expect(share.xs).toEqual([expected]);
  expect(evaluate(share, [point, point])).toEqual([expected, expected]);
  expect(share.mechanism).toBe(0x210a);
  expect(createShare().wrapped).not.toEqual(share.wrapped);
});

test("a share unwraps as a key that the token will neither show nor wrap again", () => {
  const share = createShare();
  const key = session.unwrap(
    { mechanism: share.mechanism },
    session.key(KEK),
    share.wrapped,
    UNWRAPPED_SHARE,
  );
  try {
    expect(session.secrecy(key)).toEqual({ sensitive: true, extractable: false });
    expect(codeOf(() => session.attribute(key, "VALUE"))).toBe("token-refused");
    expect(codeOf(() => session.wrap({ mechanism: share.mechanism }, session.key(KEK), key))).toBe(
      "token-refused",
    );
  } finally {
    session.destroy(key);
  }
});

/** A second session of this process, which believes other things of the device. */
function believing<R>(traits: Partial<DriverTraits>, use: (other: TokenSession) => R): R {
  const other = new TokenSession({
    uri: parseTokenUri(hsm.uri),
    traits: { ...session.traits, ...traits },
    keys: DRIVER_KEYS,
  });
  try {
    return use(other);
  } finally {
    other.close();
  }
}

test("a device that ignores the unwrap template has its key sealed before use", () => {
  // The opposite of what the driver asks for, put into its template, makes SoftHSM such a device.
  const ignoring = {
    unwrapOmit: [ATTRIBUTES.SENSITIVE.type, ATTRIBUTES.EXTRACTABLE.type],
    unwrapExtra: [
      { attribute: ATTRIBUTES.SENSITIVE.type, value: "00" },
      { attribute: ATTRIBUTES.EXTRACTABLE.type, value: "01" },
    ],
  };
  const share = createShare();
  const scalar = Uint8Array.from({ length: 32 }, (_, i) => i + 9);
  believing(ignoring, (other) => {
    other.module.takeCounts();
    expect(evaluate(share, [publicPoint(scalar)], new StepRunner(other))).toEqual([
      softwareX(scalar, share.publicKey),
    ]);
    const counts = other.module.takeCounts();
    expect(counts).toContainEqual(["C_SetAttributeValue", "CKR_OK", 1]);
    // The key-encryption key is checked, then the share before and after; then the derived value is read.
    expect(counts).toContainEqual(["C_GetAttributeValue", "CKR_OK", 4]);
  });
});

test("a device that will not seal an unwrapped key is not used", () => {
  const stubborn = {
    unwrapOmit: [ATTRIBUTES.SENSITIVE.type, ATTRIBUTES.EXTRACTABLE.type],
    unwrapExtra: [
      { attribute: ATTRIBUTES.EXTRACTABLE.type, value: "01" },
      { attribute: ATTRIBUTES.MODIFIABLE.type, value: "00" },
    ],
  };
  believing(stubborn, (other) =>
    expect(codeOf(() => evaluate(createShare(), [randomPoint()], new StepRunner(other)))).toBe(
      "token-refused",
    ),
  );
});

test("every tampered or truncated blob is refused", () => {
  const share = createShare();
  const point = randomPoint();
  for (let i = 0; i < share.wrapped.length; i++) {
    const wrapped = Uint8Array.from(share.wrapped);
    wrapped[i] = (wrapped[i] ?? 0) ^ 1;
    expect(codeOf(() => evaluate({ ...share, wrapped }, [point]))).toBe("token-failed");
  }
  for (const length of [0, 1, 7, 8, 16, share.wrapped.length - 8, share.wrapped.length - 1])
    expect(codeOf(() => evaluate({ ...share, wrapped: share.wrapped.subarray(0, length) }, [point]))).toBe(
      "token-failed",
    );
});

test("a stored share cannot choose a mechanism that the profile does not list", () => {
  const share = createShare();
  // AES-ECB, AES-CBC-PAD without its parameter, the plain key wrap, and numbers that mean nothing.
  for (const mechanism of [0x1081, 0x1085, 0x2109, 0x210b, 0, 0xffffffff])
    expect(codeOf(() => evaluate({ ...share, mechanism }, [randomPoint()]))).toBe("token-refused");
});

test("a wrapped key of another type is refused", () => {
  const kek = session.key(KEK);
  const aes = session.generateKey(
    { mechanism: session.traits.mechanisms.aesKeygen },
    {
      CLASS: OBJECT_CLASS["secret key"],
      KEY_TYPE: KEY_TYPE.AES,
      TOKEN: false,
      PRIVATE: true,
      EXTRACTABLE: true,
      VALUE_LEN: 32,
    },
  );
  const wrapped = session.wrap({ mechanism: 0x210a }, kek, aes);
  session.destroy(aes);
  expect(codeOf(() => evaluate({ mechanism: 0x210a, wrapped }, [randomPoint()]))).toBe("token-failed");
});

test("only uncompressed points reach the token, and a failing one destroys what was made for it", () => {
  const good = randomPoint();
  const share = createShare();
  const compressed = Uint8Array.of(2, ...good.subarray(1, 33));
  const hybrid = Uint8Array.of(6, ...good.subarray(1));
  for (const point of [new Uint8Array(0), Uint8Array.of(0), compressed, hybrid, good.subarray(0, 64)]) {
    const points = [good, point];
    const steps: TokenStep[] = [
      { op: "ecdh", key: "ake", points },
      { op: "create-share", kek: KEK, points },
      { op: "evaluate-share", kek: KEK, share, points },
    ];
    for (const step of steps) expect(codeOf(() => runner.run(step))).toBe("point-invalid");
  }
  // Off the curve: callers have checked that, and the token is the second line.
  const off = Uint8Array.from(good);
  off[64] = (off[64] ?? 0) ^ 1;
  expect(codeOf(() => evaluate(share, [off]))).toBe("token-failed");
});

test("a tag is made with a share and checked before the share is unwrapped", () => {
  const before = Uint8Array.of(1, 2, 3);
  const after = Uint8Array.of(4, 5);
  const tag = { key: "record", before, after };
  const made = runner.run({ op: "create-share", kek: KEK, points: [], tag });
  if (!("wrapped" in made)) throw new Error("not a share");
  const data = Buffer.concat([before, made.publicKey, after]);
  expect(made.tag).toEqual(bytes(runner.run({ op: "hmac", key: "record", data })));

  const points = [randomPoint()];
  const expected = { ...tag, publicKey: made.publicKey, value: made.tag };
  const step = { op: "evaluate-share", kek: KEK, share: made, points } as const;
  expect(list(runner.run({ ...step, tag: expected }))).toEqual(evaluate(made, points));
  const wrong = Uint8Array.from(made.tag);
  wrong[31] = (wrong[31] ?? 0) ^ 1;
  for (const change of [
    { value: wrong },
    { value: made.tag.subarray(0, 31) },
    { value: new Uint8Array(0) },
    { before: after },
    { after: before },
    { publicKey: randomPoint() },
  ]) {
    session.module.takeCounts();
    expect(codeOf(() => runner.run({ ...step, tag: { ...expected, ...change } }))).toBe("record-corrupt");
    expect(session.module.takeCounts().map(([fn]) => fn)).not.toContain("C_UnwrapKey");
  }
});

test("keys: missing, unknown, doubled and unsealed ones are refused", async () => {
  expect(codeOf(() => runner.run({ op: "hmac", key: "nobody", data: new Uint8Array(1) }))).toBe(
    "key-missing",
  );
  const scalar = known.scalar;
  importEcKey(session, "driver/double", scalar, { DERIVE: true });
  importEcKey(session, "driver/double", scalar, { DERIVE: true });
  importEcKey(session, "driver/open", scalar, { DERIVE: true, EXTRACTABLE: true });
  importEcKey(session, "driver/plain", scalar, { DERIVE: true, SENSITIVE: false });
  const spec = (name: string): { name: string; role: string; label: string } => ({
    name,
    role: "ake",
    label: `driver/${name}`,
  });
  const { session: other } = await openSession({
    uri: hsm.uri,
    profile: "softhsm2",
    keys: ["absent", "double", "open", "plain"].map(spec),
  });
  try {
    expect(codeOf(() => other.key("absent"))).toBe("key-missing");
    expect(codeOf(() => other.key("double"))).toBe("key-drift");
    expect(codeOf(() => other.key("open"))).toBe("key-drift");
    expect(codeOf(() => other.key("plain"))).toBe("key-drift");
  } finally {
    other.close();
  }
});

test("a key without the right usage is refused by the token", () => {
  expect(codeOf(() => runner.run({ op: "ecdh", key: "identity", points: [randomPoint()] }))).toBe(
    "token-refused",
  );
});

test("a wrap mechanism that is not what the profile says is not used", () => {
  const tried = (format: WrapFormat, mechanism: number): string =>
    believing({ keyWrap: [{ mechanism, format }] }, (other) => codeOf(() => new StepRunner(other).prepare()));
  expect(tried("pkcs7-rfc3394", 0x210a)).toBe("token-unsuitable");
  expect(tried("rfc5649", 0x210b)).toBe("token-unsuitable");
  expect(tried("rfc5649", 0x210a)).toBe("no error");
});
