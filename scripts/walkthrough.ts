/**
 * What `scripts/up` shows once the machine is set up: a site on a SoftHSM token, a real folder backed up and
 * restored with a recovery code, a wrong code, a destroyed record. Every command is the one that a person would type.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { bold, dim, green, say } from "../src/cli/terminal.ts";
import { decodeManifest } from "../src/wire/manifest.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    once: { type: "boolean", default: false },
    port: { type: "string", default: "8440" },
    state: { type: "string", default: join(root, ".strongroom/demo") },
  },
});
const state = resolve(values.state);
const cli = join(root, "dist/cli/main.js");
const env = { ...process.env, SOFTHSM2_CONF: join(state, "softhsm2.conf") };
const shown = (path: string): string =>
  path.startsWith(process.cwd()) ? relative(process.cwd(), path) : path;

class Unexpected extends Error {}

/** Runs `strongroom …` before the reader's eyes and insists on its exit code. */
function strongroom(args: readonly string[], expected = 0): void {
  const words = args.map(shown);
  say(dim(`$ strongroom ${words.join(" ")}`));
  const { status } = spawnSync(process.execPath, [cli, ...args], {
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== expected) throw new Unexpected(`exit code ${status} where ${expected} was expected`);
  say();
}

function chapter(title: string): void {
  say(bold(`\n── ${title}`));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address !== "object" || address === null) throw new Unexpected("no free port");
  return address.port;
}

/** A new site, or the one of an earlier run, on the port that its manifest names. */
async function makeSite(): Promise<string> {
  const manifest = join(state, "manifest.json");
  if (existsSync(manifest)) {
    const [site] = decodeManifest(Uint8Array.from(readFileSync(manifest))).sites;
    values.port = new URL(site?.url ?? "").port;
  } else if (values.port === "0") values.port = String(await freePort());
  const made = spawnSync(join(root, "scripts/softhsm-site"), [state, "--port", values.port], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (made.status !== 0) throw new Unexpected("the site could not be made");
  return `http://127.0.0.1:${values.port}`;
}

async function serve(url: string): Promise<ChildProcess> {
  const config = join(state, "site.yaml");
  const logFile = join(state, "service.log");
  say(dim(`$ strongroom serve --config ${shown(config)} > ${shown(logFile)} &`));
  const log = openSync(logFile, "a", 0o600);
  const child = spawn(process.execPath, [cli, "serve", "--config", config], {
    env,
    stdio: ["ignore", log, log],
  });
  const ready = async (): Promise<boolean> =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await ready())) {
    if (child.exitCode !== null) {
      say(readFileSync(logFile, "utf8").split("\n").slice(-6).join("\n"));
      throw new Unexpected(`the service ended with exit code ${child.exitCode}; its log is ${logFile}`);
    }
    await new Promise((next) => setTimeout(next, 100));
  }
  const answer = await fetch(`${url}/readyz`);
  say(dim(`$ curl ${url}/readyz`));
  say(await answer.text());
  return child;
}

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

function walk(): void {
  const alice = clientConfig("alice");
  const code = join(state, "alice.code");
  const backup = join(state, "photos.age");
  const restored = join(state, "restored");
  for (const left of [code, backup, restored]) rmSync(left, { recursive: true, force: true });
  const folder = makeFolder();

  chapter("Alice protects a new backup key with a recovery code, and backs up a folder");
  strongroom(["client", "register", "--config", alice, "--generate", "--code-file", code, "--replace"]);
  strongroom(["client", "backup", folder, "--config", alice, "--code-file", code, "--out", backup]);

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
}

let service: ChildProcess | undefined;
try {
  chapter("A site: a token with its PINs, proved fit, its keys, the fleet's manifest");
  const url = await makeSite();
  chapter("The vault");
  service = await serve(url);
  walk();
  if (values.once) {
    say(green("everything worked"));
  } else {
    chapter("The vault keeps serving; Ctrl-C stops it");
    say(`${url}/v1/fleet    the fleet's manifest`);
    say(`${url}/readyz      is it ready, and if not, why`);
    say(`${url}/metrics     for Prometheus`);
    say(`strongroom client status --config ${shown(join(state, "alice.yaml"))}`);
    say(dim(`(strongroom is node ${shown(cli)}; the log is ${shown(join(state, "service.log"))})`));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => service?.kill("SIGTERM"));
    const [exit] = await once(service, "exit");
    if (exit !== 0) throw new Unexpected(`the service ended with exit code ${exit}`);
  }
} catch (error) {
  if (!(error instanceof Unexpected)) throw error;
  say(`strongroom: ${error.message}`);
  process.exitCode = 1;
} finally {
  if (service && service.exitCode === null) {
    const ended = once(service, "exit");
    service.kill("SIGTERM");
    await ended;
  }
}
