/** What an app ships and a visitor enters: whom to believe about fleets. Everything else is learnt from these. */
import * as z from "zod";
import { type AnnouncedKeys, announcedKeysSchema, NAMESPACE_PATTERN } from "../wire/announcement.ts";
import { encodeJson, parseJson } from "../wire/json.ts";

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
  return encodeJson(pins);
}

/** @throws config-invalid */
export function decodePins(bytes: Uint8Array): Pins {
  return parseJson(bytes, { what: "pins", schema, code: "config-invalid", maxBytes: MAX_PINS_BYTES });
}
