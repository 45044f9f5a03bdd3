/** Announcements by their hash: handed in, and published when they are signed. Exact bytes, which never change. */
import { existsSync, readdirSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { StrongroomError } from "../base/errors.ts";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { type Announcement, decodeAnnouncement, MAX_ANNOUNCEMENT_BYTES } from "../wire/announcement.ts";
import { auditorRefused } from "./announcement-rules.ts";

export interface StoredAnnouncement {
  readonly announcement: Announcement;
  readonly bytes: Uint8Array;
}

/** Handed in and not signed, in one namespace. */
const MAX_WAITING = 256;

export class Announcements {
  readonly #waiting: string;
  readonly #published: string;

  /** @param waiting where what was handed in is kept @param published `log/<ns>/announcements` of the public tree */
  constructor(waiting: string, published: string) {
    this.#waiting = waiting;
    this.#published = published;
  }

  /** @param digest SHA-256, hex @throws auditor-refused for bytes of another hash; decode-failed; file-failed, store-full */
  async put(digest: string, bytes: Uint8Array): Promise<void> {
    const actual = sha256HexOf(bytes);
    if (actual !== digest) throw auditorRefused(`the announcement's hash is ${actual}, not ${digest}`);
    decodeAnnouncement(bytes);
    if (existsSync(this.#at(this.#published, digest))) return;
    const waiting = existsSync(this.#waiting) ? readdirSync(this.#waiting).length : 0;
    if (waiting >= MAX_WAITING) throw auditorRefused("too many announcements wait to be signed");
    await writeDurably(this.#at(this.#waiting, digest), bytes);
  }

  /** @throws auditor-refused where there is none; record-corrupt; file-failed */
  async get(digest: string): Promise<StoredAnnouncement> {
    for (const folder of [this.#published, this.#waiting]) {
      const bytes = await readIfThere(this.#at(folder, digest), MAX_ANNOUNCEMENT_BYTES);
      if (!bytes) continue;
      if (sha256HexOf(bytes) !== digest)
        throw new StrongroomError("record-corrupt", `the announcement ${digest} is damaged on the disk`);
      return { announcement: decodeAnnouncement(bytes), bytes };
    }
    throw auditorRefused(`there is no announcement ${digest}`, "hand it in first");
  }

  /** @throws file-failed, store-full */
  async publish(digest: string): Promise<void> {
    if (existsSync(this.#at(this.#published, digest))) return;
    const { bytes } = await this.get(digest);
    await writeDurably(this.#at(this.#published, digest), bytes);
    await unlink(this.#at(this.#waiting, digest)).catch(() => undefined);
  }

  #at(folder: string, digest: string): string {
    return join(folder, `${digest}.json`);
  }
}
