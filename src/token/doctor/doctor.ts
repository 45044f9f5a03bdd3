/**
 * Can the vault run on this token, and could an auditor? Every operation that it needs is done with throw-away session keys and
 * compared with software; everything that it relies on being refused is tried. The mechanism list and the
 * profile are claims; this is the evidence.
 */
import { isStrongroomError } from "../../base/errors.ts";
import { openSession } from "../open.ts";
import { isReadOnce, type PinPrompt, readPinFile } from "../pin.ts";
import { loadProfile } from "../profile-file.ts";
import type { ObjectHandle, TokenSession } from "../session.ts";
import { formatTokenUri, parseTokenUri } from "../uri.ts";
import { type Check, fail, type Level, type Outcome, outcomeOf, pass } from "./check.ts";
import { AUDITOR_CHECKS } from "./checks-auditor.ts";
import { EC_CHECKS } from "./checks-ec.ts";
import { PROTECTION_CHECKS } from "./checks-protection.ts";
import { SECRET_CHECKS } from "./checks-secret.ts";
import { TOKEN_CHECKS } from "./checks-token.ts";
import { WRAP_CHECKS } from "./checks-wrap.ts";
import { measureRates, type Rate } from "./rates.ts";
import { Workbench } from "./workbench.ts";

export interface CheckReport extends Outcome {
  readonly id: string;
  readonly title: string;
  readonly level: Level;
}

export interface DoctorReport {
  /** The vault can run on this token. */
  readonly usable: boolean;
  /** An auditor or a witness can run on it: whether a vault can does not matter to that. */
  readonly auditor: boolean;
  readonly device: string;
  readonly profile: string;
  /**
   * The runtime. Its programs show their OpenSSL to libraries that they load, so a module that calls OpenSSL gets
   * this one, and rates depend on it; Debian's Node.js alone uses the system's.
   */
  readonly host: { readonly node: string; readonly openssl: string };
  /** Undefined where no session could be opened. */
  readonly token: { readonly label: string; readonly serial: string; readonly model: string } | undefined;
  readonly checks: readonly CheckReport[];
  /** What to do where no session could be opened. */
  readonly hint?: string | undefined;
  /** Empty with `quick`, and where the operations do not work. */
  readonly rates: readonly Rate[];
}

export interface DoctorOptions {
  /** pkcs11: URI of the token. */
  readonly uri: string;
  /** Name or path of its profile. */
  readonly profile: string;
  /** Leaves the rates out. */
  readonly quick?: boolean | undefined;
  readonly prompt?: PinPrompt | undefined;
  /** Of those who know the keys that the token shall hold; run after the doctor's own. */
  readonly more?: readonly Check[] | undefined;
  /** Told of every check before it runs. */
  readonly progress?: ((title: string) => void) | undefined;
}

const CHECKS: readonly Check[] = [
  ...TOKEN_CHECKS,
  ...EC_CHECKS,
  ...SECRET_CHECKS,
  ...WRAP_CHECKS,
  ...PROTECTION_CHECKS,
  ...AUDITOR_CHECKS,
];

/** Errors that say that the command was wrong, not the token. */
const MISTAKES: readonly string[] = ["uri-invalid", "profile-invalid", "pin-unavailable"];

/**
 * Never throws for what the token does or fails to do: that is the report.
 * @throws uri-invalid, profile-invalid, pin-unavailable: the token was not examined
 */
export async function runDoctor(options: DoctorOptions): Promise<DoctorReport> {
  const { profile: profileName, progress } = options;
  const profile = loadProfile(profileName);
  const pin = { typed: undefined as Uint8Array | undefined };
  // The PIN is typed once and used twice: the tampering checks open the token in a process of their own.
  const { uri, prompt } = askedOnce(options);
  const ask: PinPrompt | undefined =
    prompt &&
    (async () => {
      pin.typed ??= await prompt();
      return Uint8Array.from(pin.typed);
    });
  const { node, openssl } = process.versions;
  const about = { device: profile.device, profile: profile.name, host: { node, openssl } };
  try {
    progress?.("open a session and log in");
    const { session } = await openSession({ uri, profile: profileName }, { prompt: ask });
    try {
      const bench = new Workbench(session, profile, { uri, profile: profileName, pin: pin.typed });
      const { label, serial, model } = session.info();
      const before = sessionObjects(session);
      const checks: CheckReport[] = [];
      for (const check of [...CHECKS, ...(options.more ?? [])]) {
        progress?.(check.title);
        checks.push(await examine(check, bench));
      }
      const usable = checks.every(({ level, result }) => level !== "required" || result === "pass");
      const auditor = checks.every(({ level, result }) => level !== "auditor" || result === "pass");
      const rates = usable && !options.quick ? rate(bench, progress) : [];
      checks.push(leftovers(session, before));
      return {
        ...about,
        usable: usable && checks.at(-1)?.result === "pass",
        auditor,
        token: { label, serial, model },
        checks,
        rates,
      };
    } finally {
      session.close();
    }
  } catch (error) {
    if (isStrongroomError(error) && MISTAKES.includes(error.code)) throw error;
    const login: CheckReport = {
      id: "token.login",
      title: "open a session and log in",
      level: "required",
      ...fail(error instanceof Error ? error.message : String(error)),
    };
    const hint = isStrongroomError(error) ? error.hint : undefined;
    return { ...about, usable: false, auditor: false, token: undefined, hint, checks: [login], rates: [] };
  } finally {
    pin.typed?.fill(0);
  }
}

/** A pipe gives its PIN once, as a person does. */
function askedOnce({ uri, prompt }: DoctorOptions): Pick<DoctorOptions, "uri" | "prompt"> {
  const { pinSource, ...rest } = parseTokenUri(uri);
  if (pinSource === undefined || !isReadOnce(pinSource)) return { uri, prompt };
  return { uri: formatTokenUri(rest), prompt: () => Promise.resolve(readPinFile(pinSource)) };
}

async function examine(check: Check, bench: Workbench): Promise<CheckReport> {
  const { id, title, level } = check;
  let outcome: Outcome;
  try {
    outcome = await check.run(bench);
  } catch (error) {
    outcome = outcomeOf(error);
  } finally {
    bench.clear();
  }
  return { id, title, level, ...outcome };
}

function rate(bench: Workbench, progress: DoctorOptions["progress"]): readonly Rate[] {
  progress?.("rates");
  try {
    return measureRates(bench);
  } finally {
    bench.clear();
  }
}

const sessionObjects = (session: TokenSession): readonly ObjectHandle[] => session.find({ TOKEN: false });

/** Thousands of operations were done: nothing of them may still be on the token. */
function leftovers(session: TokenSession, before: readonly ObjectHandle[]): CheckReport {
  const left = sessionObjects(session).filter((object) => !before.some((known) => known.equals(object)));
  return {
    id: "token.leftovers",
    title: "no session object is left behind",
    level: "required",
    ...(left.length === 0 ? pass("none") : fail(`${left.length} left`)),
  };
}
