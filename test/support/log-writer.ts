/**
 * A log in a folder, with a key in a file and, for an anchor, a file that is told at once or not at all, as a token is.
 * What is signed goes to `signed` before the signature can leave.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeHead, encodeHead, type HeadAnchor } from "../../src/auditor/anchor.ts";
import { type LogOptions, openLog, type TransparencyLog } from "../../src/auditor/log.ts";
import type { Signer } from "../../src/auditor/signer.ts";
import { EMPTY_ROOT } from "../../src/merkle/tree.ts";

export const ORIGIN = "auditor.example/logs/test";
const FIRST = { epoch: 0, digest: "00".repeat(32), size: 0, root: EMPTY_ROOT };

/** Makes the folder with its key and anchor. */
export function makeLogFolder(dir: string): void {
  mkdirSync(dir, { recursive: true });
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(join(dir, "key.pem"), privateKey.export({ format: "pem", type: "pkcs8" }));
  writeFileSync(join(dir, "anchor"), encodeHead(FIRST));
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return Uint8Array.from(Buffer.from(createPublicKey(key).export({ format: "jwk" }).x ?? "", "base64url"));
}

/** @param step before anything is changed or signed */
function fileAnchor(dir: string, step: () => void = () => {}): HeadAnchor {
  const path = join(dir, "anchor");
  return {
    read: () => Promise.resolve(decodeHead(Uint8Array.from(readFileSync(path)))),
    write(head) {
      step();
      writeFileSync(`${path}.new`, encodeHead(head));
      renameSync(`${path}.new`, path);
      return Promise.resolve();
    },
  };
}

export function fileSigner(dir: string, step: () => void = () => {}): Signer {
  const key = createPrivateKey(readFileSync(join(dir, "key.pem")));
  return {
    publicKey: rawPublicKey(key),
    sign(message) {
      step();
      appendFileSync(join(dir, "signed"), `${JSON.stringify(Buffer.from(message).toString())}\n`);
      return Promise.resolve(Uint8Array.from(sign(null, message, key)));
    },
  };
}

export function openFileLog(
  dir: string,
  { step, ...options }: Partial<LogOptions> & { readonly step?: () => void } = {},
): Promise<TransparencyLog> {
  return openLog({
    dir: join(dir, "public"),
    stateDir: join(dir, "state"),
    origin: ORIGIN,
    signer: fileSigner(dir, step),
    anchor: fileAnchor(dir, step),
    ...options,
  });
}
