/**
 * Backup keys in files: an age identity, which any age tool takes, with the backup key it is derived from in a
 * comment, which age ignores.
 */
import { readFile } from "node:fs/promises";
import { equal, fromBase64Url, toBase64Url } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { ageIdentity } from "../client/backup.ts";
import { createOutputFile, requireFreeFile } from "./client-output.ts";
import { fileFailed } from "./client-run.ts";

const KEY_LINE = /^# strongroom backup key v1: ([A-Za-z0-9_-]{43})$/m;
const IDENTITY_LINE = /^AGE-SECRET-KEY-1[0-9A-Z]{58}$/m;
const MAX_FILE_BYTES = 65_536;

/** @throws usage where the file exists and `force` is not given */
export async function checkKeyFile(path: string, force: boolean | undefined): Promise<void> {
  await requireFreeFile(
    path,
    force,
    "--force replaces it; the key that it holds may be the only one to its backups",
  );
}

/** Writes the file as a whole or not at all, readable by its owner only. @throws usage, file-failed */
export async function writeKeyFile(
  path: string,
  backupKey: Uint8Array,
  whose: string,
  force: boolean | undefined,
): Promise<void> {
  await checkKeyFile(path, force);
  const lines = [
    `# ${whose.replace(/[^\x20-\x7e]/g, "?")}; keep it secret`,
    `# strongroom backup key v1: ${toBase64Url(backupKey)}`,
    ageIdentity(backupKey),
    "",
  ];
  const file = await createOutputFile(path);
  try {
    await file.write(new TextEncoder().encode(lines.join("\n")));
    await file.commit();
  } finally {
    await file.discard();
  }
}

async function readText(path: string): Promise<string> {
  try {
    const content = await readFile(path);
    if (content.length <= MAX_FILE_BYTES) return content.toString("utf8");
  } catch (error) {
    throw fileFailed(`cannot read the key file ${path}`, error);
  }
  throw new StrongroomError("file-failed", `${path} is too large to be a key file`);
}

/** Any age identity file will do. @throws file-failed */
export async function readIdentity(path: string): Promise<string> {
  const [identity] = IDENTITY_LINE.exec(await readText(path)) ?? [];
  if (identity) return identity;
  throw new StrongroomError("file-failed", `${path} holds no age identity`, {
    hint: "strongroom client recover --identity-out FILE writes one",
  });
}

/** The backup key itself, which only files of ours hold. @throws file-failed */
export async function readBackupKey(path: string): Promise<Uint8Array> {
  const content = await readText(path);
  const [, encoded] = KEY_LINE.exec(content) ?? [];
  if (encoded === undefined)
    throw new StrongroomError("file-failed", `${path} holds no strongroom backup key`, {
      hint: "an age identity of another origin cannot be registered; back its file up under a key of ours instead",
    });
  const backupKey = fromBase64Url(encoded);
  const [identity = ""] = IDENTITY_LINE.exec(content) ?? [];
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  if (!equal(bytes(identity), bytes(ageIdentity(backupKey))))
    throw new StrongroomError("file-failed", `the two keys in ${path} do not belong together`, {
      hint: "the file was edited; recover it with strongroom client recover --identity-out FILE",
    });
  return backupKey;
}
