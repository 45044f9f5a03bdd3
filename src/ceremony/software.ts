/**
 * What program this is: its release, and one digest over the files of the build that runs. Anybody gets the same with
 * `cd dist && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`. Packages that it imports are not in it;
 * package-lock.json pins those.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "@noble/hashes/sha2.js";
import { z } from "zod";
import { toHex, utf8 } from "../base/bytes.ts";
import type { CeremonyPlan } from "./plan.ts";

/** From src/ceremony as from dist/ceremony: the build is one folder up, the package two. */
const BUILD: string = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE: URL = new URL("../../package.json", import.meta.url);

/** @returns SHA-256 over one line for each file, hex, in the form of `sha256sum` */
export function softwareDigest(folder: string = BUILD): string {
  const lines = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ file, path: relative(folder, file).split(sep).join("/") }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ file, path }) => `${toHex(sha256(new Uint8Array(readFileSync(file))))}  ./${path}\n`);
  return toHex(sha256(utf8(lines.join(""))));
}

/** The program that runs, in the form in which a plan names it. */
export function runningSoftware(): CeremonyPlan["software"] {
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(PACKAGE, "utf8")));
  return { release: version, digest: softwareDigest() };
}
