/** Everything in hsm-config that a machine reads is read here as the machine does, so that no example can rot. */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadAuditorConfig } from "../../src/auditor/config.ts";
import { loadWitnessConfig } from "../../src/auditor/witness-config.ts";
import { loadFleetConfig } from "../../src/cli/fleet-config.ts";
import { holderSets } from "../../src/keys/holder-sets.ts";
import { loadServiceConfig } from "../../src/service/config.ts";
import { clustersOfShards } from "../../src/store/shard-map.ts";
import { parseStoreConfig } from "../../src/store/store-config.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import { parseTokenUri } from "../../src/token/uri.ts";

const ROOT = "hsm-config";
const files = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).map((name) => join(ROOT, name));
const yaml = files.filter((name) => name.endsWith(".yaml"));
const read = (file: string): string => readFileSync(file, "utf8");

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly build?: { readonly target?: string; readonly dockerfile: string; readonly context: string };
        readonly entrypoint?: readonly string[];
        readonly command?: readonly string[];
        readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
        readonly environment?: Readonly<Record<string, string>>;
        readonly volumes?: readonly string[];
        readonly ulimits?: Readonly<Record<string, number>>;
      }
    >
  >;
  readonly volumes: Readonly<Record<string, unknown>>;
}

test("every YAML file is of a kind that is read here", () => {
  const kinds = [
    /^profiles\/[\w-]+\.yaml$/,
    /^sites\/example-site\.yaml$/,
    /^fleets\/\d\/(fleet|site-a)\.yaml$/,
    /^etcd\/store\.yaml$/,
    // test/auditor reads them.
    /^auditor\/(auditor|policy|witness)\.yaml$/,
    // test/ceremony/plan-file.test.ts reads them.
    /^ceremonies\/[\w-]+\.yaml$/,
    /^softhsm\/compose(-fleet)?\.yaml$/,
  ];
  const unknown = yaml.filter((file) => !kinds.some((kind) => kind.test(file.slice(ROOT.length + 1))));
  expect(unknown).toEqual([]);
});

test.each(yaml.filter((file) => dirname(file) === join(ROOT, "profiles")))("%s is a profile", (file) => {
  expect(loadProfile(basename(file, ".yaml")).name).toBe(basename(file, ".yaml"));
});

test("the store section is one", () => {
  const { store } = parse(read(join(ROOT, "etcd/store.yaml"))) as { store: unknown };
  expect(Object.keys(parseStoreConfig(store).etcd?.clusters ?? {})).toEqual(["main"]);
});

test("the example site is one", () => {
  expect(loadServiceConfig(join(ROOT, "sites/example-site.yaml")).site).toBe("site-a");
});

describe.each([1, 3, 5])("the fleet of %i", (size) => {
  const fleetFile = join(ROOT, `fleets/${size}/fleet.yaml`);
  const fleet = loadFleetConfig(fleetFile);
  const siteFile = join(ROOT, `fleets/${size}/site-a.yaml`);
  const site = parse(read(siteFile)) as {
    fleet: string;
    site: string;
    token: { uri: string };
    store: unknown;
    guard?: { path: string };
    peers?: Record<string, string>;
    policy: { maxAttempts: number };
  };
  const names = fleet.sites.map(({ name }) => name);

  test("has sites and a threshold that a fleet can have, each site a token of its own", () => {
    expect(fleet.sites).toHaveLength(size);
    expect(holderSets(size, fleet.threshold).length).toBeGreaterThan(0);
    for (const each of ["uri", "soPinSource"] as const)
      expect(new Set(fleet.sites.map(({ token }) => token[each])).size).toBe(size);
    expect(new Set(fleet.sites.map(({ token }) => token.env?.SOFTHSM2_CONF)).size).toBe(size);
    for (const { name, token } of fleet.sites) {
      expect(parseTokenUri(token.uri).token).toBe(name);
      expect(loadProfile(token.profile).usable.value).toBe(true);
    }
  });

  test("has a site that serves it", () => {
    expect(site.fleet).toBe(fleet.fleet);
    expect(site.policy.maxAttempts).toBe(fleet.maxAttempts);
    expect(site.token.uri).toBe(fleet.sites.find(({ name }) => name === site.site)?.token.uri);
    expect(Object.keys(site.peers ?? {})).toEqual(names.filter((name) => name !== site.site));
    expect(site.guard !== undefined).toBe(size > 1);
    const { etcd } = parseStoreConfig(site.store);
    expect(etcd !== undefined).toBe(size > 1);
    if (etcd === undefined) return;
    for (const { endpoints } of Object.values(etcd.clusters)) expect(Object.keys(endpoints)).toEqual(names);
    expect(clustersOfShards(etcd.shards, Object.keys(etcd.clusters))).toHaveLength(256);
  });

  test("has a site configuration that the service takes", () => {
    const config = loadServiceConfig(siteFile);
    expect(config).toMatchObject({ site: "site-a", peers: site.peers ?? {} });
    expect(config.guard?.path).toBe(site.guard?.path);
  });
});

