/**
 * PINs come from a file, from the device's own keypad or from the person at the terminal; never from argv,
 * never from a URI. The binding takes a PIN as a string, which cannot be wiped, so it lives as one for the
 * duration of C_Login only; the buffers it came from are wiped.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { fromUtf8, wipe } from "../base/bytes.ts";
import { reasonOf } from "../base/errno.ts";
import { StrongroomError } from "../base/errors.ts";
import type { TokenUri } from "./uri.ts";

/** Asks the person at the terminal; the caller wipes what it gets. */
export type PinPrompt = () => Promise<Uint8Array>;

/** `file:/path`, `file:///path` or `/path`, as uri.ts lets them through. */
export function pinPath(source: string): string {
  return (source.startsWith("file:") ? source.slice(5) : source).replace(/^\/\/(?=\/)/, "");
}

/**
 * Mode bits that let others read the file. A credential that systemd passes to the service (LoadCredential=) is
 * readable by the service's user through an access control list, and its mask appears as permission of the group.
 */
function othersMayRead(path: string, mode: number): boolean {
  const isCredential = dirname(path) === process.env.CREDENTIALS_DIRECTORY;
  return (mode & (isCredential ? 0o037 : 0o077)) !== 0;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    fromUtf8(bytes);
    return true;
  } catch {
    return false;
  }
}

/**
 * Why these bytes cannot be what somebody calls a PIN. An editor's byte order mark or a second line would go to the
 * token as part of it, and a wrong PIN is an attempt, of which a token has few.
 */
function notOnePin(pin: Uint8Array): string | undefined {
  if (pin.length === 0) return "is empty";
  if (pin.length >= MAX_PIN_FILE_BYTES) return "is too long for a PIN";
  if ((pin[0] === 0xff && pin[1] === 0xfe) || (pin[0] === 0xfe && pin[1] === 0xff))
    return "is UTF-16, not UTF-8";
  if (pin[0] === 0xef && pin[1] === 0xbb && pin[2] === 0xbf) return "begins with a byte order mark";
  if (pin.includes(0x0a)) return "has more than one line";
  if (!isUtf8(pin)) return "is not UTF-8";
  return pin.some((byte) => byte < 0x20 || byte === 0x7f) ? "has a control character in it" : undefined;
}

/** No PIN is longer; of what is, nothing more is read. */
const MAX_PIN_FILE_BYTES = 1024;

/** The number of an open file of this process: standard input, and what shells make of `<(command)`. */
function inherited(path: string): number | undefined {
  if (path === "/dev/stdin") return 0;
  const number = /^\/(?:dev|proc\/self)\/fd\/(\d{1,6})$/.exec(path)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** Can the source give its PIN to one login of this process only? */
export function isReadOnce(source: string): boolean {
  return inherited(pinPath(source)) !== undefined;
}

function readBounded(descriptor: number): Buffer {
  const room = Buffer.alloc(MAX_PIN_FILE_BYTES + 1);
  for (let length = 0; ; ) {
    const read = length < room.length ? readSync(descriptor, room, length, room.length - length, null) : 0;
    if (read === 0) return room.subarray(0, length);
    length += read;
  }
}

/**
 * A named pipe would be waited for until somebody writes, a device for ever: neither is opened in a way that waits, and
 * neither is read. A pipe that this process was started with has its writer, and is.
 * @returns undefined for what is no file
 */
function readOpened(path: string): { readonly stats: Stats; readonly bytes: Buffer } | undefined {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(descriptor);
    if (stats.isFile()) return { stats, bytes: readBounded(descriptor) };
    const own = stats.isFIFO() ? inherited(path) : undefined;
    return own === undefined ? undefined : { stats, bytes: readBounded(own) };
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The PIN in a file, without one trailing line end. The file must belong to its reader alone: whoever else
 * can read it has the token. A pipe is taken where the shell has opened it (`/dev/fd/N`, `/dev/stdin`), and gives its
 * PIN once.
 * @throws pin-unavailable
 */
export function readPinFile(source: string): Uint8Array {
  const path = pinPath(source);
  let opened: ReturnType<typeof readOpened>;
  try {
    opened = readOpened(path);
  } catch (cause) {
    throw new StrongroomError(
      "pin-unavailable",
      `cannot read the PIN file ${path}: ${reasonOf(cause) ?? "unknown"}`,
      {
        cause,
        hint: isReadOnce(source)
          ? "only the process that the shell started has it: give its workers a file of mode 0600"
          : "create it with mode 0600, owned by the user that runs strongroom",
      },
    );
  }
  if (!opened)
    throw new StrongroomError("pin-unavailable", `${path} is no file, so no PIN is read from it`, {
      hint: "write the PIN into a file of mode 0600",
    });
  const { bytes, stats } = opened;
  if (othersMayRead(path, stats.mode)) {
    wipe(bytes);
    throw new StrongroomError("pin-unavailable", `the PIN file ${path} can be read by others`, {
      hint: `chmod 600 ${path}`,
    });
  }
  const end =
    bytes.at(-1) !== 0x0a ? bytes.length : bytes.at(-2) === 0x0d ? bytes.length - 2 : bytes.length - 1;
  const pin = Uint8Array.from(bytes.subarray(0, end));
  wipe(bytes);
  const problem = notOnePin(pin);
  if (problem === undefined) return pin;
  wipe(pin);
  throw new StrongroomError("pin-unavailable", `the PIN file ${path} ${problem}`, {
    hint:
      pin.length === 0 && isReadOnce(source)
        ? "a pipe gives its PIN to one login: use a file of mode 0600"
        : "write the PIN on its first line, in UTF-8, and nothing else; no login was tried",
  });
}

/**
 * The PIN for a token.
 * @param protectedPath the token asks for its PIN itself (CKF_PROTECTED_AUTHENTICATION_PATH)
 * @param given what a person typed
 * @returns undefined where the device asks
 * @throws pin-unavailable
 */
export function pinFor(uri: TokenUri, protectedPath: boolean, given?: Uint8Array): Uint8Array | undefined {
  if (given) return Uint8Array.from(given);
  if (uri.pinSource !== undefined) return readPinFile(uri.pinSource);
  if (protectedPath) return undefined;
  throw new StrongroomError("pin-unavailable", "nothing says where the PIN is", {
    hint: "add pin-source=file:/absolute/path to the token's URI",
  });
}

/** Calls `use` with the PIN as the binding wants it, and wipes the bytes. */
export function withPin<R>(pin: Uint8Array | undefined, use: (text: string) => R): R {
  // The binding cannot pass a null pointer: an empty string is the nearest it has to "ask for it yourself".
  if (pin === undefined) return use("");
  try {
    return use(Buffer.from(pin.buffer, pin.byteOffset, pin.byteLength).toString("utf8"));
  } finally {
    wipe(pin);
  }
}
