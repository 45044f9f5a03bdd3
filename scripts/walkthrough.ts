/**
 * What `scripts/up` shows once the machine is set up: a site on a SoftHSM token (or a fleet of them, some of which
 * are killed on the way), a real folder backed up and restored with a recovery code, a wrong code, a destroyed record.
 * Every command is the one that a person would type.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { dim, green, say } from "../src/cli/terminal.ts";
import { FLEET_SIZES } from "../src/wire/manifest.ts";
import type { Demo } from "./lib/demo.ts";
import { demoFleet } from "./lib/demo-fleet.ts";
import { demoSite } from "./lib/demo-site.ts";
import { chapter, cli, root, strongroom as run, shown, Unexpected } from "./lib/show.ts";

const { values } = parseArgs({
  options: {
    once: { type: "boolean", default: false },
    port: { type: "string", default: "8440" },
    sites: { type: "string", default: "1" },
    state: { type: "string" },
  },
});
const sites = Number(values.sites);
const state = resolve(
  values.state ?? join(root, sites === 1 ? ".strongroom/demo" : `.strongroom/demo-${sites}`),
);

const strongroom = (args: readonly string[], expected = 0): void => run(args, {}, expected);

function clientConfig(subject: string): string {
  const file = join(state, `${subject}.yaml`);
  const issuer = join(root, "scripts/demo-issuer.mjs");
  const tokenCommand = [process.execPath, issuer, "token", join(state, "issuer"), "demo", subject];
  writeFileSync(file, stringify({ manifest: "./manifest.json", tenant: "demo-app", subject, tokenCommand }));
  return file;
}

/** A folder with something in it that is worth keeping. */
function makeFolder(): string {
  const folder = join(state, "photos");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "2026"), { recursive: true });
  writeFileSync(join(folder, "letter.txt"), "Dear Alice,\n\nkeep this safe.\n");
  writeFileSync(join(folder, "2026/picture.raw"), Buffer.alloc(3_000_000, "not really a picture "));
  return folder;
}

async function walk(demo: Demo): Promise<void> {
  const alice = clientConfig("alice");
  const code = join(state, "alice.code");
  const backup = join(state, "photos.age");
  const restored = join(state, "restored");
  for (const left of [code, backup, restored]) rmSync(left, { recursive: true, force: true });
  const folder = makeFolder();

  chapter("Alice protects a new backup key with a recovery code, and backs up a folder");
  strongroom(["client", "register", "--config", alice, "--generate", "--code-file", code, "--replace"]);
  strongroom(["client", "backup", folder, "--config", alice, "--code-file", code, "--out", backup]);

  const lost = demo.urls.map((_, i) => i).slice(0, demo.spare);
  if (lost.length > 0) {
    chapter(`${lost.length} of ${demo.urls.length} data centers lose their power`);
    await demo.kill(lost);
  }

  chapter("On a new phone, with nothing but the code, she gets the folder back");
  strongroom(["client", "restore", backup, "--config", alice, "--code-file", code, "--out", restored]);
  const packed = existsSync(join(restored, "photos")) ? join(restored, "photos") : restored;
  const { status, stdout } = spawnSync("diff", ["-r", folder, packed], { encoding: "utf8" });
  if (status !== 0) throw new Unexpected(`the restored folder differs:\n${stdout}`);
  say(green(`${shown(packed)} is the same as ${shown(folder)}\n`));
  strongroom(["client", "status", "--config", alice]);

  chapter("Somebody with Bob's phone, but without his code, guesses until nothing is left");
  const bob = clientConfig("bob");
  const right = join(state, "bob.code");
  const wrong = join(state, "bob.wrong");
  for (const [file, text] of [
    [right, "correct horse battery staple"],
    [wrong, "incorrect horse battery staple"],
  ] as const) {
    rmSync(file, { force: true });
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
  }
  strongroom(["client", "register", "--config", bob, "--code-file", right, "--replace"]);
  for (let attempt = 1; attempt <= 10; attempt++)
    strongroom(["client", "recover", "--config", bob, "--code-file", wrong], 3);
  say("… and now Bob himself, with the right code:");
  strongroom(["client", "recover", "--config", bob, "--code-file", right], 4);

  if (lost.length === 0) return;
  chapter("The lost data centers come back");
  demo.show();
  await demo.revive();
  demo.show();
  strongroom(["client", "recover", "--config", bob, "--code-file", right], 4);
  strongroom(["client", "status", "--config", alice]);
}

let demo: Demo | undefined;
try {
  if (!FLEET_SIZES.includes(sites)) throw new Unexpected(`--sites takes ${FLEET_SIZES.join(", ")}`);
  const port = Number(values.port);
  demo = sites === 1 ? await demoSite(state, port) : await demoFleet(state, sites, port);
  demo.show();
  await walk(demo);
  if (values.once) {
    say(green("everything worked"));
  } else {
    chapter("The vault keeps serving; Ctrl-C stops it");
    for (const url of demo.urls) say(`${url}/readyz      is it ready, and if not, why`);
    say(`${demo.urls[0]}/v1/manifest    the fleet's manifest`);
    say(`${demo.urls[0]}/metrics     for Prometheus`);
    say(`strongroom client status --config ${shown(join(state, "alice.yaml"))}`);
    say(dim(`(strongroom is node ${shown(cli)}; everything is in ${shown(state)})`));
    let stopping = false;
    const signalled = new Promise<number>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const)
        process.on(signal, () => {
          stopping = true;
          resolve(0);
        });
    });
    const exit = await Promise.race([demo.ended(), signalled]);
    if (!stopping && exit !== 0) throw new Unexpected(`a service ended with exit code ${exit}`);
  }
} catch (error) {
  if (!(error instanceof Unexpected)) throw error;
  say(`strongroom: ${error.message}`);
  process.exitCode = 1;
} finally {
  await demo?.stop();
}
