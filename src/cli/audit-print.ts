/** The result of `strongroom audit`, for people and for machines. */
import { toHex } from "../base/bytes.ts";
import {
  countKinds,
  type DeltaKind,
  deltaOf,
  type EpochDelta,
  type KeyDelta,
  type KeyRole,
} from "../trust/deltas.ts";
import type { Pins } from "../trust/pins.ts";
import { refusalOf } from "../trust/refusal.ts";
import { timeText } from "../trust/state.ts";
import type { WalkedEpoch } from "../trust/walk.ts";
import type { AuditResult } from "./audit-run.ts";
import { bold, dim, green, plain, red, say, table, yellow } from "./terminal.ts";

export interface PrintOptions {
  /** As many of the newest epochs; all by default. */
  readonly limit?: number;
  /** Only epochs before that one. */
  readonly before?: number;
  /** Only epochs after that one, of which the reader knows: it is no baseline then. */
  readonly after?: number | undefined;
  readonly fullKeys?: boolean;
}

const KIND_WORDS: Readonly<Record<DeltaKind, string>> = {
  baseline: "baseline",
  added: "added",
  removed: "removed",
  "role-changed": "role changed",
  unchanged: "unchanged",
};
const COLOUR: Readonly<Record<DeltaKind, (text: string) => string>> = {
  baseline: (text) => text,
  added: green,
  removed: red,
  "role-changed": yellow,
  unchanged: dim,
};

/** An epoch that is shown, and the one that it is compared with; undefined for the baseline. */
interface Shown {
  readonly walked: WalkedEpoch;
  readonly before: WalkedEpoch | undefined;
}

/** The epochs that are shown; all of them are verified. */
function shownOf(epochs: readonly WalkedEpoch[], options: PrintOptions): readonly Shown[] {
  const { limit, before = Number.POSITIVE_INFINITY, after = 0 } = options;
  const older = epochs.filter(({ epoch }) => epoch < before && epoch > after);
  const page = limit === undefined ? older : older.slice(-limit);
  const known = after > 0 ? epochs.find(({ epoch }) => epoch === (page[0]?.epoch ?? 0) - 1) : undefined;
  return page.map((walked, at) => ({ walked, before: at > 0 ? page[at - 1] : known }));
}

/** What an epoch changed, as far as both can be read. */
function deltaIn({ walked, before }: Shown): EpochDelta | undefined {
  if (!walked.announcement || (before && !before.announcement)) return undefined;
  return deltaOf(before?.announcement, walked.announcement);
}

/** `name+id` of a log, and enough of other keys to tell them apart: the first byte says only that it is a point. */
function keyText({ publicKey, role }: KeyDelta, fullKeys: boolean | undefined): string {
  if (fullKeys) return publicKey;
  if (role === "log") return publicKey.split("+").slice(0, 2).join("+");
  const digits = publicKey.length === 130 ? publicKey.slice(2) : publicKey;
  return `${digits.slice(0, 16)}…`;
}

const use = ({ role, site }: KeyRole): string => (site === undefined ? role : `${role} ${site}`);

/** What a key is for and was for; e.g. `identity site-a, active → draining`. */
function useText({ before, ...key }: KeyDelta): string {
  const [was, is] = [before ?? key, key].map(({ status, ...rest }) => [use(rest), status] as const);
  if (!was || !is) return use(key);
  return [0, 1]
    .flatMap((part) => {
      const [old, now] = [was[part], is[part]];
      if (now === undefined) return [];
      return old === now ? [now] : [`${old ?? "none"} → ${now}`];
    })
    .join(", ");
}

function keyRows({ keys }: EpochDelta, fullKeys: boolean | undefined): readonly (readonly string[])[] {
  const rows = fullKeys ? keys : keys.filter(({ kind }) => kind !== "unchanged");
  return rows.map((key) => [
    `  ${COLOUR[key.kind](KIND_WORDS[key.kind])}`,
    key.fleet ?? dim("trusted"),
    useText(key),
    keyText(key, fullKeys),
  ]);
}

function deltaText(delta: EpochDelta, isBaseline: boolean, { fullKeys }: PrintOptions): readonly string[] {
  const rows = keyRows(delta, fullKeys);
  const { unchanged } = countKinds(delta);
  const facts = isBaseline ? delta.facts.filter(({ what }) => what === "status") : delta.facts;
  return [
    ...(rows.length > 0 ? [table(["  key", "fleet", "role", "public key"], rows)] : []),
    ...facts.map(({ fleet, what, before, after = "none" }) =>
      plain(`  ${fleet} ${what}: ${before === undefined ? after : `${before} → ${after}`}`),
    ),
    ...(unchanged > 0 && !fullKeys ? [dim(`  unchanged: ${unchanged} keys`)] : []),
  ];
}

