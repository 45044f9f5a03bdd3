/**
 * What people do in each step of the printed script: what they check, what they write down, what they compare with
 * something that was written down elsewhere. What the program does by itself is in actions-text.ts.
 */
import type { CeremonyPlan } from "./plan.ts";
import { tokensOf } from "./plan-check.ts";
import { blank, type Html, html, tick, wordBlanks } from "./script-html.ts";
import type { ActionName, CeremonyStep } from "./steps.ts";
import { FINGERPRINT_WORDS, HASH_WORDS } from "./words.ts";

type Duty = (plan: CeremonyPlan, step: CeremonyStep, steps: readonly CeremonyStep[]) => Html;

const numberOf = ({ id }: CeremonyStep): string => id.slice(0, 3);

/** The steps in which the words of these members were written down. */
function written(
  action: ActionName,
  { needs }: CeremonyStep,
  steps: readonly CeremonyStep[],
): readonly CeremonyStep[] {
  return steps.filter((step) => step.action === action && needs.includes(step.id));
}

const compareEach: (action: ActionName, what: string) => Duty = (action, what) => (_plan, step, steps) =>
  html`
<p>For each station, one officer reads the words from the paper on which that station wrote them down, or hears them from
there by a voice that is known; another types them. The program goes on only if they are those of the file. Enter
<em>no</em> if one word differs.</p>
${written(action, step, steps).map((from) =>
  tick(
    html`<strong>${from.station}</strong>: the words of its ${what}, step ${numberOf(from)}, were accepted`,
  ),
)}
<div class="fill">${blank("compared by (officer)")}${blank("compared by (officer)")}</div>`;

const expectedSerial = (plan: CeremonyPlan, station: string): string =>
  new Map(tokensOf(plan)).get(station)?.serial ?? "";

function initialise({ credentials }: CeremonyPlan): Html {
  const then = credentials.soPin === "split" ? "it is split later" : "it is given up later";
  return html`
${tick("An officer reads the label of the token aloud; the operator types it, which allows the token to be erased")}
${tick(`The security officer enters a new PIN twice, unseen, and keeps it until ${then}`)}
${tick("The operator enters a new user PIN twice, unseen; it is written down only where the site keeps its PINs")}
${tick("The program reports that both PINs have been tried and work")}`;
}

function sealCredentials({ credentials }: CeremonyPlan): Html {
  if (credentials.soPin === "destroy")
    return html`
${tick("The security officer enters the PIN for the last time")}
${tick("The program reports that the PIN has been replaced by a random one, which nobody has seen")}
${tick("The old PIN opens nothing; paper on which it was written is shredded before the witness")}`;
  const { quorum, custodians } = credentials;
  return html`
${tick("The security officer enters the PIN for the last time; paper on which it was written is shredded")}
${tick(`Each custodian alone moves the file of their share to a medium of their own and puts it into an envelope; any ${quorum} together have the PIN`)}
${tick("No share is left on the computer")}
<div class="fill">${custodians.map((name) => blank(`${name}: envelope no.`))}</div>`;
}

/** Nothing to write down: the program says whether it went well. */
const plain: Duty = () => html`${tick("The program reports that the step is done")}`;

const DUTIES: Readonly<Record<ActionName, Duty>> = {
  open: (plan, { station }) => html`
${tick("Seals and case of the token are undamaged; the computer is connected to no network")}
${tick(
  expectedSerial(plan, station) === ""
    ? "The token on the screen is the one on the table"
    : html`The serial number on the device and on the screen is <strong>${expectedSerial(plan, station)}</strong>`,
)}
${tick("The program reports that its digest is the plan's")}
<div class="fill">${blank("model")}${blank("firmware")}${blank("seal no.")}</div>
${wordBlanks("Module, SHA-256 as words (the first twelve)", FINGERPRINT_WORDS)}`,
  initialise,
  "make-root": () => wordBlanks("Root key, twelve words", FINGERPRINT_WORDS),
  "make-site-keys": () => html`
${tick("The list of objects before held nothing; after, it holds what this step made and nothing else")}
${wordBlanks("Identity key, twelve words", FINGERPRINT_WORDS)}`,
  certify: compareEach("make-site-keys", "identity key"),
  "make-transport": () => wordBlanks("Transport key, twelve words", FINGERPRINT_WORDS),
  trust: compareEach("make-transport", "transport key"),
  "make-originals": plain,
  export: plain,
  import: () =>
    html`${tick("The program lists the keys that it took in; they are those of the table of holders")}`,
  challenge: () => html`
${tick("The witness says a phrase that nobody could know before, such as a headline of today")}
<div class="fill">${blank("phrase of the witness", "wide")}</div>`,
  prove: plain,
  compare: () => html`
${tick("All holders of each key answered alike")}
${tick("Each identity, session and fleet key pair has shown that it is there")}`,
  "destroy-originals": () => html`
${tick("The step in which the answers were compared is done and signed")}
${tick("The program lists what was destroyed")}`,
  "remove-transport": plain,
  "remove-trusted": () => html`
${tick("The security officer enters the PIN")}
${tick("The program lists what was removed")}`,
  verify: () => html`
${tick("Each attempt to read, wrap or open a key was refused, and the refusals are on the screen")}
${tick("The list of objects holds the keys of the plan and nothing else")}`,
  "seal-credentials": sealCredentials,
  "destroy-keys": () => html`
${tick("The officers have seen the new manifest, and the fleet serves without this site")}
${tick("The program lists what was destroyed; no key of the fleet is left")}`,
  manifest: () => html`
${tick("Names, addresses and number of the sites on the screen are those of the plan")}
${wordBlanks("Manifest, SHA-256 as words", HASH_WORDS)}`,
  close: () => html`
<div class="fill">${blank("lines of the transcript")}</div>
${wordBlanks("Last line of the transcript, SHA-256 as words (the first twelve)", FINGERPRINT_WORDS)}`,
};

/** What people do in the step. */
export function dutiesOf(plan: CeremonyPlan, step: CeremonyStep, steps: readonly CeremonyStep[]): Html {
  return DUTIES[step.action](plan, step, steps);
}
