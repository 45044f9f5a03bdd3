/**
 * The key hierarchy (design §3) as one table: what each role is, what it may do, how long it lives.
 * Templates, provisioning, drift checks and the inventory all read it; nothing else knows attributes.
 */
import type { KeyName } from "../token/token.ts";

export type KeyType = "ec-p256" | "ed25519" | "rsa-3072" | "aes-256" | "generic-256";

/** The PKCS#11 usage flags a key has; every flag that is not named here is false. */
export type Usage = "sign" | "derive" | "wrap" | "unwrap";

export interface Role {
  readonly type: KeyType;
  readonly usage: readonly Usage[];
  /** site: made and kept in one token. fleet: on every site. holders: on the holders of one share. */
  readonly scope: "site" | "fleet" | "holders";
  /** kept: never extractable from birth. sealed: travels between tokens before it is so. */
  readonly life: "kept" | "sealed";
}

export type RoleName =
  | "identity"
  | "session"
  | "transport"
  | "root"
  | "countersign"
  | "ake"
  | "record"
  | "share-kek"
  | "share-mac"
  | "audit"
  | "checkpoint"
  | "witness";

export const ROLES: Readonly<Record<RoleName, Role>> = {
  identity: { type: "ec-p256", usage: ["sign"], scope: "site", life: "kept" },
  session: { type: "ec-p256", usage: ["derive"], scope: "site", life: "kept" },
  // Never decrypt: whoever has the PIN could then read a travelling key by C_Decrypt, trusted wrapping or not.
  transport: { type: "rsa-3072", usage: ["unwrap"], scope: "site", life: "kept" },
  root: { type: "ec-p256", usage: ["sign"], scope: "fleet", life: "kept" },
  countersign: { type: "ec-p256", usage: ["sign"], scope: "fleet", life: "kept" },
  ake: { type: "ec-p256", usage: ["derive"], scope: "fleet", life: "sealed" },
  record: { type: "generic-256", usage: ["sign"], scope: "fleet", life: "sealed" },
  "share-kek": { type: "aes-256", usage: ["wrap", "unwrap"], scope: "holders", life: "sealed" },
  "share-mac": { type: "generic-256", usage: ["sign"], scope: "holders", life: "sealed" },
  // Of auditors and witnesses (design §10), never on a fleet's token. One key never signs both audits and checkpoints.
  audit: { type: "ed25519", usage: ["sign"], scope: "site", life: "kept" },
  checkpoint: { type: "ed25519", usage: ["sign"], scope: "site", life: "kept" },
  witness: { type: "ed25519", usage: ["sign"], scope: "site", life: "kept" },
};

/** One key that a token must hold. */
export interface KeySpec {
  /** Its name on the Token interface: the role, and the share for keys of a holder set. */
  readonly name: KeyName;
  readonly role: RoleName;
  /** CKA_LABEL: `strongroom/<fleet>/<name>`. */
  readonly label: string;
}

/** The keys of a holder set are numbered by its share: `share-kek.0`. */
export function shareKeyName(role: "share-kek" | "share-mac", share: number): KeyName {
  return `${role}.${share}`;
}

/**
 * What a vault's token holds in a running fleet.
 *
 * @param fleet  the fleet's name
 * @param shares the shares this site holds; a fleet of one holds the only one, number 0
 */
export function vaultKeys(fleet: string, shares: readonly number[]): readonly KeySpec[] {
  const spec = (name: KeyName, role: RoleName): KeySpec => ({
    name,
    role,
    label: `strongroom/${fleet}/${name}`,
  });
  return [
    spec("identity", "identity"),
    spec("session", "session"),
    spec("ake", "ake"),
    spec("record", "record"),
    ...shares.flatMap((share) => [
      spec(shareKeyName("share-kek", share), "share-kek"),
      spec(shareKeyName("share-mac", share), "share-mac"),
    ]),
  ];
}