function verdict({ verified, refusal, isBeforePins }: WalkedEpoch): string {
  if (refusal) return red(`not believed (${refusalOf(refusal)})`);
  if (verified) return green("holds");
  return isBeforePins ? yellow("older than the pins; named by the epoch after it") : red("not read");
}

function epochText(one: Shown, options: PrintOptions): string {
  const { walked, before } = one;
  const { announcement, bundle } = walked;
  const head = [
    bold(`epoch ${walked.epoch}`),
    verdict(walked),
    ...(announcement
      ? [dim(`made ${timeText(announcement.createdAt)}, valid until ${timeText(announcement.validUntil)}`)]
      : []),
  ];
  const delta = deltaIn(one);
  return [
    head.join("  "),
    ...(bundle ? [dim(`  ${bundle.audit.digest}`)] : []),
    ...(delta ? deltaText(delta, !before, options) : [dim("  nothing to compare it with")]),
  ].join("\n");
}

function summarise({ walked, answers, evidence, refusals, proofs }: AuditResult, pins: Pins): void {
  const { head, epochs } = walked;
  if (head)
    say(
      `the log ${head.checkpoint.origin} ends at epoch ${head.checkpoint.size}, seen by ${head.witnesses.length} of ${pins.witnesses.length} pinned witnesses`,
    );
  if (answers)
    say(answers.asked ? "the auditor was asked for each audit" : "nobody answers for the auditor there");
  for (const { fleet, epoch, evidenceSha256, refusal } of evidence ?? [])
    if (!refusal)
      say(
        evidenceSha256 === undefined
          ? yellow(`fleet ${fleet}, epoch ${epoch}: announced without evidence`)
          : `fleet ${fleet}, epoch ${epoch}: the evidence holds`,
      );
  if (!evidence) say(dim("not looked at: the evidence of the ceremonies (--evidence)"));
  for (const { epoch, refusal } of refusals)
    say(red(plain(`${epoch === undefined ? "the log" : `epoch ${epoch}`}: ${refusal.message}`)));
  for (const file of proofs) say(bold(`proof of it, for anybody to check: ${file}`));
  if (refusals.length > 0) return;
  const [only, ...more] = epochs;
  const held =
    only && more.length === 0
      ? `the one epoch of ${pins.namespace} holds`
      : `all ${epochs.length} epochs of ${pins.namespace} hold, from the pins to the newest`;
  say(green(held));
}

export function printAudit(result: AuditResult, pins: Pins, options: PrintOptions): void {
  const { epochs } = result.walked;
  const page = shownOf(epochs, options);
  const text = page.map((one) => epochText(one, options)).join("\n\n");
  if (text !== "") process.stdout.write(`${text}\n`);
  const first = page[0]?.walked.epoch ?? 1;
  if (first > 1 && options.after === undefined)
    say(dim(`older epochs were checked too: --before ${first} shows them`));
  summarise(result, pins);
}

function epochJson(one: Shown): object {
  const { epoch, refusal, isBeforePins, bundle, announcement } = one.walked;
  return {
    epoch,
    holds: refusal === undefined,
    ...(isBeforePins ? { beforePins: true } : {}),
    digest: bundle?.audit.digest,
    createdAt: announcement?.createdAt,
    validUntil: announcement?.validUntil,
    delta: deltaIn(one),
  };
}

/** For `--json`. */
export function auditJson(
  { walked, answers, evidence, refusals, proofs }: AuditResult,
  from: string,
  pins: Pins,
  options: PrintOptions,
): object {
  const { head } = walked;
  const why = (refusal: Error | undefined): object =>
    refusal ? { reason: refusalOf(refusal), detail: refusal.message } : {};
  return {
    holds: refusals.length === 0,
    namespace: pins.namespace,
    from,
    head: head && {
      origin: head.checkpoint.origin,
      size: head.checkpoint.size,
      root: toHex(head.checkpoint.root),
      witnesses: head.witnesses,
    },
    newest: walked.newest?.epoch,
    epochs: shownOf(walked.epochs, options).map((one) => ({ ...epochJson(one), ...why(one.walked.refusal) })),
    auditor: answers === undefined || !answers.asked ? "not-asked" : "asked",
    ...(evidence
      ? { evidence: evidence.map(({ refusal, ...each }) => ({ ...each, holds: !refusal, ...why(refusal) })) }
      : {}),
    refusals: refusals.map(({ epoch, refusal }) => ({ ...(epoch ? { epoch } : {}), ...why(refusal) })),
    proofs,
  };
}
