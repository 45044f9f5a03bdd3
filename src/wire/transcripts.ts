/** The exact bytes that signatures and OPAQUE identities of the protocol cover. One function per signature. */
import { framed, uintBE } from "../base/bytes.ts";

/** An account as the vault names it: the app (tenant) and its user (subject). */
export interface Account {
  readonly tenant: string;
  readonly subject: string;
}

/** The OPAQUE client identity: unambiguous, printable, bound to tenant and subject. */
export function clientIdentity(account: Account): string {
  return `${encodeURIComponent(account.tenant)}/${encodeURIComponent(account.subject)}`;
}

/** What the client's receipt key signs after a successful recovery (design §6, recover-finish). */
export function receiptMessage(receipt: {
  readonly fleet: string;
  readonly recordId: Uint8Array;
  readonly generation: number;
  readonly seq: number;
}): Uint8Array {
  return framed(
    "strongroom/receipt/v1",
    receipt.fleet,
    receipt.recordId,
    uintBE(receipt.generation, 8),
    uintBE(receipt.seq, 8),
  );
}

/** What a site's identity key signs when a registration is durable. */
export function acknowledgmentMessage(registered: {
  readonly fleet: string;
  readonly site: string;
  readonly recordId: Uint8Array;
  readonly generation: number;
  readonly registrationRecord: Uint8Array;
  readonly sealedBackupKey: Uint8Array;
  readonly sealedReceiptKey: Uint8Array;
}): Uint8Array {
  return framed(
    "strongroom/registered/v1",
    registered.fleet,
    registered.site,
    registered.recordId,
    uintBE(registered.generation, 8),
    registered.registrationRecord,
    registered.sealedBackupKey,
    registered.sealedReceiptKey,
  );
}

/** What a site's identity key signs when it opens a channel to another site (design §7). */
export function channelMessage(opening: {
  readonly fleet: string;
  readonly from: string;
  readonly to: string;
  /** The KEM's encapsulated key: ties the signature to this one sealing. */
  readonly enc: Uint8Array;
  readonly channel: Uint8Array;
  readonly issuedAt: number;
  readonly ephemeral: Uint8Array;
}): Uint8Array {
  return framed(
    "strongroom/channel/v1",
    opening.fleet,
    opening.from,
    opening.to,
    opening.enc,
    opening.channel,
    uintBE(opening.issuedAt, 8),
    opening.ephemeral,
  );
}
