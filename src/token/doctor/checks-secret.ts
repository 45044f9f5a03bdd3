/** HMAC: record ids, record keys and share tags. */
import { randomBytes } from "node:crypto";
import { equal } from "../../base/bytes.ts";
import { type Check, fail, pass } from "./check.ts";
import { hmacSha256 } from "./software.ts";

export const SECRET_CHECKS: readonly Check[] = [
  {
    id: "hmac.known-key",
    title: "HMAC-SHA-256 with a known key equals software",
    level: "required",
    run(bench) {
      const { key, value, how } = bench.knownSecret("generic secret", { SIGN: true });
      for (const length of [1, 32, 64, 200, 2000]) {
        const data = Uint8Array.from(randomBytes(length));
        const mac = bench.session.sign(bench.session.traits.mechanisms.hmac, key, data);
        if (!equal(mac, hmacSha256(value, data))) return fail(`differs from software for ${length} bytes`);
      }
      return pass(`key ${how}`);
    },
  },
  {
    id: "hmac.own-key",
    title: "HMAC-SHA-256 with a key that the token made",
    level: "required",
    run(bench) {
      const mac = (key: Buffer, data: Uint8Array): Uint8Array =>
        bench.session.sign(bench.session.traits.mechanisms.hmac, key, data);
      const [a, b] = [
        bench.secret("generic secret", { SIGN: true }),
        bench.secret("generic secret", { SIGN: true }),
      ];
      const data = Uint8Array.from(randomBytes(64));
      const first = mac(a, data);
      if (first.length !== 32) return fail(`${first.length} bytes instead of 32`);
      if (!equal(first, mac(a, data))) return fail("the same key gives different results");
      return equal(first, mac(b, data))
        ? fail("two keys give the same result")
        : pass("32 bytes, repeatable");
    },
  },
];
