/**
 * Evidence of ceremonies as an operator hands it in and as the public gets it. What is handed in waits, file by file,
 * where nobody sees it; it is published as a whole, once the auditor has found that it holds, and never changes then.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { copyFile, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { makeFolder, moveFolder, writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { EVIDENCE_FILE, isEvidencePath } from "../ceremony/evidence-files.ts";
import { evidencePaths } from "../ceremony/evidence-folder.ts";
import { openEvidence } from "../ceremony/evidence-statement.ts";
import { encodeJson } from "../wire/json.ts";
import { auditorRefused } from "./announcement-rules.ts";

/** Where a folder of evidence is. */
export interface StoredEvidence {
  readonly dir: string;
  readonly published: boolean;
}

/** `…/files.json` of published evidence: what there is to fetch under `files/`. */
export interface EvidenceListing {
  readonly files: readonly { readonly path: string; readonly size: number; readonly sha256: string }[];
}

const SHA256 = /^[0-9a-f]{64}$/;
const MANIFEST = "manifest.json";
/** Of all that is handed in and not yet announced, in one namespace. */
const MAX_WAITING_FOLDERS = 64;
const MAX_WAITING_FILES = 10_000;

export class EvidenceStore {
  readonly #waiting: string;
  readonly #published: string;

  /** @param waiting where what was handed in is kept @param published `log/<ns>/evidence` of the public tree */
  constructor(waiting: string, published: string) {
    this.#waiting = waiting;
    this.#published = published;
  }

  /**
   * Takes one file.
   * @param id SHA-256 (hex) of what the officers signed of the evidence that it belongs to
   * @throws auditor-refused; file-failed, store-full
   */
  async put(id: string, path: string, bytes: Uint8Array): Promise<void> {
    if (!SHA256.test(id)) throw auditorRefused("evidence is named by a SHA-256, 64 hexadecimal digits");
    if (path !== EVIDENCE_FILE && !isEvidencePath(path))
      throw auditorRefused(
        "no file of that name belongs to evidence",
        "`strongroom evidence build --out` copies what does",
      );
    // Published evidence stays as it is; who sends it again because an answer was lost has done no harm.
    if (existsSync(join(this.#published, id))) return;
    const folder = join(this.#waiting, id);
    if (!existsSync(folder) && names(this.#waiting).length >= MAX_WAITING_FOLDERS)
      throw auditorRefused("too much evidence waits to be announced");
    if (existsSync(folder) && readdirSync(folder, { recursive: true }).length >= MAX_WAITING_FILES)
      throw auditorRefused("the evidence has too many files");
    await writeDurably(join(folder, path), bytes);
  }

  /** The folder whose signed list has that hash. @throws auditor-refused where there is none; evidence-invalid */
  find(id: string): StoredEvidence {
    for (const { root, published } of this.#roots()) {
      const dir = published ? join(root, id, "files") : join(root, id);
      if (existsSync(dir) && signedHash(dir) === id) return { dir, published };
    }
    throw auditorRefused(
      `there is no evidence whose signed list is ${id}`,
      "hand in the folder that `strongroom evidence build` made, with evidence.dsse.json and its signatures",
    );
  }

  /** The folder whose manifest has that hash, and its name, for the evidence of a ceremony before. */
  findByManifest(sha256: string): (StoredEvidence & { readonly id: string }) | undefined {
    for (const { root, published } of this.#roots())
      for (const id of names(root)) {
        const dir = published ? join(root, id, "files") : join(root, id);
        if (hashOf(join(dir, MANIFEST)) === sha256 && signedHash(dir) === id) return { dir, published, id };
      }
    return undefined;
  }

  /** Makes waiting evidence public, whole; what is public is left alone. @throws file-failed, store-full */
  async publish(id: string): Promise<void> {
    const target = join(this.#published, id);
    const waiting = join(this.#waiting, id);
    if (!existsSync(target)) {
      // Beside the waiting folders, which a restart may find half filled, and fill anew.
      const draft = join(this.#waiting, `.${id}`);
      rmSync(draft, { recursive: true, force: true });
      const files: EvidenceListing["files"][number][] = [];
      for (const path of evidencePaths(waiting)) {
        const to = join(draft, "files", path);
        await copyDurably(join(waiting, path), to);
        files.push({ path, ...(await digestOf(to)) });
      }
      const listing: EvidenceListing = { files };
      await writeDurably(join(draft, "files.json"), encodeJson(listing));
      await moveFolder(draft, target);
    }
    rmSync(waiting, { recursive: true, force: true });
  }

  #roots(): readonly { readonly root: string; readonly published: boolean }[] {
    return [
      { root: this.#published, published: true },
      { root: this.#waiting, published: false },
    ];
  }
}

/** Folders named by a hash; others are drafts. */
function names(root: string): readonly string[] {
  return existsSync(root) ? readdirSync(root).filter((name) => SHA256.test(name)) : [];
}

function hashOf(path: string): string | undefined {
  if (!existsSync(path) || !statSync(path).isFile()) return undefined;
  return sha256HexOf(readFileSync(path));
}

/** SHA-256 (hex) of what the officers signed; undefined where there is no such file. */
function signedHash(dir: string): string | undefined {
  const path = join(dir, EVIDENCE_FILE);
  if (!existsSync(path)) return undefined;
  const { payload } = openEvidence(Uint8Array.from(readFileSync(path))).envelope;
  return sha256HexOf(payload);
}

/** In pieces: attachments may be films, and others are answered meanwhile. @throws file-failed */
async function digestOf(path: string): Promise<{ readonly size: number; readonly sha256: string }> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      hash.update(chunk);
      size += chunk.length;
    }
  } catch (cause) {
    throw new StrongroomError("file-failed", `cannot read ${path}`, { cause });
  }
  return { size, sha256: hash.digest("hex") };
}

async function copyDurably(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to));
  try {
    await copyFile(from, to);
    const file = await open(to, "r+");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new StrongroomError("file-failed", `cannot publish ${from}`, { cause });
  }
}
