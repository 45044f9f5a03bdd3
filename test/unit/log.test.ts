import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StrongroomError } from "../../src/base/errors.ts";
import { createServiceLog, type LogLevel, type RequestLine } from "../../src/service/log.ts";
import { logFields, loggedError, scrub } from "../../src/service/log-fields.ts";

function recorder(level: LogLevel = "debug") {
  const lines: string[] = [];
  const log = createServiceLog(level, { write: (line) => lines.push(line) });
  const parsed = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line));
  return { log, lines, parsed };
}

const OK: RequestLine = { kind: "recover-start", outcome: "ok", milliseconds: 1.23456 };
const failed = (error: StrongroomError): RequestLine => ({ ...OK, outcome: error.wire, error });

describe("a request's line", () => {
  test("has these fields and no others", () => {
    const { log, parsed } = recorder();
    log.request({ ...OK, account: { tenant: "app", subject: "alice" } });
    const [line] = parsed();
    expect(line).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      request: expect.stringMatching(/^[0-9a-f]{8}-1$/),
      operation: "recover-start",
      outcome: "ok",
      ms: 1.23,
      account: expect.stringMatching(/^[0-9a-f]{8}$/),
      msg: "request",
    });
  });

  test("names an account the same way within a run, another way in the next, and never by name", () => {
    const account = { tenant: "tenant-name", subject: "subject-name" };
    const names = [recorder(), recorder()].map(({ log, lines, parsed }) => {
      log.request({ ...OK, account });
      log.request({ ...OK, account });
      log.request({ ...OK, account: { tenant: "tenant-namesubject", subject: "-name" } });
      expect(lines.join("")).not.toMatch(/tenant-name|subject-name/);
      return parsed().map((line) => line.account);
    });
    expect(names[0]?.[0]).toBe(names[0]?.[1]);
    expect(names[0]?.[0]).not.toBe(names[0]?.[2]);
    expect(names[0]?.[0]).not.toBe(names[1]?.[0]);
  });

  test("tells message and causes of what is ours to mend", () => {
    const { log, parsed } = recorder();
    const cause = new StrongroomError("token-failed", "C_DeriveKey", {
      details: { ckr: "CKR_DEVICE_ERROR" },
    });
    log.request(failed(new StrongroomError("unavailable", "no evaluation", { cause })));
    expect(parsed()[0]).toMatchObject({
      level: "warn",
      outcome: "unavailable",
      error: {
        code: "unavailable",
        message: "no evaluation",
        because: { code: "token-failed", message: "C_DeriveKey", details: { ckr: "CKR_DEVICE_ERROR" } },
      },
    });
  });

  test("tells only the code of what the client did wrong", () => {
    const { log, lines, parsed } = recorder();
    log.request(failed(new StrongroomError("decode-failed", 'Unrecognized key: "what the client sent"')));
    log.request(failed(new StrongroomError("unauthorized", "account token refused: claim aud")));
    expect(parsed()[0]).toMatchObject({
      level: "info",
      outcome: "invalid-request",
      error: { code: "decode-failed" },
    });
    expect(lines[0]).not.toContain("client sent");
    expect(parsed()[1]).toMatchObject({ error: { message: "account token refused: claim aud" } });
  });

  test("a bug is an error, with positions in the code and without what it choked on", () => {
    const { log, lines, parsed } = recorder();
    let bug: unknown;
    try {
      JSON.parse('{"sub":"very-secret"');
    } catch (error) {
      bug = error;
    }
    log.request(failed(new StrongroomError("internal", "unexpected error", { cause: bug })));
    expect(parsed()[0]).toMatchObject({ level: "error", error: { because: { code: "SyntaxError" } } });
    expect(lines[0]).toMatch(/log\.test\.ts:\d+:\d+/);
    expect(lines[0]).not.toContain("very-secret");
  });

  test("below the level nothing is written", () => {
    const { log, lines } = recorder("warn");
    log.request(OK);
    log.event("info", "draining");
    expect(lines).toEqual([]);
  });
});

describe("what gets through", () => {
  test("named fields of simple types only", () => {
    expect(
      logFields({
        ckr: "CKR_OK",
        pin: "123",
        accountToken: "x",
        pid: 7,
        reason: { deep: 1 },
        worker: undefined,
      }),
    ).toEqual({ ckr: "CKR_OK", pid: 7 });
  });

  test("encoded secrets are cut even out of texts that should have none", () => {
    const encodings = ["hex", "base64", "base64url"] as const;
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 150 }),
        fc.constantFrom(...encodings),
        (bytes, encoding) => {
          const secret = Buffer.from(bytes).toString(encoding);
          // Random keys have characters of every kind all but always; fast-check's favourites (all zero) do not.
          fc.pre(/\d/.test(secret) && /[a-z]/.test(secret) && (encoding === "hex" || /[A-Z]/.test(secret)));
          expect(scrub(`before ${secret} after`)).toBe("before [cut] after");
        },
      ),
    );
    expect(scrub("the PIN is 314159")).toBe("the PIN is [cut]");
  });

  test("what people need stays", () => {
    for (const text of [
      "CKR_CRYPTOKI_ALREADY_INITIALIZED from C_Initialize",
      "the token's session key is not the manifest's",
      "cannot open the store in /var/lib/strongroom/records",
      "two token workers died during this operation",
    ])
      expect(scrub(text)).toBe(text);
  });

  test("of an error that is not ours: name, code, place; not its message, not its properties", () => {
    const error = Object.assign(new TypeError("secret text\n    at secret (x:1:1)"), {
      code: "ENOSPC",
      payload: { sub: "secret" },
    });
    const seen = loggedError(error);
    expect(seen.code).toBe("TypeError ENOSPC");
    expect(seen.frames?.[0]).toMatch(/^at .*log\.test\.ts:\d+:\d+\)?$/);
    expect(JSON.stringify(seen)).not.toContain("secret");
    expect(loggedError(Object.assign(new Error("x"), { code: "secret lower case" })).code).toBe("Error");
    expect(loggedError("a secret that was thrown")).toEqual({ code: "not an error" });
  });

  test("a chain of causes that bites its tail ends", () => {
    const error = new StrongroomError("unavailable", "a");
    error.cause = error;
    expect(JSON.stringify(loggedError(error)).length).toBeLessThan(1_000);
  });
});
