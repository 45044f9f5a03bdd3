/** Logins that the stock OPAQUE server, all in software, starts per second on one processor. */
import * as opaque from "@serenity-kit/opaque-p256";
import { FLEET } from "../../test/support/issuer.ts";

export async function softwareRate(milliseconds: number): Promise<number> {
  await opaque.ready;
  const { client, server } = opaque;
  const identifiers = { client: "app/user", server: FLEET };
  const serverSetup = server.createSetup();
  const { clientRegistrationState, registrationRequest } = client.startRegistration({ password: "bench" });
  const { registrationResponse } = server.createRegistrationResponse({
    serverSetup,
    userIdentifier: "user",
    registrationRequest,
  });
  const { registrationRecord } = client.finishRegistration({
    clientRegistrationState,
    registrationResponse,
    password: "bench",
    identifiers,
    keyStretching: { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } },
  });
  const { startLoginRequest } = client.startLogin({ password: "bench" });
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < milliseconds) {
    server.startLogin({
      serverSetup,
      userIdentifier: "user",
      registrationRecord,
      startLoginRequest,
      identifiers,
    });
    count++;
  }
  return (count * 1_000) / (performance.now() - start);
}
