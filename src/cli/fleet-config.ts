/** The file that `strongroom fleet init` reads: which tokens a test fleet has. */
import { dirname, resolve } from "node:path";
import { z } from "zod";
import type { FleetTokens } from "../keys/fleet-tokens.ts";
import { majority } from "../keys/holder-sets.ts";
import { configuredUri } from "../token/uri-schema.ts";
import { loadYamlConfig } from "../token/yaml-config.ts";
import { FLEET_SIZES } from "../wire/manifest.ts";

const HINT = "`strongroom fleet init --help` shows an example";
const sizes = `${FLEET_SIZES.slice(0, -1).join(", ")} or ${FLEET_SIZES.at(-1)}`;

/** For --help. */
export const EXAMPLE = `fleet: demo
threshold: 2                 # sites that take part in an evaluation; the majority by default
maxAttempts: 10              # recovery attempts before a record is destroyed
manifest: ./manifest.json    # is written
sites:                       # 1, 3, 5 or 7; their order is that of the manifest
  - name: site-a
    url: https://site-a.example
    token:
      uri: pkcs11:token=site-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/strongroom/a/pin
      soPinSource: file:/etc/strongroom/a/so-pin
      profile: softhsm2
      env: { SOFTHSM2_CONF: /etc/strongroom/a/softhsm2.conf }`;

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "not a name");

const site = z
  .strictObject({
    name: name.describe("write the site's name: lower-case letters, digits and hyphens"),
    url: z
      .url({ protocol: /^https?$/ })
      .describe("write where clients reach the site, e.g. https://site-a.example"),
    token: z
      .strictObject({
        uri: configuredUri.describe("write the token's URI with token, module-path and pin-source"),
        soPinSource: z
          .string()
          .regex(/^(?:file:)?\/[^/]/, "not a file with an absolute path")
          .optional()
          .describe("write file:/absolute/path of a file of mode 0600 with the security officer's PIN"),
        profile: z
          .string()
          .min(1)
          .describe("write the name of a file in hsm-config/profiles, e.g. softhsm2, or a path"),
        env: z
          .record(z.string().regex(/^[A-Z_][A-Z0-9_]*$/, "not the name of a variable"), z.string())
          .optional()
          .describe("write what the PKCS#11 module needs, e.g. {SOFTHSM2_CONF: /path/softhsm2.conf}"),
      })
      .describe("say which token is the site's"),
  })
  .describe("write the site's name, url and token");

const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;

const schema = z
  .strictObject({
    fleet: name.describe("write the fleet's name: lower-case letters, digits and hyphens"),
    threshold: z.number().int().min(1).optional().describe("write how many sites take part in an evaluation"),
    maxAttempts: z.number().int().min(1).max(100).default(10).describe("write a whole number from 1 to 100"),
    manifest: z.string().min(1).describe("write the path of the manifest to be made"),
    sites: z
      .array(site)
      .refine((all) => FLEET_SIZES.includes(all.length), `not ${sizes} sites`)
      .refine((all) => distinct(all.map((one) => one.name)), "two sites have one name")
      .refine((all) => distinct(all.map((one) => one.url)), "two sites have one url")
      .describe(`list ${sizes} sites, each once`),
  })
  .superRefine(({ threshold = 1, sites: { length } }, context) => {
    if (threshold <= majority(length)) return;
    context.addIssue({
      code: "custom",
      path: ["threshold"],
      message: "more than a majority of the sites",
      params: { fix: `write a whole number from 1 to ${majority(length)}` },
    });
  });

/** Reads and checks the file; paths in it are relative to it. @throws config-invalid */
export function loadFleetConfig(file: string): FleetTokens {
  const config = loadYamlConfig(file, schema, HINT);
  const here = (path: string): string => resolve(dirname(file), path);
  return {
    ...config,
    threshold: config.threshold ?? majority(config.sites.length),
    manifest: here(config.manifest),
    sites: config.sites.map(({ token, ...rest }) => ({
      ...rest,
      token: { ...token, profile: token.profile.includes("/") ? here(token.profile) : token.profile },
    })),
  };
}
