/**
 * Whose request it is, for the rate limit: the peer, or the address that proxies of ours vouch for. IPv6 clients
 * count by /64, because one subscriber owns all addresses of it.
 */
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import type { ServiceConfig } from "./config-schema.ts";

/** Is the `hop`-th address, counted from the peer, a proxy whose word is taken? */
export type TrustsProxy = (address: string, hop: number) => boolean;

const NAMED_RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1/128"],
  linklocal: ["169.254.0.0/16", "fe80::/10"],
  uniquelocal: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
};

/** The configured trust; undefined where nobody is trusted. */
export function trustedProxies(config: ServiceConfig["trustProxy"]): TrustsProxy | undefined {
  if (config === false) return undefined;
  if (typeof config === "number") return (_address, hop) => hop < config;
  const list = new BlockList();
  for (const range of config.flatMap((entry) => NAMED_RANGES[entry] ?? [entry])) {
    const [address = "", bits] = range.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    list.addSubnet(address, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
  }
  return (address) => {
    const plain = unmapped(address);
    return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
  };
}

/** An IPv4 peer of a socket that speaks both shows as ::ffff:a.b.c.d. */
function unmapped(address: string): string {
  return /^::ffff:\d+\./i.test(address) ? address.slice(7) : address;
}

/** The first 64 bits of an IPv6 address, written in full. */
function network64(address: string): string {
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array<string>(Math.max(missing, 0)).fill("0"), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}

/** What requests are counted under; undefined for what is no address. */
export function addressKey(address: string): string | undefined {
  const plain = unmapped(address);
  const family = isIP(plain);
  return family === 4 ? plain : family === 6 ? network64(plain) : undefined;
}

/**
 * X-Forwarded-For is read from the right, as far as proxies are trusted; what a client put there itself is
 * further left and never reached.
 */
export function clientAddress(request: IncomingMessage, trusts: TrustsProxy | undefined): string {
  const peer = request.socket.remoteAddress ?? "";
  if (!trusts) return addressKey(peer) ?? "unknown";
  const forwarded = request.headers["x-forwarded-for"];
  const claimed = (typeof forwarded === "string" ? forwarded.split(",") : []).map((part) => part.trim());
  let address = peer;
  for (let hop = 0; trusts(address, hop); hop++) {
    const next = claimed.pop();
    // A proxy that forwards nonsense is itself who gets counted.
    if (next === undefined || isIP(next) === 0) break;
    address = next;
  }
  return addressKey(address) ?? "unknown";
}
