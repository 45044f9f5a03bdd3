/** Keys in memory, where a test is not about tokens. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { CountersignRequest } from "../../src/auditor/namespace.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { sha256Of } from "../../src/base/node/sha256.ts";
import type { EnvelopeSigner } from "../../src/ceremony/dsse.ts";
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

/** An officer of a ceremony. */
export type PaperOfficer = EnvelopeSigner & { readonly name: string };

export const paperOfficer = (name: string): PaperOfficer => Object.assign(new EdSigner(), { name });

/** A key pair of P-256. */
export class EcSigner {
  /** Uncompressed point. */
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { x, y } = publicKey.export({ format: "jwk" });
    this.publicKey = Uint8Array.of(4, ...bytesOf(x), ...bytesOf(y));
    this.#privateKey = privateKey;
  }

  get hex(): string {
    return toHex(this.publicKey);
  }
  get scalar(): Uint8Array {
    return bytesOf(this.#privateKey.export({ format: "jwk" }).d);
  }
  /** @returns r ‖ s */
  sign(message: Uint8Array): Uint8Array {
    return Uint8Array.from(sign("sha256", message, { key: this.#privateKey, dsaEncoding: "ieee-p1363" }));
  }
}

export class OperatorSigner extends EcSigner {
  /** What `POST …/countersignatures` takes; another one each time. @param auditor the key of the audit, hex */
  countersign(audit: Audit, auditor: string): CountersignRequest {
    const message = countersignatureMessage(audit, sha256Of(fromHex(auditor)));
    return { epoch: audit.epoch, operatorKey: this.hex, countersignature: toHex(this.sign(message)) };
  }
}
