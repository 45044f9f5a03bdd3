/**
 * SHA-256 as words that people read aloud to each other: the 24 words of BIP 39 in English, whose last carries a
 * checksum. They encode a public value; nothing about them is a wallet or a secret.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { entropyToMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { StrongroomError } from "../base/errors.ts";
import { HASH_BYTES } from "../wire/limits.ts";

/** All of a SHA-256. */
export const HASH_WORDS = 24;
/** Enough for a public key: 132 bits, so that nobody can make a second key with the same words. */
export const FINGERPRINT_WORDS = 12;

/**
 * @param digest 32 bytes
 * @param count the first so many of its 24 words
 * @throws internal
 */
export function wordsOf(digest: Uint8Array, count: number = HASH_WORDS): string {
  if (digest.length !== HASH_BYTES) throw new StrongroomError("internal", "words are made of a SHA-256");
  return entropyToMnemonic(digest, wordlist).split(" ").slice(0, count).join(" ");
}

/** Twelve words for the SHA-256 of a public key's bytes, for two people to compare. */
export function fingerprintWords(publicKey: Uint8Array): string {
  return wordsOf(sha256(publicKey), FINGERPRINT_WORDS);
}

/** Six words on a line, so that two people keep their place. */
export function wordLines(words: string): readonly string[] {
  return words.match(/(?:\S+ ?){1,6}/g)?.map((line) => line.trimEnd()) ?? [];
}
