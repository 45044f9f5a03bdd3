import { createHash } from "node:crypto";

/** @param data text is hashed as UTF-8 */
export function sha256Of(data: Uint8Array | string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(data).digest());
}

/** @param data text is hashed as UTF-8 */
export function sha256HexOf(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}
