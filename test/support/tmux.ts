/** A real terminal for commands that talk to a person: tmux, with a server of its own. */
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export interface Terminal {
  /** Everything that has been on the screen, as text; lines that were too long are one again. */
  screen(): string;
  /** Resolves when the text has been shown `times` times. */
  see(text: string, times?: number): Promise<void>;
  /** Types text, and Enter. */
  type(text: string): void;
  /** Presses keys by tmux' names: Enter, Down, C-c. */
  press(...keys: readonly string[]): void;
  /** As a terminal pastes, which says so to programs that ask for it. */
  paste(text: string): void;
  close(): void;
}

const DEADLINE_MS = 60_000;

/** @param command arguments of one process, which the terminal outlives */
export function openTerminal(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Terminal {
  const server = `strongroom-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const tmux = (...args: readonly string[]): string =>
    execFileSync("tmux", ["-L", server, "-f", "/dev/null", ...args], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C.UTF-8", ...env },
    });
  const quoted = command.map((part) => `'${part.replaceAll("'", "'\\''")}'`).join(" ");
  tmux("new-session", "-d", "-x", "180", "-y", "50", `${quoted}; echo "ended with $?"; sleep 600`);
  const screen = (): string => tmux("capture-pane", "-p", "-J", "-S", "-5000");
  return {
    screen,
    async see(text, times = 1) {
      const deadline = Date.now() + DEADLINE_MS;
      while (screen().split(text).length - 1 < times) {
        if (Date.now() > deadline) throw new Error(`never saw ${text} (${times}) in:\n${screen().trim()}`);
        await sleep(50);
      }
    },
    type(text) {
      tmux("send-keys", "-l", text);
      tmux("send-keys", "Enter");
    },
    press: (...keys) => void tmux("send-keys", ...keys),
    paste(text) {
      tmux("set-buffer", "--", text);
      tmux("paste-buffer", "-p", "-r");
    },
    close: () => void tmux("kill-server"),
  };
}
