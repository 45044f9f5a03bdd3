/** `strongroom serve`: a site's vault service, from one configuration file. */
import { Command } from "commander";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { checkService } from "../service/check.ts";
import { loadServiceConfig, type ServiceConfig } from "../service/config.ts";
import { runService } from "../service/run.ts";
import { locateKey } from "../token/yaml-config.ts";
import { because, exitCode, green, red, say, table } from "./terminal.ts";

/** Puts file, line and column before what turned out wrong only when the named files were opened. */
function located(file: string, error: unknown): unknown {
  if (!isStrongroomError(error, "config-invalid")) return error;
  const { key } = error.details;
  if (typeof key !== "string") return error;
  const { hint, details } = error;
  return new StrongroomError("config-invalid", `${locateKey(file, key)}: ${error.message}`, {
    cause: error.cause,
    details,
    ...(hint === undefined ? {} : { hint }),
  });
}

async function check(config: ServiceConfig): Promise<void> {
  const results = await checkService(config);
  say(
    table(
      ["part", "", "detail"],
      results.map(({ part, detail, error }) => {
        const reason = error && because(error);
        return [part, error ? red("failed") : green("ok"), reason ? `${detail}: ${reason}` : detail];
      }),
    ),
  );
  const [failure] = results.flatMap(({ error }) => (error ? [error] : []));
  if (!failure) return;
  if (failure.hint) say(`hint: ${failure.hint}`);
  process.exitCode = exitCode(failure);
}

/** The command, for main.ts. */
export function serveCommand(): Command {
  return new Command("serve")
    .description("run the vault of one site")
    .requiredOption(
      "--config <file>",
      "the site's configuration (hsm-config/sites/example-site.yaml explains it)",
    )
    .option("--check", "try configuration, manifest, addresses, token and store; start and make nothing")
    .action(async (options: { config: string; check?: boolean }) => {
      const config = loadServiceConfig(options.config);
      try {
        await (options.check ? check(config) : runService(config));
      } catch (error) {
        throw located(options.config, error);
      }
    });
}
