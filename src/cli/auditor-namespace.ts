/** What the auditor's commands for machines without a network share: the namespace that a file is for. */
import { type Auditor, openAuditor } from "../auditor/auditor.ts";
import { loadAuditorConfig } from "../auditor/config.ts";
import type { AuditedNamespace } from "../auditor/namespace.ts";
import { StrongroomError } from "../base/errors.ts";

/** @throws usage */
function namespaceOf({ namespaces }: Auditor, name: string | undefined): AuditedNamespace {
  const [only, ...others] = namespaces.values();
  const namespace = name === undefined && others.length === 0 ? only : namespaces.get(name ?? "");
  if (namespace) return namespace;
  const problem =
    name === undefined ? "this auditor has several namespaces" : `this auditor has no namespace ${name}`;
  throw new StrongroomError("usage", problem, {
    hint: `name one with --namespace; it has: ${[...namespaces.keys()].join(", ")}`,
  });
}

/**
 * Opens the auditor for one namespace and closes it again.
 * @param name undefined for the only one that it has
 * @throws usage; what `openAuditor` and `use` throw
 */
export async function withNamespace<T>(
  data: string,
  name: string | undefined,
  use: (namespace: AuditedNamespace) => Promise<T>,
): Promise<T> {
  const auditor = await openAuditor(loadAuditorConfig(data));
  try {
    return await use(namespaceOf(auditor, name));
  } finally {
    await auditor.close();
  }
}
