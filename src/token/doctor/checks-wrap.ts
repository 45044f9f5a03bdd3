/**
 * AES key wrap: the only thing that keeps a share secret outside the token. The mechanism's number does not say
 * which format it is, so the result is compared with software, in both directions.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../../base/bytes.ts";
import { KEY_TYPE, OBJECT_CLASS } from "../attributes.ts";
import { mechanismText } from "../cryptoki.ts";
import { chooseKeyWrap, wrapMechanism } from "../key-wrap.ts";
import type { KeyWrap, WrapFormat } from "../profile.ts";
import type { ObjectHandle } from "../session.ts";
import { type Check, fail, type Outcome, pass, refusalOf } from "./check.ts";
import { UNWRAPPED_SHARE } from "./share-template.ts";
import { hmacSha256, hostKey, wrapped } from "./software.ts";
import { tamperInChild } from "./tamper.ts";
import type { Workbench } from "./workbench.ts";

const FORMAT_NAMES: Readonly<Record<WrapFormat, string>> = {
  rfc5649: "RFC 5649",
  "pkcs7-rfc3394": "PKCS#7 padding and RFC 3394",
  vendor: "a vendor's format",
};

/** What one mechanism really does; `works` if that is what the profile says. */
function tryMechanism(bench: Workbench, keyWrap: KeyWrap): { works: boolean; seen: string } {
  const name = mechanismText(keyWrap.mechanism);
  const mechanism = wrapMechanism(keyWrap);
  const { session } = bench;
  try {
    const kek = bench.knownSecret("AES", { WRAP: true, UNWRAP: true });
    const key = bench.knownSecret("AES", { ENCRYPT: true, EXTRACTABLE: true });
    const blob = session.wrap(mechanism, kek.key, key.key);
    const formats: readonly WrapFormat[] = ["rfc5649", "pkcs7-rfc3394"];
    const actual = formats.find((format) => {
      const expected = wrapped(format, kek.value, key.value);
      return expected !== undefined && equal(expected, blob);
    });
    const what = actual ? FORMAT_NAMES[actual] : `${blob.length} bytes in a format of its own`;
    if ((actual ?? "vendor") !== keyWrap.format)
      return { works: false, seen: `${name} is ${what}, the profile says ${FORMAT_NAMES[keyWrap.format]}` };

    // The other direction: what software wrapped must come to be the same key inside.
    const secret = Uint8Array.from(randomBytes(32));
    const fromHost = wrapped(keyWrap.format, kek.value, secret);
    if (fromHost) {
      const inside = bench.keep(
        session.unwrap(mechanism, kek.key, fromHost, {
          CLASS: OBJECT_CLASS["secret key"],
          KEY_TYPE: KEY_TYPE["generic secret"],
          TOKEN: false,
          PRIVATE: true,
          SENSITIVE: true,
          EXTRACTABLE: false,
          SIGN: true,
        }),
      );
      const mac = session.sign(session.traits.mechanisms.hmac, inside, secret);
      if (!equal(mac, hmacSha256(secret, secret)))
        return { works: false, seen: `${name} unwraps to another key than software wrapped` };
    }
    return { works: true, seen: `${name} is ${what}; keys ${kek.how}` };
  } catch (error) {
    return { works: false, seen: `${name}: ${refusalOf(error)}` };
  }
}

/** A share's life: born extractable, wrapped, destroyed, unwrapped for good. */
function shareRoundTrip(bench: Workbench): Outcome {
  const { session } = bench;
  const keyWrap = chooseKeyWrap(session);
  const mechanism = wrapMechanism(keyWrap);
  const kek = bench.secret("AES", { WRAP: true, UNWRAP: true });
  const pair = bench.ecPair({ DERIVE: true, EXTRACTABLE: true });
  const blob = session.wrap(mechanism, kek, pair.privateKey);
  const share: ObjectHandle = bench.keep(session.unwrap(mechanism, kek, blob, UNWRAPPED_SHARE));
  const asTemplate = session.secrecy(share);
  if (session.traits.sealAfterUnwrap) session.setAttributes(share, { SENSITIVE: true, EXTRACTABLE: false });
  const { sensitive, extractable } = session.secrecy(share);
  const seen = `SENSITIVE=${sensitive} EXTRACTABLE=${extractable}`;
  if (!sensitive || extractable) return fail(`the unwrapped key has ${seen}`);
  const host = hostKey();
  if (!equal(bench.derive(share, host.point), host.multiplyX(pair.point)))
    return fail("the unwrapped key is another one");
  const mended = asTemplate.sensitive && !asTemplate.extractable ? "" : ", set after unwrapping";
  return pass(`${mechanismText(keyWrap.mechanism)}, ${blob.length} bytes; ${seen}${mended}`);
}

export const WRAP_CHECKS: readonly Check[] = [
  {
    id: "wrap.known-answer",
    title: "AES key wrap equals software, both ways, in the profile's format",
    level: "required",
    run(bench) {
      const { keyWrap } = bench.session.traits;
      const tried = keyWrap.map((one) => tryMechanism(bench, one));
      const seen = tried.map((one) => one.seen).join("; ");
      if (tried.length === 0) return fail("the profile knows of no key wrap on this device");
      if (!tried.some(({ works }) => works)) return fail(seen);
      // The vault takes the first whose results have the right length, which is less than is tried here.
      const chosen = keyWrap.indexOf(chooseKeyWrap(bench.session));
      return tried[chosen]?.works
        ? pass(seen)
        : fail(`${seen}; the vault would take the one that is wrong: take it out of the profile`);
    },
  },
  {
    id: "wrap.share",
    title: "an EC key goes out wrapped and comes back the same, sealed",
    level: "required",
    run: shareRoundTrip,
  },
  {
    id: "wrap.tampered",
    title: "a tampered, cut or foreign wrapped key is refused",
    level: "required",
    run: (bench) => tamperInChild(bench.origin),
  },
];
