/** An auditor, a witness and an operator on this machine, each with a SoftHSM token of its own. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free-ports.ts";
import { chapter, readyz, root, startService, strongroom, strongroomJson, Unexpected } from "./show.ts";
import { type SoftToken, softToken } from "./soft-token.ts";

/** How the demonstration's operator is called in the log. */
export const NAMESPACE = "demo.vault.example";
const ORIGIN = `auditor.example/logs/${NAMESPACE}`;
const WITNESS = "witness.example/demo";

export interface Auditing {
  readonly url: string;
  /** vkey of the witness. */
  readonly witness: string;
  /** The auditor's data directory. */
  readonly data: string;
  /** By which it judges evidence. */
  readonly policy: string;
  /** Announces an epoch. @returns the file of its bundle */
  announce(epoch: number, changes: readonly string[], evidence: readonly string[]): string;
  stop(): Promise<void>;
}

/** What `strongroom auditor init` prints for apps. */
interface AuditorKeys {
  readonly keys: { readonly auditors: readonly string[]; readonly logs: readonly string[] };
}

/** The example policy, but rehearsals are good enough. */
function rehearsalPolicy(file: string): string {
  const example = readFileSync(join(root, "hsm-config/auditor/policy.yaml"), "utf8");
  const lenient = example.replace(/^production: true$/m, "production: false");
  if (lenient === example) throw new Unexpected("the example policy says nothing of production");
  writeFileSync(file, lenient);
  return file;
}

export async function startAuditing(dir: string): Promise<Auditing> {
  chapter("An auditor, a witness and an operator: three tokens, and nobody has a key of another");
  const [auditor, witness, operator] = ["auditor", "witness", "operator"].map((name) =>
    softToken(join(dir, name), name),
  ) as [SoftToken, SoftToken, SoftToken];
  const [auditorPort, witnessPort] = [await freePort(), await freePort()];
  const [url, witnessUrl] = [auditorPort, witnessPort].map((port) => `http://127.0.0.1:${port}`) as [
    string,
    string,
  ];
  const [data, witnessData] = [join(dir, "auditor-data"), join(dir, "witness-data")];
  const watching = ["witness", "init", "--data", witnessData, "--name", WITNESS];
  const { vkey } = strongroomJson<{ vkey: string }>(
    [...watching, "--uri", witness.uri, "--listen", `127.0.0.1:${witnessPort}`],
    witness.env,
  );
  const policy = rehearsalPolicy(join(dir, "policy.yaml"));
  const { keys } = strongroomJson<AuditorKeys>(
    [
      ...["auditor", "init", "--data", data, "--namespace", NAMESPACE, "--origin", ORIGIN],
      ...["--uri", auditor.uri, "--listen", `127.0.0.1:${auditorPort}`, "--policy", policy],
      ...["--witness", `${vkey},${witnessUrl}`],
    ],
    auditor.env,
  );
  strongroom([...watching, ...keys.logs.flatMap((log) => ["--log", log])], witness.env);
  const { operator: operatorKey } = strongroomJson<{ operator: string }>(
    ["bundle", "key", "--namespace", NAMESPACE, "--uri", operator.uri, "--json"],
    operator.env,
  );

  const services: ChildProcess[] = [];
  const start = async (name: string, folder: string, at: string, { env }: SoftToken): Promise<void> => {
    const log = join(dir, `${name}.log`);
    const lacking = async (): Promise<string | undefined> => {
      const answer = await readyz(at);
      return answer?.ok ? undefined : (answer?.text ?? "no answer");
    };
    services.push(await startService([name, "serve", "--data", folder], log, env, lacking));
  };
  const stop = async (): Promise<void> => {
    await Promise.all(
      services.map(async (service) => {
        if (service.exitCode !== null) return;
        const exited = once(service, "exit");
        service.kill("SIGTERM");
        await exited;
      }),
    );
  };
  try {
    await start("witness", witnessData, witnessUrl, witness);
    await start("auditor", data, url, auditor);
  } catch (error) {
    await stop();
    throw error;
  }

  const operatorToken = ["--operator-token", join(data, `${NAMESPACE}.operator-token`)];
  const bundleOf = (epoch: number): string => join(dir, `${epoch}.json`);
  const firstKeys = [
    ...["--namespace", NAMESPACE, "--operator-key", operatorKey],
    ...["--auditor-key", ...keys.auditors, "--log-key", ...keys.logs],
  ];
  return {
    url,
    witness: vkey,
    data,
    policy,
    announce(epoch, changes, evidence) {
      const announcement = join(dir, `announcement-${epoch}.json`);
      const previous = epoch === 1 ? [] : ["--previous", bundleOf(epoch - 1)];
      const folders = evidence.length === 0 ? [] : ["--evidence", ...evidence];
      strongroom([
        ...["bundle", "propose", ...(epoch === 1 ? firstKeys : previous), ...changes, ...folders],
        ...["--out", announcement],
      ]);
      strongroom(
        [
          ...["bundle", "countersign", "--announcement", announcement, ...previous, ...folders],
          ...["--auditor", url, ...operatorToken, "--uri", operator.uri, "--out", bundleOf(epoch)],
        ],
        operator.env,
      );
      return bundleOf(epoch);
    },
    stop,
  };
}
