/** Registration: a new generation beside the old one, which stays valid until the new one is complete. */
import { equal } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import type { RegisterCookie } from "../cookie.ts";
import type { Registration, Share, VaultRecord } from "../record.ts";
import { charge } from "./attempts.ts";
import type { Rule, VaultPolicy } from "./decision.ts";

const VACANT: VaultRecord = {
  version: 1,
  state: "vacant",
  generation: 0,
  budgetAt: 0,
  writeIds: [],
  updatedAt: 0,
};

const NONE = new Uint8Array(0);

/** Charges the evaluation; the outcome is the generation that the registration will have. */
export function beginRegistration(policy: VaultPolicy): Rule<number> {
  return (found, now) => {
    const record = found ?? VACANT;
    const charged = charge(record, now, policy);
    if ("refusal" in charged) return charged.refusal;
    return {
      write: { ...record, budgetAt: charged.budgetAt },
      outcome: { ok: record.generation + 1 },
    };
  };
}

/** What the client sends to finish. */
export interface RegistrationUpload {
  readonly registrationRecord: Uint8Array;
  readonly sealedBackupKey: Uint8Array;
  readonly sealedReceiptKey: Uint8Array;
}

function sameShares(a: readonly Share[], b: readonly Share[]): boolean {
  return a.length === b.length && a.every((share, i) => equal(share.tag, b[i]?.tag ?? NONE));
}

/**
 * Whether `registration` is what this finish makes. The tag of a share covers account, generation, key and policy;
 * what the client sealed differs with every try of its own. So no list of write ids is needed to know a repetition,
 * and it is known however many attempts came in between.
 */
function isOutcomeOf(
  registration: Registration,
  cookie: RegisterCookie,
  upload: RegistrationUpload,
): boolean {
  return (
    sameShares(registration.shares, cookie.shares) &&
    equal(registration.receiptPublicKey, cookie.receiptPublicKey) &&
    equal(registration.registrationRecord, upload.registrationRecord) &&
    equal(registration.sealedBackupKey, upload.sealedBackupKey) &&
    equal(registration.sealedReceiptKey, upload.sealedReceiptKey)
  );
}

/**
 * Puts the new generation in the old one's place; the outcome is its number.
 * @throws expired; conflict where another registration or a deletion came in between
 */
export function finishRegistration(cookie: RegisterCookie, upload: RegistrationUpload): Rule<number> {
  return (record, now) => {
    const { generation, shares, receiptPublicKey, maxAttempts } = cookie;
    if (record?.generation === generation && record.registration) {
      // A repeated finish changes nothing: attempts made since then stay counted. Nor does it expire: whoever missed
      // the first answer would take the code of before for the one that counts.
      if (isOutcomeOf(record.registration, cookie, upload)) return { outcome: { ok: generation } };
    }
    if (now > cookie.expiresAt) throw new StrongroomError("expired", "the registration took too long");
    if (record?.generation !== generation - 1)
      throw new StrongroomError("conflict", "another registration or a deletion came in between");
    const registration: Registration = {
      shares,
      registrationRecord: upload.registrationRecord,
      sealedBackupKey: upload.sealedBackupKey,
      sealedReceiptKey: upload.sealedReceiptKey,
      receiptPublicKey,
      maxAttempts,
      seq: 0,
      base: 0,
      lastReceipt: NONE,
      lastAttempt: NONE,
      lastAttemptAt: 0,
      registeredAt: now,
    };
    return {
      write: { ...record, state: "active", generation, registration },
      outcome: { ok: generation },
      event: "registered",
    };
  };
}
