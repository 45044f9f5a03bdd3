/**
 * The bundles that a site hands to clients (design §10): files of a directory, which `strongroom bundle fetch` fills. The
 * site verifies each as a client would, so that a bad file is seen by its operator before any client sees it; what it
 * served before stays. Clients believe nothing of this: they verify again.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { catchUp } from "../trust/catch-up.ts";
import { decodePins, type Pins } from "../trust/pins.ts";
import { announcementOf, type TrustState, timeText, untimely } from "../trust/state.ts";
import type { FleetStatus } from "../wire/announcement.ts";
import { decodeBundle, encodeBundle, MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import type { ServiceLog } from "./log.ts";
import type { Part } from "./readiness.ts";

export interface ShelvedBundle {
  readonly epoch: number;
  /** Milliseconds since the Unix epoch. */
  readonly validUntil: number;
  /** What it says of the site's own fleet; undefined for nothing. */
  readonly status: FleetStatus | undefined;
  readonly bytes: Uint8Array;
}

export interface BundleShelf {
  /** Undefined before there is any. */
  newest(): ShelvedBundle | undefined;
  /** The bundle of an epoch up to the newest. */
  of(epoch: number): Promise<Uint8Array | undefined>;
  /** What operators should know; never a reason to send clients elsewhere. */
  part(): Part;
  close(): void;
}

export interface BundleShelfOptions {
  readonly directory: string;
  readonly pinsFile: string;
  readonly fleet: string;
  /** SHA-256 of the manifest that the site serves, hex. */
  readonly manifestSha256: string;
  readonly log: Pick<ServiceLog, "event">;
  readonly clock?: Clock;
  readonly everyMs?: number;
}

const EVERY_MS = 2_000;
const WARN_MS = 7 * 86_400_000;
const NAME = /^([1-9]\d{0,15})\.json$/;

async function readPins(path: string): Promise<Pins> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new StrongroomError("config-invalid", `pins: ${path} cannot be read`, {
      cause,
      hint: "strongroom bundle pins writes them; compare its keys with those that apps ship",
      details: { key: "pins" },
    });
  });
  return decodePins(Uint8Array.from(bytes));
}

/** @throws config-invalid for pins or a directory that cannot be read */
export async function openBundles(options: BundleShelfOptions): Promise<BundleShelf> {
  const { directory, log, clock = systemClock } = options;
  const pins = await readPins(options.pinsFile);
  let state: TrustState | undefined;
  let newest: ShelvedBundle | undefined;
  /** What was refused, so that it is said once. */
  const refused = new Map<number, string>();
  let failed = false;

  const pathOf = (epoch: number): string => join(directory, `${epoch}.json`);

  /** Undefined for a file that is absent or not of that epoch. */
  async function read(epoch: number): Promise<Uint8Array | undefined> {
    try {
      const { size } = await stat(pathOf(epoch));
      if (size > MAX_BUNDLE_BYTES) return undefined;
      const bytes = Uint8Array.from(await readFile(pathOf(epoch)));
      return decodeBundle(bytes).audit.epoch === epoch ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** @returns whether the shelf stands at that epoch now */
  async function offer(epoch: number): Promise<boolean> {
    const file = await stat(pathOf(epoch));
    const version = `${file.mtimeMs} ${file.size}`;
    if (refused.get(epoch) === version) return false;
    const bytes = await read(epoch);
    const next = bytes
      ? await catchUp(bytes, { pins, state, now: clock.now(), bundleOf: read })
      : { state, refusal: new StrongroomError("decode-failed", `not a bundle of epoch ${epoch}`) };
    if (next.state && next.state.epoch > (state?.epoch ?? 0)) {
      state = next.state;
      const { validUntil, fleets } = announcementOf(state);
      const status = fleets.find(({ manifest }) => manifest.fleet === options.fleet)?.status;
      newest = { epoch: state.epoch, validUntil, status, bytes: encodeBundle(state.bundle) };
      log.event("info", "bundle taken", { epoch: state.epoch });
    }
    if (next.refusal) {
      refused.set(epoch, version);
      log.event("error", "bundle refused", { epoch }, next.refusal);
    }
    return state?.epoch === epoch;
  }

  async function refresh(): Promise<void> {
    const epochs = (await readdir(directory))
      .flatMap((name) => NAME.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
    for (const epoch of epochs) if (epoch <= (state?.epoch ?? 0) || (await offer(epoch))) break;
  }

  await refresh().catch((cause: unknown) => {
    if (isStrongroomError(cause)) throw cause;
    throw new StrongroomError("config-invalid", `bundles: ${directory} cannot be read`, {
      cause,
      hint: "make the directory; strongroom bundle fetch fills it",
      details: { key: "bundles" },
    });
  });
  let running = false;
  const timer = setInterval(() => {
    if (running) return;
    running = true;
    void refresh()
      .then(() => {
        failed = false;
      })
      .catch((error: unknown) => {
        if (!failed) log.event("warn", "bundles not readable", {}, error);
        failed = true;
      })
      .finally(() => {
        running = false;
      });
  }, options.everyMs ?? EVERY_MS);
  timer.unref();

  return {
    newest: () => newest,
    of: async (epoch) => (epoch <= (newest?.epoch ?? 0) ? read(epoch) : undefined),
    part: () => partOf(state, options, clock.now()),
    close: () => clearInterval(timer),
  };
}

function partOf(
  state: TrustState | undefined,
  { fleet, manifestSha256 }: Pick<BundleShelfOptions, "fleet" | "manifestSha256">,
  now: number,
): Part {
  if (!state) return { ok: false, detail: "no bundle yet; clients learn nothing of new fleets here" };
  const announcement = announcementOf(state);
  const epoch = `epoch ${state.epoch}`;
  const late = untimely(announcement, now);
  if (late) return { ok: false, detail: `${epoch}: ${late.message}` };
  const own = announcement.fleets.find(({ manifest }) => manifest.fleet === fleet);
  if (!own) return { ok: false, detail: `${epoch} does not announce this fleet` };
  if (own.manifestSha256 !== manifestSha256)
    return { ok: false, detail: `${epoch} announces another manifest of this fleet` };
  const until = timeText(announcement.validUntil);
  return {
    ok: own.status !== "revoked" && announcement.validUntil - now > WARN_MS,
    detail: `${epoch}, ${own.status}, valid until ${until}`,
  };
}
