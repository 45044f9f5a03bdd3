/** What an interruption leaves of a security officer's PIN: only a PIN that is gone is stated to be gone. */
import { expect, test } from "vitest";
import { equal, utf8 } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import type { ActionContext } from "../../src/ceremony/actions/context.ts";
import { sealCredentials } from "../../src/ceremony/actions/seal-credentials.ts";
import type { CredentialPolicy } from "../../src/ceremony/plan.ts";
import { planOf } from "../support/ceremony-plan.ts";
import { codeOfAsync } from "../support/codes.ts";

const SPLIT: CredentialPolicy = { soPin: "split", quorum: 2, custodians: ["Dora", "Emil", "Fay"] };
const POLICIES = [["destroyed", { soPin: "destroy" }] as const, ["split", SPLIT] as const];

/** A token with one PIN, a person who types, and a power supply. */
class Station {
  pin: Uint8Array = utf8("the-old-pin");
  typed = "the-old-pin";
  tries = 0;
  fails: "before" | "after" | "prompt" | undefined;
  readonly kept = new Map<string, Uint8Array>();
  forgotten: string[] = [];

  async seal(credentials: CredentialPolicy, isResumed: boolean) {
    const withOfficerPin = (pin: Uint8Array, use: (session: unknown) => unknown): Promise<unknown> => {
      this.tries++;
      if (!equal(pin, this.pin)) return Promise.reject(new StrongroomError("pin-incorrect", "wrong"));
      const changePin = (_: Uint8Array, next: Uint8Array): void => {
        if (this.fails === "before") throw new Error("power");
        this.pin = Uint8Array.from(next);
        if (this.fails === "after") throw new Error("power");
      };
      return Promise.resolve().then(() => use({ changePin }));
    };
    const officerPin = (): Promise<Uint8Array> =>
      this.fails === "prompt" ? Promise.reject(new Error("power")) : Promise.resolve(utf8(this.typed));
    const context = {
      plan: planOf({ sites: 1 }, { credentials }),
      step: { station: "site-a" },
      isResumed,
      token: { officerPin, withOfficerPin },
      folder: {
        keep: (name: string, bytes: Uint8Array) => this.kept.set(name, Uint8Array.from(bytes)),
        kept: (name: string) => this.kept.get(name)?.slice(),
        forget: (name: string) => this.forgotten.push(name),
      },
    };
    return sealCredentials(context as unknown as ActionContext);
  }
}

test.each(POLICIES)(
  "%s: a slip at the prompt after an interruption is not a PIN that is gone",
  async (state, policy) => {
    for (const fails of ["prompt", "before"] as const) {
      const station = new Station();
      station.fails = fails;
      await expect(station.seal(policy, false)).rejects.toThrow("power");
      station.fails = undefined;
      station.typed = "the-old-pni";
      expect(["pin-incorrect", "ceremony-stopped"]).toContain(await codeOfAsync(station.seal(policy, true)));
      expect(equal(station.pin, utf8("the-old-pin"))).toBe(true);
      station.typed = "the-old-pin";
      expect((await station.seal(policy, true)).soPin).toBe(state);
      expect(equal(station.pin, utf8("the-old-pin"))).toBe(false);
    }
  },
);

test.each(POLICIES)(
  "%s: a PIN that was changed before the interruption is found to be gone",
  async (state, policy) => {
    const station = new Station();
    station.fails = "after";
    await expect(station.seal(policy, false)).rejects.toThrow("power");
    station.fails = undefined;
    const { pin, tries } = station;
    station.typed = "the-old-pni";
    expect(await codeOfAsync(station.seal(policy, true))).toBe("ceremony-stopped");
    expect(station.tries).toBe(tries);
    station.typed = "the-old-pin";
    expect((await station.seal(policy, true)).soPin).toBe(state);
    expect(station.pin).toEqual(pin);
    expect(station.forgotten).toContain("site-a.credentials.json");
  },
);

test.each(POLICIES)("%s: a slip at the first prompt spoils nothing", async (state, policy) => {
  const station = new Station();
  station.typed = "the-old-pni";
  expect(await codeOfAsync(station.seal(policy, false))).toBe("pin-incorrect");
  station.typed = "the-old-pin";
  expect((await station.seal(policy, true)).soPin).toBe(state);
});
