/**
 * What an operator's commands say to an auditor over HTTP. Every request may be sent again: the auditor answers it as it
 * did before, so a command that was interrupted is simply run again.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CountersignRequest } from "../auditor/namespace.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { sha256HexOf } from "../base/node/sha256.ts";
import { EVIDENCE_FILE } from "../ceremony/evidence-files.ts";
import { readEvidenceFiles } from "../ceremony/evidence-folder.ts";
import { openEvidence } from "../ceremony/evidence-statement.ts";
import { type Audit, auditSchema } from "../wire/audit.ts";
import { MAX_BUNDLE_BYTES } from "../wire/bundle.ts";
import { readBytes } from "./bundle-files.ts";

export interface AuditorExchange {
  putAnnouncement(digest: string, bytes: Uint8Array): Promise<void>;
  /** A ceremony's folder. @returns how many files were sent */
  putEvidence(dir: string): Promise<number>;
  audit(epoch: number, digest: string): Promise<Audit>;
  /** @returns the bundle's bytes; verify them */
  countersign(request: CountersignRequest): Promise<Uint8Array>;
}

/** An auditor that looks at the evidence of seven sites takes its time. */
const TIMEOUT_MS = 300_000;

/** Not from argv, where every process could read it. @throws usage, file-failed */
function readToken(path: string): string {
  const token = new TextDecoder().decode(readBytes(path, "the operator's token")).trim();
  if ((statSync(path).mode & 0o077) !== 0)
    throw new StrongroomError("usage", `${path} can be read by others`, { hint: `chmod 600 ${path}` });
  if (/^[A-Za-z0-9._~+/=-]{16,512}$/.test(token)) return token;
  throw new StrongroomError("usage", `${path} holds no operator's token`, {
    hint: "`strongroom auditor init` made it; the auditor hands it over",
  });
}

/** SHA-256 (hex) of what the officers signed of a ceremony's evidence. @throws evidence-invalid, file-failed */
export function evidenceHash(dir: string): string {
  const list = readEvidenceFiles(dir).get(EVIDENCE_FILE)?.bytes;
  if (!list)
    throw new StrongroomError("evidence-invalid", `${dir} has no ${EVIDENCE_FILE}`, {
      hint: "`strongroom evidence build` makes it, `strongroom ceremony sign` signs it",
    });
  return sha256HexOf(openEvidence(list).envelope.payload);
}

async function refusal(response: Response): Promise<StrongroomError> {
  let told: { readonly message?: unknown; readonly hint?: unknown } = {};
  try {
    const value: unknown = await response.json();
    if (typeof value === "object" && value !== null) told = value;
  } catch {
    // A proxy's page, say: the status is all there is.
  }
  const { message, hint } = told;
  const words = typeof message === "string" ? message.slice(0, 1_000) : `HTTP status ${response.status}`;
  const code = response.status >= 500 ? "unavailable" : "auditor-refused";
  return new StrongroomError(code, `the auditor refuses: ${words}`, {
    ...(typeof hint === "string" ? { hint: hint.slice(0, 1_000) } : {}),
  });
}

/**
 * @param url where the auditor answers, e.g. `https://auditor.example`
 * @throws usage, file-failed; each request: auditor-refused, unavailable
 */
export function auditorAt(url: string, namespace: string, tokenFile: string): AuditorExchange {
  const base = `${url.replace(/\/+$/, "")}/namespaces/${encodeURIComponent(namespace)}`;
  const authorization = `Bearer ${readToken(tokenFile)}`;

  async function send(method: string, path: string, type: string, body: Uint8Array): Promise<Uint8Array> {
    try {
      const response = await fetch(`${base}/${path}`, {
        method,
        headers: { authorization, "content-type": type },
        body: Uint8Array.from(body),
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) throw await refusal(response);
      const answer = new Uint8Array(await response.arrayBuffer());
      if (answer.length <= MAX_BUNDLE_BYTES) return answer;
      throw new StrongroomError("decode-failed", "the auditor's answer is too long");
    } catch (cause) {
      if (isStrongroomError(cause)) throw cause;
      throw new StrongroomError("unavailable", `cannot reach the auditor at ${url}`, {
        cause,
        hint: "run the command again: what was done already is not done twice",
      });
    }
  }
  const post = (path: string, value: unknown): Promise<Uint8Array> =>
    send("POST", path, "application/json", new TextEncoder().encode(JSON.stringify(value)));

  return {
    async putAnnouncement(digest, bytes) {
      await send("PUT", `announcements/${digest}`, "application/json", bytes);
    },
    async putEvidence(dir) {
      const id = evidenceHash(dir);
      const files = readEvidenceFiles(dir);
      for (const [path, { bytes }] of files) {
        const at = path.split("/").map(encodeURIComponent).join("/");
        const content = bytes ?? Uint8Array.from(readFileSync(join(dir, path)));
        await send("PUT", `evidence/${id}/${at}`, "application/octet-stream", content);
      }
      return files.size;
    },
    async audit(epoch, digest) {
      const answer = await post("audits", { epoch, digest });
      return decodeAudit(answer, "the auditor's answer");
    },
    countersign: (request) => post("countersignatures", request),
  };
}

/** @throws decode-failed */
export function decodeAudit(bytes: Uint8Array, what: string): Audit {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new StrongroomError("decode-failed", `${what} is not JSON`, { cause });
  }
  const result = auditSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new StrongroomError("decode-failed", `${what}: ${issue?.path.join(".")}: ${issue?.message}`);
}