describe.each(["compose.yaml", "compose-fleet.yaml"])("%s", (name) => {
  const compose = parse(read(join(ROOT, "softhsm", name)), { merge: true }) as Compose;
  const dockerfile = read(join(ROOT, "softhsm/Dockerfile"));
  const services = Object.entries(compose.services);

  test.each(services)("%s names what exists", (_, service) => {
    const { build, depends_on: dependsOn = [], volumes = [], ulimits } = service;
    expect(ulimits).toEqual({ core: 0 });
    expect(existsSync(join(ROOT, "softhsm", build?.context ?? "", build?.dockerfile ?? ""))).toBe(true);
    if (build?.target !== undefined)
      expect(dockerfile).toMatch(new RegExp(`^FROM .* AS ${build.target}$`, "m"));
    for (const other of Array.isArray(dependsOn) ? dependsOn : Object.keys(dependsOn))
      expect(Object.keys(compose.services)).toContain(other);
    for (const volume of volumes) expect(Object.keys(compose.volumes)).toContain(volume.split(":")[0]);
    for (const word of [...(service.entrypoint ?? []), ...(service.command ?? [])]) {
      const path = word.replace(/^\/opt\/strongroom\//, "");
      if (path === word) continue;
      if (path.startsWith("dist/")) expect(existsSync(path.replace(/^dist(.*)\.js$/, "src$1.ts"))).toBe(true);
      else accessSync(path, constants.X_OK);
    }
  });

  test("programs of the image are there", () => {
    for (const path of dockerfile.matchAll(/\/opt\/strongroom\/([\w/-]+)"\]|(?<=esbuild )([\w/.-]+)/g))
      expect(existsSync(path[1] ?? path[2] ?? "")).toBe(true);
  });
});

test("etcd runs in containers as it does under systemd", () => {
  const unit = read(join(ROOT, "etcd/etcd.service"));
  const command = /^ExecStart=((?:.*\\\n)*.*)/m.exec(unit)?.[1]?.replace(/\\\n/g, " ") ?? "";
  const flags = [...command.matchAll(/--([a-z-]+)(?:\s+([^-\s]\S*))?/g)];
  expect(flags.length).toBeGreaterThan(20);
  const { services } = parse(read(join(ROOT, "softhsm/compose-fleet.yaml")), { merge: true }) as Compose;
  const members = Object.entries(services).filter(([name]) => name.startsWith("etcd-"));
  expect(members).toHaveLength(3);
  for (const [name, { environment = {} }] of members) {
    for (const [, flag = "", value = "true"] of flags) {
      const given = environment[`ETCD_${flag.toUpperCase().replaceAll("-", "_")}`];
      // The cluster is new when its volumes are: that is etcd's default.
      if (flag === "initial-cluster-state") expect(given).toBeUndefined();
      else if (/[$/]/.test(value)) expect(given).toBeDefined();
      else expect(given).toBe(value);
    }
    expect(environment.ETCD_NAME).toBe(name);
    expect(environment.ETCD_INITIAL_CLUSTER).toContain(
      `${name}=${environment.ETCD_INITIAL_ADVERTISE_PEER_URLS}`,
    );
  }
});

const UNITS = [
  {
    name: "strongroom",
    config: () => loadServiceConfig(join(ROOT, "sites/example-site.yaml")),
    command: "serve --config /etc/strongroom/site.yaml",
    pin: "/etc/strongroom/pin",
  },
  {
    name: "strongroom-auditor",
    config: () => loadAuditorConfig(join(ROOT, "auditor")),
    command: "auditor serve --data /var/lib/strongroom-auditor",
    pin: "/etc/strongroom/auditor-pin",
  },
  {
    name: "strongroom-witness",
    config: () => loadWitnessConfig(join(ROOT, "auditor")),
    command: "witness serve --data /var/lib/strongroom-witness",
    pin: "/etc/strongroom/witness-pin",
  },
] as const;

describe.each(UNITS)("the unit $name", ({ name, config, command, pin }) => {
  const unit = read(join(ROOT, `systemd/${name}.service`));
  const documents = read(join(ROOT, "systemd/README.md"));
  const setting = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1] ?? "";

  test("waits as long as the service may need to drain", () => {
    const { drain, token } = config();
    const most = drain.noticeMs + drain.deadlineMs + token.deadlineMs + 10_000;
    expect(unit).toContain(`${most / 1_000} s as they are by default`);
    expect(Number(setting("TimeoutStopSec"))).toBeGreaterThan(most / 1_000);
  });

  test("starts what is built, and leaves configuration mistakes alone", () => {
    const [, program = "", started] =
      /^\/usr\/bin\/node (?:--\S+ )*\/opt\/strongroom\/dist\/(\S+)\.js (.*)$/.exec(setting("ExecStart")) ??
      [];
    expect(existsSync(`src/${program}.ts`)).toBe(true);
    expect(started).toBe(command);
    expect(setting("RestartPreventExitStatus")).toBe("2");
  });

  test("has its files where it may write, in nobody else's name", () => {
    expect(setting("StateDirectory")).toBe(name);
    expect([setting("User"), setting("Group")]).toEqual([name, name]);
    expect(documents).toContain(`${name}.service`);
  });

  test("hands the PIN over under the name that the documents give", () => {
    const [credential, file] = setting("LoadCredential").split(":");
    expect(file).toBe(pin);
    const source = (of: string): string => `pin-source=file:/run/credentials/${of}.service/${credential}`;
    expect(unit).toContain(source(name));
    // The witness is set up as the auditor is.
    expect(documents).toContain(source(name.replace("witness", "auditor")));
    expect(documents).toContain(basename(pin));
  });

  test("is confined as the vault is", () => {
    const confinement = (text: string): readonly string[] =>
      text
        .split("\n")
        .filter((line) =>
          /^(?:No|Private|Protect|Restrict|Capab|Ambient|System|Lock|Memory|Limit|UMask)/.test(line),
        );
    expect(confinement(unit)).toEqual(confinement(read(join(ROOT, "systemd/strongroom.service"))));
    expect(confinement(unit).length).toBeGreaterThan(20);
  });
});

test("the documents name files that exist", () => {
  for (const page of files.filter((name) => name.endsWith(".md"))) {
    for (const [, path = ""] of read(page).matchAll(/`((?:\.\.|hsm-config|scripts|src)\/[\w./-]+)`/g))
      expect(existsSync(path.startsWith("..") ? join(dirname(page), path) : path), `${page}: ${path}`).toBe(
        true,
      );
  }
});
