/** What options take: the value of a text, or an error that says what would do, after `it takes`. */
import { InvalidArgumentError, Option } from "commander";
import { NAMESPACE_PATTERN } from "../wire/announcement.ts";

export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    const upTo = max === Number.MAX_SAFE_INTEGER ? "on" : `to ${max}`;
    throw new InvalidArgumentError(`a whole number from ${min} ${upTo}`);
  };
}

/** @param what is wanted, for people */
export function matching(pattern: RegExp, what: string): (text: string) => string {
  return (text) => {
    if (pattern.test(text)) return text;
    throw new InvalidArgumentError(what);
  };
}

export const namespaceName: (text: string) => string = matching(
  NAMESPACE_PATTERN,
  "lower-case letters, digits and . _ -",
);

function listenOn(text: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== undefined && Number(port) <= 65_535)
    return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
  throw new InvalidArgumentError("host:port");
}

/** Where a service listens by default, on this machine. */
export const listenOption = (port: number): Option =>
  new Option("--listen <host:port>", "where to serve")
    .argParser(listenOn)
    .default({ host: "127.0.0.1", port }, `127.0.0.1:${port}`);
