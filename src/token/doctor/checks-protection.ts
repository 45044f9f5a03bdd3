/** What the token must refuse, tried: attributes that are stored but not enforced protect nothing. */
import { type AttributeName, showAttribute, type Template } from "../attributes.ts";
import { chooseKeyWrap, wrapMechanism } from "../key-wrap.ts";
import type { ObjectHandle } from "../session.ts";
import { type Check, fail, mustRefuse, type Outcome, pass, refusalOf, unsupported } from "./check.ts";
import { hostKey } from "./software.ts";
import type { Workbench } from "./workbench.ts";

/** All must pass; the first failure is the outcome. */
function all(outcomes: readonly (readonly [string, Outcome])[]): Outcome {
  const failed = outcomes.find(([, { result }]) => result === "fail");
  if (failed) return fail(`${failed[0]}: ${failed[1].detail}`);
  const details = [...new Set(outcomes.map(([, { detail }]) => detail))];
  const where = (detail: string): string =>
    [...new Set(outcomes.flatMap(([what, outcome]) => (outcome.detail === detail ? [what] : [])))].join(", ");
  return pass(details.map((detail) => `${where(detail)} ${detail}`).join("; "));
}

/** Wraps `key` under a key that is good for wrapping but not trusted. */
function wrapAttempt(bench: Workbench, key: ObjectHandle): () => unknown {
  const kek = bench.secret("AES", { WRAP: true, UNWRAP: true });
  const mechanism = wrapMechanism(chooseKeyWrap(bench.session));
  return () => bench.session.wrap(mechanism, kek, key);
}

/** Values: C_GetAttributeValue may fail or answer without a value; an answer with one is a leak. */
function reveal(bench: Workbench, key: ObjectHandle): Outcome {
  try {
    const value = bench.session.attribute(key, "VALUE");
    return value instanceof Uint8Array && value.length > 0
      ? fail("its value was handed out")
      : pass("refused: no value");
  } catch (error) {
    return pass(`refused: ${refusalOf(error)}`);
  }
}

/** A change that must not be made: refused, or answered with OK and not done. */
function mustNotChange(bench: Workbench, key: ObjectHandle, change: Template): Outcome {
  const attempt = mustRefuse("", () => bench.session.setAttributes(key, change));
  const { sensitive, extractable } = bench.session.secrecy(key);
  if (!sensitive || extractable) return fail(`now SENSITIVE=${sensitive} EXTRACTABLE=${extractable}`);
  return attempt.result === "pass" ? attempt : pass("answered CKR_OK and did not do it");
}

/** Makes a key with one more attribute; undefined and why, where the token does not take or keep it. */
function withAttribute(bench: Workbench, attributes: Template, name: AttributeName): ObjectHandle | string {
  try {
    const key = bench.secret("generic secret", { SIGN: true, ...attributes });
    const actual = bench.session.attribute(key, name);
    return actual === attributes[name] ? key : `${name} reads ${showAttribute(name, actual)}`;
  } catch (error) {
    return `${name} in a template: ${refusalOf(error)}`;
  }
}

