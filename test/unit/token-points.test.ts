import { expect, test } from "vitest";
import { decodeEcPoint, encodePoint, xCoordinate } from "../../src/token/points.ts";
import { codeOf } from "../support/codes.ts";

const point = Uint8Array.from({ length: 65 }, (_, i) => (i === 0 ? 4 : i));
const der = Uint8Array.of(4, 65, ...point);
test("points go out as the profile says, and only whole uncompressed ones", () => {
  expect(encodePoint(point, "raw")).toBe(point);
  expect(Uint8Array.from(encodePoint(point, "der"))).toEqual(der);
  const other = Uint8Array.of(2, ...point.subarray(1));
  for (const wrong of [point.subarray(1), der, other, new Uint8Array(0), new Uint8Array(65)])
    for (const encoding of ["raw", "der"] as const)
      expect(codeOf(() => encodePoint(wrong, encoding))).toBe("point-invalid");
});

test("public keys come in raw and in DER", () => {
  expect(decodeEcPoint(point)).toEqual(point);
  expect(decodeEcPoint(der)).toEqual(point);
  const longer = Uint8Array.of(...der, 0);
  for (const wrong of [
    point.subarray(0, 64),
    longer,
    new Uint8Array(65),
    Uint8Array.of(3, ...der.subarray(1)),
  ])
    expect(codeOf(() => decodeEcPoint(wrong))).toBe("token-failed");
});

test("x-coordinates get back the leading zeros that a device stripped", () => {
  expect(xCoordinate(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(...new Array(30).fill(0), 1, 2));
  const whole = Uint8Array.from({ length: 32 }, (_, i) => i);
  expect(xCoordinate(whole)).toEqual(whole);
  for (const wrong of [undefined, new Uint8Array(0), new Uint8Array(33)])
    expect(codeOf(() => xCoordinate(wrong))).toBe("token-failed");
});
