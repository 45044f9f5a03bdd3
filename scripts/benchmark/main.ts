/**
 * Measures the vault against what it builds on, in one run on one machine: a fleet of one against its token's raw
 * rate, and fleets of several sites (--fleet) also against their etcd cluster; that cluster as its records grow (--records);
 * and a transparency log as its entries do (--log).
 *
 *   scripts/bench [--json] [--seconds N] [--operations N] [--accounts N]
 *   scripts/bench --fleet [--sites 1,3,5] [--json] [--seconds N]
 *   scripts/bench --records N [--sites N] [--json] [--seconds N]
 *   scripts/bench --log [--entries N] [--json]
 *
 * --seconds: how long each phase is measured; --operations: how many operations the memory is watched over.
 */
import { parseArgs } from "node:util";
import { printJson, say } from "../../src/cli/terminal.ts";
import { benchFleets } from "./fleet.ts";
import { describeFleets, describeGrowth, describeLog } from "./fleet-report.ts";
import { benchLog } from "./log-growth.ts";
import { benchOneSite } from "./one-site.ts";
import { describeOneSite } from "./one-site-report.ts";
import { benchGrowth } from "./record-growth.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    seconds: { type: "string", default: "10" },
    operations: { type: "string", default: "20000" },
    accounts: { type: "string", default: "2000" },
    fleet: { type: "boolean", default: false },
    records: { type: "string" },
    log: { type: "boolean", default: false },
    entries: { type: "string", default: "1000000" },
    sites: { type: "string" },
  },
});
const seconds = Number(values.seconds);

async function bench(): Promise<unknown> {
  if (values.records !== undefined) {
    const report = await benchGrowth(Number(values.sites ?? 3), Number(values.records), seconds);
    say(`\n${describeGrowth(report)}`);
    return report;
  }
  if (values.log) {
    const report = await benchLog(Number(values.entries));
    say(`\n${describeLog(report)}`);
    return report;
  }
  if (values.fleet) {
    const sizes = (values.sites ?? "1,3,5").split(",").map(Number);
    const report = await benchFleets(sizes, seconds);
    say(`\n${describeFleets(report)}`);
    return report;
  }
  const { operations, accounts } = values;
  const report = await benchOneSite({
    seconds,
    operations: Number(operations),
    accounts: Number(accounts),
  });
  say(`\n${describeOneSite(report)}`);
  return report;
}

const report = await bench();
if (values.json) printJson(report);
