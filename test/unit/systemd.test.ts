/** The units for real hosts, as systemd reads them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";

const UNITS = [
  "hsm-config/systemd/strongroom.service",
  "hsm-config/systemd/strongroom-auditor.service",
  "hsm-config/systemd/strongroom-witness.service",
  "hsm-config/etcd/etcd.service",
];
/** Tenths of systemd's measure of exposure, of which 10 is a service without any protection. */
const MOST_EXPOSURE = "20";

const folder = mkdtempSync(join(tmpdir(), "strongroom-units-"));
afterAll(() => rmSync(folder, { recursive: true }));

const analyze = (...args: readonly string[]) => spawnSync("systemd-analyze", args, { encoding: "utf8" });

test.each(UNITS)("%s is understood, and closed", (unit) => {
  const path = join(folder, basename(unit));
  // What it starts need not be on this machine.
  writeFileSync(path, readFileSync(unit, "utf8").replace(/^ExecStart=\S+/m, "ExecStart=/bin/true"));
  const { status, stderr } = analyze("verify", path);
  expect(status, stderr).toBe(0);
  // Units of the machine that it names may have their own faults.
  expect(stderr).not.toContain(basename(unit));
  const security = analyze("security", "--offline=true", `--threshold=${MOST_EXPOSURE}`, path);
  expect(security.status, security.stdout).toBe(0);
});
