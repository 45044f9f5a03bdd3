/** Evidence of ceremonies on the page: judged on the visitor's device, and shown as the report that the command writes. */
import { REPORT_STYLE } from "../ceremony/report-style.ts";
import type { TrustSource } from "../trust/source.ts";
import type { AnnouncedFleet } from "../wire/announcement.ts";
import { h } from "./dom.ts";
import type { FoundFile, JudgedEvidence, PublishedEvidence } from "./evidence.ts";
import type { EvidenceJudge, EvidenceProblem } from "./evidence-entry.ts";
import type { LogView } from "./read-log.ts";
import { REPORT_CSS } from "./report-css.ts";
import { banner, refusalBanner, save } from "./verdict.ts";

const MAX_FILES = 10_000;
/** Attachments may be larger: then they are for the command. */
const MAX_FILE_BYTES = 64 << 20;
let loading: Promise<EvidenceJudge> | undefined;

/** A classic script: modules cannot be loaded by a page that was saved and opened from a disk. */
export function loadJudge(): Promise<EvidenceJudge> {
  loading ??= new Promise<EvidenceJudge>((resolve, reject) => {
    const script = h("script", { src: "evidence.js" });
    script.addEventListener("load", () => {
      const judge = globalThis.strongroomEvidence;
      if (judge) resolve(judge);
      else reject(new TypeError("evidence.js is not what it should be"));
    });
    script.addEventListener("error", () => reject(new TypeError("evidence.js cannot be loaded")));
    document.head.append(script);
  }).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

/** What an auditor publishes of a fleet's ceremony. */
export function publishedEvidence(source: TrustSource, view: LogView): PublishedEvidence {
  const fleets = view.epochs.flatMap(({ announcement }) => announcement?.fleets ?? []);
  return {
    async files(id) {
      const folder = `log/${view.namespace}/evidence/${id}`;
      const listing = await source.get(`${folder}/files.json`);
      const paths = listing && pathsIn(listing);
      if (!paths) return undefined;
      const found: FoundFile[] = [];
      for (const path of paths) {
        const bytes = await source.get(`${folder}/files/${path}`, MAX_FILE_BYTES);
        if (bytes) found.push({ path, blob: new Blob([Uint8Array.from(bytes)]) });
      }
      return found;
    },
    ofManifest: (sha256) => fleets.find(({ manifestSha256 }) => manifestSha256 === sha256)?.evidenceSha256,
  };
}

/** A hint, as everything that is not signed: what is missing, claims say. */
function pathsIn(listing: Uint8Array): readonly string[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(listing));
  } catch {
    return undefined;
  }
  const files: unknown = typeof value === "object" && value !== null && "files" in value ? value.files : [];
  if (!Array.isArray(files) || files.length > MAX_FILES) return undefined;
  return files.flatMap((file: unknown) =>
    typeof file === "object" && file !== null && "path" in file && typeof file.path === "string"
      ? [file.path]
      : [],
  );
}

/** The fleet of the newest announcement that this evidence is said to be of. */
function fleetOf(view: LogView | undefined, { evidenceSha256 }: JudgedEvidence): AnnouncedFleet | undefined {
  return view?.newest?.announcement.fleets.find(
    (fleet) => evidenceSha256 !== undefined && fleet.evidenceSha256 === evidenceSha256,
  );
}

/** The report, in a place of its own: neither its style nor the page's touches the other. */
function report({ report: text }: JudgedEvidence): HTMLElement {
  // The page's policy has no place for a style that is in a document.
  const parsed = new DOMParser().parseFromString(
    text.replace(`<style>${REPORT_STYLE}</style>`, ""),
    "text/html",
  );
  const host = h("div", { class: "report" });
  const root = host.attachShadow({ mode: "open" });
  const style = new CSSStyleSheet();
  style.replaceSync(REPORT_CSS);
  root.adoptedStyleSheets = [style];
  const body = h("div", { class: "body" });
  body.append(...[...parsed.body.childNodes].map((node) => document.importNode(node, true)));
  root.append(body);
  // In a shadow tree a fragment of the address finds nothing.
  root.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href^='#']") : null;
    if (!link) return;
    event.preventDefault();
    root.getElementById(link.getAttribute("href")?.slice(1) ?? "")?.scrollIntoView();
  });
  return host;
}

function saveLink(judged: JudgedEvidence): HTMLElement {
  const button = h("button", { type: "button" }, "Save the report");
  button.addEventListener("click", () => save("evidence-report.html", judged.report, "text/html"));
  return button;
}

/**
 * @param expected the fleet that it has to be the evidence of; where a visitor dropped it, any announced one may be
 */
export function evidenceView(
  judged: JudgedEvidence,
  view: LogView | undefined,
  expected?: AnnouncedFleet,
): HTMLElement {
  const failed = [...new Set(judged.claims.filter(({ ok }) => !ok).map(({ id }) => id))];
  const fleet = expected ?? fleetOf(view, judged);
  const isOf =
    fleet !== undefined &&
    fleet.evidenceSha256 === judged.evidenceSha256 &&
    fleet.manifestSha256 === judged.manifestSha256 &&
    JSON.stringify(fleet.manifest) === JSON.stringify(judged.manifest);
  return h(
    "section",
    { class: "evidence", "aria-label": "Evidence of a key ceremony" },
    headline(judged, view, fleet, isOf, failed),
    h("p", {}, saveLink(judged)),
    report(judged),
  );
}

function headline(
  { folder, claims }: JudgedEvidence,
  view: LogView | undefined,
  fleet: AnnouncedFleet | undefined,
  isOf: boolean,
  failed: readonly string[],
): HTMLElement {
  if (failed.length > 0)
    return refusalBanner({
      refusal: "evidence-mismatch",
      detail: `these claims do not hold: ${failed.join(", ")}`,
    });
  const isRehearsal = claims.some(({ id, detail }) => id === "mode" && detail.startsWith("REHEARSAL"));
  if (fleet && isOf && isRehearsal)
    return banner(
      "note",
      `This is the evidence of ${fleet.manifest.fleet}: a rehearsal`,
      h(
        "p",
        {},
        "It is the very evidence that the announcement names, and every claim in it holds. But it was a rehearsal: keys like these must protect nothing.",
      ),
    );
  if (fleet && isOf)
    return banner(
      "good",
      `This is the evidence of ${fleet.manifest.fleet}, and it holds`,
      h(
        "p",
        {},
        "It is the very evidence that the announcement names, and every claim in it was checked on your device.",
      ),
    );
  if (view?.newest)
    return refusalBanner({
      refusal: "evidence-mismatch",
      detail: `${folder === "" ? "what was dropped" : folder} is of none of the fleets that are announced`,
    });
  return banner(
    "note",
    "The evidence holds in itself",
    h("p", {}, "No announcement is at hand to compare it with: of which fleet it is, nothing here can say."),
  );
}

/** Why there is nothing to show. */
export function evidenceProblem({ problem }: EvidenceProblem): HTMLElement {
  return refusalBanner({ refusal: "evidence-mismatch", detail: problem });
}
