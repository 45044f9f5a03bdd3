/**
 * A person reads words at one station and types them at another. A wrong value is written down, and what is decided
 * about it; it never counts as the right one.
 */
import { StrongroomError } from "../../base/errors.ts";
import type { Comparison } from "../outputs.ts";
import { fingerprintWords } from "../words.ts";
import type { ActionContext } from "./context.ts";

const normal = (words: string): string => words.trim().toLowerCase().split(/\s+/u).join(" ");

/**
 * @param of        `identity key`, `transport key`
 * @param publicKey whose words are compared
 * @throws ceremony-stopped where the people decide to stop
 */
export async function compareWords(
  { step, hands }: ActionContext,
  member: string,
  of: string,
  publicKey: Uint8Array,
): Promise<Comparison> {
  const words = fingerprintWords(publicKey);
  for (;;) {
    const { typed, by } = await hands.compare({ station: step.station, member, of, words });
    if (normal(typed) === words) return { member, words, by };
    // Whoever sees the sheet types the words once more, so they are not on it.
    const { goOn } = await hands.exception({
      station: step.station,
      expected: `the words of the ${of} that came from ${member}`,
      happened: `typed: ${normal(typed).slice(0, 200)}`,
    });
    if (!goOn)
      throw new StrongroomError(
        "ceremony-stopped",
        `the ${of} of ${member} is not the one that was read out`,
        {
          hint: "find out which of the two is wrong, then resume",
        },
      );
  }
}
