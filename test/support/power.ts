/**
 * A machine whose power fails at a chosen call of the file system, in this process: from that call on, every one fails
 * and changes nothing. Seen by all code that imports `node:fs/promises`.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const CALLS = ["open", "rename", "unlink", "rm", "mkdir", "copyFile", "writeFile"] as const;
const HANDLE_CALLS = ["writeFile", "write", "sync", "datasync", "truncate"] as const;

class PowerFailure extends Error {
  readonly code = "EIO";
}

/**
 * @param at the call at which it fails, from 0
 * @returns how many calls the work made before, and whether it failed
 */
export async function withPowerFailure(
  at: number,
  work: () => Promise<void>,
): Promise<{ readonly calls: number; readonly failed: boolean }> {
  let calls = 0;
  const count = (): void => {
    if (calls >= at) throw new PowerFailure(`the power failed at call ${at}`);
    calls++;
  };
  const real = { ...fs.promises };
  const counted = Object.fromEntries(
    CALLS.map((name) => [
      name,
      async (...args: unknown[]) => {
        count();
        const result: unknown = await Reflect.apply(
          real[name] as (...all: unknown[]) => unknown,
          fs.promises,
          args,
        );
        return name === "open" ? watched(result as object, count) : result;
      },
    ]),
  );
  Object.assign(fs.promises, counted);
  syncBuiltinESMExports();
  try {
    await work();
    return { calls, failed: false };
  } catch (error) {
    if (!isPowerFailure(error)) throw error;
    return { calls, failed: true };
  } finally {
    Object.assign(fs.promises, real);
    syncBuiltinESMExports();
  }
}

function isPowerFailure(error: unknown): boolean {
  return error instanceof PowerFailure || (error instanceof Error && isPowerFailure(error.cause));
}

function watched(handle: object, count: () => void): object {
  return new Proxy(handle, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (HANDLE_CALLS.some((call) => call === name)) count();
        return Reflect.apply(value, target, args);
      };
    },
  });
}
