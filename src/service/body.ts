/**
 * Reads a request body up to a limit. A body that announces or shows itself to be longer is refused at once and
 * not read to its end, as body parsers do: whoever sends a gigabyte should not be listened to.
 */
import type { IncomingMessage } from "node:http";
import { StrongroomError } from "../base/errors.ts";

const tooLong = (): StrongroomError =>
  new StrongroomError("invalid-request", "the body is too long", { details: { status: 413 } });

/** @throws invalid-request, with the HTTP status in `details.status` */
export function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (Number(request.headers["content-length"] ?? 0) > limit) {
      reject(tooLong());
      return;
    }
    const parts: Buffer[] = [];
    let length = 0;
    const settle = (finish: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose);
      finish();
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > limit) settle(() => reject(tooLong()));
      else parts.push(chunk);
    };
    const onEnd = (): void => {
      const [only] = parts;
      settle(() => resolve(parts.length === 1 && only ? only : Buffer.concat(parts, length)));
    };
    const onClose = (): void =>
      settle(() => reject(new StrongroomError("invalid-request", "the request was broken off")));
    request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose);
  });
}

const refuse = (message: string): StrongroomError =>
  new StrongroomError("invalid-request", message, { details: { status: 415 } });

/** @throws invalid-request for another content type, and for a compressed body */
export function checkContentType(request: IncomingMessage, expected: string): void {
  const type = request.headers["content-type"] ?? "";
  if (type !== expected && type.split(";")[0]?.trim().toLowerCase() !== expected)
    throw refuse("not a sealed request");
  if ((request.headers["content-encoding"] ?? "identity") !== "identity")
    throw refuse("sealed requests are not compressed");
}
