/** Certificates for the identities of all members, after officers have compared them with what the stations show. */
import { fromHex, toHex } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import type { Comparison } from "../outputs.ts";
import { ROOT } from "../plan.ts";
import { rootKey, signWith } from "../station-keys.ts";
import { compareWords } from "./compared.ts";
import type { Action } from "./context.ts";

/** @throws ceremony-stopped where a comparison fails; token errors */
export const certify: Action<"certify"> = async (context) => {
  const { plan, earlier, token, folder, now } = context;
  const issuer = earlier.keyOf(ROOT);
  if (!issuer) throw new StrongroomError("ceremony-stopped", "the root key has not been made");
  const members = earlier.all("make-site-keys").map(({ station, output }) => ({
    station,
    publicKey: fromHex(output.identity),
  }));
  const compared: Comparison[] = [];
  for (const { station, publicKey } of members)
    compared.push(await compareWords(context, station, "identity key", publicKey));
  // Loaded when it is needed: most stations never make a certificate.
  const { certificatePem, makeCertificate } = await import("../certificate.ts");
  const certificates = await token.with("user", async (session) => {
    const made: [string, string][] = [];
    for (const { station, publicKey } of members) {
      const certificate = await makeCertificate(
        { fleet: plan.fleet, mode: plan.mode, station, publicKey, issuer, notBefore: now() },
        (message) => signWith(session, rootKey(plan.fleet), message),
      );
      folder.publish(`certificates/${station}.pem`, Buffer.from(certificatePem(certificate)));
      made.push([station, toHex(certificate)]);
    }
    return Object.fromEntries(made);
  });
  return { certificates, compared };
};
