/** Entry of the child process of site-process.ts: takes steps until its parent has gone. */
import { StrongroomError } from "../base/errors.ts";
import { toldError } from "../base/told-error.ts";
import { openSession } from "../token/open.ts";
import { pinPath, readPinFile } from "../token/pin.ts";
import { loadProfile } from "../token/profile-file.ts";
import type { SiteSetUp, StepAnswer, StepOrder } from "./site-process.ts";
import { loginFor, takeStep } from "./site-steps.ts";

/** User and security officer cannot be logged in together, so every step has a session of its own. */
async function run({ token, shape, site }: SiteSetUp, { name, input }: StepOrder): Promise<unknown> {
  const { uri, profile: profileName, soPinSource } = token;
  const login = loginFor(name, loadProfile(profileName));
  const prompt =
    login === "so" && soPinSource !== undefined
      ? (): Promise<Uint8Array> => Promise.resolve(readPinFile(soPinSource))
      : undefined;
  if (login === "so" && !prompt)
    throw new StrongroomError("pin-unavailable", "nothing says where the security officer's PIN is", {
      hint: "add soPinSource: file:/absolute/path to the token",
    });
  const pinFile = soPinSource && pinPath(soPinSource);
  const { session, profile } = await openSession({ uri, profile: profileName }, { login, prompt, pinFile });
  try {
    return takeStep(name, { session, profile, shape, site }, input as never);
  } finally {
    session.close();
  }
}

let setUp: SiteSetUp | undefined;
process.on("message", (message: unknown) => {
  if (!setUp) {
    setUp = message as SiteSetUp;
    return;
  }
  run(setUp, message as StepOrder)
    .then(
      (output): StepAnswer => ({ output }),
      (error: unknown): StepAnswer => ({ error: toldError(error) }),
    )
    .then((answer) => process.send?.(answer))
    // The parent was killed: nobody waits for the answer.
    .catch(() => process.exit(1));
});
// A step that was under way has finished by now: steps are synchronous once their session is open.
process.once("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group; the parent ends first, and what is under way is finished.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
