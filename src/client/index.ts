/** The client SDK: what an app embeds. Runs in browsers and in Node. */
export { ageIdentity, ageRecipient, decryptBackup, encryptBackup } from "./backup.ts";
export {
  generateRecoveryCode,
  parseNewRecoveryCode,
  parseRecoveryCode,
  type RecoveryCode,
  type RecoveryCodeKind,
} from "./recovery-code.ts";
export {
  createVaultClient,
  type Recovered,
  type Registered,
  type VaultClient,
  type VaultClientOptions,
} from "./vault-client.ts";
