/** Tool, module and token as they are found, before anything is done to them. */
import { StrongroomError } from "../../base/errors.ts";
import { isSoftware } from "../../keys/software-tokens.ts";
import type { Action } from "./context.ts";

/** @throws ceremony-stopped for another program or token than the plan's; token-unsuitable for software in production */
export const open: Action<"open"> = async ({ plan, step, planned, token, folder, tool }) => {
  if (tool.digest !== plan.software.digest)
    throw new StrongroomError("ceremony-stopped", `this program is not the plan's: ${tool.digest}`, {
      hint: `install ${plan.software.release} with the digest ${plan.software.digest}, or have another plan approved`,
    });
  const found = token.found();
  if (planned.serial !== undefined && found.serial !== planned.serial)
    throw new StrongroomError(
      "ceremony-stopped",
      `the token at ${step.station} has the serial ${found.serial}`,
      {
        hint: `the plan wants ${planned.serial}; connect that one`,
      },
    );
  const software = isSoftware(token.profile.name, found);
  if (software && plan.mode === "production" && plan.softwareTokensAccepted === undefined)
    throw new StrongroomError("token-unsuitable", `the token of ${step.station} is software`, {
      hint: "a production plan has to accept that in words: softwareTokensAccepted",
    });
  const { manufacturer, description, version } = token.moduleInfo();
  const attestation = folder.attestation();
  return {
    tool,
    module: { sha256: folder.moduleHash(), manufacturer, description, version },
    token: {
      label: found.isInitialised ? found.label : "",
      manufacturer: found.manufacturer,
      model: found.model,
      serial: found.serial,
      firmware: found.firmware,
    },
    profile: token.profile.name,
    software,
    ...(attestation === undefined ? {} : { attestation }),
  };
};
