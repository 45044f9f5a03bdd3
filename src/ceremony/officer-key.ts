/** An officer's Ed25519 key, as a PKCS#8 PEM file of mode 0600 or from a device that gives such: what signs approvals. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { StrongroomError } from "../base/errors.ts";
import type { EnvelopeSigner } from "./dsse.ts";

const RAW_BYTES = 32;

/** The 32 bytes of a public key. */
function rawPublic(key: KeyObject): Uint8Array {
  return Uint8Array.from(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-RAW_BYTES));
}

function signerOf(key: KeyObject): EnvelopeSigner {
  return { publicKey: rawPublic(key), sign: (pae) => Uint8Array.from(sign(null, pae, key)) };
}

/** @throws usage where the file is not an Ed25519 key, or others can read it */
export function readOfficerKey(path: string): EnvelopeSigner {
  let pem: Buffer;
  try {
    if ((statSync(path).mode & 0o077) !== 0)
      throw new StrongroomError("usage", `the key ${path} can be read by others`, {
        hint: `chmod 600 ${path}`,
      });
    pem = readFileSync(path);
  } catch (cause) {
    if (cause instanceof StrongroomError) throw cause;
    throw new StrongroomError("usage", `cannot read the key ${path}`, { cause });
  }
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return signerOf(key);
  } catch (cause) {
    throw new StrongroomError("usage", `${path} is no private key in PEM`, { cause, hint: HINT });
  } finally {
    pem.fill(0);
  }
  throw new StrongroomError("usage", `${path} is not an Ed25519 key`, { hint: HINT });
}

const HINT = "openssl genpkey -algorithm ed25519 -out officer.pem makes one";

/** A new key, for a rehearsal. @returns PEM and signer */
export function newOfficerKey(): { readonly pem: string; readonly signer: EnvelopeSigner } {
  const { privateKey } = generateKeyPairSync("ed25519");
  return {
    pem: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    signer: signerOf(privateKey),
  };
}
