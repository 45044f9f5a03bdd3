/** Which record is an account's: HMAC(record, "id" ‖ tenant ‖ subject), asked of the token once per account. */
import { framed, toHex } from "../base/bytes.ts";
import type { Token } from "../token/token.ts";
import type { Account } from "../wire/transcripts.ts";
import { recordIdStep } from "./record-seal.ts";

/** An id is no secret, the store is full of them; the accounts here are those of requests of the last minutes. */
const REMEMBERED_IDS = 10_000;

/** @returns a function that throws token errors */
export function recordIds(token: Token): (account: Account) => Promise<Uint8Array> {
  /** Least recently used first. */
  const remembered = new Map<string, Uint8Array>();
  return async (account) => {
    const key = toHex(framed(account.tenant, account.subject));
    const known = remembered.get(key);
    const [id] = known ? [known] : await token.run([recordIdStep(account)]);
    remembered.delete(key);
    remembered.set(key, id);
    if (remembered.size > REMEMBERED_IDS) {
      const [oldest] = remembered.keys();
      if (oldest !== undefined) remembered.delete(oldest);
    }
    return id;
  };
}
