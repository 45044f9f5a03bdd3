/** The bytes that signatures and identities cover, against a golden file made by other code (test/vectors/SOURCE.md). */
import { expect, test } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { envelopeInfo } from "../../src/crypto/envelope.ts";
import { acknowledgmentMessage, clientIdentity, receiptMessage } from "../../src/wire/transcripts.ts";
import { loadJson } from "../vectors/rfc.ts";

interface Golden {
  readonly receiptMessage: {
    readonly input: {
      readonly fleet: string;
      readonly recordId: string;
      readonly generation: number;
      readonly seq: number;
    };
    readonly output: string;
  };
  readonly acknowledgmentMessage: {
    readonly input: {
      readonly fleet: string;
      readonly site: string;
      readonly recordId: string;
      readonly generation: number;
      readonly registrationRecord: string;
      readonly sealedBackupKey: string;
      readonly sealedReceiptKey: string;
    };
    readonly output: string;
  };
  readonly clientIdentity: readonly {
    readonly input: { readonly tenant: string; readonly subject: string };
    readonly output: string;
  }[];
  readonly envelopeInfo: { readonly input: string; readonly output: string };
}

const golden = loadJson("golden-transcripts.json") as Golden;

test("receiptMessage", () => {
  const { input, output } = golden.receiptMessage;
  expect(toHex(receiptMessage({ ...input, recordId: fromHex(input.recordId) }))).toBe(output);
});

test("acknowledgmentMessage", () => {
  const { input, output } = golden.acknowledgmentMessage;
  const message = acknowledgmentMessage({
    ...input,
    recordId: fromHex(input.recordId),
    registrationRecord: fromHex(input.registrationRecord),
    sealedBackupKey: fromHex(input.sealedBackupKey),
    sealedReceiptKey: fromHex(input.sealedReceiptKey),
  });
  expect(toHex(message)).toBe(output);
});

test.each(golden.clientIdentity)("clientIdentity $output", ({ input, output }) => {
  expect(clientIdentity(input)).toBe(output);
});

test("envelopeInfo", () => {
  expect(toHex(envelopeInfo(golden.envelopeInfo.input))).toBe(golden.envelopeInfo.output);
});
