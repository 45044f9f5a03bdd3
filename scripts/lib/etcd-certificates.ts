/**
 * Certificates for an etcd cluster on one machine, made by the openssl command: one authority for clients and one
 * for peers, so that no client can pass for a member. For tests and walk-throughs; a real fleet has its own PKI.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const DAYS = "3650";

/** Paths of PEM files. */
export interface CertificateFiles {
  /** The authority that the other side's certificate must come from. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** An authority: its certificate and private key. */
export interface Authority {
  readonly cert: string;
  readonly key: string;
}

async function newKey(path: string): Promise<void> {
  await run("openssl", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path]);
  chmodSync(path, 0o600);
}

/** Makes the authority `name` in `dir`, or finds it there. */
export async function authority(dir: string, name: string): Promise<Authority> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const made = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) };
  if (existsSync(made.cert)) return made;
  await newKey(made.key);
  await run("openssl", [
    ...["req", "-x509", "-new", "-key", made.key, "-out", made.cert, "-days", DAYS],
    ...["-subj", `/CN=${name}`, "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
  ]);
  return made;
}

/**
 * Makes a certificate, or finds it.
 *
 * @param subject what etcd takes for the user's name is the CN; members have none
 * @param usage   extended key usages; a member is both server and client (of its peers, and of itself)
 * @param hosts   addresses for the subject alternative name
 */
export async function certificate(
  dir: string,
  name: string,
  issuer: Authority,
  subject: { readonly commonName?: string },
  usage: readonly ("serverAuth" | "clientAuth")[],
  hosts: readonly string[] = [],
): Promise<CertificateFiles> {
  const made = { ca: issuer.cert, cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) };
  if (existsSync(made.cert)) return made;
  const request = join(dir, `${name}.csr`);
  const extensions = join(dir, `${name}.ext`);
  const names = hosts.map((host) => (/^[\d.]+$|:/.test(host) ? `IP:${host}` : `DNS:${host}`));
  writeFileSync(
    extensions,
    [
      "keyUsage=critical,digitalSignature",
      `extendedKeyUsage=${usage.join(",")}`,
      ...(names.length > 0 ? [`subjectAltName=${names.join(",")}`] : []),
    ].join("\n"),
  );
  await newKey(made.key);
  const { commonName } = subject;
  const distinguished = commonName === undefined ? "/O=strongroom" : `/O=strongroom/CN=${commonName}`;
  await run("openssl", ["req", "-new", "-key", made.key, "-subj", distinguished, "-out", request]);
  await run("openssl", [
    ...["x509", "-req", "-in", request, "-CA", issuer.cert, "-CAkey", issuer.key],
    // Random, since certificates are made at the same time and a shared counter file is not.
    ...["-set_serial", `0x${randomBytes(16).toString("hex")}`],
    ...["-days", DAYS, "-extfile", extensions, "-out", made.cert],
  ]);
  return made;
}
