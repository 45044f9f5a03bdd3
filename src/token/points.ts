/** Points and x-coordinates in the shapes that tokens take and give. */
import { StrongroomError } from "../base/errors.ts";
import type { PointEncoding } from "./profile.ts";

const POINT_BYTES = 65;
const X_BYTES = 32;

/** Only an uncompressed SEC1 point goes to a token: what a device does with anything else is its secret. */
function checkPoint(point: Uint8Array): void {
  if (point.length !== POINT_BYTES || point[0] !== 4)
    throw new StrongroomError("point-invalid", "not an uncompressed P-256 point");
}

/** As the profile wants the peer's point sent: raw, or in a DER OCTET STRING. @throws point-invalid */
export function encodePoint(point: Uint8Array, encoding: PointEncoding): Uint8Array {
  checkPoint(point);
  return encoding === "raw" ? point : Buffer.concat([Uint8Array.of(4, POINT_BYTES), point]);
}

/** CKA_EC_POINT, which devices give raw or in a DER OCTET STRING. @throws token-failed */
export function decodeEcPoint(value: Uint8Array): Uint8Array {
  const der = value.length === POINT_BYTES + 2 && value[0] === 4 && value[1] === POINT_BYTES;
  const point = der ? value.subarray(2) : value;
  if (point.length !== POINT_BYTES || point[0] !== 4)
    throw new StrongroomError("token-failed", "the token gave a public key that is no P-256 point");
  return Uint8Array.from(point);
}

/** CKA_EC_POINT of an Ed25519 key: 32 bytes, raw or in a DER OCTET STRING or BIT STRING. @throws token-failed */
export function decodeEdwardsPoint(value: Uint8Array): Uint8Array {
  const [tag, length, unused] = value;
  const octets = value.length === 34 && tag === 4 && length === 32;
  const bits = value.length === 35 && tag === 3 && length === 33 && unused === 0;
  const point = octets ? value.subarray(2) : bits ? value.subarray(3) : value;
  if (point.length !== 32)
    throw new StrongroomError("token-failed", "the token gave a public key that is none of Ed25519");
  return Uint8Array.from(point);
}

/** A derived value as 32 bytes; some devices strip leading zeros. @throws token-failed */
export function xCoordinate(value: Uint8Array | undefined): Uint8Array {
  if (value === undefined || value.length === 0 || value.length > X_BYTES)
    throw new StrongroomError("token-failed", "the token derived a value of a wrong length");
  const x = new Uint8Array(X_BYTES);
  x.set(value, X_BYTES - value.length);
  return x;
}
