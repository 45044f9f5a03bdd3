/** HTTP below fetch, and waiting without guessing how long. */
import { connect } from "node:net";

/** Sends bytes as they are; resolves with all that came back when the server hangs up. */
export function raw(url: string, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    socket.on("close", () => resolve(received));
    // A reset after an answer is how a server ends a request that it will not read.
    socket.on("error", (error) => (received === "" ? reject(error) : resolve(received)));
    socket.write(bytes);
  });
}

/** Asks again until it is so; the test's own timeout is the limit. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}
