/**
 * The messages of a channel between two sites (design §7): AES-256-GCM, one key for each direction, the nonce being
 * the counter. A request takes the next counter and its answer has the same one, so an answer fits one request only.
 *
 * Keys are KeyObjects: their memory is OpenSSL's, which overwrites it when they are collected. Nothing has to know
 * when the last answer of a replaced channel has been sent.
 */
import type { KeyObject } from "node:crypto";
import { concat, equal, uintBE } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { AEAD_NONCE_BYTES } from "../crypto/envelope.ts";
import { decrypt, encrypt } from "../crypto/node/aes-gcm.ts";
import { MAX_COUNTER, type MessageFrame, messageHead, splitMessage } from "../wire/site-frames.ts";
import { createReplayWindow } from "./replay-window.ts";

/** Both ends' keys; who sends with a key gives it its name. */
export interface ChannelKeys {
  readonly initiator: KeyObject;
  readonly responder: KeyObject;
}

/** A request of the initiator's, sealed. */
interface SealedRequest {
  readonly body: Uint8Array;
  /** Opens the answer to this very request. @throws decode-failed, decrypt-failed */
  readonly openAnswer: (body: Uint8Array) => Uint8Array;
}

export interface InitiatorEnd {
  readonly channel: Uint8Array;
  /** @throws expired when the counters are used up */
  seal(plaintext: Uint8Array): SealedRequest;
}

interface OpenedRequest {
  readonly plaintext: Uint8Array;
  /** Seals the answer to this very request; once. */
  readonly sealAnswer: (plaintext: Uint8Array) => Uint8Array;
}

export interface ResponderEnd {
  readonly channel: Uint8Array;
  /** @throws decrypt-failed; conflict for a counter that was used, or is too old to know */
  open(frame: MessageFrame): OpenedRequest;
}

/** How far requests may overtake each other. */
const REPLAY_WINDOW = 4096;

/** Counter 0 is the responder's confirmation of the channel. */
export function counterNonce(counter: number): Uint8Array {
  return uintBE(counter, AEAD_NONCE_BYTES);
}

export function initiatorEnd(channel: Uint8Array, keys: ChannelKeys): InitiatorEnd {
  let last = 0;
  return {
    channel,
    seal(plaintext) {
      if (last >= MAX_COUNTER) throw new StrongroomError("expired", "the channel's counters are used up");
      const counter = ++last;
      const head = messageHead("request", channel, counter);
      const ciphertext = encrypt(keys.initiator, counterNonce(counter), plaintext, head);
      return {
        body: concat(head, ciphertext),
        openAnswer(body) {
          const answer = splitMessage("answer", body);
          if (answer.counter !== counter || !equal(answer.channel, channel))
            throw new StrongroomError("decrypt-failed", "the answer to another request");
          return decrypt(keys.responder, counterNonce(counter), answer.ciphertext, answer.aad);
        },
      };
    },
  };
}

export function responderEnd(channel: Uint8Array, keys: ChannelKeys): ResponderEnd {
  const window = createReplayWindow(REPLAY_WINDOW);
  return {
    channel,
    open({ counter, ciphertext, aad }) {
      // Before the window: a forged counter must not use up a real one.
      const plaintext = decrypt(keys.initiator, counterNonce(counter), ciphertext, aad);
      if (!window.accept(counter)) throw new StrongroomError("conflict", "a message that was sent before");
      let answered = false;
      return {
        plaintext,
        sealAnswer(answer) {
          // A second one would repeat the nonce.
          if (answered) throw new StrongroomError("internal", "a request is answered once");
          answered = true;
          const head = messageHead("answer", channel, counter);
          return concat(head, encrypt(keys.responder, counterNonce(counter), answer, head));
        },
      };
    },
  };
}
