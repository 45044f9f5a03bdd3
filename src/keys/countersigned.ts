/**
 * The operator's token remembers which announcement it countersigned last, in a data object. So one epoch has one
 * countersignature's worth of contents, whatever becomes of the operator's files, and even if the auditor would sign two.
 */
import { concat, equal, fromHex, uintBE, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { dataValues, writeData } from "../token/data-objects.ts";
import type { TokenSession } from "../token/session.ts";

const PREFIX = utf8("strongroom/countersigned/v1\0");
const EPOCH_BYTES = 8;
const DIGEST_BYTES = 32;

interface Countersigned {
  readonly epoch: number;
  readonly digest: Uint8Array;
  readonly value: Uint8Array;
}

function decode(value: Uint8Array): Countersigned {
  const rest = value.subarray(PREFIX.length);
  if (!equal(value.subarray(0, PREFIX.length), PREFIX) || rest.length !== EPOCH_BYTES + DIGEST_BYTES)
    throw new StrongroomError(
      "record-corrupt",
      "what the token remembers of countersignatures is not readable",
    );
  const view = new DataView(rest.buffer, rest.byteOffset, EPOCH_BYTES);
  return { epoch: Number(view.getBigUint64(0)), digest: rest.subarray(EPOCH_BYTES), value };
}

/**
 * Makes the token remember an announcement before it is countersigned. The same one may be countersigned again.
 * @param digest SHA-256 of the announcement, hex
 * @throws conflict where it remembers another one of that epoch, or a later epoch; record-corrupt; token errors
 */
export function rememberCountersigned(
  session: TokenSession,
  namespace: string,
  epoch: number,
  digest: string,
): void {
  const label = `strongroom/${namespace}/countersigned`;
  const before = dataValues(session, label).map(({ value }) => decode(Uint8Array.from(value)));
  for (const last of before) {
    if (last.epoch < epoch || (last.epoch === epoch && equal(last.digest, fromHex(digest)))) continue;
    throw new StrongroomError(
      "conflict",
      last.epoch === epoch
        ? `the token has countersigned another announcement of epoch ${epoch}`
        : `the token has countersigned epoch ${last.epoch} already`,
      {
        hint: "a second version of an epoch is a lie to whoever saw the first; propose the next epoch instead",
      },
    );
  }
  const value = concat(PREFIX, uintBE(epoch, EPOCH_BYTES), fromHex(digest));
  writeData(session, { label, value, expected: before.map((last) => last.value) });
}
