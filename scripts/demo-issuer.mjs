/**
 * An app's token issuer for trying out Strongroom: in production this is the app's own login.
 *
 *   node scripts/demo-issuer.mjs init DIR            makes DIR/issuer-key.json (0600) and DIR/jwks.json
 *   node scripts/demo-issuer.mjs token DIR FLEET SUBJECT [LIFETIME_SECONDS]   prints an account token with every scope
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";

const ISSUER = "https://issuer.demo.invalid";
const [command, dir, fleet, subject, lifetime = "300"] = process.argv.slice(2);
const usage = () => {
  process.stderr.write("usage: demo-issuer.mjs init DIR | token DIR FLEET SUBJECT [LIFETIME_SECONDS]\n");
  process.exit(2);
};
if (!dir) usage();
const keyFile = join(dir, "issuer-key.json");

if (command === "init") {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!existsSync(keyFile)) {
    const { privateKey, publicKey } = await generateKeyPair("EdDSA", { extractable: true });
    const id = { kid: "demo-1", alg: "EdDSA", use: "sig" };
    writeFileSync(keyFile, JSON.stringify({ ...(await exportJWK(privateKey)), ...id }), { mode: 0o600 });
    writeFileSync(
      join(dir, "jwks.json"),
      JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), ...id }] }),
    );
  }
} else if (command === "token" && fleet && subject) {
  const jwk = JSON.parse(readFileSync(keyFile, "utf8"));
  const token = await new SignJWT({ scope: "register recover status delete" })
    .setProtectedHeader({ alg: "EdDSA", kid: jwk.kid })
    .setIssuer(ISSUER)
    .setSubject(subject)
    .setAudience(fleet)
    .setIssuedAt()
    // No two tokens are alike: in a fleet, one authorises one attempt.
    .setJti(randomUUID())
    .setExpirationTime(`${lifetime}s`)
    .sign(await importJWK(jwk, "EdDSA"));
  process.stdout.write(`${token}\n`);
} else usage();
