/** The service's log: JSON lines on standard output, one for each request and one for each event. */
import { createHash, randomBytes } from "node:crypto";
import { pino } from "pino";
import { framed } from "../base/bytes.ts";
import type { StrongroomError, WireCode } from "../base/errors.ts";
import type { Account } from "../wire/transcripts.ts";
import type { Outcome, RequestKind } from "./base-metrics.ts";
import type { ServiceConfig } from "./config-schema.ts";
import { logFields, loggedError } from "./log-fields.ts";
import { standardOutput } from "./log-output.ts";

/** Takes one line at a time, with its line feed. */
export interface LogOutput {
  write(line: string): void;
}

export type LogLevel = ServiceConfig["log"]["level"];

export interface RequestLine {
  readonly kind: RequestKind;
  readonly outcome: Outcome;
  readonly milliseconds: number;
  readonly account?: Account | undefined;
  readonly error?: StrongroomError | undefined;
  /** Of a request between sites: who asked, and what. */
  readonly from?: string | undefined;
  readonly op?: string | undefined;
}

export interface ServiceLog {
  request(line: RequestLine): void;
  event(level: LogLevel, name: string, fields?: Readonly<Record<string, unknown>>, error?: unknown): void;
  /** Writes what is still in memory; see StandardOutput. */
  flush(): Promise<boolean>;
}

/** The operator can do something about these; the rest is between the client and the rules. */
const OURS: readonly WireCode[] = ["unavailable"];

function levelOf(line: RequestLine): LogLevel {
  if (line.error?.code === "internal") return "error";
  if (OURS.some((code) => code === line.outcome)) return "warn";
  // What happens all the time by itself.
  const routine = line.kind === "operations" || (line.kind === "site" && line.op === "status");
  return routine && line.outcome === "ok" ? "debug" : "info";
}

/** What of an error a line may tell: all of it where it is ours, the reason where a token was refused, else the code. */
function problem(line: RequestLine): object {
  const { error } = line;
  if (!error) return {};
  if (OURS.includes(error.wire)) return { error: loggedError(error) };
  if (error.code === "unauthorized") return { error: loggedError(error, 0) };
  // The message of a refused request describes what the client sent.
  return { error: { code: error.code } };
}

/**
 * @param output where lines go; standard output by default, written in the background
 */
export function createServiceLog(level: LogLevel, output?: LogOutput): ServiceLog {
  const stdout = output
    ? undefined
    : standardOutput((count) => logger.warn({ count }, "log lines were lost: standard output took no more"));
  const logger: pino.Logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    output ?? stdout,
  );
  // New with every start: lines of one run can be told apart by account, and traced back to nobody.
  const salt = randomBytes(32);
  const run = randomBytes(4).toString("hex");
  let lines = 0;
  const pseudonym = ({ tenant, subject }: Account): string =>
    createHash("sha256").update(salt).update(framed(tenant, subject)).digest("hex").slice(0, 8);

  return {
    request(line) {
      const lineLevel = levelOf(line);
      if (!logger.isLevelEnabled(lineLevel)) return;
      logger[lineLevel](
        {
          request: `${run}-${(++lines).toString(36)}`,
          operation: line.kind,
          outcome: line.outcome,
          ms: Math.round(line.milliseconds * 100) / 100,
          ...(line.from === undefined ? {} : { from: line.from }),
          ...(line.op === undefined ? {} : { op: line.op }),
          ...(line.account ? { account: pseudonym(line.account) } : {}),
          ...problem(line),
        },
        "request",
      );
    },
    event(eventLevel, name, fields = {}, error) {
      logger[eventLevel](
        { ...logFields(fields), ...(error === undefined ? {} : { error: loggedError(error) }) },
        name,
      );
    },
    flush: async () => stdout?.flush() ?? true,
  };
}
