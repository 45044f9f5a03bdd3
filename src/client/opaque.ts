/** The stock OPAQUE client at our edge: bytes in and out instead of base64url, typed errors instead of strings. */
import { client, ready } from "@serenity-kit/opaque-p256";
import { concat, fromBase64Url, toBase64Url } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

/**
 * Argon2id by RFC 9106 §4: `memory-constrained` is its second recommendation (64 MiB, 3 passes, 4 lanes),
 * `rfc-recommended` its first (2 GiB, 1 pass, 4 lanes).
 */
export type KeyStretching = "memory-constrained" | "rfc-recommended";

/**
 * What is registered on a laptop must be recoverable on the weakest phone, and 2 GiB kill a browser tab there; 64 MiB
 * is the strongest of the two that fits everywhere. Changing it makes every registered code look wrong.
 */
const DEFAULT_STRETCHING: KeyStretching = "memory-constrained";

export interface Identities {
  /** `clientIdentity(account)`. */
  readonly client: string;
  /** The fleet's name. */
  readonly server: string;
}

export interface OpaqueOptions {
  readonly identifiers: Identities;
  readonly keyStretching?: KeyStretching | undefined;
}

export interface Registering {
  /** RegistrationRequest: the blinded element, 33 bytes. */
  readonly blindedElement: Uint8Array;
  /** @throws decode-failed for an answer that is not a RegistrationResponse */
  finish(evaluatedElement: Uint8Array, serverPublicKey: Uint8Array): OpaqueRegistration;
}

export interface OpaqueRegistration {
  readonly registrationRecord: Uint8Array;
  readonly exportKey: Uint8Array;
  /** Compressed, 33 bytes; the caller compares it with the manifest's. */
  readonly serverPublicKey: Uint8Array;
}

export interface LoggingIn {
  readonly ke1: Uint8Array;
  /**
   * Undefined where KE2 does not open: a wrong recovery code. May be called again with another KE2 for this KE1.
   * @throws decode-failed
   */
  finish(ke2: Uint8Array): OpaqueLogin | undefined;
}

export interface OpaqueLogin {
  readonly ke3: Uint8Array;
  readonly exportKey: Uint8Array;
  readonly serverPublicKey: Uint8Array;
}

/** @throws usage where a page's policy forbids WebAssembly */
async function loaded(): Promise<void> {
  try {
    await ready;
  } catch (cause) {
    throw new StrongroomError("usage", "WebAssembly cannot be used here", {
      cause,
      hint: "script-src of the page's Content-Security-Policy must have 'wasm-unsafe-eval'",
    });
  }
}

/** The library throws strings about its input; what it says of ours never leaves this file. */
function guarded<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch {
    throw new StrongroomError("decode-failed", `the vault's ${what} is malformed`);
  }
}

export async function startRegistration(password: string, options: OpaqueOptions): Promise<Registering> {
  const { identifiers, keyStretching = DEFAULT_STRETCHING } = options;
  await loaded();
  const started = client.startRegistration({ password });
  return {
    blindedElement: fromBase64Url(started.registrationRequest),
    finish: (evaluatedElement, serverPublicKey) => {
      const done = guarded("registration response", () =>
        client.finishRegistration({
          password,
          clientRegistrationState: started.clientRegistrationState,
          registrationResponse: toBase64Url(concat(evaluatedElement, serverPublicKey)),
          identifiers: { ...identifiers },
          keyStretching,
        }),
      );
      return {
        registrationRecord: fromBase64Url(done.registrationRecord),
        exportKey: fromBase64Url(done.exportKey),
        serverPublicKey: fromBase64Url(done.serverStaticPublicKey),
      };
    },
  };
}

export async function startLogin(password: string, options: OpaqueOptions): Promise<LoggingIn> {
  const { identifiers, keyStretching = DEFAULT_STRETCHING } = options;
  await loaded();
  const started = client.startLogin({ password });
  return {
    ke1: fromBase64Url(started.startLoginRequest),
    finish: (ke2) => {
      const done = guarded("KE2", () =>
        client.finishLogin({
          password,
          clientLoginState: started.clientLoginState,
          loginResponse: toBase64Url(ke2),
          identifiers: { ...identifiers },
          keyStretching,
        }),
      );
      return (
        done && {
          ke3: fromBase64Url(done.finishLoginRequest),
          exportKey: fromBase64Url(done.exportKey),
          serverPublicKey: fromBase64Url(done.serverStaticPublicKey),
        }
      );
    },
  };
}
