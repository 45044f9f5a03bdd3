/**
 * The security officer's PIN becomes one that nobody has: random, and forgotten; or random, and in the hands of
 * custodians of whom a quorum can put it together (Shamir). PKCS#11 has one PIN of the security officer, so the old one
 * is gone when the new one is set; that is why the shares are written, read back and put together before that, and why
 * the new PIN is tried right after it.
 */
import { randomBytes } from "node:crypto";
import { combine, split } from "shamir-secret-sharing";
import { concat, equal, framed, fromHex, toHex, utf8, wipe } from "../../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../../base/errors.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import type { ActionOutputs } from "../outputs.ts";
import type { CredentialPolicy } from "../plan.ts";
import type { Action, ActionContext } from "./context.ts";

/** Characters of a new PIN, 6 bits each; every known token takes so many. */
const PIN_LENGTH = 16;
const SALT_BYTES = 32;

type Split = Extract<CredentialPolicy, { soPin: "split" }>;

function newPin(): Uint8Array {
  return utf8(randomBytes(PIN_LENGTH).toString("base64url").slice(0, PIN_LENGTH));
}

/** Where the share of a custodian is until it is handed out. */
function shareName(station: string, custodian: number): string {
  return `shares/${station}.${custodian + 1}.json`;
}

interface Share {
  readonly fleet: string;
  readonly station: string;
  readonly custodian: string;
  readonly share: string;
}

/** Writes the shares and puts a quorum of them, as they were written, together again. */
async function handOut(
  { plan, step, folder }: ActionContext,
  { quorum, custodians }: Split,
  pin: Uint8Array,
): Promise<ActionOutputs["seal-credentials"]> {
  const salt = Uint8Array.from(randomBytes(SALT_BYTES));
  const shares = await split(pin, custodians.length, quorum);
  const told = custodians.map((custodian, i) => {
    const share = toHex(shares[i] ?? new Uint8Array());
    const text: Share = { fleet: plan.fleet, station: step.station, custodian, share };
    const bytes = utf8(`${JSON.stringify(text, null, 2)}\n`);
    folder.keep(shareName(step.station, i), bytes);
    wipe(bytes);
    return { custodian, sha256: sha256HexOf(utf8(share)) };
  });
  const again = await combine(shares.slice(-quorum));
  const isRight = equal(again, pin);
  wipe(again, ...shares);
  if (!isRight) throw new StrongroomError("internal", "shares do not make the PIN that was split");
  return {
    soPin: "split",
    quorum,
    commitment: sha256HexOf(concat(salt, pin)),
    salt: toHex(salt),
    shares: told,
  };
}

/** What is kept from before the PIN is changed until the statement is there. */
interface Pending {
  /** What the statement says. After an interruption the shares in it may be all that opens the token. */
  readonly output: ActionOutputs["seal-credentials"];
  /** `slipCheck` of the PIN that the token had, and its salt, hex. */
  readonly salt: string;
  readonly old: string;
}

const PENDING = "credentials.json";
const SLIP_BYTES = 2;

/** Of a salted hash so many bits that a slip of the fingers shows, and so few that the PIN is not to be found by it. */
function slipCheck(salt: Uint8Array, pin: Uint8Array): string {
  return sha256HexOf(framed("strongroom/officer-pin/v1", salt, pin)).slice(0, 2 * SLIP_BYTES);
}

/**
 * @throws ceremony-stopped where nobody can say which PIN the token has; token errors
 */
export const sealCredentials: Action<"seal-credentials"> = async (context) => {
  const { plan, step, token, folder, isResumed } = context;
  const name = `${step.station}.${PENDING}`;
  // It is durable before C_SetPIN: without it, the token has the PIN that it had.
  const kept = isResumed ? folder.kept(name) : undefined;
  const pending = kept && (JSON.parse(Buffer.from(kept).toString()) as Pending);
  if (pending && (await isSealed(context, pending))) {
    await tryShares(context);
    folder.forget(name);
    return pending.output;
  }
  const { credentials } = plan;
  const pin = newPin();
  const old = await token.officerPin();
  try {
    const output =
      credentials.soPin === "split"
        ? await handOut(context, credentials, pin)
        : ({ soPin: "destroyed" } as const);
    const salt = Uint8Array.from(randomBytes(SALT_BYTES));
    const next: Pending = { output, salt: toHex(salt), old: slipCheck(salt, old) };
    await token.withOfficerPin(old, (session) => {
      // Only now is `old` known to be the PIN that the token has.
      folder.keep(name, utf8(JSON.stringify(next)));
      session.changePin(old, pin);
    });
    await token.withOfficerPin(pin, () => undefined);
    folder.forget(name);
    return output;
  } finally {
    wipe(old, pin);
  }
};

/** After an interruption: the shares that were written open the token. @throws pin-incorrect; token errors */
async function tryShares({ plan, step, folder, token }: ActionContext): Promise<void> {
  if (plan.credentials.soPin !== "split") return;
  const shares = plan.credentials.custodians.flatMap((_, i) => {
    const bytes = folder.kept(shareName(step.station, i));
    return bytes ? [fromHex((JSON.parse(Buffer.from(bytes).toString()) as Share).share)] : [];
  });
  const pin = await combine(shares.slice(0, plan.credentials.quorum));
  try {
    await token.withOfficerPin(pin, () => undefined);
  } finally {
    wipe(pin, ...shares);
  }
}

/**
 * Does the token refuse the PIN that it had? That costs one of its tries, once. Another PIN it refuses in any case: a slip
 * must not be taken for a PIN that is gone, and stated as such.
 */
async function isSealed({ token, step }: ActionContext, { salt, old: known }: Pending): Promise<boolean> {
  const old = await token.officerPin();
  try {
    if (slipCheck(fromHex(salt), old) !== known)
      throw new StrongroomError(
        "ceremony-stopped",
        `that is not the security officer's PIN that ${step.station} had before the interruption`,
        { hint: "resume, and type that one; no try of the token was spent" },
      );
    await token.withOfficerPin(old, () => undefined);
    return false;
  } catch (error) {
    if (isStrongroomError(error, "pin-incorrect")) return true;
    if (isStrongroomError(error, "ceremony-stopped")) throw error;
    throw new StrongroomError(
      "ceremony-stopped",
      `nobody can say whether the security officer's PIN of ${step.station} was replaced`,
      { cause: error, hint: "look at the token with its own tools, let the officers decide, and resume" },
    );
  } finally {
    wipe(old);
  }
}
