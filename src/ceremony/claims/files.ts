/** The files are those that the officers signed for: all of them, no others, and not a bit changed. */
import { EVIDENCE_FILE, isEvidencePath } from "../evidence-files.ts";
import { openEvidence } from "../evidence-statement.ts";
import { type ClaimRule, judged } from "./claim.ts";

export const filesIntact: ClaimRule = {
  id: "files-intact",
  title: "No file was changed, added or taken away after the evidence was put together",
  source: "proved",
  needs: [],
  check(evidence) {
    const { statement } = openEvidence(evidence.bytes(EVIDENCE_FILE));
    const listed = new Map(statement.subject.map(({ name, digest }) => [name, digest.sha256]));
    const present = [...evidence.files].filter(([path]) => path !== EVIDENCE_FILE);
    const problems = [
      ...present.flatMap(([path, { sha256 }]) => {
        const wanted = listed.get(path);
        if (wanted === undefined) return [`${path} is not in the signed list`];
        return wanted === sha256 ? [] : [`${path} is not the file that was signed for`];
      }),
      ...[...listed.keys()].filter((path) => !evidence.files.has(path)).map((path) => `${path} is missing`),
      ...[...listed.keys()]
        .filter((path) => !isEvidencePath(path))
        .map((path) => `${path} has no place here`),
    ];
    return judged(problems, `${present.length} files, each with the SHA-256 in the signed list.`);
  },
};

export const attachments: ClaimRule = {
  id: "attachments",
  title: "Photographs, films and the like are the ones that were attached",
  source: "officer-stated",
  needs: ["files-intact"],
  check(evidence) {
    const paths = evidence.paths("attachments");
    const blobs = evidence.all("open").flatMap(({ station, output: { attestation } }) => {
      if (!attestation) return [];
      const { file, sha256 } = attestation;
      const path = file.startsWith("attachments/") ? file : `attachments/${file}`;
      return evidence.files.get(path)?.sha256 === sha256
        ? []
        : [`${path} of ${station} is missing or another`];
    });
    const well =
      paths.length === 0
        ? "There are none."
        : `${paths.length} attached; what they show, people say: ${paths.map((path) => path.slice(12)).join(", ")}.`;
    return judged(blobs, well);
  },
};
