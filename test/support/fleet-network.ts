/**
 * The network between the data centers of a test fleet: one network namespace for each site, joined by a bridge in a
 * namespace of its own. Every site has an address of its own, and the test reaches all of them over a link that no
 * fault touches: users are elsewhere. Needs root (CAP_NET_ADMIN) and Debian's package iproute2.
 *
 * A cut is a neighbour entry that leads nowhere: packets leave their site and arrive at no other, without an error to
 * anybody, as with a broken line. It works in one direction, and on open connections too. A blackhole route would
 * make connect(2) fail at once, which is not what a broken line does.
 *
 * Delay needs the kernel's netem, which small kernels lack; `delayed` says whether it was there.
 */
import { execFileSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";

export interface FleetNetwork {
  /** Address of each site. */
  readonly hosts: readonly string[];
  /** Whether packets between sites are delayed as was asked for. */
  readonly delayed: boolean;
  /** The command, run in the namespace of a site. */
  inside(site: number, command: readonly string[]): readonly string[];
  /** Nothing gets from `a` to `b` any more, nor back unless `oneWay`. */
  cut(a: number, b: number, oneWay?: "one-way"): void;
  /** Cuts a site from all others, not from its users. */
  isolate(site: number): void;
  /** Undoes every cut. */
  heal(): void;
  /** Removes everything; processes inside must have ended. */
  remove(): void;
}

/** Locally administered, and nobody's. */
const NOBODY = "02:00:5e:00:53:ff";
/** Of the test itself. */
const TEST_HOST = 254;

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}

/** @param delayMs added to every packet that leaves a site, where the kernel can */
export function createFleetNetwork(sites: number, delayMs = 0): FleetNetwork {
  const id = randomBytes(3).toString("hex");
  const net = `10.77.${randomInt(1, 255)}`;
  const hub = `strongroom-${id}-hub`;
  const names = Array.from({ length: sites }, (_, i) => `strongroom-${id}-${i}`);
  const hosts = names.map((_, i) => `${net}.${i + 1}`);
  const outside = `sr${id}`;
  const cuts = new Set<string>();
  let delayed = false;

  function remove(): void {
    process.removeListener("exit", remove);
    for (const name of [...names, hub]) {
      try {
        ip("netns", "delete", name);
      } catch {
        // It was not made, or is gone.
      }
    }
  }

  /** The link of a site, or of the test, to the bridge. */
  function plug(device: string, host: string, namespace?: string): void {
    const port = `p${host.slice(net.length + 1)}`;
    const within = namespace === undefined ? [] : ["-n", namespace];
    const peer = ["peer", "name", port, "netns", hub];
    ip(
      "link",
      "add",
      device,
      ...(namespace === undefined ? [] : ["netns", namespace]),
      "type",
      "veth",
      ...peer,
    );
    ip("-n", hub, "link", "set", port, "master", "br0", "up");
    ip(...within, "address", "add", `${host}/24`, "dev", device);
    ip(...within, "link", "set", device, "up");
  }

  function delay(): boolean {
    if (delayMs === 0) return false;
    try {
      const netem = ["qdisc", "add", "dev", "eth0", "root", "netem", "delay", `${delayMs}ms`];
      for (const name of names) execFileSync("tc", ["-n", name, ...netem], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  process.once("exit", remove);
  try {
    ip("netns", "add", hub);
    ip("-n", hub, "link", "add", "br0", "type", "bridge");
    ip("-n", hub, "link", "set", "br0", "up");
    for (const [i, name] of names.entries()) {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
      plug("eth0", hosts[i] ?? "", name);
    }
    plug(outside, `${net}.${TEST_HOST}`);
    delayed = delay();
  } catch (error) {
    remove();
    throw error;
  }

  const neighbour = (action: "replace" | "delete", [from = 0, to = 0]: readonly number[]): void => {
    const entry = [hosts[to] ?? "", "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
    const what = action === "replace" ? entry : [hosts[to] ?? "", "dev", "eth0"];
    ip("-n", names[from] ?? "", "neighbour", action, ...what);
  };
  function cut(a: number, b: number, oneWay?: "one-way"): void {
    for (const direction of oneWay
      ? [[a, b]]
      : [
          [a, b],
          [b, a],
        ]) {
      neighbour("replace", direction);
      cuts.add(direction.join());
    }
  }

  return {
    hosts,
    delayed,
    inside: (site, command) => ["ip", "netns", "exec", names[site] ?? "", ...command],
    cut,
    isolate(site) {
      for (const other of names.keys()) if (other !== site) cut(site, other);
    },
    heal() {
      for (const direction of cuts) neighbour("delete", direction.split(",").map(Number));
      cuts.clear();
    },
    remove,
  };
}
