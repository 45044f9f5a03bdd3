/** Steps of a distribution taken in this process: one token after another, each with its own configuration. */
import { readFileSync } from "node:fs";
import type { FleetShape } from "../../src/keys/fleet-keys.ts";
import type { FleetTokens } from "../../src/keys/fleet-tokens.ts";
import { loginFor, type SiteSteps, type StepName, takeStep } from "../../src/keys/site-steps.ts";
import { openSession } from "../../src/token/open.ts";
import type { Profile } from "../../src/token/profile.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import type { TokenKey, TokenSession } from "../../src/token/session.ts";
import type { SoftHsm } from "./softhsm.ts";

export const shapeOf = ({ fleet, threshold, sites }: FleetTokens): FleetShape => ({
  fleet,
  threshold,
  sites: sites.map(({ name }) => name),
});

/** Uses the token in this process; the module is initialised anew, so nobody else may have it open. */
export async function withToken<R>(
  hsm: SoftHsm,
  use: (session: TokenSession, profile: Profile) => R,
  options: { login?: "user" | "so" | "none"; keys?: readonly TokenKey[] } = {},
): Promise<R> {
  const { login = "user", keys } = options;
  hsm.use();
  const { session, profile } = await openSession(
    { uri: hsm.uri, profile: "softhsm2", keys },
    {
      login,
      prompt: () => Promise.resolve(new TextEncoder().encode(readFileSync(hsm.soPinFile, "utf8").trim())),
    },
  );
  try {
    return use(session, profile);
  } finally {
    session.close();
  }
}

/** One step at one site. */
export function stepAt<N extends StepName>(
  shape: FleetShape,
  tokens: readonly SoftHsm[],
  site: number,
  name: N,
  input: SiteSteps[N]["input"],
): Promise<SiteSteps[N]["output"]> {
  const hsm = tokens[site];
  if (!hsm) throw new Error(`no site ${site}`);
  return withToken(hsm, (session, profile) => takeStep(name, { session, profile, shape, site }, input), {
    login: loginFor(name, loadProfile("softhsm2")),
  });
}
