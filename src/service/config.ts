/** A site's configuration: one YAML file. */
import { dirname, resolve } from "node:path";
import { resolveStorePaths } from "../store/store-config.ts";
import { loadYamlConfig } from "../token/yaml-config.ts";
import { type ServiceConfig, serviceSchema } from "./config-schema.ts";

export type { ServiceConfig } from "./config-schema.ts";

const HINT = "hsm-config/sites/example-site.yaml explains every key";

/**
 * Reads and checks a configuration file. Nothing that it names is opened.
 * @throws config-invalid with one line for each thing that is wrong
 */
export function loadServiceConfig(file: string): ServiceConfig {
  const config: ServiceConfig = loadYamlConfig(file, serviceSchema, HINT);
  const here = (path: string): string => resolve(dirname(file), path);
  const { profile } = config.token;
  return {
    ...config,
    token: { ...config.token, profile: profile.includes("/") ? here(profile) : profile },
    store: resolveStorePaths(config.store, dirname(file)),
    ...(config.guard ? { guard: { path: here(config.guard.path) } } : {}),
    manifest: here(config.manifest),
    ...(config.bundles === undefined ? {} : { bundles: here(config.bundles) }),
    ...(config.pins === undefined ? {} : { pins: here(config.pins) }),
    issuers: config.issuers.map((issuer) =>
      issuer.jwksFile === undefined ? issuer : { ...issuer, jwksFile: here(issuer.jwksFile) },
    ),
  };
}
