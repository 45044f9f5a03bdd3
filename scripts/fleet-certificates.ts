/**
 * Certificates for a test fleet's etcd cluster whose members run on hosts of their own, each in a directory that
 * goes to its host. What exists is kept. A real fleet has its own PKI.
 *
 *   fleet-certificates DIR SITE…
 *
 * DIR/pki has the authorities and stays where it is. DIR/etcd-SITE has what the member `etcd-SITE` needs, DIR/SITE
 * what the vault needs, DIR/root what etcdctl needs to set up access.
 */
import { chmodSync, copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { authority, type CertificateFiles, certificate } from "./lib/etcd-certificates.ts";

const [dir, ...sites] = process.argv.slice(2);
if (dir === undefined || sites.length === 0) {
  process.stderr.write("usage: fleet-certificates DIR SITE…\n");
  process.exit(2);
}
const pki = join(dir, "pki");
const clients = await authority(pki, "clients");
const peers = await authority(pki, "peers");

/** Copies a certificate, its key and the authority of the other side to `place/name.…`. */
function give(place: string, name: string, { ca, cert, key }: CertificateFiles): void {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  copyFileSync(ca, join(place, `${name}-ca.crt`));
  copyFileSync(cert, join(place, `${name}.crt`));
  copyFileSync(key, join(place, `${name}.key`));
  chmodSync(join(place, `${name}.key`), 0o600);
}

const both = ["serverAuth", "clientAuth"] as const;
for (const site of sites) {
  const member = `etcd-${site}`;
  give(join(dir, member), "server", await certificate(pki, `server-${site}`, clients, {}, both, [member]));
  give(join(dir, member), "peer", await certificate(pki, `peer-${site}`, peers, {}, both, [member]));
}
const vault = await certificate(pki, "vault", clients, { commonName: "vault" }, ["clientAuth"]);
for (const site of sites) give(join(dir, site, "etcd"), "vault", vault);
give(
  join(dir, "root"),
  "root",
  await certificate(pki, "root", clients, { commonName: "root" }, ["clientAuth"]),
);
