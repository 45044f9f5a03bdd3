/**
 * The directory of a ceremony at one place. What is published there is the evidence: each file appears whole or not at
 * all, also after a power failure. `private/` is not evidence: shares of custodians before they are handed out,
 * and what the root keeps between its challenge and its comparison.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { wipe } from "../base/bytes.ts";
import { readIfThereSync, writeDurablySync } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";

const PRIVATE = "private";

export class CeremonyFolder {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  path(name: string): string {
    return join(this.dir, name);
  }
  has(name: string): boolean {
    return existsSync(this.path(name));
  }
  /** Undefined where there is none. @throws file-failed */
  read(name: string): Uint8Array | undefined {
    return readIfThereSync(this.path(name));
  }
  publish(name: string, bytes: Uint8Array): void {
    writeDurablySync(this.path(name), bytes);
  }
  keep(name: string, bytes: Uint8Array): void {
    writeDurablySync(this.path(join(PRIVATE, name)), bytes, 0o600);
  }
  kept(name: string): Uint8Array | undefined {
    return this.read(join(PRIVATE, name));
  }
  /** Overwritten before it is removed, which helps where the file system writes in place. */
  forget(name: string): void {
    const path = this.path(join(PRIVATE, name));
    if (!existsSync(path)) return;
    const file = openSync(path, "r+");
    try {
      const zeros = new Uint8Array(lstatSync(path).size);
      writeSync(file, zeros, 0, zeros.length, 0);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    rmSync(path);
  }
  /** Names of the statements that are here. */
  statements(): readonly string[] {
    const dir = this.path("steps");
    return existsSync(dir)
      ? readdirSync(dir)
          .filter((name) => name.endsWith(".json"))
          .sort()
      : [];
  }
  /** A vendor's attestation of a station's token: `attachments/attestation-<station>.<format>`. */
  attestation(station: string): { format: string; file: string; sha256: string } | undefined {
    const dir = this.path("attachments");
    const prefix = `attestation-${station}.`;
    const name = existsSync(dir) ? readdirSync(dir).find((one) => one.startsWith(prefix)) : undefined;
    const bytes = name === undefined ? undefined : this.read(`attachments/${name}`);
    if (name === undefined || !bytes) return undefined;
    const sha256 = sha256HexOf(bytes);
    wipe(bytes);
    return { format: name.slice(prefix.length), file: `attachments/${name}`, sha256 };
  }
}
