/** The body of an HTTP answer, of which nobody knows how long it is. Runs in browsers. */
import { concat } from "./bytes.ts";

/** @returns undefined where there is more than `maxBytes` */
export async function readLimited(response: Response, maxBytes: number): Promise<Uint8Array | undefined> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done || !value) return concat(...chunks);
    size += value.length;
    if (size > maxBytes) {
      await reader?.cancel();
      return undefined;
    }
    chunks.push(value);
  }
}
