/**
 * The people of a ceremony, as the steps see them: they compare, confirm, give PINs and decide. At a terminal they are
 * asked (src/cli); in a rehearsal nobody is, and whoever plays them answers by rote.
 */

/** What a person is asked to read at one station and to type at another. */
export interface Comparison {
  /** Where the question is asked. */
  readonly station: string;
  /** Whose value it is. */
  readonly member: string;
  /** Of what: `identity key`, `transport key`. */
  readonly of: string;
  /** Words that the person has to type as they are written at the member's station. */
  readonly words: string;
}

export interface ExceptionSheet {
  readonly expected: string;
  readonly happened: string;
  /** In words, for the record. */
  readonly decided: string;
  readonly by: string;
}

export interface PinQuestion {
  readonly station: string;
  readonly who: "user" | "so";
  /** It is being set: it is typed twice. */
  readonly isNew: boolean;
  /** What the token says of tries after a wrong PIN; it is never retried by itself. */
  readonly warning?: string | undefined;
}

export interface Hands {
  /** What was typed, and by whom; it need not be right. */
  compare(question: Comparison): Promise<{ readonly typed: string; readonly by: string }>;
  /** Typed by the person that allows something to be destroyed; anything but `word` is a refusal. */
  confirm(question: {
    readonly station: string;
    readonly asked: string;
    readonly word: string;
  }): Promise<{ readonly typed: string; readonly by: string }>;
  /** Undefined where nobody gives one. The caller wipes it. */
  pin(question: PinQuestion): Promise<Uint8Array | undefined>;
  /** Words that nobody could know before, for the challenge; empty where there is no witness. */
  witness(station: string): Promise<string>;
  /** What went wrong is written down; `goOn` says whether the step is tried again. */
  exception(sheet: {
    readonly station: string;
    readonly expected: string;
    readonly happened: string;
  }): Promise<ExceptionSheet & { readonly goOn: boolean }>;
}

/** Those who take steps at stations, one after the other. */
export interface StationHands extends Hands {
  /**
   * Before a step begins: is everybody there? What went otherwise than expected since the last one is written down.
   * `goOn` false ends the session; nothing of the step has been done then.
   */
  ready(question: { readonly station: string; readonly step: string }): Promise<{
    readonly goOn: boolean;
    readonly sheets: readonly ExceptionSheet[];
  }>;
}
