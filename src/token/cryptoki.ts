/**
 * PKCS#11 numbers (OASIS PKCS#11 3.1, pkcs11t.h) that are not attributes and not a matter of the token's
 * profile. Own constants rather than the binding's, so that using them loads no native code.
 */

/** Mechanisms that no profile renames. */
export const CKM = {
  RSA_PKCS_KEY_PAIR_GEN: 0x0,
  RSA_PKCS_OAEP: 0x9,
  SHA_1: 0x220,
  SHA256: 0x250,
} as const;

export const CKD_NULL = 1;

export const CKU = { so: 0, user: 1 } as const;
export const CKF_RW_SESSION = 2;
export const CKF_SERIAL_SESSION = 4;

/** C_GetTokenInfo flags. */
export const CKF_TOKEN = {
  LOGIN_REQUIRED: 0x4,
  USER_PIN_INITIALIZED: 0x8,
  PROTECTED_AUTHENTICATION_PATH: 0x100,
  TOKEN_INITIALIZED: 0x400,
  USER_PIN_COUNT_LOW: 0x10000,
  USER_PIN_FINAL_TRY: 0x20000,
  USER_PIN_LOCKED: 0x40000,
  SO_PIN_COUNT_LOW: 0x100000,
  SO_PIN_FINAL_TRY: 0x200000,
  SO_PIN_LOCKED: 0x400000,
} as const;

/** DER of the object identifier of P-256 (RFC 5480 secp256r1): CKA_EC_PARAMS. */
export const P256_PARAMS: Uint8Array = Uint8Array.of(6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7);

/** A mechanism number as it is written in errors and tables. */
export function mechanismText(mechanism: number): string {
  return `0x${mechanism.toString(16).toUpperCase().padStart(4, "0")}`;
}
