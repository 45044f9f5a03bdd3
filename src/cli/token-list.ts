/** `strongroom token list`: the tokens that a PKCS#11 module shows, without logging in. */
import { Command } from "commander";
import { CKF_TOKEN } from "../token/cryptoki.ts";
import type { TokenInfo } from "../token/module.ts";
import { listTokens } from "../token/open.ts";
import { formatTokenUri, matchesToken } from "../token/uri.ts";
import { dim, printJson, say, table } from "./terminal.ts";
import { chooseToken, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

/** The worst that the flags say of the user PIN. */
function pinState({ flags }: TokenInfo): string {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(CKF_TOKEN.USER_PIN_LOCKED)) return "locked";
  if (has(CKF_TOKEN.USER_PIN_FINAL_TRY)) return "last attempt";
  if (has(CKF_TOKEN.USER_PIN_COUNT_LOW)) return "wrong PIN was tried";
  return has(CKF_TOKEN.USER_PIN_INITIALIZED) ? "set" : "not set";
}

function flagNames({ flags }: TokenInfo): readonly string[] {
  const names: readonly (readonly [number, string])[] = [
    [CKF_TOKEN.LOGIN_REQUIRED, "login required"],
    [CKF_TOKEN.PROTECTED_AUTHENTICATION_PATH, "PIN at the device"],
  ];
  return names.flatMap(([flag, name]) => ((flags & flag) !== 0 ? [name] : []));
}

function list(options: TokenOptions & { readonly json?: boolean }): void {
  const { parsed, profile } = chooseToken(options);
  const known = profile.modules.value === "unknown" ? [] : profile.modules.value;
  const { module, tokens: all, uninitialised } = listTokens(parsed, known);
  const tokens = all.filter((token) => matchesToken(parsed, token));
  const uriOf = ({ label, serial }: TokenInfo): string =>
    formatTokenUri({
      token: label,
      serial,
      modulePath: module.path,
      ...(parsed.libraryParameters === undefined ? {} : { libraryParameters: parsed.libraryParameters }),
    });
  if (options.json) {
    printJson({
      module,
      profile: profile.name,
      tokens: tokens.map((token) => ({ ...token, userPin: pinState(token), uri: uriOf(token) })),
      uninitialised,
    });
    return;
  }
  say(dim(`${module.path}: ${module.description} ${module.version} (${module.manufacturer})`));
  if (tokens.length > 0)
    process.stdout.write(
      `${table(
        ["label", "serial", "model", "firmware", "user PIN", "flags"],
        tokens.map((token) => [
          token.label,
          token.serial,
          token.model,
          token.firmware,
          pinState(token),
          flagNames(token).join(", "),
        ]),
      )}\n`,
    );
  else say("no initialised token");
  if (uninitialised > 0)
    say(`and ${uninitialised} blank: strongroom token init --label LABEL makes a token of it`);
}

export function listCommand(): Command {
  return new Command("list")
    .description("the tokens of a PKCS#11 module")
    .addOption(uriOption())
    .addOption(profileOption())
    .option("--json", "for machines, on stdout")
    .action(list);
}
