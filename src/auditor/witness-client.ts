/**
 * The log's side of C2SP tlog-witness: asks every witness to cosign a checkpoint, at the same time and not for ever, and
 * wants so many of them before the checkpoint is shown to anybody. One that has seen another history refuses.
 */
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { formatAddCheckpoint, SIZE_TYPE } from "../merkle/add-checkpoint.ts";
import { logInvalid } from "../merkle/fault.ts";
import { decimalOf, textOf } from "../merkle/lines.ts";
import {
  formatNote,
  knownSignatures,
  MAX_NOTE_CHARACTERS,
  type NoteSignature,
  parseSignatureLines,
  type SignedNote,
} from "../merkle/note.ts";
import { parseVkey, type VerifierKey } from "../merkle/vkey.ts";

export interface WitnessPolicy {
  /** `vkey` is of a cosigner; `url` is the submission prefix. */
  readonly witnesses: readonly { readonly vkey: string; readonly url: string }[];
  /** So many must have cosigned. */
  readonly quorum: number;
  /** For each of them, its second try included. */
  readonly timeoutMs: number;
}

export interface CosignRequest {
  readonly note: SignedNote;
  readonly size: number;
  /** Consistency from a smaller size to this one. */
  readonly prove: (from: number) => Promise<readonly Uint8Array[]>;
}

type Outcome = { readonly signature: NoteSignature } | { readonly name: string; readonly problem: string };

/** Asks the witnesses of one log, and remembers how far each of them is. */
export class Witnesses {
  readonly #policy: WitnessPolicy;
  readonly #keys: readonly { readonly key: VerifierKey; readonly url: string }[];
  readonly #sizes = new Map<string, number>();

  /** @throws config-invalid for a vkey that is not a cosigner's */
  constructor(policy: WitnessPolicy) {
    this.#policy = policy;
    this.#keys = policy.witnesses.map(({ vkey, url }) => ({ key: cosignerKey(vkey), url }));
  }

  /** @throws unavailable where fewer than the quorum cosigned; what `prove` throws */
  async cosign(request: CosignRequest): Promise<readonly NoteSignature[]> {
    const outcomes = await Promise.all(
      this.#keys.map(async ({ key, url }): Promise<Outcome> => {
        try {
          return { signature: await this.#ask(key, url, request) };
        } catch (error) {
          return { name: key.name, problem: reasonOf(error) };
        }
      }),
    );
    const signatures = outcomes.flatMap((outcome) => ("signature" in outcome ? [outcome.signature] : []));
    const problems = outcomes.flatMap((outcome) =>
      "problem" in outcome ? [`${outcome.name}: ${outcome.problem}`] : [],
    );
    const { quorum } = this.#policy;
    if (signatures.length >= quorum) return signatures;
    throw new StrongroomError(
      "unavailable",
      `${signatures.length} of ${quorum} witnesses cosigned the checkpoint of ${request.size} entries (${problems.join("; ")})`,
      { hint: "nothing is lost: it is published once enough of them answer; send the same request again" },
    );
  }

  async #ask(key: VerifierKey, url: string, request: CosignRequest): Promise<NoteSignature> {
    const signal = AbortSignal.timeout(this.#policy.timeoutMs);
    let known = Math.min(this.#sizes.get(key.vkey) ?? 0, request.size);
    // Once more where it is at another size than we thought.
    for (let round = 0; round < 2; round++) {
      const answer = await post(url, known, request, signal);
      if (answer.status === 409 && answer.type === SIZE_TYPE) {
        const told = decimalOf(answer.text.replace(/\n$/, ""));
        if (told > request.size)
          throw new Error(`it has seen ${told} entries of this log, which has ${request.size}`);
        if (told === known) throw new Error(`it has seen another root of ${told} entries`);
        known = told;
        continue;
      }
      if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
      const signatures = parseSignatureLines(answer.text);
      const [own] = knownSignatures({ text: request.note.text, signatures }, [key]);
      if (!own) throw logInvalid("wrong-key", "the answer has no cosignature by the configured key");
      this.#sizes.set(key.vkey, request.size);
      return own.signature;
    }
    throw new Error("it keeps naming other sizes");
  }
}

function cosignerKey(vkey: string): VerifierKey {
  try {
    const key = parseVkey(vkey);
    if (key.kind === "cosignature") return key;
  } catch (cause) {
    throw new StrongroomError("config-invalid", `not a witness's vkey: ${vkey}`, { cause });
  }
  throw new StrongroomError("config-invalid", `not a witness's vkey (cosignature/v1): ${vkey}`);
}

function reasonOf(error: unknown): string {
  if (isStrongroomError(error)) return error.message;
  if (!(error instanceof Error)) return "failed";
  if (error.name === "TimeoutError") return "no answer in time";
  return error.cause instanceof Error ? error.cause.message : error.message;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function post(
  url: string,
  oldSize: number,
  { note, prove }: CosignRequest,
  signal: AbortSignal,
): Promise<Answer> {
  const body = formatAddCheckpoint({ oldSize, proof: await prove(oldSize), checkpoint: formatNote(note) });
  const response = await fetch(`${url.replace(/\/+$/, "")}/add-checkpoint`, {
    method: "POST",
    headers: { "content-type": "text/plain; charset=utf-8" },
    body,
    signal,
    redirect: "error",
  });
  return {
    status: response.status,
    type: (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "",
    text: textOf(await boundedBody(response), "the witness's answer"),
  };
}

async function boundedBody(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > MAX_NOTE_CHARACTERS) throw logInvalid("too-large", "the witness's answer");
    parts.push(part);
  }
  return Uint8Array.from(Buffer.concat(parts));
}
