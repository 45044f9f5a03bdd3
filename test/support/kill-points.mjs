/**
 * Loaded into `strongroom serve` and `strongroom auditor serve` by --import: ends the process with SIGKILL at a chosen
 * step of a chosen request.
 *
 * The request itself says where, by a header: `n` is its n-th step from 0, `n+` the moment after everything that the
 * same turn of the event loop had to do, when messages are on their way and nothing has come back. With `trace` the
 * steps go to the file STRONGROOM_TEST_TRACE. Steps are what can be seen from outside of the product's code: the
 * request's arrival, each message to the token, each look at the store's file (before a read, before a write, after
 * a write is durable), the answer. Of an auditor, whose store is files: before each call that changes the disk or makes
 * a change durable, and in the middle of each write.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import fs, { appendFileSync, existsSync } from "node:fs";
import { Server, ServerResponse } from "node:http";
import { syncBuiltinESMExports } from "node:module";

const HEADER = "x-test-kill";
/** The marked request that is being worked on: { at, step }. */
const marked = new AsyncLocalStorage();

function step(name) {
  const request = marked.getStore();
  if (!request) return;
  const here = request.step++;
  const kill = () => {
    process.kill(process.pid, "SIGKILL");
  };
  const { STRONGROOM_TEST_TRACE: trace } = process.env;
  if (request.at === "trace" && trace) appendFileSync(trace, `${name}\n`);
  if (request.at === `${here}`) kill();
  // Twice: what the turn has to say is itself said at its end.
  if (request.at === `${here}+`) setImmediate(() => setImmediate(kill));
}

function install() {
  // For this process alone, not for its token workers.
  delete process.env.NODE_OPTIONS;
  const { emit } = Server.prototype;
  Server.prototype.emit = function (event, ...args) {
    const pass = () => Reflect.apply(emit, this, [event, ...args]);
    const at = event === "request" ? args[0].headers[HEADER] : undefined;
    if (typeof at !== "string") return pass();
    return marked.run({ at, step: 0 }, () => {
      step("request");
      return pass();
    });
  };

  const { end } = ServerResponse.prototype;
  ServerResponse.prototype.end = function (...args) {
    step("answer");
    return Reflect.apply(end, this, args);
  };

  const statSync = new Proxy(fs.statSync, {
    apply(target, self, args) {
      if (String(args[0]).endsWith("data.mdb")) step("store");
      return Reflect.apply(target, self, args);
    },
  });
  Object.assign(fs, { statSync });
  syncBuiltinESMExports();

  // The pool reads the clock once for each message, to know its deadline.
  const { now } = performance;
  performance.now = () => {
    if (marked.getStore() && new Error().stack?.split("\n")[2]?.includes("token/pool.")) step("token");
    return Reflect.apply(now, performance, []);
  };
}

/** Calls of node:fs/promises; all that came before is on the disk, though a power failure might still take it. */
async function watchFiles() {
  const { promises } = fs;
  const probe = await promises.open(process.execPath, "r");
  const handle = Object.getPrototypeOf(probe);
  await probe.close();
  const { sync, writeFile } = handle;
  handle.sync = function () {
    step("sync");
    return Reflect.apply(sync, this, []);
  };
  handle.writeFile = async function (bytes) {
    step("write");
    const request = marked.getStore();
    if (request && request.at === `${request.step}`)
      await Reflect.apply(writeFile, this, [bytes.subarray(0, bytes.length >> 1)]);
    step("half");
    await Reflect.apply(writeFile, this, [bytes]);
  };
  for (const name of ["mkdir", "rename", "unlink", "rm", "copyFile"]) {
    const call = promises[name];
    promises[name] = (...args) => {
      // What is there is not made.
      if (name !== "mkdir" || !existsSync(args[0])) step(name);
      return call(...args);
    };
  }
  syncBuiltinESMExports();
}

if (process.argv.includes("serve")) install();
if (process.argv.includes("auditor")) await watchFiles();
