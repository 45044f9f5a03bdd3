/**
 * A private SoftHSM token in a temporary directory: the real PKCS#11 device of every test.
 *
 * The token is made in a child process, because SoftHSM knows one configuration per process and the test may
 * already be using another one. PINs go through files of mode 0600, never through argv.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SoftHsm {
  /** `pkcs11:token=…?module-path=…&pin-source=file:…`, as a site would configure it. */
  readonly uri: string;
  /** What a process needs in its environment to see the token: `SOFTHSM2_CONF`. */
  readonly env: { readonly SOFTHSM2_CONF: string };
  /** The temporary directory that holds everything. */
  readonly dir: string;
  readonly module: string;
  readonly label: string;
  readonly pinFile: string;
  readonly soPinFile: string;
  /** Sets `env` in this process, for children and for sessions opened in it. */
  use(): void;
  /** Moves the token's objects away, as if the device had been pulled out. */
  takeAway(): void;
  /** Undoes `takeAway`. */
  putBack(): void;
  /** Deletes the directory. */
  remove(): void;
}

const MODULES = [
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/** The installed SoftHSM module; a test without it fails, it is not skipped. */
export function softHsmModule(): string {
  const named = process.env.SOFTHSM2_MODULE;
  const found = (named === undefined ? MODULES : [named]).find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error("libsofthsm2.so not found: install the package softhsm2 or set SOFTHSM2_MODULE");
  }
  return found;
}

/** Runs in the child: initialise the first free slot as `LABEL`, with both PINs read from their files. */
const INITIALISE = `
  const { readFileSync } = require("node:fs");
  const { PKCS11 } = require(process.env.PKCS11JS);
  const read = (name) => readFileSync(process.env[name], "utf8").trim();
  const p = new PKCS11();
  p.load(process.env.MODULE);
  p.C_Initialize({ flags: 2 });
  const free = p.C_GetSlotList(true).at(-1);
  p.C_InitToken(free, read("SO_PIN_FILE"), process.env.LABEL.padEnd(32, " "));
  const slot = p.C_GetSlotList(true).find((s) => p.C_GetTokenInfo(s).label.trim() === process.env.LABEL);
  const session = p.C_OpenSession(slot, 6);
  p.C_Login(session, 0, read("SO_PIN_FILE"));
  p.C_InitPIN(session, read("PIN_FILE"));
  p.C_Logout(session);
  p.C_CloseSession(session);
  p.C_Finalize();
`;

/** Makes a new token. @param label at most 32 ASCII characters; a random one by default */
export function createSoftHsm(label: string = `test-${randomBytes(4).toString("hex")}`): SoftHsm {
  const module = softHsmModule();
  const dir = mkdtempSync(join(tmpdir(), "strongroom-softhsm-"));
  const tokens = join(dir, "tokens");
  const away = join(dir, "tokens.away");
  const conf = join(dir, "softhsm2.conf");
  const pinFile = join(dir, "pin");
  const soPinFile = join(dir, "so-pin");
  mkdirSync(tokens, { mode: 0o700 });
  writeFileSync(
    conf,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n`,
  );
  writeFileSync(pinFile, `${randomBytes(8).toString("hex")}\n`, { mode: 0o600 });
  writeFileSync(soPinFile, `${randomBytes(8).toString("hex")}\n`, { mode: 0o600 });
  const env = { SOFTHSM2_CONF: conf };
  execFileSync(process.execPath, ["-e", INITIALISE], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: process.env.PATH,
      ...env,
      PKCS11JS: createRequire(import.meta.url).resolve("pkcs11js"),
      MODULE: module,
      LABEL: label,
      PIN_FILE: pinFile,
      SO_PIN_FILE: soPinFile,
    },
  });
  return {
    uri: `pkcs11:token=${encodeURIComponent(label)}?module-path=${module}&pin-source=file:${pinFile}`,
    env,
    dir,
    module,
    label,
    pinFile,
    soPinFile,
    use: () => {
      Object.assign(process.env, env);
    },
    takeAway: () => renameSync(tokens, away),
    putBack: () => renameSync(away, tokens),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