export const PROTECTION_CHECKS: readonly Check[] = [
  {
    id: "protect.reveal",
    title: "the value of a sensitive key is not handed out",
    level: "required",
    run: (bench) =>
      all([
        ["secret key", reveal(bench, bench.secret("generic secret", { SIGN: true }))],
        ["AES key", reveal(bench, bench.secret("AES", { WRAP: true }))],
        ["private key", reveal(bench, bench.ecPair().privateKey)],
        // A share is extractable for a moment; it must be sensitive even then.
        [
          "extractable private key",
          reveal(bench, bench.ecPair({ DERIVE: true, EXTRACTABLE: true }).privateKey),
        ],
      ]),
  },
  {
    id: "protect.reopen",
    title: "EXTRACTABLE and SENSITIVE cannot be turned back",
    level: "required",
    run: (bench) =>
      all(
        (
          [
            ["secret key", bench.secret("generic secret", { SIGN: true })],
            ["private key", bench.ecPair().privateKey],
          ] as const
        ).flatMap(([what, key]) => [
          [what, mustNotChange(bench, key, { EXTRACTABLE: true })] as const,
          [what, mustNotChange(bench, key, { SENSITIVE: false })] as const,
        ]),
      ),
  },
  {
    id: "protect.wrap-unextractable",
    title: "a key that is not extractable is not wrapped",
    level: "required",
    run: (bench) =>
      all([
        [
          "secret key",
          mustRefuse("it was wrapped", wrapAttempt(bench, bench.secret("generic secret", { SIGN: true }))),
        ],
        ["private key", mustRefuse("it was wrapped", wrapAttempt(bench, bench.ecPair().privateKey))],
      ]),
  },
  {
    id: "protect.copy",
    title: "a copy cannot be more extractable than its original",
    level: "required",
    run(bench) {
      const copies = [bench.secret("generic secret", { SIGN: true }), bench.ecPair().privateKey].map(
        (key) => {
          try {
            const copy = bench.keep(bench.session.copy(key, { EXTRACTABLE: true }));
            const { extractable } = bench.session.secrecy(copy);
            return extractable ? fail("the copy is extractable") : pass("copied, still not extractable");
          } catch (error) {
            return pass(`refused: ${refusalOf(error)}`);
          }
        },
      );
      return all(copies.map((outcome, i) => [i === 0 ? "secret key" : "private key", outcome]));
    },
  },
  {
    id: "protect.seal",
    title: "an extractable key can be sealed for good",
    level: "recommended",
    run(bench) {
      const key = bench.secret("generic secret", { SIGN: true, EXTRACTABLE: true });
      try {
        bench.session.setAttributes(key, { EXTRACTABLE: false });
      } catch (error) {
        return unsupported(`EXTRACTABLE=false: ${refusalOf(error)}; sealing must copy and destroy`);
      }
      return all([
        ["reopening", mustNotChange(bench, key, { EXTRACTABLE: true })],
        ["wrapping", mustRefuse("it was wrapped", wrapAttempt(bench, key))],
      ]);
    },
  },
  {
    id: "protect.wrap-with-trusted",
    title: "a WRAP_WITH_TRUSTED key is not wrapped by an untrusted one",
    level: "recommended",
    run(bench) {
      const key = withAttribute(bench, { WRAP_WITH_TRUSTED: true, EXTRACTABLE: true }, "WRAP_WITH_TRUSTED");
      if (typeof key === "string") return unsupported(key);
      const outcome = mustRefuse("it was wrapped", wrapAttempt(bench, key));
      // A token that wraps no such key whatever its attributes has shown nothing.
      const usual = bench.secret("generic secret", { SIGN: true, EXTRACTABLE: true });
      try {
        wrapAttempt(bench, usual)();
      } catch (error) {
        return unsupported(
          `cannot be tried: without the attribute it is not wrapped either: ${refusalOf(error)}`,
        );
      }
      return outcome;
    },
  },
  {
    id: "protect.usage",
    title: "a key does only what its usage flags allow",
    level: "recommended",
    run(bench) {
      const { session } = bench;
      const host = hostKey();
      const signer = bench.ecPair({ SIGN: true, DERIVE: false });
      const mute = bench.secret("generic secret", { SIGN: false, DERIVE: true });
      const kek = bench.secret("AES", { WRAP: false, ENCRYPT: true });
      const key = bench.secret("generic secret", { SIGN: true, EXTRACTABLE: true });
      const mechanism = wrapMechanism(chooseKeyWrap(session));
      return all([
        ["ECDH without DERIVE", mustRefuse("done", () => bench.derive(signer.privateKey, host.point))],
        [
          "HMAC without SIGN",
          mustRefuse("done", () => session.sign(session.traits.mechanisms.hmac, mute, host.point)),
        ],
        ["wrapping without WRAP", mustRefuse("done", () => session.wrap(mechanism, kek, key))],
      ]);
    },
  },
  {
    id: "protect.modifiable",
    title: "MODIFIABLE=false is honoured",
    level: "recommended",
    run(bench) {
      const key = withAttribute(bench, { MODIFIABLE: false }, "MODIFIABLE");
      if (typeof key === "string") return unsupported(key);
      return mustRefuse("its label was changed", () =>
        bench.session.setAttributes(key, { LABEL: "changed" }),
      );
    },
  },
  {
    id: "protect.copyable",
    title: "COPYABLE=false is honoured",
    level: "recommended",
    run(bench) {
      const key = withAttribute(bench, { COPYABLE: false }, "COPYABLE");
      if (typeof key === "string") return unsupported(key);
      return mustRefuse("it was copied", () => bench.keep(bench.session.copy(key, { LABEL: "copy" })));
    },
  },
];
