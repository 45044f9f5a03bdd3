/** Records for tests: random ones for properties, and sealing as the vault does it, without a token. */
import { createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import type { Registration, Share, VaultRecord } from "../../src/vault/record.ts";

const MAX = Number.MAX_SAFE_INTEGER;
/** Decoded objects have the ordinary prototype, and strict equality looks at it. */
const PLAIN = { noNullPrototype: true };
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const counter = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: MAX }));

const share = (number: number): fc.Arbitrary<Share> =>
  fc.record(
    {
      share: fc.constant(number),
      mechanism: fc.integer({ min: 0, max: 0xffff_ffff }),
      wrapped: fc.uint8Array({ minLength: 1, maxLength: 256 }),
      publicKey: bytes(65),
      tag: bytes(32),
    },
    PLAIN,
  );

const registration = (shareCount: number): fc.Arbitrary<Registration> =>
  fc
    .record(
      {
        shares: fc.tuple(...Array.from({ length: shareCount }, (_, number) => share(number))),
        registrationRecord: bytes(129),
        sealedBackupKey: bytes(60),
        sealedReceiptKey: bytes(60),
        receiptPublicKey: bytes(33),
        maxAttempts: fc.integer({ min: 1, max: 100 }),
        base: counter,
        failed: fc.nat(100),
        lastReceipt: bytes(64),
        lastAttempt: bytes(32),
        earlier: fc.option(fc.integer({ min: 1, max: 9 }).chain((count) => bytes(6 * count))),
        lastAttemptAt: counter,
        registeredAt: counter,
      },
      PLAIN,
    )
    .map(({ base, failed, earlier, ...rest }) => {
      const seq = Math.min(MAX, base + Math.min(failed, rest.maxAttempts));
      return {
        ...rest,
        ...(earlier === null ? {} : { earlier }),
        base,
        seq,
        lastReceipt: base > 0 ? rest.lastReceipt : new Uint8Array(0),
        lastAttempt: seq > 0 ? rest.lastAttempt : new Uint8Array(0),
      };
    });

/** Any valid record of a fleet with `shareCount` shares. */
export function anyRecord(shareCount: number): fc.Arbitrary<VaultRecord> {
  const common = fc.record(
    {
      version: fc.constant(1 as const),
      budgetAt: counter,
      writeIds: fc.array(bytes(16), { maxLength: 16 }),
      updatedAt: counter,
    },
    PLAIN,
  );
  const generation = fc.integer({ min: 1, max: MAX });
  return fc.oneof(
    common.map((rest): VaultRecord => ({ ...rest, state: "vacant", generation: 0 })),
    fc.tuple(common, generation, registration(shareCount)).map(
      ([rest, number, active]): VaultRecord => ({
        ...rest,
        state: "active",
        generation: number,
        registration: active,
      }),
    ),
    fc
      .tuple(common, generation, fc.constantFrom("destroyed" as const, "deleted" as const))
      .map(([rest, number, state]): VaultRecord => ({ ...rest, state, generation: number })),
  );
}

/** What the token's record key does, under a key of the test. */
export function recordHmac(data: Uint8Array, key: Uint8Array = new Uint8Array(32).fill(7)): Uint8Array {
  return Uint8Array.from(createHmac("sha256", key).update(data).digest());
}

export const randomId = (): Uint8Array => Uint8Array.from(randomBytes(32));
