/**
 * How two sites come to a channel (design §7), in one message each way:
 *
 *     initiator: HPKE to the responder's session key; inside, who opens what and when, an ephemeral key, and the
 *                initiator's signature over all that and over HPKE's own `enc`
 *     responder: an ephemeral key of its own, and a confirmation that only the holder of the session key can make
 *
 * Keys = HKDF(HPKE exporter secret ‖ ECDH of the two ephemeral keys; salt: hash of what both have seen). The
 * responder is authenticated by the first, as HPKE does it, the initiator by its signature. The second is there
 * because a session key never changes: whoever gets to use it later must not open what was recorded before. It costs
 * one product on each host, once an hour.
 *
 * A repeated opening gains nothing even where the responder has forgotten it, as after a restart: the new ephemeral
 * key makes other keys, which the repeater does not know.
 */
import { createECDH, createSecretKey, type ECDH } from "node:crypto";
import { concat, equal, framed, utf8, wipe } from "../base/bytes.ts";
import type { Clock, RandomBytes } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { AEAD_KEY_BYTES } from "../crypto/envelope.ts";
import { decrypt, encrypt } from "../crypto/node/aes-gcm.ts";
import { expand, extract, hash } from "../crypto/node/hkdf.ts";
import { setupRecipient, setupSender } from "../crypto/node/hpke-base.ts";
import { checkPoint } from "../crypto/node/p256.ts";
import { verifySignature } from "../crypto/node/receipts.ts";
import { CHANNEL_ID_BYTES, HASH_BYTES, SITE_CLOCK_SKEW_MS } from "../wire/limits.ts";
import { openedHead, openingHead, splitOpened, splitOpening } from "../wire/site-frames.ts";
import { decodeOpening, encodeOpening, type Opening } from "../wire/site-messages.ts";
import { channelMessage } from "../wire/transcripts.ts";
import {
  type ChannelKeys,
  counterNonce,
  type InitiatorEnd,
  initiatorEnd,
  type ResponderEnd,
  responderEnd,
} from "./channel.ts";
import type { SiteKeys } from "./site-keys.ts";

const CURVE = "prime256v1";
const SCALAR_BYTES = 32;
const EMPTY = new Uint8Array(0);
const EXPORT_LABEL = utf8("strongroom channel");
const INITIATOR_LABEL = utf8("initiator");
const RESPONDER_LABEL = utf8("responder");

/** HPKE's `info`: apart from clients' envelopes, which are sealed to the same key. */
function channelInfo(fleet: string): Uint8Array {
  return framed("strongroom/site/v1", fleet);
}

function ephemeralKey(random: RandomBytes): ECDH {
  const key = createECDH(CURVE);
  const scalar = random(SCALAR_BYTES);
  try {
    // Refused outside 1 … n − 1: a draw in 2³².
    key.setPrivateKey(scalar);
    return key;
  } catch (cause) {
    throw new StrongroomError("unavailable", "an ephemeral key out of range was drawn", { cause });
  } finally {
    wipe(scalar);
  }
}

const publicKeyOf = (key: ECDH): Uint8Array => Uint8Array.from(key.getPublicKey());

/** @throws point-invalid */
function channelKeys(options: {
  readonly exported: Uint8Array;
  readonly own: ECDH;
  readonly theirs: Uint8Array;
  /** The opening, and the responder's ephemeral key in its frame. */
  readonly transcript: readonly [opening: Uint8Array, opened: Uint8Array];
}): ChannelKeys {
  checkPoint(options.theirs);
  const shared = options.own.computeSecret(options.theirs);
  const [opening, opened] = options.transcript;
  const prk = extract(hash(framed(opening, opened)), options.exported, shared);
  const raw = [INITIATOR_LABEL, RESPONDER_LABEL].map((label) => expand(prk, AEAD_KEY_BYTES, label));
  const [initiator = EMPTY, responder = EMPTY] = raw;
  const keys = { initiator: createSecretKey(initiator), responder: createSecretKey(responder) };
  wipe(shared, prk, options.exported, ...raw);
  return keys;
}

export interface PendingChannel {
  /** What to send. */
  readonly body: Uint8Array;
  /** @throws decode-failed, point-invalid, decrypt-failed unless the responder has confirmed this very opening */
  confirm(body: Uint8Array): InitiatorEnd;
}

/**
 * The initiator's half.
 * @param options.sign the site's identity key over a SHA-256 digest: r ‖ s
 * @throws what `sign` throws
 */
