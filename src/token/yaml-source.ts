/** A YAML file that people wrote: what it says, and where it says it, for errors that name file, line and column. */
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { type ErrorCode, StrongroomError } from "../base/errors.ts";

export interface YamlSource {
  /** As the operator named it. */
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** @param code of the error for text that is not YAML, which lists every problem of the syntax */
export function parseYaml(text: string, file: string, code: ErrorCode): YamlSource {
  if (text.includes("\0") || text.includes("\ufffd"))
    throw new StrongroomError(code, `${file} is not text`, { hint: "is this the file that was meant?" });
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const source = { file, document, lines };
  const problems = [...document.errors, ...document.warnings].map(
    (error) => `${position(source, error.pos[0])}: ${error.message}`,
  );
  if (problems.length === 0) return source;
  throw new StrongroomError(code, problems.join("\n"), {
    hint: "mend the YAML syntax; check indentation and colons on that line",
  });
}

function position({ file, lines }: YamlSource, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
}

/**
 * `file:line:column` of the value at the path, or else of the nearest thing around it; or of the key `unknownKey`
 * in it.
 */
export function locate(source: YamlSource, path: readonly PropertyKey[], unknownKey?: string): string {
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

/** @param code of the error for a file whose aliases would make it grow without end */
export function contentOf({ file, document }: YamlSource, code: ErrorCode): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new StrongroomError(code, `${file}:1:1: too many aliases, or aliases of nothing`, {
      cause,
      hint: "write the values out",
    });
  }
}
