/** The verification page: reads what the auditor publishes beside it, checks it on the visitor's device, and says what it found. */
import { isStrongroomError } from "../base/errors.ts";
import { decodePins, type Pins } from "../trust/pins.ts";
import { httpSource, type TrustSource } from "../trust/source.ts";
import type { TrustState } from "../trust/state.ts";
import { type AnnouncedFleet, NAMESPACE_PATTERN } from "../wire/announcement.ts";
import { checkBundle } from "./bundle-view.ts";
import { byId, h } from "./dom.ts";
import { listenForFiles } from "./drop-zone.ts";
import { type Dropped, recognise } from "./dropped.ts";
import type { FoundFile } from "./evidence.ts";
import { evidenceProblem, evidenceView, loadJudge, publishedEvidence } from "./evidence-view.ts";
import { fleetView } from "./fleets-view.ts";
import { mirrorOf, namespacesOf } from "./mirror.ts";
import { type LogView, readLog } from "./read-log.ts";
import { loadPins, loadState, savePins, saveState } from "./remembered.ts";
import { timeline } from "./timeline.ts";
import { trustPanel } from "./trust-panel.ts";
import { banner, policyLink, verdictOf } from "./verdict.ts";

const places = {
  verdict: byId("verdict", HTMLElement),
  fleets: byId("fleet-list", HTMLElement),
  history: byId("history-list", HTMLElement),
  trust: byId("trust-panel", HTMLElement),
  drop: byId("drop", HTMLElement),
  checked: byId("checked", HTMLElement),
} as const;

/** What is published beside the page; a page that was opened from a disk may fetch nothing. */
const SERVER: TrustSource =
  location.protocol === "file:" ? { get: () => Promise.resolve(undefined) } : httpSource(".");

class Page {
  #source: TrustSource = SERVER;
  #namespace: string | undefined;
  #pins: Pins | undefined = loadPins();
  #state: TrustState | undefined;
  #view: LogView | undefined;
  /** Of the last reading: an older one that ends later shows nothing. */
  #reading = 0;

  start(): void {
    this.#showTrust();
    listenForFiles(places.drop, (found) => {
      places.checked.replaceChildren(working("Reading …"));
      void this.#run(places.checked, async () => this.#take(await found));
    });
    void this.#run(places.verdict, () => this.#read());
  }

