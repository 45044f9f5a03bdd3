/** The app whose account tokens a test's sites accept. */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";

export const FLEET = "test-fleet";
export const TENANT = "app";
const ISSUER = "https://accounts.example";
const ALL_SCOPES = ["register", "recover", "status", "delete"];

export interface Issuer {
  /** Its entry in a site's configuration. */
  readonly config: object;
  /** A fresh account token, no two alike; `claims` override. */
  issueToken(subject: string, scopes?: readonly string[], claims?: JWTPayload): Promise<string>;
}

/** Makes a key pair and puts the public key into `dir`. */
export async function createIssuer(dir: string, fleet: string = FLEET): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA");
  const jwk = { ...(await exportJWK(publicKey)), kid: "key-1", alg: "EdDSA" };
  const jwksFile = join(dir, "jwks.json");
  writeFileSync(jwksFile, JSON.stringify({ keys: [jwk] }));
  return {
    config: { issuer: ISSUER, tenant: TENANT, jwksFile, algorithms: ["EdDSA"] },
    issueToken: (subject, scopes = ALL_SCOPES, claims = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const payload = {
        iss: ISSUER,
        sub: subject,
        aud: fleet,
        iat: now,
        exp: now + 300,
        jti: randomUUID(),
        scope: scopes.join(" "),
      };
      return new SignJWT({ ...payload, ...claims })
        .setProtectedHeader({ alg: "EdDSA", kid: "key-1" })
        .sign(privateKey);
    },
  };
}