export async function openChannel(options: {
  readonly fleet: string;
  readonly from: string;
  readonly to: SiteKeys;
  readonly sign: (digest: Uint8Array) => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly random: RandomBytes;
}): Promise<PendingChannel> {
  const { fleet, from, to, random } = options;
  const context = await setupSender(to.session, channelInfo(fleet));
  const ephemeral = ephemeralKey(random);
  const channel = random(CHANNEL_ID_BYTES);
  const told = {
    fleet,
    from,
    to: to.name,
    channel,
    issuedAt: options.clock.now(),
    ephemeral: publicKeyOf(ephemeral),
  };
  const signature = await options.sign(hash(channelMessage({ ...told, enc: context.enc })));
  const head = openingHead(to.kid, context.enc);
  const body = concat(head, await context.seal(encodeOpening({ ...told, signature }), head));
  const exported = await context.export(EXPORT_LABEL, HASH_BYTES);
  return {
    body,
    confirm(answer) {
      const opened = splitOpened(answer);
      if (!equal(opened.channel, channel))
        throw new StrongroomError("decrypt-failed", "the confirmation of another channel");
      const keys = channelKeys({
        exported: Uint8Array.from(exported),
        own: ephemeral,
        theirs: opened.ephemeral,
        transcript: [body, opened.aad],
      });
      decrypt(keys.responder, counterNonce(0), opened.ciphertext, opened.aad);
      wipe(exported);
      return initiatorEnd(channel, keys);
    },
  };
}

/** Who opens a channel, proved. */
export interface Opener {
  readonly from: SiteKeys;
  readonly channel: Uint8Array;
  readonly issuedAt: number;
}

export interface AcceptedChannel extends Opener {
  /** What to answer. */
  readonly body: Uint8Array;
  readonly end: ResponderEnd;
}

const refused = (reason: string): StrongroomError =>
  new StrongroomError("unauthorized", `channel refused: ${reason}`);

export interface AcceptOptions {
  readonly fleet: string;
  readonly sites: ReadonlyMap<string, SiteKeys>;
  readonly self: SiteKeys;
  /** The session key's ECDH in the site's token: x-coordinate, 32 bytes. */
  readonly ecdh: (point: Uint8Array) => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Throws where it has seen the channel before; otherwise remembers it. */
  readonly admit: (opener: Opener) => void;
}

/** The sender of an opening. @throws unauthorized, expired */
function openerOf(opening: Opening, enc: Uint8Array, options: AcceptOptions): Opener {
  const { fleet, sites, self, clock } = options;
  if (opening.fleet !== fleet || opening.to !== self.name) throw refused("meant for another site");
  const from = sites.get(opening.from);
  if (!from || from.name === self.name) throw refused("not from a site of this fleet");
  if (!verifySignature(from.identity, channelMessage({ ...opening, enc }), opening.signature))
    throw refused(`not signed by ${from.name}`);
  // After the signature, so that only a site's own clock is reported.
  const late = clock.now() - opening.issuedAt;
  if (Math.abs(late) > SITE_CLOCK_SKEW_MS)
    throw new StrongroomError("expired", `channel refused: the clock of ${from.name} differs`, {
      hint: "synchronise the clocks of both sites",
      details: { ms: late },
    });
  return { from, channel: opening.channel, issuedAt: opening.issuedAt };
}

/**
 * The responder's half. Nothing reaches the token before version, key id and point have passed.
 *
 * @throws decode-failed, unknown-key, point-invalid, decrypt-failed; unauthorized for a fleet, site or signature
 *   that is wrong; expired for a clock that is; and what `ecdh` and `admit` throw
 */
export async function acceptChannel(body: Uint8Array, options: AcceptOptions): Promise<AcceptedChannel> {
  const { fleet, self, ecdh, random } = options;
  const { kid, enc, aad, ciphertext } = splitOpening(body);
  if (!equal(kid, self.kid))
    throw new StrongroomError("unknown-key", "sealed to a key that this site does not have");
  const recipient = { kid, publicKey: self.session, ecdh };
  const context = await setupRecipient(recipient, enc, channelInfo(fleet));
  const opening = decodeOpening(await context.open(ciphertext, aad));
  const opener = openerOf(opening, enc, options);
  checkPoint(opening.ephemeral);
  const exported = await context.export(EXPORT_LABEL, HASH_BYTES);
  options.admit(opener);
  const ephemeral = ephemeralKey(random);
  const head = openedHead(opener.channel, publicKeyOf(ephemeral));
  const keys = channelKeys({
    exported,
    own: ephemeral,
    theirs: opening.ephemeral,
    transcript: [body, head],
  });
  const confirmation = concat(head, encrypt(keys.responder, counterNonce(0), EMPTY, head));
  return { ...opener, body: confirmation, end: responderEnd(opener.channel, keys) };
}
