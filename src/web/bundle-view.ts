/** A bundle that a visitor has from elsewhere: genuine, and as new as what this page knows? */
import { utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { catchUp } from "../trust/catch-up.ts";
import type { Pins } from "../trust/pins.ts";
import type { TrustSource } from "../trust/source.ts";
import type { TrustState } from "../trust/state.ts";
import { decodeAnnouncement } from "../wire/announcement.ts";
import { decodeBundle } from "../wire/bundle.ts";
import { h, moment } from "./dom.ts";
import { ownPins, refusedBy } from "./read-log.ts";
import { banner, proofBanner, refusalBanner } from "./verdict.ts";

export interface BundleCheck {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly pins: Pins | undefined;
  readonly state: TrustState | undefined;
  readonly source: TrustSource;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** @returns what to show, and what to remember */
export async function checkBundle(
  check: BundleCheck,
): Promise<{ readonly view: readonly HTMLElement[]; readonly state: TrustState | undefined }> {
  const { name, bytes, source, now } = check;
  const lead = `${name} is refused`;
  let pins: Pins;
  try {
    const bundle = decodeBundle(bytes);
    pins = check.pins ?? ownPins(bundle.audit.namespace, bundle);
  } catch (error) {
    if (!isStrongroomError(error)) throw error;
    return { view: [refusalBanner(refusedBy(error), lead)], state: check.state };
  }
  const { state, refusal } = await catchUp(bytes, {
    pins,
    state: check.pins ? check.state : undefined,
    now,
    bundleOf: (epoch) => source.get(`log/${pins.namespace}/bundles/${epoch}.json`).catch(() => undefined),
  });
  if (refusal) {
    const proof = check.pins && proofBanner([], state?.proofs);
    return {
      view: [refusalBanner(refusedBy(refusal), lead), ...(proof ? [proof] : [])],
      state: check.pins ? state : check.state,
    };
  }
  if (!check.pins)
    return {
      view: [
        banner(
          "note",
          `${name} fits together, and is not verified against a pin`,
          h(
            "p",
            {},
            "Its signatures belong together, but by keys that it names itself. Enter your pins, then drop it again.",
          ),
        ),
      ],
      state: check.state,
    };
  const { epoch, announcement } = announced(bytes);
  return {
    view: [
      banner(
        "good",
        `${name} is genuine`,
        h(
          "p",
          {},
          `It is announcement ${epoch}, the newest that is known here, and valid until `,
          moment(announcement.validUntil),
          ".",
        ),
      ),
    ],
    state,
  };
}

function announced(bytes: Uint8Array): {
  epoch: number;
  announcement: ReturnType<typeof decodeAnnouncement>;
} {
  const announcement = decodeAnnouncement(utf8(decodeBundle(bytes).announcement));
  return { epoch: announcement.epoch, announcement };
}
