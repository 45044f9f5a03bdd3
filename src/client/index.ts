/** The client SDK: what an app embeds. Runs in browsers and in Node. */
export { type ErrorCode, isStrongroomError, StrongroomError } from "../base/errors.ts";
export { decodePins, type Pins } from "../trust/pins.ts";
export type { AnnouncedFleet } from "../wire/announcement.ts";
export type { StatusAnswer } from "../wire/messages.ts";
export type { Account } from "../wire/transcripts.ts";
export { ageIdentity, ageRecipient, decryptBackup, encryptBackup, type Progress } from "./backup.ts";
export {
  createFleetClient,
  type FleetClient,
  type FleetClientOptions,
  type FleetRecovered,
  type FleetRegistered,
  type FleetStatusAnswer,
} from "./fleet-client.ts";
export type { KnownFleets, TrustStore } from "./fleet-trust.ts";
export type { KeyStretching } from "./opaque.ts";
export {
  generateRecoveryCode,
  type NewRecoveryCode,
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
