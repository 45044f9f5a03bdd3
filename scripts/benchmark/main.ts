/**
 * Measures the vault against its token's own raw rate, in one run on one machine.
 *
 *   scripts/bench [--json] [--seconds N] [--operations N] [--accounts N]
 *
 * --seconds: how long each phase is measured; --operations: how many operations the memory is watched over.
 */
import { parseArgs } from "node:util";
import { printJson, say } from "../../src/cli/terminal.ts";
import { benchOneSite } from "./one-site.ts";
import { describeOneSite } from "./one-site-report.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    seconds: { type: "string", default: "10" },
    operations: { type: "string", default: "20000" },
    accounts: { type: "string", default: "2000" },
  },
});
const report = await benchOneSite({
  seconds: Number(values.seconds),
  operations: Number(values.operations),
  accounts: Number(values.accounts),
});
say(`\n${describeOneSite(report)}`);
if (values.json) printJson(report);
