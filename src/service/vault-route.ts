/**
 * `POST /v1/vault`: opens the sealed request, finds out for whom it is, lets the vault answer, seals the answer.
 *
 * Once the envelope is open, every answer is sealed and has status 200, errors too: a front end that ends TLS sees
 * neither what was asked nor how it went.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { StrongroomError } from "../base/errors.ts";
import { type OpenedEnvelope, openEnvelope, type Recipient } from "../crypto/node/hpke-recipient.ts";
import type { AccountScope, AccountVerifier } from "../vault/account-token.ts";
import type { Vault } from "../vault/vault.ts";
import type { FleetStatus } from "../wire/announcement.ts";
import {
  type Answers,
  decodeRequest,
  ENVELOPE_CONTENT_TYPE,
  encodeAnswer,
  type Operation,
  type VaultRequest,
  type WireError,
} from "../wire/messages.ts";
import type { Account } from "../wire/transcripts.ts";
import type { RequestKind } from "./base-metrics.ts";
import { checkContentType, readBody } from "./body.ts";
import { clientAddress, type TrustsProxy } from "./client-address.ts";
import type { ServiceLog } from "./log.ts";
import type { ServiceMetrics } from "./metrics.ts";
import { createPlaces } from "./places.ts";
import { ours, sendError, wireError } from "./plain-error.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { createSeenEnvelopes } from "./seen-envelopes.ts";

/** What an account token must allow for each operation. */
const SCOPES: Readonly<Record<Operation, AccountScope>> = {
  "register-start": "register",
  "register-finish": "register",
  "recover-start": "recover",
  "recover-finish": "recover",
  status: "status",
  delete: "delete",
};

export interface VaultRouteOptions {
  readonly fleet: string;
  readonly recipient: Recipient;
  readonly verifier: AccountVerifier;
  readonly vault: Vault;
  readonly log: ServiceLog;
  readonly metrics: ServiceMetrics;
  readonly limiter: RateLimiter;
  readonly trusts: TrustsProxy | undefined;
  readonly bodyBytes: number;
  /** The newest epoch that this site can prove, and what it says of this fleet; undefined where it has no bundles. */
  readonly announced: () => { readonly epoch: number; readonly status: FleetStatus | undefined } | undefined;
  /** Requests that are worked on at once. */
  readonly concurrency: number;
  readonly clock: Clock;
  /** @throws unavailable while the token's keys are unproved, and while draining */
  readonly admit: () => void;
}

export interface VaultRoute {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  inFlight(): number;
  /** Resolves when no request is being worked on. */
  idle(): Promise<void>;
}

export function createVaultRoute(options: VaultRouteOptions): VaultRoute {
  const { fleet, recipient, verifier, vault, limiter } = options;
  const places = createPlaces(options.concurrency);
  const seen = createSeenEnvelopes(options.clock);

  function checkLoad(): void {
    options.admit();
    places.check();
  }

  /** A client that would register here has not heard of the newer fleet: `unknown-key` makes it look for it. */
  function checkRegistering({ op }: VaultRequest): void {
    const status = options.announced()?.status ?? "active";
    if (status === "active" || (op !== "register-start" && op !== "register-finish")) return;
    throw new StrongroomError("unknown-key", `this fleet is ${status} and takes no new registrations`);
  }

  /** The answer to an opened request, and what the log should know of it. */
  async function answer(
    { enc, plaintext }: OpenedEnvelope,
    line: Line,
  ): Promise<Answers[Operation] | WireError> {
    try {
      const message: VaultRequest = decodeRequest(plaintext);
      line.kind = message.op;
      line.account = await verifier.verify(message.accountToken, SCOPES[message.op]);
      seen.admit(message.op, enc);
      checkRegistering(message);
      return await vault.handle(line.account, message);
    } catch (error) {
      line.error = ours(error);
      return wireError(line.error);
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse, line: Line): Promise<void> {
    const wait = limiter.take(clientAddress(request, options.trusts));
    if (wait > 0)
      throw new StrongroomError("rate-limited", "too many requests from one address", {
        details: { retryAfter: wait },
      });
    // Before the body, so that an overloaded site spends nothing on it; and after it, because only requests that
    // have arrived in full take a place: slow senders must not be able to fill all of them.
    checkLoad();
    checkContentType(request, ENVELOPE_CONTENT_TYPE);
    const body = await readBody(request, options.bodyBytes);
    checkLoad();
    await places.during(async () => {
      const envelope = await openEnvelope(body, { fleet, recipient });
      const answered = await answer(envelope, line);
      const epoch = options.announced()?.epoch;
      const sealed = envelope.sealAnswer(
        encodeAnswer(epoch === undefined ? answered : { ...answered, epoch }),
      );
      response.writeHead(200, {
        "content-type": ENVELOPE_CONTENT_TYPE,
        "content-length": sealed.length,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      response.end(sealed);
    });
  }

  return {
    async handle(request, response) {
      const start = performance.now();
      const line: Line = { kind: "sealed" };
      try {
        await serve(request, response, line);
      } catch (error) {
        line.error = ours(error);
        // What has not been read of the body is not worth reading.
        sendError(response, line.error, request.complete ? {} : { connection: "close" });
      }
      const milliseconds = performance.now() - start;
      const outcome = line.error?.wire ?? "ok";
      options.metrics.request(line.kind, outcome, milliseconds / 1000);
      options.log.request({ ...line, outcome, milliseconds });
    },
    inFlight: places.taken,
    idle: places.idle,
  };
}

interface Line {
  kind: RequestKind;
  account?: Account;
  error?: StrongroomError;
}