  /** What nobody foresaw is said as well, in the place where an answer was awaited. */
  async #run(place: HTMLElement, work: () => Promise<void>): Promise<void> {
    place.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      place.replaceChildren(
        banner(
          "bad",
          "This could not be checked",
          h("p", {}, `Something failed, and nothing is known: ${said}`),
        ),
      );
    } finally {
      place.setAttribute("aria-busy", "false");
    }
  }

  async #read(): Promise<void> {
    const reading = ++this.#reading;
    if (globalThis.crypto?.subtle === undefined) {
      places.verdict.replaceChildren(
        banner(
          "bad",
          "This page was opened in an insecure way",
          h(
            "p",
            {},
            "Browsers check signatures only on pages that came by https, or from this device. Open it by https.",
          ),
        ),
      );
      return;
    }
    const namespace = await this.#whichNamespace();
    const view = namespace === undefined ? undefined : await this.#readNamespace(namespace, reading);
    if (reading !== this.#reading) return;
    this.#view = view;
    if (view) this.#show(view);
    else this.#showNothing(namespace);
  }

  async #readNamespace(namespace: string, reading: number): Promise<LogView | undefined> {
    const pins = this.#pins?.namespace === namespace ? this.#pins : undefined;
    const view = await readLog(this.#source, {
      namespace,
      pins,
      remembered: pins && loadState(pins),
      now: Date.now(),
      progress: (done, all) => {
        if (reading === this.#reading)
          places.verdict.replaceChildren(
            h("p", { class: "soft" }, `Checking: ${done} of ${all} announcements …`),
          );
      },
    });
    if (pins && view) {
      this.#state = view.state;
      saveState(pins, view.state);
    }
    return view;
  }

  /** The pins say it, or the address, or who publishes. */
  async #whichNamespace(): Promise<string | undefined> {
    const named =
      this.#namespace ?? new URLSearchParams(location.search).get("namespace") ?? this.#pins?.namespace;
    if (named !== undefined) return NAMESPACE_PATTERN.test(named) ? named : undefined;
    return firstNamespace(this.#source);
  }

  #show(view: LogView): void {
    places.verdict.replaceChildren(...verdictOf(view));
    // A mirror in the hand has it too, as a file that this page does not show.
    if (this.#source === SERVER) places.verdict.append(policyLink(view.namespace));
    const fleets = view.newest?.announcement.fleets ?? [];
    const order = ["active", "draining", "revoked"];
    const sorted = [...fleets].sort((a, b) => order.indexOf(a.status) - order.indexOf(b.status));
    places.fleets.replaceChildren(
      ...believed(view),
      ...sorted.map((fleet) => fleetView(fleet, (one, place) => this.#checkFleet(one, place))),
    );
    if (fleets.length === 0)
      places.fleets.replaceChildren(h("p", { class: "soft" }, "No announcement is believed."));
    places.history.replaceChildren(timeline(view));
  }

  #showNothing(namespace: string | undefined): void {
    const isSaved = location.protocol === "file:" && this.#source === SERVER;
    places.verdict.replaceChildren(
      namespace === undefined || isSaved
        ? banner(
            "note",
            "Nothing to check yet",
            h(
              "p",
              {},
              "This address does not say which service it is about. Enter your pins, or drop a file or a mirror of the record below.",
            ),
          )
        : banner(
            "note",
            "Nothing was announced here",
            h("p", {}, `This address has no public record of ${namespace}.`),
          ),
    );
    places.fleets.replaceChildren(h("p", { class: "soft" }, "None is known."));
    places.history.replaceChildren(h("p", { class: "soft" }, "Nothing is known."));
  }

  #showTrust(): void {
    const { trust } = places;
    const working = trust.contains(document.activeElement);
    trust.replaceChildren(
      trustPanel(this.#pins, {
        set: (pins) => this.#usePins(pins),
        forget: () => this.#usePins(undefined),
      }),
    );
    // The button that was pressed is gone: who works with the keyboard goes on in its place, not at the page's top.
    if (working) trust.querySelector<HTMLElement>("summary, textarea")?.focus({ preventScroll: true });
  }

  #usePins(pins: Pins | undefined): void {
    this.#pins = pins;
    this.#state = pins && loadState(pins);
    if (pins && this.#source === SERVER) this.#namespace = pins.namespace;
    savePins(pins);
    this.#showTrust();
    void this.#run(places.verdict, () => this.#read());
    byId("verdict-title", HTMLElement).scrollIntoView();
  }

  #checkFleet(fleet: AnnouncedFleet, place: HTMLElement): void {
    const { evidenceSha256 } = fleet;
    const view = this.#view;
    if (!view || evidenceSha256 === undefined) return;
    place.replaceChildren(working(`Checking the record of ${fleet.manifest.fleet}'s key ceremony …`));
    void this.#run(place, async () => {
      const judge = await loadJudge();
      const judged = await judge.judgePublished(evidenceSha256, publishedEvidence(this.#source, view));
      const shown = "problem" in judged ? evidenceProblem(judged) : evidenceView(judged, view, fleet);
      place.replaceChildren(shown);
    });
  }

  async #take(found: readonly FoundFile[]): Promise<void> {
    const shown: HTMLElement[] = [];
    for (const dropped of await recognise(found)) shown.push(...(await this.#answer(dropped)));
    places.checked.replaceChildren(...shown);
    if (shown.length > 0) byId("check", HTMLElement).scrollIntoView();
  }

  async #answer(dropped: Dropped): Promise<readonly HTMLElement[]> {
    switch (dropped.kind) {
      case "pins":
        return this.#answerPins(dropped.bytes);
      case "bundle":
        return this.#answerBundle(dropped.name, dropped.bytes);
      case "mirror":
        return this.#answerMirror(dropped.files);
      case "evidence":
        return this.#answerEvidence(dropped.files);
      case "unknown":
        return [banner("note", `${dropped.name} is nothing that this page can check`)];
    }
  }

  #answerPins(bytes: Uint8Array): readonly HTMLElement[] {
    try {
      this.#usePins(decodePins(bytes));
      return [];
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      return [banner("bad", "These are no pins", h("p", {}, error.message))];
    }
  }

  async #answerBundle(name: string, bytes: Uint8Array): Promise<readonly HTMLElement[]> {
    const pins = this.#pins;
    const { view, state } = await checkBundle({
      name,
      bytes,
      pins,
      state: this.#state,
      source: this.#source,
      now: Date.now(),
    });
    this.#state = state;
    if (pins) saveState(pins, state);
    return view;
  }

  async #answerMirror(files: readonly FoundFile[]): Promise<readonly HTMLElement[]> {
    const [first] = namespacesOf(files);
    if (first === undefined) return [];
    this.#source = mirrorOf(files);
    this.#namespace =
      this.#pins && namespacesOf(files).includes(this.#pins.namespace) ? this.#pins.namespace : first;
    await this.#run(places.verdict, () => this.#read());
    return [
      banner(
        "note",
        "This page now shows the mirror that you dropped",
        h("p", {}, "Reload it to return to what this address publishes."),
      ),
    ];
  }

  async #answerEvidence(files: readonly FoundFile[]): Promise<readonly HTMLElement[]> {
    places.checked.replaceChildren(working("Checking the record of a key ceremony …"));
    const judge = await loadJudge();
    const judged = await judge.judgeFiles(files);
    return "problem" in judged
      ? [evidenceProblem(judged)]
      : judged.map((one) => evidenceView(one, this.#view));
  }
}

/** As an auditor lists them. A mirror has no such list: then it has to be named. */
async function firstNamespace(source: TrustSource): Promise<string | undefined> {
  const bytes = await source.get("namespaces").catch(() => undefined);
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as {
      namespaces?: readonly { name?: unknown }[];
    };
    const name = value.namespaces?.[0]?.name;
    return typeof name === "string" && NAMESPACE_PATTERN.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

/** What is shown of fleets where not all is well. */
function believed({ refused, newest }: LogView): readonly HTMLElement[] {
  if (!refused || !newest) return [];
  const text = `These are the fleets of announcement ${newest.epoch}, the last one that could be verified. Above stands why you should not rely on them now.`;
  return [banner("bad", "Not to be relied on", h("p", {}, text))];
}

function working(text: string): HTMLElement {
  return h("p", { class: "soft" }, text);
}

new Page().start();
