/** `strongroom client register`, `recover`, `status`, `delete`. */
import { wipe } from "../base/bytes.ts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import { left } from "../client/told.ts";
import { askCode, askNewCode, requireTerminal } from "./client-code.ts";
import { type ConfiguredClient, loadClient } from "./client-config.ts";
import { checkKeyFile, readBackupKey, writeKeyFile } from "./client-key-file.ts";
import type { CommonOptions, Outcome } from "./client-run.ts";
import { confirm } from "./prompt.ts";
import { bold, green, red, table, yellow } from "./terminal.ts";

export interface RegisterOptions extends CommonOptions {
  readonly generate?: boolean;
  readonly replace?: boolean;
  readonly identityFile?: string;
  readonly identityOut?: string;
  readonly force?: boolean;
}
export interface RecoverOptions extends CommonOptions {
  readonly identityOut?: string;
  readonly force?: boolean;
}
export interface DeleteOptions extends CommonOptions {
  readonly yes?: boolean;
}

const who = (
  { tenant, subject, ...configured }: ConfiguredClient,
  fleet: string | undefined = configured.fleet,
): Readonly<Record<string, string>> => ({ ...(fleet === undefined ? {} : { fleet }), tenant, subject });
const owner = ({ account }: ConfiguredClient, fleet: string): string =>
  `backup key of ${account} in fleet ${fleet}`;

/** Registering replaces code and key at once, and who replaces a key without meaning to has lost its backups. */
async function requireUnregistered(configured: ConfiguredClient): Promise<void> {
  try {
    const { state, generation } = await configured.client.status();
    if (state === "destroyed") return;
    throw new StrongroomError(
      "usage",
      `${configured.account} is registered already, generation ${generation}`,
      {
        hint:
          "for a new code: recover --identity-out KEY, then register --replace --identity-file KEY; " +
          "--replace alone also replaces the key, and backups under the old one are lost",
      },
    );
  } catch (error) {
    if (!isStrongroomError(error, "not-registered")) throw error;
  }
}

export async function register(options: RegisterOptions): Promise<Outcome> {
  const configured = loadClient(options.config);
  const { client, account } = configured;
  if (options.identityOut !== undefined) await checkKeyFile(options.identityOut, options.force);
  const given = options.identityFile === undefined ? undefined : await readBackupKey(options.identityFile);
  if (!options.replace) await requireUnregistered(configured);
  const code = await askNewCode(options);
  const { backupKey, generation, fleet } = await client.register(code.text, given);
  try {
    if (options.identityOut !== undefined)
      await writeKeyFile(options.identityOut, backupKey, owner(configured, fleet), options.force);
  } finally {
    wipe(backupKey);
  }
  const { identityOut } = options;
  return {
    json: {
      ...who(configured, fleet),
      generation,
      codeKind: code.kind,
      ...(identityOut ? { identityFile: identityOut } : {}),
    },
    lines: [
      green(`registered ${account} with fleet ${fleet}, generation ${generation}`),
      ...(identityOut ? [`the backup key is in ${identityOut}; keep it secret`] : []),
      "hint: try the code once before you rely on it: strongroom client recover",
    ],
  };
}

export async function recover(options: RecoverOptions): Promise<Outcome> {
  const configured = loadClient(options.config);
  const { identityOut } = options;
  if (identityOut !== undefined) await checkKeyFile(identityOut, options.force);
  const recovered = await configured.client.recover(await askCode(options.codeFile));
  const { backupKey, generation, attemptsLeft, fleet, movedTo, notMoved } = recovered;
  try {
    if (identityOut !== undefined)
      await writeKeyFile(identityOut, backupKey, owner(configured, fleet), options.force);
  } finally {
    wipe(backupKey);
  }
  return {
    json: {
      ...who(configured, fleet),
      generation,
      attemptsLeft,
      ...(movedTo === undefined ? {} : { movedTo }),
      ...(notMoved === undefined ? {} : { notMoved: notMoved.message }),
      ...(identityOut ? { identityFile: identityOut } : {}),
    },
    lines: [
      green(`the recovery code is right; ${left(attemptsLeft)}`),
      ...(movedTo === undefined ? [] : [`the key was moved from fleet ${fleet} to fleet ${movedTo}`]),
      ...(notMoved === undefined
        ? []
        : [
            yellow(
              `the key stays at fleet ${fleet} for now, and is moved at a later recovery: ${notMoved.message}`,
            ),
          ]),
      ...(identityOut
        ? [`the backup key is in ${identityOut}; keep it secret`]
        : ["hint: --identity-out FILE writes the backup key; restore needs no file, it asks for the code"]),
    ],
  };
}

export async function status(options: CommonOptions): Promise<Outcome> {
  const configured = loadClient(options.config);
  const found = await configured.client.status();
  const { state, generation, attemptsLeft, maxAttempts, registeredAt } = found;
  const registered = registeredAt > 0 ? new Date(registeredAt).toISOString() : undefined;
  const few = attemptsLeft <= maxAttempts / 2 ? yellow : green;
  const rows = [
    ["fleet", found.fleet],
    ["state", state === "active" ? green(state) : red(state)],
    ["attempts left", few(`${attemptsLeft} of ${maxAttempts}`)],
    ["generation", String(generation)],
    ...(registered ? [["registered", `${registered.slice(0, 16).replace("T", " ")} UTC`]] : []),
  ];
  return {
    json: { ...who(configured), ...found, registeredAt: registered ?? null },
    lines: [table(["account", bold(configured.account)], rows)],
  };
}

export async function remove(options: DeleteOptions): Promise<Outcome> {
  const configured = loadClient(options.config);
  const { client, account } = configured;
  if (!options.yes) {
    requireTerminal("--yes deletes without asking");
    const message = `Delete the record of ${account}? Its backup key can then not be recovered by anybody.`;
    if ((await confirm({ message, initialValue: false })) !== true)
      throw new StrongroomError("usage", "cancelled; nothing was changed");
  }
  await client.delete();
  return { json: { ...who(configured), deleted: true }, lines: [`deleted the record of ${account}`] };
}
