/** `strongroom client`: what a person or a script does with a fleet. */
import { Command } from "commander";
import { type BackupOptions, backup, restore } from "./client-backup.ts";
import { type CommonOptions, finish } from "./client-run.ts";
import {
  type DeleteOptions,
  type RecoverOptions,
  type RegisterOptions,
  recover,
  register,
  remove,
  status,
} from "./client-vault.ts";

const HELP = `
The configuration (YAML or JSON; paths are relative to it):
  manifest: fleet.json          the fleet's manifest, pinned by its exact bytes
  manifestSha256: 5f3a…         its SHA-256, where the file itself comes from somewhere else (optional)
  tenant: my-app                the app and its user
  subject: alice
  tokenCommand: my-login token  prints an account token (JWT); or tokenFile: PATH; or neither, and
                                STRONGROOM_ACCOUNT_TOKEN in the environment. The command gets STRONGROOM_FLEET,
                                STRONGROOM_TENANT and STRONGROOM_SUBJECT.
  url: http://127.0.0.1:8440    another address for a fleet of one site (optional)
or, in place of manifest, to follow the operator's fleets as they are announced:
  pins: pins.json               whom to believe about fleets: strongroom bundle pins; compare them
  state: trust.json             what the client remembers of it; keep this file
  bundle: bundle.json           the newest bundle, so that the first start needs no other source (optional)
  bundleUrls: [https://site-a.example/v1/fleet, https://auditor.example]    where newer ones are (optional)
  tokenFile may say {fleet}, as each fleet has account tokens of its own.
  retrySeconds: 30              how long a site that cannot be reached is tried again (optional)

Recovery codes are typed, or read with --code-file from a file that only its owner can read; never arguments.

Exit codes: 0 done; 1 it did not work; 2 wrong usage or configuration; 3 wrong recovery code; 4 the record is
destroyed. With --json a result or {"error": {"code", "message", …}} is printed on standard output.`;

/** An option of every command that talks to the vault. */
function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--config <file>", "the client's configuration", "client.yaml")
    .option("--json", "print the result as JSON on standard output");
}
const CODE_FILE = [
  "--code-file <file>",
  "read the recovery code from a file (mode 0600) instead of asking",
] as const;

/** The command, for main.ts. */
export function clientCommand(): Command {
  const client = new Command("client")
    .description("protect a backup key with a recovery code, recover it, and make backups under it")
    .addHelpText("after", HELP);

  client.addCommand(
    command("register", "protect a backup key with a recovery code")
      .option("--generate", "let a strong code be made; with --code-file it is written into that new file")
      .option(...CODE_FILE)
      .option("--identity-file <file>", "protect the key in this file instead of a new one")
      .option("--identity-out <file>", "also write the key to a file (mode 0600, an age identity)")
      .option("--replace", "replace an existing registration, its code and its key")
      .option("--force", "overwrite the file of --identity-out")
      .action((options: RegisterOptions) => finish(options.json, () => register(options))),
  );
  client.addCommand(
    command("recover", "recover the backup key, or just try the code")
      .option(...CODE_FILE)
      .option("--identity-out <file>", "write the key to a file (mode 0600, an age identity)")
      .option("--force", "overwrite that file")
      .action((options: RecoverOptions) => finish(options.json, () => recover(options))),
  );
  client.addCommand(
    command("status", "show the record and the attempts left").action((options: CommonOptions) =>
      finish(options.json, () => status(options)),
    ),
  );
  client.addCommand(
    command("delete", "delete the record; its backup key is then lost")
      .option("--yes", "do not ask")
      .action((options: DeleteOptions) => finish(options.json, () => remove(options))),
  );
  client.addCommand(
    command("backup", "encrypt a file or folders into one age file")
      .argument("<paths...>", "a file, or folders and files, which are packed with tar")
      .requiredOption("-o, --out <file>", "the age file to make")
      .option("--identity <file>", "take the key from this file instead of recovering it with the code")
      .option(...CODE_FILE)
      .option("--force", "overwrite the age file")
      .action((paths: string[], options: BackupOptions) =>
        finish(options.json, () => backup(paths, options)),
      ),
  );
  client.addCommand(
    command("restore", "decrypt a backup; all of it or nothing appears")
      .argument("<file>", "the age file")
      .requiredOption("-o, --out <path>", "the file or folder to make")
      .option("--identity <file>", "take the key from this file instead of recovering it with the code")
      .option(...CODE_FILE)
      .option("--force", "replace what is there")
      .action((file: string, options: BackupOptions) => finish(options.json, () => restore(file, options))),
  );
  return client;
}
