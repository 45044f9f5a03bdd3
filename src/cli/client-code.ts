/** How recovery codes get in: typed without echo, or from a file; never as an argument. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { CANCEL_SYMBOL } from "@clack/prompts";
import { isStrongroomError, StrongroomError } from "../base/errors.ts";
import {
  generateRecoveryCode,
  parseNewRecoveryCode,
  parseRecoveryCode,
  type RecoveryCode,
} from "../client/recovery-code.ts";
import { fileFailed } from "./client-run.ts";
import { confirm, password, text } from "./prompt.ts";
import { say, yellow } from "./terminal.ts";

const output = process.stderr;
const MAX_CODE_FILE_BYTES = 4_096;

/** What was answered; Ctrl-C is a symbol. @throws usage */
function answered<T extends string | boolean>(answer: T | typeof CANCEL_SYMBOL): T {
  if (answer !== CANCEL_SYMBOL) return answer;
  throw new StrongroomError("usage", "cancelled; nothing was changed");
}

/** @throws usage where nobody can be asked */
export function requireTerminal(instead: string): void {
  if (process.stdin.isTTY && process.stderr.isTTY) return;
  throw new StrongroomError("usage", "there is no terminal to ask on", { hint: instead });
}

/** The first line of a file that only its owner can read; pipes are taken as they are. @throws file-failed */
async function readCodeFile(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const stat = await file.stat();
      if (stat.isFile() && (stat.mode & 0o077) !== 0)
        throw new StrongroomError("file-failed", `${path} can be read by others`, {
          hint: `chmod 600 ${path}`,
        });
      const content = Buffer.alloc(MAX_CODE_FILE_BYTES);
      const { bytesRead } = await file.read(content);
      const [line = ""] = content.subarray(0, bytesRead).toString("utf8").split(/\r?\n/, 1);
      content.fill(0);
      return line;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileFailed(`cannot read the recovery code in ${path}`, error);
  }
}

/** A message to show under the prompt, where a code cannot be taken. */
function complaint(parse: (typed: string) => unknown): (typed: string | undefined) => string | undefined {
  return (typed) => {
    try {
      parse(typed ?? "");
      return undefined;
    } catch (error) {
      if (!isStrongroomError(error)) throw error;
      return error.hint ? `${error.message}; ${error.hint}` : error.message;
    }
  };
}

/** The code of an existing registration. @throws recovery-code-invalid, usage, file-failed */
export async function askCode(codeFile: string | undefined): Promise<string> {
  if (codeFile !== undefined) return parseRecoveryCode(await readCodeFile(codeFile)).text;
  requireTerminal("--code-file FILE reads the recovery code from a file");
  const typed = await password({
    message: "Recovery code",
    validate: complaint((code) => parseRecoveryCode(code)),
  });
  return answered(typed);
}

/** The code for a new registration. @throws recovery-code-invalid, usage, file-failed */
export async function askNewCode(options: {
  readonly codeFile?: string | undefined;
  readonly generate?: boolean | undefined;
}): Promise<RecoveryCode> {
  if (options.generate) return newGeneratedCode(options.codeFile);
  if (options.codeFile !== undefined) {
    const code = parseNewRecoveryCode(await readCodeFile(options.codeFile));
    for (const warning of code.warnings) say(yellow(`warning: ${warning}`));
    return code;
  }
  requireTerminal("--code-file FILE reads the recovery code from a file");
  for (;;) {
    const typed = answered(
      await password({
        message: "New recovery code: a password of your own, or a PIN of six digits",
        validate: complaint((text) => parseNewRecoveryCode(text)),
      }),
    );
    const code = parseNewRecoveryCode(typed);
    if (code.warnings.length > 0) {
      const question = `${code.warnings.map(capitalised).join(" ")} Use it nevertheless?`;
      if (!answered(await confirm({ message: question, initialValue: false }))) continue;
    }
    const matches = (again: string): void => {
      if (parseRecoveryCode(again).text !== code.text)
        throw new StrongroomError("recovery-code-invalid", "this is another code than before");
    };
    answered(await password({ message: "The same once more", validate: complaint(matches) }));
    return code;
  }
}

const capitalised = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** Shown once and typed back, so that nobody registers a code that was never written down; or put into a new file. */
async function newGeneratedCode(codeFile: string | undefined): Promise<RecoveryCode> {
  const code = parseNewRecoveryCode(generateRecoveryCode(), "generated");
  if (codeFile !== undefined) {
    await writeCodeFile(codeFile, code.text);
    return code;
  }
  requireTerminal("--generate --code-file FILE writes the code into a new file");
  output.write(
    `\n    ${code.text}\n\nWrite it down: it is shown only now, and without it nobody gets the key back.\n`,
  );
  answered(await text({ message: "Press Enter to hide it, then type it back" }));
  hide();
  const matches = (typed: string): void => {
    if (parseRecoveryCode(typed, "generated").text !== code.text)
      throw new StrongroomError("recovery-code-invalid", "this is another code", {
        hint: "if it is lost, press Ctrl-C and start again: nothing is registered yet",
      });
  };
  answered(await text({ message: "The code, from what you wrote down", validate: complaint(matches) }));
  return code;
}

/** The screen and what can be scrolled back to. */
function hide(): void {
  output.write("\u001b[2J\u001b[3J\u001b[H");
}

async function writeCodeFile(path: string, code: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  try {
    const file = await open(path, flags, 0o600);
    try {
      await file.writeFile(`${code}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileFailed(`cannot write the recovery code into the new file ${path}`, error);
  }
}
