/** Which keys of the token a namespace's configuration names, and what they are called. */
import { fromHex } from "../base/bytes.ts";
import type { KeySpec } from "../keys/roles.ts";
import { type VerifierKey, verifierKey } from "../merkle/vkey.ts";
import type { NamespaceConfig } from "./config.ts";
import { auditorKeys, type SignerKey } from "./signer.ts";

/** The name of the `index`-th audit key, as the signer has it. */
export function auditKeyName(namespace: string, index: number): string {
  return `${auditorKeys(namespace).audit.name}.${index}`;
}

/** Where a new audit key is made: the first has the plain label, later ones a number. */
export function auditKeySpec(namespace: string, index: number): KeySpec {
  const { audit } = auditorKeys(namespace);
  return index === 0 ? audit : { ...audit, label: `${audit.label}.${index + 1}` };
}

/** What `openSigner` needs of a namespace. */
export function signerKeys({ name, keys }: NamespaceConfig): readonly SignerKey[] {
  const { audit, checkpoint } = auditorKeys(name);
  return [
    ...keys.audit.map(({ label, publicKey }, index) => ({
      ...audit,
      name: auditKeyName(name, index),
      label,
      publicKey: fromHex(publicKey),
    })),
    { ...checkpoint, label: keys.checkpoint.label, publicKey: fromHex(keys.checkpoint.publicKey) },
  ];
}

/** The verifier key of a namespace's log: its origin and its checkpoint key. */
export function logKeyOf({ origin, keys }: Pick<NamespaceConfig, "origin" | "keys">): VerifierKey {
  return verifierKey("note", origin, fromHex(keys.checkpoint.publicKey));
}
