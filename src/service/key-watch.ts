/**
 * Keeps a site from serving until its token has proved to hold the manifest's keys, at start and each time the token
 * comes back: it may be another one that comes back.
 */
import { isStrongroomError, type StrongroomError } from "../base/errors.ts";
import type { TokenHealth } from "../token/token.ts";
import { ours } from "./plain-error.ts";

export interface KeyWatch {
  /** Why the keys are not proved; undefined where they are. */
  readonly unproved: () => string | undefined;
  /** One proof, now. @throws what the proof throws */
  prove(): Promise<void>;
  stop(): Promise<void>;
}

const LOOK_MS = 250;
/** A token with the wrong keys is looked at again this often: somebody may be mending it. */
const WRONG_KEYS_MS = 5_000;

/**
 * @param proof    throws unless the keys are the manifest's
 * @param observed told of every change
 */
export function watchKeys(
  tokenHealth: () => TokenHealth,
  proof: () => Promise<void>,
  observed: (proved: boolean, error?: StrongroomError) => void,
): KeyWatch {
  let unproved: string | undefined = "the token's keys have not been seen yet";
  let proving: Promise<void> | undefined;
  let notBefore = 0;

  const attempt = async (): Promise<void> => {
    try {
      await proof();
      if (unproved !== undefined) observed(true);
      unproved = undefined;
    } catch (cause) {
      const error = ours(cause);
      if (unproved !== error.message) observed(false, error);
      unproved = error.message;
      if (!error.retryable) notBefore = performance.now() + WRONG_KEYS_MS;
      throw error;
    }
  };
  /** One proof at a time, whoever asks for it. */
  const prove = (): Promise<void> => {
    proving ??= attempt().finally(() => {
      proving = undefined;
    });
    return proving;
  };
  const timer = setInterval(() => {
    if (!tokenHealth().ready) unproved ??= "the token has been away; its keys have to prove themselves again";
    else if (unproved !== undefined && performance.now() >= notBefore)
      prove().catch((error: unknown) => {
        if (!isStrongroomError(error)) throw error;
      });
  }, LOOK_MS);
  timer.unref();
  return {
    unproved: () => unproved,
    prove,
    async stop() {
      clearInterval(timer);
      await proving?.catch(() => undefined);
    },
  };
}
