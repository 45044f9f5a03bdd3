/** The certificates: the root's own, and one for the identity key of each member. */
import { X509Certificate } from "node:crypto";
import { equal, fromHex, utf8 } from "../../base/bytes.ts";
import { StrongroomError } from "../../base/errors.ts";
import { sha256HexOf } from "../../base/node/sha256.ts";
import { certificateName, certificatePem } from "../certificate.ts";
import type { EvidenceReading } from "../evidence-reading.ts";
import { ROOT } from "../plan.ts";
import { fingerprintWords } from "../words.ts";
import { type ClaimRule, judged } from "./claim.ts";

/** @throws evidence-invalid */
function parse(der: Uint8Array, whose: string): X509Certificate {
  try {
    const certificate = new X509Certificate(der);
    // Node reads the key when it is asked for it, and throws only then.
    if (equal(certificate.raw, der) && certificate.publicKey.type === "public") return certificate;
  } catch (cause) {
    throw new StrongroomError("evidence-invalid", `the certificate of ${whose} is none`, { cause });
  }
  throw new StrongroomError("evidence-invalid", `the certificate of ${whose} has something behind it`);
}

/** Uncompressed, undefined for a key of another kind. */
function pointOf({ publicKey }: X509Certificate): Uint8Array | undefined {
  const { crv, x, y } = publicKey.export({ format: "jwk" });
  if (crv !== "P-256" || x === undefined || y === undefined) return undefined;
  return Uint8Array.from([4, ...Buffer.from(x, "base64url"), ...Buffer.from(y, "base64url")]);
}

function isIssuedBy(certificate: X509Certificate, root: X509Certificate): boolean {
  try {
    return certificate.checkIssued(root) && certificate.verify(root.publicKey);
  } catch {
    // Of another algorithm, for one.
    return false;
  }
}

/** The names of a certificate as `certificateName` writes them. */
const nameOf = (name: string): string => String(name).split("\n").join(", ");

/** What is wrong with the certificate of a station, for `key`, issued by `root`. */
function problemsOf(
  evidence: EvidenceReading,
  station: string,
  der: Uint8Array,
  root: X509Certificate,
): readonly string[] {
  const { fleet, mode } = evidence.plan;
  const certificate = parse(der, station);
  const problems: string[] = [];
  const require = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(`The certificate of ${station} ${problem}.`);
  };
  const point = pointOf(certificate);
  require(point !== undefined && equal(point, evidence.keyOf(station)), "is for another key");
  require(isIssuedBy(certificate, root), "is not the root's");
  require(certificate.ca === (station === ROOT), station === ROOT ? "is no root's" : "could issue others");
  const subject = nameOf(certificate.subject);
  require(subject === certificateName(fleet, station, mode), `is for another subject: ${subject}`);
  require(nameOf(certificate.issuer) === certificateName(fleet, ROOT, mode), "names another issuer");
  const signedAt = evidence.one("certify", ROOT).time;
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  require(from <= signedAt && signedAt < to, "was not valid when it was made");
  const file = evidence.files.get(`certificates/${station}.pem`)?.bytes;
  require(file !== undefined && equal(file, utf8(certificatePem(der))), "is another one in its file");
  return problems;
}

/** What is wrong with the root's key for a verifier who knows its fingerprint from elsewhere. */
export function unexpectedRoot({ questions }: EvidenceReading, root: Uint8Array): readonly string[] {
  const { rootFingerprint } = questions;
  const fingerprint = sha256HexOf(root);
  if (rootFingerprint === undefined || rootFingerprint === fingerprint) return [];
  return [`The root's key is ${fingerprint}; ${rootFingerprint} was expected.`];
}

export const certificates: ClaimRule = {
  id: "certificates",
  title: "Each identity key has a certificate of the fleet's root, for that key and for that station",
  source: "proved",
  needs: ["statements-signed", "sites"],
  appliesTo: (evidence) => evidence.has("certify"),
  check(evidence) {
    const made = evidence.one("make-root", ROOT).output;
    const rootDer = fromHex(made.certificate);
    const root = parse(rootDer, ROOT);
    const issued = evidence.one("certify", ROOT).output;
    const problems = [
      ...unexpectedRoot(evidence, fromHex(made.publicKey)),
      ...problemsOf(evidence, ROOT, rootDer, root),
    ];
    for (const { name } of evidence.members) {
      const der = issued.certificates[name];
      if (der === undefined) problems.push(`${name} has none.`);
      else problems.push(...problemsOf(evidence, name, fromHex(der), root));
      const key = evidence.keyOf(name);
      const words = issued.compared.find(({ member }) => member === name)?.words;
      if (words === undefined) problems.push(`Nobody compared the identity key of ${name}.`);
      else if (words !== fingerprintWords(key))
        problems.push(`For ${name}, the words of another key were compared.`);
    }
    const compared = issued.compared.map(({ member, by }) => `${member} (${by})`).join(", ");
    const by = compared === "" ? "" : ` Fingerprints compared by people, as they say: ${compared}.`;
    const key = fromHex(made.publicKey);
    const root12 = fingerprintWords(key);
    return judged(problems, `Root key ${sha256HexOf(key)}: ${root12}.${by}`);
  },
};
