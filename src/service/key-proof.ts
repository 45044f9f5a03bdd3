/**
 * Do the keys in the token belong to the manifest? Asked of the private keys themselves, by using each once: a public
 * object in the token may lie, and a wrong token would make records that no other site can open.
 */
import { createECDH, randomBytes } from "node:crypto";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { sha256Of } from "../base/node/sha256.ts";
import { manifestPoint } from "../crypto/manifest-point.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import { shareKeyName } from "../keys/roles.ts";
import type { Token } from "../token/token.ts";
import type { Manifest } from "../wire/manifest.ts";

/** What of the manifest the service uses: 65-byte points. */
export interface SiteKeys {
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  readonly ake: Uint8Array;
}

/** @throws manifest-invalid if one is missing or its key id is not its own */
export function siteKeys(manifest: Manifest, site: string): SiteKeys {
  return {
    identity: manifestPoint(manifest, "identity", site),
    session: manifestPoint(manifest, "session", site),
    ake: manifestPoint(manifest, "ake"),
  };
}

/**
 * @param shares the shares whose keys the site should have
 * @throws key-drift for a key that is not the manifest's, key-missing, token errors
 */
export async function proveKeys(token: Token, keys: SiteKeys, shares: readonly number[]): Promise<void> {
  const message = randomBytes(32);
  const ephemeral = createECDH("prime256v1");
  const point = Uint8Array.from(ephemeral.generateKeys());
  const [signature, [session], [ake]] = await token.run([
    { op: "sign", key: "identity", digest: sha256Of(message) },
    { op: "ecdh", key: "session", points: [point] },
    { op: "ecdh", key: "ake", points: [point] },
  ]);
  const agrees = (publicKey: Uint8Array, x: Uint8Array | undefined): boolean =>
    x !== undefined && equal(ephemeral.computeSecret(publicKey), x);
  const proofs: readonly (readonly [string, boolean])[] = [
    ["identity", verifySignature(keys.identity, message, signature)],
    ["session", agrees(keys.session, session)],
    ["ake", agrees(keys.ake, ake)],
  ];
  const wrong = proofs.filter(([, proved]) => !proved).map(([name]) => name);
  if (wrong.length > 0)
    throw new StrongroomError("key-drift", `the token's ${wrong.join(", ")} key is not the manifest's`, {
      hint: "name the token that the manifest was made from, or the manifest of this token",
    });
  // Secret keys have no public half to compare; that they are there and may be used is what can be known.
  await token.run([{ op: "hmac", key: "record", data: message }]);
  for (const share of shares)
    await token.run([
      { op: "hmac", key: shareKeyName("share-mac", share), data: message },
      { op: "create-share", kek: shareKeyName("share-kek", share), points: [] },
    ]);
}
