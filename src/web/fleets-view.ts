/** The fleets of the newest announcement: where their keys are, which there are, and what their ceremonies prove. */
import type { AnnouncedFleet } from "../wire/announcement.ts";
import type { ManifestRole } from "../wire/manifest.ts";
import { statusWords } from "./changes.ts";
import { day, h, hashText, table } from "./dom.ts";
import { fleetPicture, fleetSentences } from "./fleet-picture.ts";

const ROLES: Readonly<Record<ManifestRole, string>> = {
  session: "apps lock what they send with it, so that only this site's device can open it",
  identity: "signs what its site answers, so that apps know it is this site",
  ake: "proves to an app that it talks with the whole fleet, and not with somebody in between",
};

function keys({ manifest }: AnnouncedFleet): HTMLElement {
  const roles = [...new Set(manifest.keys.map(({ role }) => role))];
  return h(
    "details",
    {},
    h("summary", {}, `Its ${manifest.keys.length} public keys, and what each is for`),
    h("dl", { class: "facts" }, ...roles.flatMap((role) => [h("dt", {}, role), h("dd", {}, ROLES[role])])),
    table(
      `Public keys of ${manifest.fleet}`,
      ["role", "site", "key id", "public key (P-256)"],
      manifest.keys.map(({ role, site, kid, publicKey }) => [
        role,
        site ?? "all sites",
        hashText(kid),
        hashText(publicKey),
      ]),
    ),
  );
}

/** @param check judges the evidence that is published of it, and shows it in a place */
export function fleetView(
  fleet: AnnouncedFleet,
  check: (fleet: AnnouncedFleet, place: HTMLElement) => void,
): HTMLElement {
  const { status, manifest, manifestSha256, evidenceSha256 } = fleet;
  const button = h("button", { type: "button" }, "Check the record of its key ceremony");
  const place = h("div", { "aria-live": "polite" });
  button.addEventListener("click", () => check(fleet, place));
  return h(
    "article",
    { class: `fleet ${status}` },
    h("h3", {}, manifest.fleet, " ", h("span", { class: `badge ${status}` }, status)),
    h(
      "p",
      { class: "soft" },
      `It is ${statusWords(status)}. Its keys were made on `,
      day(manifest.createdAt),
      ".",
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `Picture of ${manifest.fleet}` },
      fleetPicture(manifest),
    ),
    ...fleetSentences(manifest).map((text) => h("p", {}, text)),
    evidenceSha256 === undefined
      ? h(
          "p",
          { class: "note" },
          "It brings no record of how its keys were made. That they are in such devices, and nowhere else, is the operator's word.",
        )
      : h("div", {}, h("p", {}, button), place),
    table(
      `Sites of ${manifest.fleet}`,
      ["site", "reached at", "device"],
      manifest.sites.map(({ name, url, tokenSerial, retired }) => [
        name,
        retired ? "left the fleet" : url,
        h("code", {}, tokenSerial),
      ]),
    ),
    keys(fleet),
    h(
      "details",
      {},
      h("summary", {}, "Digests"),
      h(
        "dl",
        { class: "facts" },
        h("dt", {}, "Manifest (SHA-256)"),
        h("dd", {}, hashText(manifestSha256)),
        h("dt", {}, "Evidence (SHA-256)"),
        h("dd", {}, evidenceSha256 === undefined ? "none" : hashText(evidenceSha256)),
      ),
    ),
  );
}
