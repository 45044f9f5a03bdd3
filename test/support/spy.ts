/**
 * opensc's pkcs11-spy between Strongroom and the token: it writes down every PKCS#11 call with all that crosses the
 * interface, also the PIN of C_Login. This reads such a log, one process per file, and holds every call against what
 * may cross: what is not known to be harmless is a finding.
 */
import { createReadStream, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { softHsmModule } from "./softhsm.ts";

const LIBRARIES = "/usr/lib";

/** The installed pkcs11-spy.so; a test without it fails, it is not skipped. */
export function spyModule(): string {
  const found = readdirSync(LIBRARIES)
    .flatMap((name) => [
      join(LIBRARIES, name, "pkcs11/pkcs11-spy.so"),
      join(LIBRARIES, name, "pkcs11-spy.so"),
    ])
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error("pkcs11-spy.so not found: install the package opensc");
  return found;
}

/** What a process needs in its environment for its calls to reach SoftHSM through the spy and into `log`. */
export function spyEnv(log: string): { PKCS11SPY: string; PKCS11SPY_OUTPUT: string } {
  return { PKCS11SPY: softHsmModule(), PKCS11SPY_OUTPUT: log };
}

/** A template: text of each attribute by name, and its bytes in upper-case hex where it has bytes. */
type SpyTemplate = ReadonlyMap<string, { readonly text: string; readonly hex: string }>;

export interface SpyCall {
  /** The number that the spy gave it. */
  readonly index: number;
  readonly fn: string;
  readonly ckr: string;
  /** Scalars by direction and name, e.g. `in hSession`. */
  readonly fields: ReadonlyMap<string, string>;
  /** Bytes in upper-case hex. */
  readonly bytes: ReadonlyMap<string, string>;
  readonly templates: ReadonlyMap<string, SpyTemplate>;
  /** Handles that C_FindObjects gave. */
  readonly matches: readonly string[];
}

const START = /^(\d+): (C_\w+)$/;
const END = /^Returned: +\d+ (\w+)/;
const TEMPLATE = /^\[(in|out)\] (\w+)\[(\d+)\]: *$/;
const FIELD = /^\[(in|out)\] (\S+)(?: =)? (.+)$/;
const ATTRIBUTE = /^ {4}(CKA_\w+|CKA_\? \(0x[0-9A-Fa-f]+\)) +(.*)$/;
/** `offset  16 bytes  text`, as most values are shown. */
const HEX_DUMP = /^ {4}[0-9A-F]{8} {2}((?:[0-9A-F]{2} ){1,16})/;
/**
 * Groups of four bytes, 32 at most, with the text below them, as labels are shown. After a full line of text the next
 * bytes follow without a line end.
 */
const HEX_GROUPS = /^ {4}((?:[0-9A-F]{2}){1,4}(?: (?:[0-9A-F]{2}){1,4})*) *$/;

const FULL_LINE = 75;

/** Parses a log while it is read: such logs have hundreds of megabytes. */
export async function* readSpyLog(path: string): AsyncGenerator<SpyCall> {
  yield* parseSpyLog(createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY }));
}

export async function* parseSpyLog(lines: AsyncIterable<string> | Iterable<string>): AsyncGenerator<SpyCall> {
  let call: ReturnType<typeof begin> | undefined;
  for await (const line of lines) {
    const start = START.exec(line);
    if (start) {
      if (call) throw new Error(`the spy's log has no end of call ${call.index}, ${call.fn}`);
      call = begin(Number(start[1]), start[2] ?? "");
      continue;
    }
    if (!call) continue;
    const end = END.exec(line);
    if (end) {
      yield { ...call, ckr: end[1] ?? "" };
      call = undefined;
    } else read(call, line);
  }
  // A process that was killed may have left half a call behind; it is one that nobody saw the end of.
  if (call) yield { ...call, ckr: "none" };
}

function begin(index: number, fn: string) {
  return {
    index,
    fn,
    fields: new Map<string, string>(),
    bytes: new Map<string, string>(),
    templates: new Map<string, Map<string, { text: string; hex: string }>>(),
    matches: [] as string[],
    /** Where bytes on the following lines belong. */
    sink: undefined as ((hex: string) => void) | undefined,
    /** The line before was a full one of groups. */
    fullLine: false,
    template: undefined as Map<string, { text: string; hex: string }> | undefined,
  };
}

function read(call: ReturnType<typeof begin>, line: string): void {
  const template = TEMPLATE.exec(line);
  if (template) {
    call.template = new Map();
    call.templates.set(`${template[1]} ${template[2]}`, call.template);
    call.sink = undefined;
    return;
  }
  const field = FIELD.exec(line);
  if (field) {
    const name = `${field[1]} ${(field[2] ?? "").replace(/\[.*$/, "")}`;
    call.fields.set(name, (field[3] ?? "").trim());
    call.template = undefined;
    call.sink = (hex) => call.bytes.set(name, (call.bytes.get(name) ?? "") + hex);
    return;
  }
  const attribute = ATTRIBUTE.exec(line);
  if (attribute && call.template) {
    const value = { text: (attribute[2] ?? "").trim(), hex: "" };
    call.template.set(attribute[1] ?? "", value);
    call.sink = (hex) => {
      value.hex += hex;
    };
    return;
  }
  const match = /^Object (0x[0-9a-f]+) matches$/.exec(line);
  if (match?.[1]) call.matches.push(match[1]);
  const rest = call.fullLine && line.length > FULL_LINE ? `    ${line.slice(FULL_LINE)}` : line;
  const groups = HEX_GROUPS.exec(rest)?.[1];
  call.fullLine = groups?.length === FULL_LINE - 4;
  const hex = HEX_DUMP.exec(line)?.[1] ?? groups;
  if (hex) call.sink?.(hex.replaceAll(" ", ""));
}
