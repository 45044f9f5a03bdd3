/**
 * The token begins anew: whatever it held is gone, and both PINs are tried. A blank token is taken as it is; one that
 * was used before only after a person has typed its label. After an interruption nothing is erased again.
 */
import { StrongroomError } from "../../base/errors.ts";
import type { Action } from "./context.ts";

/** @throws ceremony-stopped where nobody allows a used token to be erased; what `initialiseToken` throws */
export const initialise: Action<"initialise"> = async (context) => {
  const { step, token, hands, earlier, isResumed, wasCalled } = context;
  const found = token.found();
  // Our label, which the token did not have when it was opened: C_InitToken has been called, and is not called again.
  const hadLabel = earlier.one("open", step.station).output.token.label === token.label;
  const isOurs =
    isResumed &&
    found.isInitialised &&
    found.label === token.label &&
    (!hadLabel || wasCalled("C_InitToken"));
  let eraseLabel: string | undefined;
  if (found.isInitialised && !isOurs) {
    const { typed } = await hands.confirm({
      station: step.station,
      asked: `The token ${found.label} (serial ${found.serial}) will lose everything on it. Type its label.`,
      word: found.label,
    });
    if (typed !== found.label)
      throw new StrongroomError("ceremony-stopped", `nobody allowed the token ${found.label} to be erased`, {
        hint: "connect a blank token, or let the officers decide and resume",
      });
    eraseLabel = found.label;
  }
  const { state, info } = await token.initialise({
    isOurs,
    ...(eraseLabel === undefined ? {} : { eraseLabel }),
  });
  // What was set before the interruption may be another PIN than the one that is there now.
  if (state === "present") await token.with("user", () => undefined);
  return { state, label: info.label, serial: info.serial };
};
