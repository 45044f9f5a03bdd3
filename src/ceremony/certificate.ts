/**
 * X.509 certificates of a ceremony's keys (RFC 5280), signed in the token of the root. They say in a form that
 * any tool reads which fleet and which station a key belongs to; a rehearsal's say so in their subject.
 */
// The library's dependency container needs it, and it has to be there first.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { concat, fromHex, toHex } from "../base/bytes.ts";
import { keyId } from "../crypto/key-id.ts";
import type { CeremonyMode } from "./plan.ts";

/** SubjectPublicKeyInfo of a P-256 key, up to the point (RFC 5480). */
const SPKI_PREFIX = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
/** Evidence is read for as long as a fleet is used; nothing relies on a certificate's end. */
const YEARS = 20;
const YEAR_MS = 31_557_600_000;
const SERIAL_BYTES = 16;

export interface CertificateFacts {
  readonly fleet: string;
  readonly mode: CeremonyMode;
  /** `root`, or the name of a site or spare. */
  readonly station: string;
  /** Uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** The root's, 65 bytes. */
  readonly issuer: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
}

/** Distinguished name of a station's key. */
export function certificateName(fleet: string, station: string, mode: CeremonyMode): string {
  const rehearsal = mode === "rehearsal" ? ", OU=REHEARSAL" : "";
  return `CN=${station}, OU=${fleet}${rehearsal}, O=Strongroom`;
}

/**
 * @param sign ECDSA over the SHA-256 of what it is given, r ‖ s, by the issuer's key
 * @returns DER
 * @throws what `sign` throws
 */
export async function makeCertificate(
  facts: CertificateFacts,
  sign: (message: Uint8Array) => Uint8Array,
): Promise<Uint8Array> {
  const { fleet, mode, station, publicKey, issuer } = facts;
  const isRoot = station === "root";
  const signer = {
    subtle: {
      sign: (_: unknown, __: unknown, tbs: ArrayBuffer) => Promise.resolve(sign(new Uint8Array(tbs))),
    },
  };
  const certificate = await X509CertificateGenerator.create(
    {
      // The first bit of a serial number is 0, so that it is positive.
      serialNumber: toHex(concat(Uint8Array.of(1), keyId(publicKey), keyId(issuer))).slice(
        0,
        SERIAL_BYTES * 2,
      ),
      subject: certificateName(fleet, station, mode),
      issuer: certificateName(fleet, "root", mode),
      notBefore: new Date(facts.notBefore),
      notAfter: new Date(facts.notBefore + YEARS * YEAR_MS),
      publicKey: Uint8Array.from(concat(SPKI_PREFIX, publicKey)),
      signingKey: { algorithm: { name: "ECDSA", namedCurve: "P-256" } } as unknown as CryptoKey,
      extensions: [
        new BasicConstraintsExtension(isRoot, isRoot ? 0 : undefined, true),
        new KeyUsagesExtension(
          isRoot
            ? KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature
            : KeyUsageFlags.digitalSignature,
          true,
        ),
        new SubjectKeyIdentifierExtension(toHex(keyId(publicKey))),
        new AuthorityKeyIdentifierExtension(toHex(keyId(issuer))),
      ],
    },
    signer as unknown as Crypto,
  );
  return new Uint8Array(certificate.rawData);
}

/** PEM (RFC 7468). */
export function certificatePem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
