/** At a site that is retired: the fleet's keys go. Its identity stays, to sign that they are gone. */
import { keysOfSite } from "../../keys/fleet-keys.ts";
import { destroyLabelled } from "../../keys/fleet-objects.ts";
import { ROLES } from "../../keys/roles.ts";
import { takeInventory } from "../inventory.ts";
import { type Action, memberOf, siteContext } from "./context.ts";

export const destroyKeys: Action<"destroy-keys"> = (context) =>
  context.token.with("user", (session) => {
    const { shape } = siteContext(context, session);
    const labels = keysOfSite(shape, memberOf(context).seat)
      .filter(({ role }) => ROLES[role].life === "sealed" || role === "session")
      .map(({ label }) => label);
    destroyLabelled(session, labels);
    return { destroyed: labels, inventory: takeInventory(session) };
  });
