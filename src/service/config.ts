/**
 * A site's configuration: one YAML file. What is wrong with it is said with line and column, the key, and what to
 * write instead, because the reader is an operator at a machine that does not start.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { StrongroomError } from "../base/errors.ts";
import { resolveStorePaths } from "../store/store-config.ts";
import { type ConfigIssue, checkConfig, type ServiceConfig } from "./config-schema.ts";
import { nearest } from "./nearest.ts";

export type { ServiceConfig } from "./config-schema.ts";

const HINT = "hsm-config/sites/example-site.yaml explains every key";

interface Source {
  /** As the operator named it. */
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

function readSource(file: string): Source {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${file} cannot be read`, {
      cause,
      hint: "name the site's configuration file with --config",
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const problems = [...document.errors, ...document.warnings].map(
    (error) => `${position({ file, document, lines }, error.pos[0])}: ${error.message}`,
  );
  if (problems.length > 0)
    throw new StrongroomError("config-invalid", problems.join("\n"), { hint: "mend the YAML syntax" });
  return { file, document, lines };
}

function position({ file, lines }: Source, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
}

/** Where the value at the path starts, or else the nearest thing around it; or the key `unknownKey` in it. */
function locate(source: Source, path: readonly (string | number)[], unknownKey?: string): string {
  let node: unknown = source.document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const part of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (isScalar(pair?.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair?.value;
    } else if (isSeq(node)) next = node.items[Number(part)];
    if (!isNode(next)) return position(source, offset);
    node = next;
    offset = next.range?.[0] ?? offset;
  }
  if (unknownKey !== undefined && isMap(node)) {
    const key = node.items.map((item) => item.key).find((k) => isScalar(k) && String(k.value) === unknownKey);
    if (isScalar(key)) offset = key.range?.[0] ?? offset;
  }
  return position(source, offset);
}

function sentence(source: Source, issue: ConfigIssue): string {
  const place = issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
  const known = issue.knownKeys;
  const near = issue.unknownKey === undefined ? undefined : nearest(issue.unknownKey, known);
  const fix =
    issue.unknownKey === undefined
      ? issue.fix
      : near
        ? `did you mean ${JSON.stringify(near)}?`
        : `known keys: ${known.join(", ")}`;
  const where = locate(source, issue.path, issue.unknownKey);
  return `${where}: ${place}${issue.problem}${fix ? ` — ${fix}` : ""}`;
}

function contentOf({ file, document }: Source): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new StrongroomError("config-invalid", `${file}:1:1: too many aliases, or aliases of nothing`, {
      cause,
      hint: "write the values out",
    });
  }
}

/** `file:line:column` of a key that turned out wrong only when what it names was opened. */
export function locateKey(file: string, key: string): string {
  return locate(readSource(file), key.split("."));
}

/**
 * Reads and checks a configuration file. Nothing that it names is opened.
 * @throws config-invalid with one line for each thing that is wrong
 */
export function loadServiceConfig(file: string): ServiceConfig {
  const source = readSource(file);
  const checked = checkConfig(contentOf(source));
  if ("issues" in checked)
    throw new StrongroomError(
      "config-invalid",
      checked.issues.map((issue) => sentence(source, issue)).join("\n"),
      { hint: HINT },
    );
  const { config } = checked;
  const here = (path: string): string => resolve(dirname(file), path);
  const { profile } = config.token;
  return {
    ...config,
    token: { ...config.token, profile: profile.includes("/") ? here(profile) : profile },
    store: resolveStorePaths(config.store, dirname(file)),
    ...(config.guard ? { guard: { path: here(config.guard.path) } } : {}),
    manifest: here(config.manifest),
    issuers: config.issuers.map((issuer) =>
      issuer.jwksFile === undefined ? issuer : { ...issuer, jwksFile: here(issuer.jwksFile) },
    ),
  };
}
