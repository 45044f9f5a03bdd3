/** `strongroom fleet init`: the keys of a test fleet in its software tokens, and its manifest. */
import { Command } from "commander";
import type { FleetInitResult } from "../keys/fleet-init.ts";
import { type FleetTokens, type FleetTokensResult, initFleetTokens } from "../keys/fleet-tokens.ts";
import type { SiteSurvey } from "../keys/survey.ts";
import { EXAMPLE, loadFleetConfig } from "./fleet-config.ts";
import { dim, green, printJson, red, say, table, yellow } from "./terminal.ts";

interface InitOptions {
  readonly config: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Keys × sites: where each is, and where it is not because it must not be. */
function keyTable(config: FleetTokens, surveys: readonly SiteSurvey[]): string {
  const names = [...new Set(surveys.flatMap(({ keys }) => keys.map(({ name }) => name)))];
  const order = (name: string): number => Number(name.split(".")[1] ?? -1);
  names.sort((a, b) => order(a) - order(b));
  const cell = ({ keys, originals }: SiteSurvey, name: string): string => {
    const state = keys.find((key) => key.name === name)?.state;
    if (state === undefined) return dim("no holder");
    const open = originals.some((key) => key.name === name && key.state !== "missing");
    const shown = state === "ok" ? green("sealed") : state === "missing" ? yellow("missing") : red(state);
    return open ? `${shown}, ${yellow("original")}` : shown;
  };
  return table(
    ["key", ...config.sites.map(({ name }) => name)],
    names.map((name) => [name, ...surveys.map((survey) => cell(survey, name))]),
  );
}

function describe(config: FleetTokens, result: FleetTokensResult, dryRun: boolean): object {
  return {
    fleet: config.fleet,
    threshold: config.threshold,
    dryRun,
    state: result.state,
    sites: config.sites.map(({ name }, site) => {
      const survey = result.surveys[site];
      return {
        name,
        token: survey?.token,
        keys: survey?.keys.map((key) => ({ name: key.name, state: key.state })),
        originals: survey?.originals.flatMap((key) => (key.state === "missing" ? [] : [key.name])),
        temporary: survey?.temporary,
        ...(dryRun ? {} : { refusals: result.refusals[site] }),
      };
    }),
    ...(result.published ? { manifest: { path: config.manifest, ...result.published.file } } : {}),
  };
}

/** What a dry run found to be done. */
function planned({ plan }: FleetInitResult): string {
  const made = plan.deliveries.filter(({ make }) => make).length;
  const carried = plan.deliveries.reduce((sum, { to }) => sum + to.length, 0);
  return [
    `${plan.siteKeys.length} sites would get keys of their own`,
    `${made} fleet keys would be made, ${carried} copies brought to their holders`,
    plan.unsealed ? "an interrupted distribution would be finished" : "",
  ]
    .filter((part) => part !== "")
    .join("; ");
}

async function init(options: InitOptions): Promise<void> {
  const config = loadFleetConfig(options.config);
  const dryRun = options.dryRun === true;
  const result = await initFleetTokens(config, { dryRun, progress: say });
  if (options.json) printJson(describe(config, result, dryRun));
  else process.stdout.write(`${keyTable(config, result.surveys)}\n`);
  if (result.state === "planned") say(`dry run: ${planned(result)}`);
  else if (result.state === "unchanged") say("every key is where it belongs; nothing was changed");
  else say("every key is where it belongs, sealed, and the same at all its holders");
  if (!result.published) return;
  const { state, sha256 } = result.published.file;
  say(
    `manifest ${config.manifest}: ${state === "created" ? "written" : "says the same already, left alone"}`,
  );
  say(`SHA-256 ${sha256}`);
}

/** The command, for fleet.ts. */
export function initCommand(): Command {
  return new Command("init")
    .description("make the keys of a test fleet on software tokens, bring them to all sites and seal them")
    .requiredOption("--config <file>", "the fleet's sites and tokens (YAML, see below)")
    .option("--dry-run", "show where the keys are, and what would be made")
    .option("--json", "the result for machines on stdout")
    .addHelpText(
      "after",
      `\nThe tokens have to be initialised (strongroom token init). Example of a file:\n\n${EXAMPLE}`,
    )
    .action(init);
}
