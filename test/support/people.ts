/**
 * People who use a vault, or a fleet, while it is being killed, and who remember what they were promised: what was
 * acknowledged, what may have happened without their being told, and every element that they sent to be evaluated.
 */
import { createECDH, randomBytes, randomUUID } from "node:crypto";
import { concat, equal } from "../../src/base/bytes.ts";
import { compressPoint, decompressPoint } from "../../src/crypto/node/p256.ts";
import type { Answers, Operation, VaultRequest, WireError } from "../../src/wire/messages.ts";
import { type FlowTarget, recover, register, type Seen } from "./flow.ts";
import { exchange } from "./sealed.ts";

/** A registration as its owner knows it. */
interface Promised {
  readonly code: string;
  readonly backupKey: Uint8Array;
}

/** Where the marked request of a flow is to be killed; see kill-points.mjs. */
export interface Mark {
  readonly operation: Operation;
  readonly at: string;
}

/** As pkcs11-spy shows points: uncompressed, upper-case hex. */
const shown = (compressed: Uint8Array): string =>
  Buffer.from(decompressPoint(compressed)).toString("hex").toUpperCase();

function randomPoint(): Uint8Array {
  return compressPoint(Uint8Array.from(createECDH("prime256v1").generateKeys()));
}

export class Person {
  readonly subject: string = randomUUID();
  /** The last registration that was acknowledged. */
  holds: Promised | undefined;
  /** Later ones that were sent and not acknowledged. */
  perhaps: Promised[] = [];
  /** Blinded elements of the registrations. */
  readonly registeredFor: string[] = [];
  /** Elements sent for evaluation; a new list begins where a proof of success or a registration was sent. */
  readonly attempts: Set<string>[] = [new Set()];
  /** The attempts that were answered, and how many the answer said were left. */
  readonly answered: { readonly seq: number; readonly attemptsLeft: number }[] = [];
  destroyed = false;
  readonly #site: FlowTarget;

  /** @param site or, with a route, sites */
  constructor(site: FlowTarget) {
    this.#site = site;
  }

  #target(mark: Mark | undefined): FlowTarget {
    if (!mark) return this.#site;
    const headers = (operation: VaultRequest["op"]): Record<string, string> =>
      operation === mark.operation ? { "x-test-kill": mark.at } : {};
    const { url, manifest, issueToken } = this.#site;
    return { url, manifest, issueToken, headers };
  }

  async register(mark?: Mark): Promise<void> {
    const code = randomUUID();
    const seen: Seen = { requests: new Map(), secrets: [] };
    try {
      const backupKey = await register(this.#target(mark), this.subject, code, seen);
      this.holds = { code, backupKey };
      this.perhaps = [];
    } catch (error) {
      const backupKey = seen.secrets.find(({ name }) => name === "backup key")?.value;
      if (seen.requests.has("register-finish") && backupKey instanceof Uint8Array)
        this.perhaps.push({ code, backupKey });
      throw error;
    } finally {
      const start = seen.requests.get("register-start");
      if (start?.op === "register-start") this.registeredFor.push(shown(start.blindedElement));
      if (seen.requests.has("register-finish")) this.attempts.push(new Set());
    }
  }

  /** @returns whether the code opened what was promised with it */
  async recover({ code, backupKey }: Promised, mark?: Mark): Promise<boolean> {
    const seen: Seen = { requests: new Map(), secrets: [] };
    try {
      const found = await recover(this.#target(mark), this.subject, code, seen);
      if (found && !equal(found, backupKey)) throw new Error("the code gives another backup key");
      return found !== undefined;
    } finally {
      const start = seen.requests.get("recover-start");
      if (start?.op === "recover-start") this.attempts.at(-1)?.add(shown(start.ke1.slice(0, 33)));
      if (seen.requests.has("recover-finish")) this.attempts.push(new Set());
    }
  }

  /** An attempt that will never be finished: what a wrong code amounts to. */
  async guess(): Promise<void> {
    const element = randomPoint();
    const accountToken = await this.#site.issueToken(this.subject);
    this.attempts.at(-1)?.add(shown(element));
    const ke1 = concat(element, Uint8Array.from(randomBytes(32)), randomPoint());
    const { answer } = await exchange(this.#site, { op: "recover-start", accountToken, ke1 });
    if (!("error" in answer)) this.answered.push({ seq: answer.seq, attemptsLeft: answer.attemptsLeft });
    else if (answer.error === "destroyed") this.destroyed = true;
    else throw new Error(`recover-start: ${answer.error}`);
  }

  async status(): Promise<Answers["status"] | WireError> {
    const accountToken = await this.#site.issueToken(this.subject);
    return (await exchange(this.#site, { op: "status", accountToken })).answer;
  }

  /**
   * Sees that the vault has kept its promises: what was acknowledged can be recovered, unless a later registration
   * has taken its place without its owner being told.
   */
  async collect(): Promise<void> {
    for (const promised of [...this.perhaps].reverse()) {
      const found = await this.recover(promised).catch((error: unknown) => {
        if (!this.holds && String(error).includes("not-registered")) return false;
        throw error;
      });
      if (!found) continue;
      this.holds = promised;
      this.perhaps = [];
      return;
    }
    this.perhaps = [];
    if (this.holds && !(await this.recover(this.holds)))
      throw new Error("an acknowledged registration is lost");
  }
}
