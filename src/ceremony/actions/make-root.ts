/** The key that certifies the sites and signs the manifest, born in the root's token, and its own certificate. */
import { toHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { destroyLabelled } from "../../keys/fleet-objects.ts";
import { provision, provisioned } from "../../keys/provision.ts";
import { readPublicKeys } from "../../keys/public-keys.ts";
import { ROOT } from "../plan.ts";
import { rootKey, signWith } from "../station-keys.ts";
import type { Action } from "./context.ts";

/** @throws key-drift where the token does not keep it as asked; token errors */
export const makeRoot: Action<"make-root"> = ({ plan, token, folder, isResumed, now }) =>
  token.with("user", async (session) => {
    const spec = rootKey(plan.fleet);
    // An unfinished step has told nobody of its key.
    if (isResumed) destroyLabelled(session, [spec.label]);
    if (!provisioned(provision(session, token.profile, [spec])))
      throw new StrongroomError("key-drift", "the root key is not as it should be", {
        hint: "nothing was made; `strongroom token inventory` shows the token",
      });
    const publicKey = readPublicKeys(session, [spec]).get(spec.name) ?? new Uint8Array();
    // Loaded when it is needed: most stations never make a certificate.
    const { certificatePem, makeCertificate } = await import("../certificate.ts");
    const certificate = await makeCertificate(
      { fleet: plan.fleet, mode: plan.mode, station: ROOT, publicKey, issuer: publicKey, notBefore: now() },
      (message) => signWith(session, spec, message),
    );
    folder.publish("certificates/root.pem", Buffer.from(certificatePem(certificate)));
    return { publicKey: toHex(publicKey), certificate: toHex(certificate) };
  });
