/** `strongroom auditor init | rotate`: an auditor's keys, its configuration, and what people pin of it. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { type AuditorConfig, type NamespaceConfig, ORIGIN_PATTERN } from "../auditor/config.ts";
import { addAuditKey, addNamespace, existingConfig, type NewAuditor } from "../auditor/config-file.ts";
import { makeAuditKey, makeKey, operatorToken, writeFirstAnchor } from "../auditor/init.ts";
import { logKeyOf } from "../auditor/namespace-keys.ts";
import { auditorKeys } from "../auditor/signer.ts";
import { StrongroomError } from "../base/errors.ts";
import { makeFolder, writeDurably } from "../base/node/durable-file.ts";
import { parseTokenUri } from "../token/uri.ts";
import { dataOption } from "./auditor-serve.ts";
import { listenOption, matching, namespaceName, wholeNumber } from "./option-values.ts";
import { printJson, say } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, uriOption } from "./token-options.ts";

interface InitOptions {
  readonly data: string;
  readonly namespace: string;
  readonly origin: string;
  readonly uri?: string;
  readonly profile?: string;
  readonly listen: NewAuditor["listen"];
  readonly ciphersuite: 1 | 2;
  readonly root?: string;
  readonly policy?: string;
  readonly operatorToken?: string;
  readonly witness: readonly { readonly vkey: string; readonly url: string }[];
  readonly witnessQuorum?: number;
  readonly dryRun?: boolean;
}

/** The policy that is copied where none is named; two folders up from here is the package. */
const POLICY = fileURLToPath(new URL("../../hsm-config/auditor/policy.yaml", import.meta.url));

/** What pins say of this auditor; operators' keys are added by who knows them (`strongroom bundle pins`). */
function printPins(namespace: NamespaceConfig): void {
  printJson({
    namespace: namespace.name,
    origin: namespace.origin,
    keys: {
      auditors: namespace.keys.audit.map(({ publicKey }) => publicKey),
      logs: [logKeyOf(namespace).vkey],
    },
  });
}

function namespaceIn(config: AuditorConfig, name: string): NamespaceConfig {
  const found = config.namespaces.find((one) => one.name === name);
  if (found) return found;
  throw new StrongroomError("usage", `there is no namespace ${name}`, {
    hint: `there are: ${config.namespaces.map((one) => one.name).join(", ")}`,
  });
}

/** @throws usage where the command asks for something else than the file says */
function tokenOf({ uri, profile }: InitOptions, config: AuditorConfig | undefined): NewAuditor["token"] {
  if (!config && uri === undefined)
    throw new StrongroomError("usage", "nothing says which token", { hint: "add --uri pkcs11:token=…" });
  if (config && uri !== undefined && uri !== config.token.uri)
    throw new StrongroomError("usage", "the auditor has another token already", {
      hint: "all namespaces of an auditor are on one token; another token is another auditor's",
    });
  const from = config?.token ?? { uri: uri ?? "", ...(profile === undefined ? {} : { profile }) };
  const chosen = chooseToken(from);
  if (parseTokenUri(chosen.uri).pinSource === undefined)
    throw new StrongroomError("usage", "the URI names no pin-source", {
      hint: "the service reads its PIN from a file: add pin-source=file:/path to --uri",
    });
  return { uri: chosen.uri, profile: chosen.profileName };
}

async function init(options: InitOptions): Promise<void> {
  const { data, namespace: name, origin } = options;
  const before = existingConfig(data);
  const known = before?.namespaces.find((one) => one.name === name);
  if (known && known.origin !== origin)
    throw new StrongroomError(
      "usage",
      `the log of ${name} has the origin ${known.origin}, which never changes`,
    );
  const token = tokenOf(options, before);
  if (options.dryRun) {
    say(`dry run: ${known ? "the namespace is there" : "two keys would be made"} for ${name} in ${data}`);
    return;
  }
  await makeFolder(resolve(data));
  const policy = join(data, "policy.yaml");
  if (!existsSync(policy))
    await writeDurably(policy, Uint8Array.from(readFileSync(options.policy ?? POLICY)));
  const config = known && before ? before : await create(options, token, before);
  const created = namespaceIn(config, name);
  const anchor = await writeFirstAnchor(config, name);
  say(
    anchor === "created"
      ? `${name} is ready; the token remembers from now on what is signed`
      : `${name} was ready; nothing was changed`,
  );
  say(`operator's token: ${tokenFile(options)}`);
  say("hint: give the operator its token, people the policy, and apps these keys to pin:");
  printPins(created);
}

