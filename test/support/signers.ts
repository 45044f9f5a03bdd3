/** Keys of auditors, logs, witnesses and operators in memory, where a test is not about tokens. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import type { Sign } from "../../src/merkle/note.ts";
import type { Audit } from "../../src/wire/audit.ts";
import { countersignatureMessage } from "../../src/wire/bundle.ts";

const bytesOf = (base64url: string | undefined): Uint8Array =>
  Uint8Array.from(Buffer.from(base64url ?? "", "base64url"));

/** A key pair of Ed25519. */
export class EdSigner {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.publicKey = bytesOf(publicKey.export({ format: "jwk" }).x);
    this.#privateKey = privateKey;
  }

  get hex(): string {
    return toHex(this.publicKey);
  }
  readonly sign: Sign = async (message) => this.signNow(message);
  signNow(message: Uint8Array): Uint8Array {
    return Uint8Array.from(sign(null, message, this.#privateKey));
  }
}

/** A key pair of P-256 that countersigns. */
export class OperatorSigner {
  /** Uncompressed point, hex. */
  readonly key: string;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { x, y } = publicKey.export({ format: "jwk" });
    this.key = `04${toHex(bytesOf(x))}${toHex(bytesOf(y))}`;
    this.#privateKey = privateKey;
  }

  /** Of another one each time. @param auditor the key of the audit, hex @returns r ‖ s, hex */
  countersign(audit: Audit, auditor: string): string {
    const keyHash = createHash("sha256").update(fromHex(auditor)).digest();
    const message = countersignatureMessage(audit, Uint8Array.from(keyHash));
    return toHex(
      Uint8Array.from(sign("sha256", message, { key: this.#privateKey, dsaEncoding: "ieee-p1363" })),
    );
  }
}
