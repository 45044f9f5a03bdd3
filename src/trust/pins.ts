/** What an app ships and a visitor enters: whom to believe about fleets. Everything else is learnt from these. */
import { z } from "zod";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { type AnnouncedKeys, announcedKeysSchema, NAMESPACE_PATTERN } from "../wire/announcement.ts";

export interface Pins {
  readonly type: "strongroom/pins/v1";
  readonly namespace: string;
  /** Keys at the time of `minimumEpoch`; later ones are learnt from epochs that these verify. */
  readonly keys: AnnouncedKeys;
  /** C2SP vkeys (cosignature/v1) of witnesses; none by default. */
  readonly witnesses: readonly string[];
  /** How many of them must have cosigned a checkpoint. */
  readonly witnessQuorum: number;
  /** The oldest epoch that may be believed. */
  readonly minimumEpoch: number;
}

const MAX_PINS_BYTES = 64 * 1024;

const schema: z.ZodType<Pins> = z
  .strictObject({
    type: z.literal("strongroom/pins/v1"),
    namespace: z.string().regex(NAMESPACE_PATTERN),
    keys: announcedKeysSchema,
    witnesses: z.array(z.string().max(256)).max(16),
    witnessQuorum: z.number().int().min(0).max(16),
    minimumEpoch: z.number().int().min(1).safe(),
  })
  .refine(({ witnesses, witnessQuorum }) => witnessQuorum <= witnesses.length, {
    path: ["witnessQuorum"],
    message: "more than there are witnesses",
  });

export function encodePins(pins: Pins): Uint8Array {
  return utf8(`${JSON.stringify(pins, null, 2)}\n`);
}

/** @throws config-invalid */
export function decodePins(bytes: Uint8Array): Pins {
  if (bytes.length > MAX_PINS_BYTES) throw new StrongroomError("config-invalid", "the pins are too large");
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch (cause) {
    throw new StrongroomError("config-invalid", "the pins are not JSON", { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new StrongroomError("config-invalid", `pins: ${issue?.path.join(".")}: ${issue?.message}`);
}
