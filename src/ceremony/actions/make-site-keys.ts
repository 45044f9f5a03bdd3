/** The keys that are born in a token and stay there, in a token that is empty before. */
import { toHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { isAlone, keysOfSite } from "../../keys/fleet-keys.ts";
import { destroyLabelled } from "../../keys/fleet-objects.ts";
import { readPublicKeys } from "../../keys/public-keys.ts";
import { ROLES } from "../../keys/roles.ts";
import { takeStep } from "../../keys/site-steps.ts";
import { takeInventory } from "../inventory.ts";
import { type Action, memberOf, siteContext } from "./context.ts";

/** @throws ceremony-stopped where the token holds anything before; key-drift; token errors */
export const makeSiteKeys: Action<"make-site-keys"> = (context) =>
  context.token.with("user", (session) => {
    const site = siteContext(context, session);
    const { name, seat } = memberOf(context);
    const all = keysOfSite(site.shape, seat);
    const made = all.filter(({ role }) => isAlone(site.shape) || ROLES[role].life === "kept");
    // An unfinished step has told nobody of its keys.
    if (context.isResumed)
      destroyLabelled(
        session,
        made.map(({ label }) => label),
      );
    const before = takeInventory(session);
    if (before.length > 0)
      throw new StrongroomError("ceremony-stopped", `the token of ${name} is not empty`, {
        hint: `it holds ${before.map(({ label }) => label || "something without a label").join(", ")}`,
      });
    takeStep("make-site-keys", site, undefined);
    const publicKeys = readPublicKeys(
      session,
      all.filter(({ role }) => ROLES[role].life === "kept"),
    );
    const keyText = (role: string): string => toHex(publicKeys.get(role) ?? new Uint8Array());
    return {
      identity: keyText("identity"),
      session: keyText("session"),
      before,
      after: takeInventory(session),
    };
  });
