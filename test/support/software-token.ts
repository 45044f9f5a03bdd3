/**
 * A token in software, for model tests that run thousands of interleavings. It computes what a device computes,
 * with keys in plain memory; whatever a real device is needed for is tested on SoftHSM.
 */
import { createCipheriv, createDecipheriv, createECDH, createHmac, randomBytes, sign } from "node:crypto";
import { concat, equal, toBase64Url } from "../../src/base/bytes.ts";
import { StrongroomError } from "../../src/base/errors.ts";
import type { KeyName, ResultsOf, Token, TokenStep } from "../../src/token/token.ts";

const CURVE = "prime256v1";
/** Any number: a software wrap is no PKCS#11 mechanism. */
const MECHANISM = 0x8000_0000;

export interface SoftwareToken extends Token {
  /** Messages so far, and the steps that were carried out. */
  readonly counts: { runs: number; readonly steps: TokenStep["op"][] };
  publicKey(key: KeyName): Uint8Array;
  /** HMAC under a key of the token, for tests that look inside records and cookies. */
  hmac(key: KeyName, data: Uint8Array): Uint8Array;
}

export function softwareToken(): SoftwareToken {
  const secrets = new Map<KeyName, Buffer>();
  const counts = { runs: 0, steps: [] as TokenStep["op"][] };
  const secret = (key: KeyName): Buffer => {
    const found = secrets.get(key) ?? randomBytes(32);
    secrets.set(key, found);
    return found;
  };
  const pair = (privateKey: Uint8Array): ReturnType<typeof createECDH> => {
    const ecdh = createECDH(CURVE);
    ecdh.setPrivateKey(privateKey);
    return ecdh;
  };
  const derive = (privateKey: Uint8Array, points: readonly Uint8Array[]): Uint8Array[] =>
    points.map((point) => Uint8Array.from(pair(privateKey).computeSecret(point)));
  const hmac = (key: KeyName, data: Uint8Array): Uint8Array =>
    Uint8Array.from(createHmac("sha256", secret(key)).update(data).digest());

  function wrap(kek: KeyName, privateKey: Uint8Array): Uint8Array {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", secret(kek), nonce);
    const body = Buffer.concat([cipher.update(privateKey), cipher.final()]);
    return Uint8Array.from(Buffer.concat([nonce, body, cipher.getAuthTag()]));
  }

  function unwrap(kek: KeyName, wrapped: Uint8Array): Uint8Array {
    const decipher = createDecipheriv("aes-256-gcm", secret(kek), wrapped.subarray(0, 12));
    decipher.setAuthTag(wrapped.subarray(-16));
    try {
      return Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()]);
    } catch (cause) {
      throw new StrongroomError("token-refused", "unwrap", { cause });
    }
  }

  function perform(step: TokenStep): unknown {
    switch (step.op) {
      case "hmac":
        return hmac(step.key, step.data);
      case "ecdh":
        return derive(secret(step.key), step.points);
      case "random":
        return Uint8Array.from(randomBytes(step.length));
      case "create-share": {
        const ecdh = createECDH(CURVE);
        ecdh.generateKeys();
        const privateKey = Buffer.concat([Buffer.alloc(32), ecdh.getPrivateKey()]).subarray(-32);
        const publicKey = Uint8Array.from(ecdh.getPublicKey());
        return {
          mechanism: MECHANISM,
          wrapped: wrap(step.kek, privateKey),
          publicKey,
          xs: derive(privateKey, step.points),
          tag: step.tag
            ? hmac(step.tag.key, concat(step.tag.before, publicKey, step.tag.after))
            : new Uint8Array(0),
        };
      }
      case "evaluate-share":
        if (
          step.tag &&
          !equal(
            hmac(step.tag.key, concat(step.tag.before, step.tag.publicKey, step.tag.after)),
            step.tag.value,
          )
        )
          throw new StrongroomError("record-corrupt", "a share's tag does not verify");
        return derive(unwrap(step.kek, step.share.wrapped), step.points);
      case "sign": {
        const point = pair(secret(step.key)).getPublicKey();
        const coordinate = (from: number): string => toBase64Url(point.subarray(from, from + 32));
        const jwk = {
          kty: "EC",
          crv: "P-256",
          x: coordinate(1),
          y: coordinate(33),
          d: toBase64Url(secret(step.key)),
        };
        // node:crypto signs messages, not digests; with these it is only ever checked that something was signed.
        return Uint8Array.from(
          sign("sha256", step.digest, { key: jwk, format: "jwk", dsaEncoding: "ieee-p1363" }),
        );
      }
      case "sign-message":
      case "read-data":
      case "write-data":
        throw new Error("a vault asks no such step");
    }
  }

  return {
    counts,
    hmac,
    publicKey: (key) => Uint8Array.from(pair(secret(key)).getPublicKey()),
    async run<const S extends readonly TokenStep[]>(steps: S): Promise<ResultsOf<S>> {
      counts.runs++;
      return steps.map((step) => {
        const result = perform(step);
        counts.steps.push(step.op);
        return result;
      }) as ResultsOf<S>;
    },
  };
}
