/**
 * What each action is called and what it means, in words for people: for the printed script, the guided run and the
 * report. What a token does in it is not repeated here; the dry run lists that.
 */
import type { ActionName } from "./steps.ts";

export interface ActionText {
  /** Begins with a verb, without a full stop. */
  readonly title: string;
  /** One or two sentences: what happens, and what it is good for. */
  readonly explanation: string;
  /** How long it takes with people in a room, at one station. */
  readonly minutes: number;
  /** Roles that must be present. */
  readonly who: string;
  /** What was there before cannot be had back. */
  readonly destructive: boolean;
}

export const ACTIONS_TEXT: Readonly<Record<ActionName, ActionText>> = {
  open: {
    title: "Open the token and record what it is",
    explanation:
      "Records the program, the PKCS#11 module and the token as they are found. The serial number must be the plan's.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  initialise: {
    title: "Initialise the token and set its PINs",
    explanation:
      "Erases everything on the token and sets a new security officer's PIN and user PIN. Both are tried at once.",
    minutes: 10,
    who: "security officer, operator, witness",
    destructive: true,
  },
  "make-root": {
    title: "Make the root key and its certificate",
    explanation:
      "Makes the key pair that will certify the sites and sign the fleet manifest. It never leaves the token.",
    minutes: 5,
    who: "operator, officers",
    destructive: false,
  },
  "make-site-keys": {
    title: "Make the keys that stay in the token",
    explanation:
      "Makes the identity key, which signs for this token, and the session key, to which clients and other sites seal messages.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  certify: {
    title: "Compare the identity keys and certify them",
    explanation:
      "The officers compare the words of each identity key with those that its station read out; the root key then signs a certificate for each.",
    minutes: 15,
    who: "operator, officers",
    destructive: false,
  },
  "make-transport": {
    title: "Make the transport key",
    explanation:
      "Makes the key under which the fleet's keys come to this token. It is destroyed before the end.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  trust: {
    title: "Compare the transport keys and trust them",
    explanation:
      "The officers compare the words of each destination's transport key; the security officer then marks it as trusted, so that the token gives fleet keys to these destinations and to nobody else.",
    minutes: 15,
    who: "security officer, officers, operator",
    destructive: false,
  },
  "make-originals": {
    title: "Make the fleet keys that begin here",
    explanation:
      "Makes the fleet keys of which this site is the first holder, open only to trusted transport keys.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  export: {
    title: "Wrap the fleet keys for their holders",
    explanation:
      "Wraps each key that was made here for each of its holders, under the holder's transport key.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  import: {
    title: "Unwrap the fleet keys of this site",
    explanation:
      "Takes in exactly the keys that the plan gives to this site; from then on they cannot be taken out.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  challenge: {
    title: "Make the challenge",
    explanation:
      "Makes a random number, together with a phrase of a witness, that nobody could know before. Every key must answer it.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
  prove: {
    title: "Let every key answer the challenge",
    explanation: "Each key of this token answers, which shows later that it is the key that it should be.",
    minutes: 5,
    who: "operator",
    destructive: false,
  },
  compare: {
    title: "Compare the answers of all holders",
    explanation:
      "All holders of a key must have answered alike, and every key pair must have shown that it is there. Nothing is destroyed before this has passed.",
    minutes: 5,
    who: "operator, officers",
    destructive: false,
  },
  "destroy-originals": {
    title: "Destroy the open originals",
    explanation:
      "Destroys the originals that could still be wrapped, now that every holder is shown to have its sealed copy.",
    minutes: 5,
    who: "operator, officers, witness",
    destructive: true,
  },
  "remove-transport": {
    title: "Destroy the transport key",
    explanation: "Destroys the key under which fleet keys came here. No package can be opened any more.",
    minutes: 5,
    who: "operator, witness",
    destructive: true,
  },
  "remove-trusted": {
    title: "Remove the trusted transport keys",
    explanation:
      "The security officer removes the trusted copies, so that this token can give fleet keys to nobody.",
    minutes: 5,
    who: "security officer, witness",
    destructive: true,
  },
  verify: {
    title: "Try what sealed keys must refuse, and read everything back",
    explanation:
      "Tries to read, wrap and open each key, which the token must refuse; then reads every attribute and lists all objects.",
    minutes: 10,
    who: "operator, witness",
    destructive: false,
  },
  "seal-credentials": {
    title: "Give up the security officer's PIN",
    explanation:
      "Sets a random PIN in place of the security officer's, and destroys or splits it as the plan says.",
    minutes: 10,
    who: "security officer, custodians, witness",
    destructive: true,
  },
  "destroy-keys": {
    title: "Destroy the fleet keys of the retired site",
    explanation: "Destroys every fleet key in this token. The token can then serve no record of the fleet.",
    minutes: 10,
    who: "operator, officers, witness",
    destructive: true,
  },
  manifest: {
    title: "Write and sign the fleet manifest",
    explanation: "Lists the public keys and sites of the fleet in one file and signs it with the root key.",
    minutes: 10,
    who: "operator, officers",
    destructive: false,
  },
  close: {
    title: "Close the transcript and sign its end",
    explanation:
      "The token signs the last line of this station's transcript. Nothing is added to it afterwards.",
    minutes: 5,
    who: "operator, witness",
    destructive: false,
  },
};
