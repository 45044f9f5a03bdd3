/** One action by its name: the table that the run and the dry run share, so that both do the same. */
import { certify } from "./actions/certify.ts";
import { challenge, compare, prove } from "./actions/challenge.ts";
import type { Action, ActionContext } from "./actions/context.ts";
import { destroyKeys } from "./actions/destroy-keys.ts";
import { initialise } from "./actions/initialise.ts";
import { makeRoot } from "./actions/make-root.ts";
import { makeSiteKeys } from "./actions/make-site-keys.ts";
import { manifest } from "./actions/manifest.ts";
import { open } from "./actions/open.ts";
import { sealCredentials } from "./actions/seal-credentials.ts";
import { makeTransport, removeTransport, removeTrusted, trust } from "./actions/transport.ts";
import { destroyOriginals, exportKeys, importKeys, makeOriginals } from "./actions/travel.ts";
import { verify } from "./actions/verify.ts";
import type { ActionOutputs } from "./outputs.ts";
import type { ActionName } from "./steps.ts";

const ACTIONS: { readonly [A in ActionName]: Action<A> } = {
  open,
  initialise,
  "make-root": makeRoot,
  "make-site-keys": makeSiteKeys,
  certify,
  "make-transport": makeTransport,
  trust,
  "make-originals": makeOriginals,
  export: exportKeys,
  import: importKeys,
  challenge,
  prove,
  compare,
  "destroy-originals": destroyOriginals,
  "remove-transport": removeTransport,
  "remove-trusted": removeTrusted,
  verify,
  "seal-credentials": sealCredentials,
  "destroy-keys": destroyKeys,
  manifest,
  close: () => Promise.resolve({}),
};

/** @throws ceremony-stopped where a person or a file is needed; what the action throws */
export function takeAction(context: ActionContext): Promise<ActionOutputs[ActionName]> {
  return ACTIONS[context.step.action](context);
}
