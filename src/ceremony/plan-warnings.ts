/** What works, but should be wanted: said when a plan is made, in the words of the people who will live with it. */
import type { CeremonyPlan } from "./plan.ts";

const list = (values: readonly string[]): string => values.join(", ");

/** After sealing nothing can be added, so this is the only time to think of spares. */
function* sealing({ kind, sites, spares }: CeremonyPlan): Iterable<string> {
  if (kind !== "create") return;
  yield "After sealing no new token can receive the fleet keys, by nobody and for no reason. When the spares are used up, the fleet must be succeeded by a new one.";
  const bare = sites.map(({ name }) => name).filter((name) => !spares.some((spare) => spare.for === name));
  if (spares.length === 0)
    yield sites.length === 1
      ? "There is no spare. If the only token is lost or breaks, every record is lost for good."
      : "There are no spares. A site whose token is lost or breaks can never be replaced.";
  else if (spares.length * 2 < sites.length)
    yield `There are few spares: ${spares.length} for ${sites.length} sites. Without a spare: ${list(bare)}.`;
  else if (bare.length > 0)
    yield `Not every site has a spare. A token that is lost cannot be replaced at: ${list(bare)}.`;
}

function* threshold({ kind, threshold: t, sites: { length: n } }: CeremonyPlan): Iterable<string> {
  if (kind !== "create") return;
  if (n === 1)
    yield "A fleet of one site: whoever has its token's PIN and the record store can guess recovery codes without limit.";
  else if (t === 1)
    yield "Threshold 1: every site can evaluate alone, so whoever has one token's PIN and the record store can guess recovery codes without limit.";
}

function* people({ mode, officers, credentials, auditor }: CeremonyPlan): Iterable<string> {
  const { quorum, members } = officers;
  if (quorum === 1) yield "One officer alone can approve the plan and sign the evidence.";
  else if (quorum === members.length)
    yield `All ${members.length} officers must sign. If one of them cannot, no later ceremony of this fleet can be approved.`;
  if (credentials.soPin === "destroy")
    yield "The security officers' PINs will be destroyed. A user PIN that gets locked can then be unlocked by nobody; that site needs its spare.";
  else if (credentials.quorum === credentials.custodians.length)
    yield "All custodians are needed for a security officer's PIN. If one share is lost, the PIN is lost.";
  if (mode !== "production") return;
  if (!auditor) yield "No auditor is named. Nobody independent will have looked at the evidence.";
  const names = members.map(({ name }) => name);
  const both =
    credentials.soPin === "split" ? credentials.custodians.filter((name) => names.includes(name)) : [];
  if (both.length > 0) yield `Officers and custodians at once: ${list(both)}.`;
}

function* software({
  mode,
  software: { digest },
  softwareTokensAccepted: accepted,
}: CeremonyPlan): Iterable<string> {
  if (mode === "production" && accepted !== undefined)
    yield `Software tokens guard keys no better than files do. The plan accepts them: ${accepted}`;
  if (/^0+$/.test(digest))
    yield "The digest of the software is a placeholder. Write the one of the release that you reviewed.";
}

function* change({ kind, sites, spares, threshold: t, change: what }: CeremonyPlan): Iterable<string> {
  if (kind === "retire") {
    const rest = sites.length - 1;
    yield `The keys of ${what?.site} will be destroyed and its place stays empty. No token can ever take it again.`;
    if (rest === t) yield `Then all of the ${rest} sites that remain must answer: none of them may fail.`;
  }
  if (kind !== "replace") return;
  const left = spares.filter((spare) => spare.for === what?.site && spare.name !== what.spare);
  if (left.length === 0)
    yield `This is the last spare of ${what?.site}. If it is lost too, the fleet must be succeeded by a new one.`;
  yield `The token that is replaced still holds keys. When it is found, destroy it; the fleet refuses it from the new manifest on.`;
}

export function planWarnings(plan: CeremonyPlan): readonly string[] {
  return [sealing, threshold, people, software, change].flatMap((check) => [...check(plan)]);
}
