/**
 * Prepares an auditor for a namespace: its keys in the token, the configuration, the operator's token, and last the
 * anchor. A run that was interrupted is finished by the same command; what is there is never made anew.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { toHex, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { createPrivate, makeFolder } from "../base/node/durable-file.ts";
import { sha256HexOf, sha256Of } from "../base/node/sha256.ts";
import { provision, provisioned } from "../keys/provision.ts";
import { readPublicKeys } from "../keys/public-keys.ts";
import type { KeySpec } from "../keys/roles.ts";
import type { Profile } from "../token/profile.ts";
import type { TokenSession } from "../token/session.ts";
import type { Head } from "./anchor.ts";
import { auditorRefused } from "./announcement-rules.ts";
import type { AuditorConfig } from "./config.ts";
import { auditKeySpec, signerKeys } from "./namespace-keys.ts";
import { stateDirOf } from "./places.ts";
import { anchorLabel, openSigner } from "./signer.ts";
import type { AuditorKey } from "./signing-service-config.ts";

/** What stands on the anchor before the first epoch: SHA-256 of nothing is the root of the empty tree (RFC 9162 §2.1.1). */
export const FIRST_HEAD: Head = {
  epoch: 0,
  digest: "00".repeat(32),
  size: 0,
  root: sha256Of(""),
};

/** So many audit keys of a namespace, made by rotations. */
const MAX_AUDIT_KEYS = 8;

/** @throws key-drift where the token has another key of that label; token errors */
export function makeKey(session: TokenSession, profile: Profile, spec: KeySpec): AuditorKey {
  const [report] = provision(session, profile, [spec]);
  if (!report || !provisioned([report]))
    throw new StrongroomError("key-drift", `the key ${spec.label} is not as it should be: ${report?.state}`, {
      hint: "`strongroom token inventory` shows it; nothing was changed",
    });
  const publicKey = readPublicKeys(session, [spec]).get(spec.name);
  if (!publicKey) throw new StrongroomError("internal", "a key that was made has a public half");
  return { label: spec.label, publicKey: toHex(publicKey) };
}

/**
 * An audit key whose last byte none of the others has: Plexi's clients tell keys apart by it.
 * @param index the first to try
 */
export function makeAuditKey(
  session: TokenSession,
  profile: Profile,
  namespace: string,
  taken: readonly string[],
  index: number = 0,
): AuditorKey {
  for (let at = index; at < MAX_AUDIT_KEYS; at++) {
    const key = makeKey(session, profile, auditKeySpec(namespace, at));
    if (!taken.some((other) => other.slice(-2) === key.publicKey.slice(-2))) return key;
  }
  throw new StrongroomError("token-failed", "no audit key that others can tell from the rest");
}

/**
 * The operator's bearer token, of which the auditor keeps the hash alone.
 * @returns its SHA-256, hex
 * @throws file-failed; usage where the file is there and is no token
 */
export async function operatorToken(path: string): Promise<string> {
  if (!existsSync(path)) await createPrivate(path, utf8(`${randomBytes(32).toString("base64url")}\n`));
  if ((statSync(path).mode & 0o077) !== 0)
    throw new StrongroomError("usage", `${path} can be read by others`, { hint: `chmod 600 ${path}` });
  const token = readFileSync(path, "utf8").trim();
  if (!/^[A-Za-z0-9._~+/=-]{16,512}$/.test(token))
    throw new StrongroomError("usage", `${path} holds no token`, {
      hint: "it is one line of 16 to 512 letters, digits and . _ ~ + / = -",
    });
  return sha256HexOf(token);
}

/**
 * The last step: from now on the token remembers. A namespace that it remembers already keeps what it remembers.
 * @throws auditor-refused where it remembers one that this directory knows nothing of; token errors
 */
export async function writeFirstAnchor(
  config: AuditorConfig,
  namespace: string,
): Promise<"created" | "unchanged"> {
  const named = config.namespaces.find(({ name }) => name === namespace);
  if (!named) throw new StrongroomError("usage", `there is no namespace ${namespace}`);
  const audits = join(stateDirOf(config.dir, namespace), "audits");
  const token = await openSigner({ ...config.token, keys: signerKeys(named) });
  try {
    const anchor = token.anchor(anchorLabel(namespace));
    const head = await anchor.read();
    if (head && head.epoch > 0 && !existsSync(audits))
      throw auditorRefused(
        `the token has signed epoch ${head.epoch} of ${namespace}, and this directory has none of it`,
        "bring the newest copy of the data directory; a second line of the same name would be equivocation",
      );
    if (head) return "unchanged";
    if (existsSync(audits))
      throw auditorRefused(`the token remembers nothing of ${namespace}, and the directory does`);
    await makeFolder(stateDirOf(config.dir, namespace));
    await anchor.write(FIRST_HEAD);
    return "created";
  } finally {
    await token.close();
  }
}
