/**
 * The sites of a fleet with identity and session keys in software, for tests of what passes between sites by the
 * thousand. Their signatures are real ones, unlike those of software-token.ts.
 */
import { p256 } from "@noble/curves/nist.js";
import { toHex } from "../../src/base/bytes.ts";
import { keyId } from "../../src/crypto/key-id.ts";
import { siteKeys } from "../../src/fleet/site-keys.ts";
import type { ResultsOf, Token, TokenStep } from "../../src/token/token.ts";
import { decodeManifest, encodeManifest, type Manifest, type ManifestRole } from "../../src/wire/manifest.ts";
import { type SoftwareKey, softwareKey } from "../vectors/software-key.ts";

export interface SoftwareSite {
  readonly identity: SoftwareKey;
  readonly session: SoftwareKey;
  readonly token: Token;
  /** Steps that its token carried out. */
  readonly steps: TokenStep["op"][];
  readonly sign: (digest: Uint8Array) => Promise<Uint8Array>;
  readonly ecdh: (point: Uint8Array) => Promise<Uint8Array>;
}

function softwareSite(): SoftwareSite {
  const identity = softwareKey();
  const session = softwareKey();
  const steps: TokenStep["op"][] = [];
  const perform = (step: TokenStep): unknown => {
    steps.push(step.op);
    if (step.op === "ecdh" && step.key === "session") return step.points.map(session.ecdh);
    if (step.op === "sign" && step.key === "identity")
      return p256.sign(step.digest, identity.privateKey, { prehash: false });
    throw new Error(`no software for ${step.op}`);
  };
  const token: Token = {
    run: async <const S extends readonly TokenStep[]>(list: S) => list.map(perform) as ResultsOf<S>,
  };
  return {
    identity,
    session,
    token,
    steps,
    sign: async (digest) => (await token.run([{ op: "sign", key: "identity", digest }]))[0],
    ecdh: async (point) => session.ecdh(point),
  };
}

/** A manifest of sites with the public keys given. @param keysOf identity and session, uncompressed */
export function manifestOfSites(
  fleet: string,
  names: readonly string[],
  keysOf: (name: string) => { readonly identity: Uint8Array; readonly session: Uint8Array },
): Manifest {
  const key = (role: ManifestRole, point: Uint8Array, site?: string) => ({
    kid: toHex(keyId(point)),
    role,
    ...(site === undefined ? {} : { site }),
    algorithm: "P-256" as const,
    publicKey: toHex(point),
  });
  return decodeManifest(
    encodeManifest({
      type: "strongroom/fleet-manifest/v1",
      fleet,
      createdAt: 1,
      policy: { threshold: Math.floor(names.length / 2) + 1, maxAttempts: 10 },
      sites: names.map((name) => ({ name, url: `https://${name}.example`, tokenSerial: name })),
      keys: [
        ...names.flatMap((name) => [
          key("identity", keysOf(name).identity, name),
          key("session", keysOf(name).session, name),
        ]),
        key("ake", softwareKey().publicKey),
      ],
    }),
  );
}

export interface SoftwareFleet {
  readonly manifest: Manifest;
  readonly keys: ReturnType<typeof siteKeys>;
  site(name: string): SoftwareSite;
}

export function softwareFleet(fleet: string, names: readonly string[]): SoftwareFleet {
  const sites = new Map(names.map((name) => [name, softwareSite()]));
  const site = (name: string): SoftwareSite => {
    const found = sites.get(name);
    if (!found) throw new Error(`no site ${name}`);
    return found;
  };
  const manifest = manifestOfSites(fleet, names, (name) => ({
    identity: site(name).identity.publicKey,
    session: site(name).session.publicKey,
  }));
  return { manifest, keys: siteKeys(manifest), site };
}
