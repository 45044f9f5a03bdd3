/**
 * A witness (C2SP tlog-witness): cosigns a log's checkpoint once it has seen that the tree only grew. What it cosigned
 * last, its token remembers before the cosignature is made, so that neither a restored disk nor a crash lets it vouch
 * for two histories; the disk keeps the newest checkpoint of each log for people to look at.
 */
import { join } from "node:path";
import { equal, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { makeFolder, readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { parseAddCheckpoint } from "../merkle/add-checkpoint.ts";
import { type Checkpoint, parseCheckpoint, verifyCheckpoint } from "../merkle/checkpoint.ts";
import { type LogFault, logFaultOf } from "../merkle/fault.ts";
import { textOf } from "../merkle/lines.ts";
import { cosign, formatNote, formatSignature, MAX_NOTE_CHARACTERS, parseNote } from "../merkle/note.ts";
import { type TreeHead, verifyConsistency } from "../merkle/proofs.ts";
import { EMPTY_ROOT } from "../merkle/tree.ts";
import { type VerifierKey, verifierKey } from "../merkle/vkey.ts";
import { lockFile } from "../store/single-writer.ts";
import type { Head, HeadAnchor } from "./anchor.ts";
import type { Signer } from "./signer.ts";

export interface WitnessOptions {
  /** Private: the newest checkpoint of each log, and the lock. */
  readonly stateDir: string;
  /** As in its vkey. */
  readonly name: string;
  readonly signer: Signer;
  /** Keys of the logs that it knows; their names are the origins. */
  readonly logs: readonly VerifierKey[];
  /** What the token remembers of a log. */
  readonly anchorOf: (origin: string) => HeadAnchor;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

/** What the protocol answers. 409 with the size that it knows; the others with words for people. */
export type WitnessAnswer =
  | { readonly status: 200; readonly cosignatures: string }
  | { readonly status: 409; readonly size: number }
  | { readonly status: 400 | 403 | 404 | 422; readonly problem: string };

/** The head's fields that only auditors have. */
const NO_EPOCH = { epoch: 0, digest: "00".repeat(32) } as const;

/** CKA_LABEL of what the token remembers of a log. */
export function witnessAnchorLabel(name: string, origin: string): string {
  return `strongroom/witness/${name}/${sha256HexOf(origin).slice(0, 32)}`;
}

export class Witness {
  /** What its cosignatures are verified with. */
  readonly key: VerifierKey;
  readonly #options: WitnessOptions;
  readonly #unlock: () => void;
  readonly #heads: Map<string, TreeHead>;
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(options: WitnessOptions, unlock: () => void, heads: Map<string, TreeHead>) {
    this.key = verifierKey("cosignature", options.name, options.signer.publicKey);
    this.#options = options;
    this.#unlock = unlock;
    this.#heads = heads;
  }

  /**
   * @throws store-unavailable where another process has the directory; auditor-refused where the token remembers less
   *   than the disk, or something else; log-invalid; token errors
   */
  static async open(options: WitnessOptions): Promise<Witness> {
    await makeFolder(options.stateDir);
    const unlock = lockFile(
      join(options.stateDir, "writer.pid"),
      (pid) =>
        new StrongroomError("store-unavailable", `the witness's directory is in use by process ${pid}`, {
          hint: `stop process ${pid} first`,
        }),
    );
    try {
      const heads = new Map<string, TreeHead>();
      for (const origin of new Set(options.logs.map(({ name }) => name)))
        heads.set(origin, await knownHead(options, origin));
      return new Witness(options, unlock, heads);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Entries of each log under the newest checkpoint that was cosigned; 0 before the first. */
  sizes(): ReadonlyMap<string, number> {
    return new Map([...this.#heads].map(([origin, { size }]) => [origin, size]));
  }

  /** @param body of add-checkpoint @throws token errors; store-full, file-failed: then nothing was cosigned */
  addCheckpoint(body: string): Promise<WitnessAnswer> {
    // One at a time: comparing with the newest and storing a newer one are one step (tlog-witness).
    const work = (): Promise<WitnessAnswer> => this.#add(body);
    const turn = this.#busy.then(work, work);
    this.#busy = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    await this.#busy;
    this.#unlock();
  }

  async #add(body: string): Promise<WitnessAnswer> {
    let checkpoint: Checkpoint;
    let request: ReturnType<typeof parseAddCheckpoint>;
    try {
      request = parseAddCheckpoint(body);
      ({ checkpoint } = verifyCheckpoint(request.checkpoint, { logs: this.#options.logs }));
    } catch (error) {
      return refusal(error, REFUSED);
    }
    if (request.oldSize > checkpoint.size)
      return { status: 400, problem: "the old size is larger than the checkpoint's" };
    const known = this.#heads.get(checkpoint.origin);
    if (!known) throw new StrongroomError("internal", "a log whose key is known has a head");
    if (request.oldSize !== known.size) return { status: 409, size: known.size };
    if (checkpoint.size === known.size && !equal(checkpoint.root, known.root))
      return { status: 409, size: known.size };
    try {
      verifyConsistency(known, checkpoint, request.proof);
    } catch (error) {
      return refusal(error, {});
    }
    await this.#remember(checkpoint, request.checkpoint);
    const { text } = parseNote(request.checkpoint);
    const time = Math.floor(this.#options.now() / 1000);
    const cosignature = await cosign(text, time, this.key, this.#options.signer.sign);
    return { status: 200, cosignatures: formatSignature(cosignature) };
  }

  async #remember({ origin, size, root }: Checkpoint, note: string): Promise<void> {
    const { stateDir, anchorOf } = this.#options;
    await anchorOf(origin).write({ ...NO_EPOCH, size, root });
    this.#heads.set(origin, { size, root });
    await writeDurably(pathOf(stateDir, origin), utf8(formatNote(parseNote(note))));
  }
}

/** Which status each fault of a request has; what is not listed does not lead from the old head to the new one. */
const REFUSED: Readonly<Partial<Record<LogFault, 400 | 403 | 404>>> = {
  "not-canonical": 400,
  "too-large": 400,
  "wrong-origin": 404,
  "wrong-key": 403,
  "bad-signature": 403,
};

function refusal(error: unknown, statuses: typeof REFUSED): WitnessAnswer {
  const fault = logFaultOf(error);
  if (fault === undefined || !(error instanceof Error)) throw error;
  return { status: statuses[fault] ?? 422, problem: error.message };
}

function pathOf(stateDir: string, origin: string): string {
  return join(stateDir, "logs", `${sha256HexOf(origin)}.checkpoint`);
}

/** The token decides; a disk that is behind it was restored or never written, and one that is ahead is not its own. */
async function knownHead({ stateDir, anchorOf }: WitnessOptions, origin: string): Promise<TreeHead> {
  const head: Head | undefined = await anchorOf(origin).read();
  const bytes = await readIfThere(pathOf(stateDir, origin), 4 * MAX_NOTE_CHARACTERS);
  const stored = bytes && parseCheckpoint(parseNote(textOf(bytes, "the stored checkpoint")).text);
  const { size, root } = head ?? { size: 0, root: EMPTY_ROOT };
  if (stored && (stored.size > size || (stored.size === size && !equal(stored.root, root))))
    throw new StrongroomError(
      "auditor-refused",
      `the disk has a cosigned checkpoint of ${stored.size} entries of ${origin}, the token remembers ${size}`,
      {
        hint: "is it the right token? one that was set back must not cosign",
        details: { reason: "token-behind" },
      },
    );
  return { size, root };
}