const tokenFile = ({ data, namespace, operatorToken: path }: InitOptions): string =>
  path ?? join(data, `${namespace}.operator-token`);

async function create(
  options: InitOptions,
  token: NewAuditor["token"],
  before: AuditorConfig | undefined,
): Promise<AuditorConfig> {
  const { data, namespace: name, origin, ciphersuite, root, witness, listen } = options;
  const taken = before?.namespaces.flatMap(({ keys }) => keys.audit.map(({ publicKey }) => publicKey)) ?? [];
  const { session, profile } = await openChosen(chooseToken(token));
  let keys: { readonly audit: ReturnType<typeof makeAuditKey>; readonly checkpoint: typeof keys.audit };
  try {
    keys = {
      audit: makeAuditKey(session, profile, name, taken),
      checkpoint: makeKey(session, profile, auditorKeys(name).checkpoint),
    };
  } finally {
    session.close();
  }
  return addNamespace(
    data,
    { listen, token },
    {
      name,
      origin,
      ciphersuite,
      operatorToken: await operatorToken(tokenFile(options)),
      root,
      keys: { audit: [{ ...keys.audit, notBefore: Date.now() }], checkpoint: keys.checkpoint },
      witnesses: witness,
      witnessQuorum: options.witnessQuorum ?? witness.length,
    },
  );
}

async function rotate({ data, namespace: name }: { data: string; namespace: string }): Promise<void> {
  const config = existingConfig(data);
  if (!config)
    throw new StrongroomError("usage", `${data} has no auditor.yaml`, {
      hint: "name with --data the directory that `strongroom auditor init` made",
    });
  const { keys } = namespaceIn(config, name);
  const taken = config.namespaces.flatMap((one) => one.keys.audit.map(({ publicKey }) => publicKey));
  const { session, profile } = await openChosen(chooseToken(config.token));
  try {
    const key = makeAuditKey(session, profile, name, taken, keys.audit.length);
    const changed = await addAuditKey(data, name, { ...key, notBefore: Date.now() });
    say("the new key is there; it signs from the epoch after the one that announces it");
    say("hint: restart the auditor, then announce an epoch with both keys, and the next one without the old");
    printPins(namespaceIn(changed, name));
  } finally {
    session.close();
  }
}

function witness(text: string, all: InitOptions["witness"]): InitOptions["witness"] {
  const [, vkey, url] = /^([^\s,]+),(https?:\/\/\S+)$/.exec(text) ?? [];
  if (vkey !== undefined && url !== undefined) return [...all, { vkey, url }];
  throw new InvalidArgumentError("VKEY,URL");
}

/** The command, for auditor.ts. */
export function initCommand(): Command {
  return new Command("init")
    .description("make an auditor's keys for a namespace, and its configuration; print what apps pin")
    .requiredOption(...dataOption)
    .requiredOption("--namespace <name>", "the operator's name in the log", namespaceName)
    .requiredOption(
      "--origin <name>",
      "the log's name for ever, e.g. auditor.example/logs/vault.example",
      matching(ORIGIN_PATTERN, "a name without white space and +"),
    )
    .addOption(uriOption())
    .addOption(profileOption())
    .addOption(listenOption(8460))
    .option("--ciphersuite <n>", "1 protobuf, 2 bincode", (text) => (text === "2" ? 2 : 1), 1)
    .option("--root <digest>", "SHA-256 that the first announcement must have, as 1/DIGEST", (text) =>
      matching(/^1\/[0-9a-f]{64}$/, "1/ and 64 hexadecimal digits")(text).slice(2),
    )
    .option("--policy <file>", "the policy to begin with (default: hsm-config/auditor/policy.yaml)")
    .option("--operator-token <file>", "the operator's token; made where it is not there")
    .addOption(
      new Option("--witness <vkey,url>", "a witness that cosigns checkpoints; may be repeated")
        .argParser(witness)
        .default([], "none"),
    )
    .option("--witness-quorum <n>", "how many of them must (default: all)", wholeNumber(0, 16))
    .option("--dry-run", "say what would be made")
    .action(init);
}

/** The command, for auditor.ts. */
export function rotateCommand(): Command {
  return new Command("rotate")
    .description("make a further audit key, which an epoch has to announce before it signs")
    .requiredOption(...dataOption)
    .requiredOption("--namespace <name>", "the operator's name in the log")
    .action(rotate);
}
