/** Every refusal in plain words: what it means, and what to do. For somebody who has never heard of any of this. */
import type { Refusal } from "../trust/refusal.ts";

export interface PlainWords {
  readonly title: string;
  readonly meaning: string;
  readonly todo: string;
}

const REPORT =
  "Do not use a recovery code with these fleets. Keep this page's address and a copy of what it shows, and tell the operator, the auditor and whoever makes your app.";

export const PLAIN_WORDS: Readonly<Record<Refusal, PlainWords>> = {
  malformed: {
    title: "This is not an announcement",
    meaning:
      "The file is damaged, cut off, or something else altogether. Nothing in it can be checked, so nothing in it is believed.",
    todo: "Fetch it again, from another place if you can. If it stays like this, whoever serves it has a fault, or something to hide.",
  },
  "wrong-namespace": {
    title: "This belongs to somebody else",
    meaning: "It is about another operator's service than the one that your pins name.",
    todo: "Check that you are at the right address and have the right pins. Two services must never share a name.",
  },
  "wrong-auditor-key": {
    title: "Another auditor signed this",
    meaning:
      "It carries an audit, but by a key that you have no reason to trust. Anybody can call himself an auditor.",
    todo: "If your pins are old, get new ones from where you got the first. If they are not, do not trust what is shown here.",
  },
  "bad-auditor-signature": {
    title: "The auditor's signature is false",
    meaning: "It says that the auditor signed it. The arithmetic says that the auditor did not.",
    todo: REPORT,
  },
  "wrong-operator-key": {
    title: "The operator did not confirm this",
    meaning:
      "The auditor has seen it, but the confirmation on it is by a key that is not known as the operator's.",
    todo: "If your pins are old, get new ones from where you got the first. If they are not, do not trust what is shown here.",
  },
  "bad-countersignature": {
    title: "The operator's signature is false",
    meaning: "It says that the operator confirmed it. The arithmetic says that the operator did not.",
    todo: REPORT,
  },
  "manifest-changed": {
    title: "The contents were exchanged",
    meaning:
      "The signatures are for other contents than these. Somebody put other keys in after everybody had signed.",
    todo: REPORT,
  },
  "wrong-log-key": {
    title: "This is in no public record that you trust",
    meaning:
      "It carries a proof, but of a record that was signed by a key you have no reason to trust. A private record proves nothing: it can be made for you alone.",
    todo: "If your pins are old, get new ones from where you got the first. If they are not, do not trust what is shown here.",
  },
  unlogged: {
    title: "This is not in the public record",
    meaning:
      "Every genuine announcement stands in a record that all can see and nobody can change. This one does not: it may have been made for you alone.",
    todo: REPORT,
  },
  "too-few-witnesses": {
    title: "Too few witnesses have seen this",
    meaning:
      "Independent witnesses confirm that the record they see is the one you see. Fewer of them did so than your pins ask for.",
    todo: "Wait some minutes and check again: a witness may be down. If it stays so, ask the auditor.",
  },
  "below-minimum": {
    title: "This is too old to be used",
    meaning: "It is older than the oldest announcement that your pins accept. It was genuine once.",
    todo: "Get the newest one. If you are given nothing newer, somebody keeps it from you.",
  },
  "older-epoch": {
    title: "You have seen a newer one",
    meaning:
      "It was genuine once, and was replaced. Whoever shows it to you as the newest is behind, or wants you to use keys that were withdrawn.",
    todo: "Reload. If it stays so, fetch the announcement from another place, such as a mirror.",
  },
  equivocation: {
    title: "Two versions of the same announcement",
    meaning:
      "Both carry genuine signatures, and they say different things. So somebody shows different people different keys. This is the very thing that this page is there to find.",
    todo: `${REPORT} Both versions are the proof: do not throw either away.`,
  },
  "broken-chain": {
    title: "This does not follow from the one before",
    meaning:
      "Each announcement names the one before it, so that none can be left out or exchanged. This one names another.",
    todo: REPORT,
  },
  expired: {
    title: "This has expired",
    meaning:
      "It was genuine, and is not valid any more. A newer one should be there; it may be late, or kept from you.",
    todo: "Check that the clock of your device is right, then reload. If it stays so, ask the operator for the newest announcement.",
  },
  "not-yet-valid": {
    title: "This is from the future",
    meaning: "It says that it was made later than the clock of your device shows.",
    todo: "Check that the clock of your device is right. If it is, do not trust what is shown here.",
  },
  "evidence-mismatch": {
    title: "This evidence does not vouch for the fleet",
    meaning:
      "The record of the key ceremony does not hold in every point, or it is of another fleet than the announced one.",
    todo: "Check that you took the right folder. If it is the one that is published for this fleet, tell the auditor.",
  },
  "forked-log": {
    title: "The public record was rewritten",
    meaning:
      "The record shows another history than it did before. A record that can be rewritten protects nobody.",
    todo: `${REPORT} What you saw before, and what you see now, is the proof.`,
  },
};
