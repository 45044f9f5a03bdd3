/** The client that follows the fleets of a pinned namespace (`pins:` and `state:` of its configuration). */
import { resolve } from "node:path";
import { readIfThere, writeDurably } from "../base/node/durable-file.ts";
import { createFleetClient, type FleetClient, type FleetClientOptions } from "../client/fleet-client.ts";
import type { TrustStore } from "../client/fleet-trust.ts";
import { decodePins } from "../trust/pins.ts";
import { type ClientFile, readConfigured } from "./client-file.ts";
import { say, yellow } from "./terminal.ts";

/** A file that is replaced as a whole. @throws file-failed */
function trustFile(path: string): TrustStore {
  return {
    // Nothing is remembered before the first time; anything else must not look like that.
    load: () => readIfThere(path),
    save: (bytes) => writeDurably(path, bytes),
  };
}

/** @throws config-invalid */
export function pinnedClient(
  file: ClientFile & { readonly pins: string; readonly state: string },
  base: string,
  options: Pick<FleetClientOptions, "retrying" | "account" | "keyStretching" | "retryForMs" | "accountToken">,
): FleetClient {
  const { pins, state, bundle, bundleUrls } = file;
  return createFleetClient({
    ...options,
    pins: decodePins(readConfigured(resolve(base, pins), "the pins")),
    store: trustFile(resolve(base, state)),
    bundle: bundle === undefined ? undefined : readConfigured(resolve(base, bundle), "the bundle"),
    bundleUrls,
    refused: ({ message }) => say(yellow(message)),
  });
}
