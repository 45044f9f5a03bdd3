/**
 * What an auditor or a witness asks of its token besides (design §10): Ed25519 over whole messages, and a small value
 * that the token keeps and replaces. No vault needs it.
 */
import { randomBytes } from "node:crypto";
import { equal, toHex } from "../../base/bytes.ts";
import { isStrongroomError } from "../../base/errors.ts";
import { verifyEd25519 } from "../../crypto/ed25519.ts";
import { verifyOwnEd25519 } from "../../crypto/node/ed25519.ts";
import { dataValues, SESSION_DATA, writeData } from "../data-objects.ts";
import { type Check, fail, type Outcome, pass, refusalOf, unsupported } from "./check.ts";
import type { EdwardsPair, Workbench } from "./workbench.ts";

/** Of messages; an audit has some hundred bytes, a checkpoint with a long origin more. */
const LENGTHS = [1, 64, 200, 2000];
/** As long as an anchor, about. */
const DATA_BYTES = 128;

/** Refused with a return code: the token does not have it. */
function unlessRefused(work: () => Outcome): Outcome {
  try {
    return work();
  } catch (error) {
    if (isStrongroomError(error) && typeof error.details.ckr === "string")
      return unsupported(refusalOf(error));
    throw error;
  }
}

function signaturesVerify({ session }: Workbench, { privateKey, publicKey }: EdwardsPair): Outcome {
  const { eddsa } = session.traits.mechanisms;
  let repeatable = true;
  for (const length of LENGTHS) {
    const message = Uint8Array.from(randomBytes(length));
    const signature = session.sign(eddsa, privateKey, message, 128);
    if (signature.length !== 64) return fail(`${signature.length} bytes instead of 64`);
    // By OpenSSL, and strictly as clients do it.
    if (!verifyOwnEd25519(publicKey, message, signature) || !verifyEd25519(publicKey, message, signature))
      return fail(`the signature of ${length} bytes does not verify`);
    repeatable &&= equal(signature, session.sign(eddsa, privateKey, message, 128));
  }
  const again = repeatable ? "the same each time" : "another each time";
  return pass(`${LENGTHS.length} of ${LENGTHS.length} verify, ${again}`);
}

function replaces({ session }: Workbench, label: string): Outcome {
  const [first, second] = [randomBytes(DATA_BYTES), randomBytes(DATA_BYTES)].map((bytes) =>
    Uint8Array.from(bytes),
  );
  let expected: readonly Uint8Array[] = [];
  for (const value of [first, second]) {
    if (!value) continue;
    writeData(session, { label, value, expected }, SESSION_DATA);
    expected = dataValues(session, label, SESSION_DATA).map((found) => found.value);
    if (expected.length !== 1 || !expected.some((read) => equal(read, value)))
      return fail(`${expected.length} values where one was written, or another one`);
  }
  return pass(`${DATA_BYTES} bytes, replaced`);
}

export const AUDITOR_CHECKS: readonly Check[] = [
  {
    id: "auditor.keygen",
    title: "Ed25519 session key pair, sensitive and not extractable",
    level: "auditor",
    run: (bench) =>
      unlessRefused(() => {
        const { privateKey, publicKey } = bench.edwardsPair();
        const { sensitive, extractable } = bench.session.secrecy(privateKey);
        if (!sensitive || extractable) return fail(`SENSITIVE=${sensitive} EXTRACTABLE=${extractable}`);
        return pass(`a public key of ${publicKey.length} bytes`);
      }),
  },
  {
    id: "auditor.sign",
    title: "CKM_EDDSA over whole messages verifies in software",
    level: "auditor",
    run(bench) {
      let pair: EdwardsPair;
      try {
        pair = bench.edwardsPair();
      } catch {
        return unsupported("cannot be tried: no Ed25519 key pair");
      }
      return unlessRefused(() => signaturesVerify(bench, pair));
    },
  },
  {
    id: "auditor.data",
    title: "a data object is written, read and replaced",
    level: "auditor",
    run(bench) {
      const label = `strongroom/doctor/${toHex(randomBytes(8))}`;
      try {
        return unlessRefused(() => replaces(bench, label));
      } finally {
        for (const { handle } of dataValues(bench.session, label, SESSION_DATA)) bench.keep(handle);
      }
    },
  },
];
