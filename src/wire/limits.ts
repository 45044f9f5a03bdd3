/** Every size and time that the protocol bounds, once. Sizes in bytes. */

/** Compressed SEC1 point of P-256; scalars, hashes, MACs and x-coordinates (RFC 9807: Npk, Nx, Nm, Nh). */
export const POINT_BYTES = 33;
export const UNCOMPRESSED_POINT_BYTES = 65;
export const HASH_BYTES = 32;

/** RFC 9807 messages for P256-SHA256. */
export const REGISTRATION_RECORD_BYTES = 129; // client_public_key 33 + masking_key 32 + envelope 64
export const KE1_BYTES = 98; // blinded 33 + client_nonce 32 + client_keyshare 33
export const KE2_BYTES = 259; // evaluated 33 + masking_nonce 32 + masked_response 97 + server_nonce 32 + keyshare 33 + mac 32
export const KE3_BYTES = 32;

/** AES-256-GCM of a 32-byte key: nonce 12 + ciphertext 32 + tag 16. */
export const SEALED_KEY_BYTES = 60;
/** ECDSA P-256, r ‖ s. */
export const SIGNATURE_BYTES = 64;
export const RECORD_ID_BYTES = 32;
export const KEY_ID_BYTES = 8;
export const WRITE_ID_BYTES = 16;

/** A wrapped PKCS#8 P-256 key is 72 to 152 bytes (RFC 5649 with and without the public key); vendors add a little. */
export const MAX_WRAPPED_BYTES = 256;
/** C(7, 3): the largest fleet that design §2 knows. */
export const MAX_SHARES = 35;

/** An account token (JWT) and a cookie as they travel. The largest cookie, of 35 shares of the largest size, has 14,500. */
export const MAX_ACCOUNT_TOKEN_BYTES = 4096;
export const MAX_COOKIE_BYTES = 16_384;
/** The whole sealed request; the service refuses longer bodies before it reads them. */
export const MAX_REQUEST_BYTES = 32_768;
/** What a service must take at least: a registration's end, with the largest token and cookie. */
export const LONGEST_REQUEST_BYTES = 24_576;
/** The same between sites. The largest, 35 shares of the largest size with an account token, has 21,000. */
export const MAX_SITE_MESSAGE_BYTES = 32_768;
/** What the initiator of a channel calls it. */
export const CHANNEL_ID_BYTES = 16;
/** Plaintexts are padded to a multiple of this, so that a front end cannot tell operations apart by size. */
export const PADDING_BYTES = 2048;

/** How far the clocks of two sites may differ when one opens a channel to the other (milliseconds). */
export const SITE_CLOCK_SKEW_MS = 300_000;

/**
 * Cookies and last attempts hold for two minutes, whichever site judges them (milliseconds): by the clock of one that is
 * ahead of where they began, or behind, they would else be over at once, and a record with a right last attempt gone.
 */
export const COOKIE_LIFETIME_MS: number = 120_000 + SITE_CLOCK_SKEW_MS;
/** Account tokens live this long at most (milliseconds). */
export const MAX_ACCOUNT_TOKEN_LIFETIME_MS = 600_000;
/** From when it was used first, no account token is good for this long: its lifetime, and clocks that differ a little. */
export const ACCOUNT_TOKEN_MEMORY_MS: number = MAX_ACCOUNT_TOKEN_LIFETIME_MS + 15_000;

/** A channel is replaced by a new one after this time (milliseconds). */
export const CHANNEL_LIFETIME_MS = 3_600_000;
