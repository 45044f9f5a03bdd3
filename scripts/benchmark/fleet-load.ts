/** Load on a fleet: accounts that registered, one client for each site, and account tokens made in advance. */
import type { TestFleet } from "../../test/support/fleet.ts";
import { TENANT } from "../../test/support/issuer.ts";
import { createLoadClient, type LoadAccount } from "./load-client.ts";
import { load, type Phase, pick } from "./phase.ts";

export interface FleetLoad {
  /** Each account once, at the site that will always be asked for it. */
  register(): Promise<Phase>;
  /** @param concurrency recoveries in flight; as many as a phase has by default */
  recover(count: number, concurrency?: number): Promise<Phase>;
  close(): void;
}

/**
 * Requests go to all sites in turn. A site's guard lets an account token authorise one attempt, so each recovery
 * has its own; making them is the issuer's work and no part of what is measured.
 */
export function createFleetLoad(fleet: TestFleet, count: number): FleetLoad {
  const { urls, manifest, issueToken } = fleet;
  const sites = urls.length;
  const clients = urls.map((url, site) => createLoadClient(url, manifest, site));
  // A multiple of the sites, so that an account comes back to the site that remembers its record id.
  const subjects = Array.from({ length: Math.ceil(count / sites) * sites }, (_, i) => `user-${i}`);
  const attempts = subjects.map(() => 0);

  async function prepared(operations: number, first: number): Promise<readonly LoadAccount[]> {
    const all: LoadAccount[] = [];
    for (let i = first; i < first + operations; i++) {
      const at = i % subjects.length;
      const subject = pick(subjects, at);
      const next = attempts[at] ?? 0;
      attempts[at] = next + 1;
      all.push({ account: { tenant: TENANT, subject }, token: await issueToken(subject), next });
    }
    return all;
  }

  let done = 0;
  return {
    async register() {
      const all = await prepared(subjects.length, 0);
      return load((i) => pick(clients, i).register(pick(all, i)), { count: all.length });
    },
    async recover(operations, concurrency) {
      const first = done;
      done += operations;
      const all = await prepared(operations, first);
      return load((i) => pick(clients, first + i).recover(pick(all, i)), {
        count: operations,
        ...(concurrency === undefined ? {} : { concurrency }),
      });
    },
    close() {
      for (const client of clients) client.close();
    },
  };
}
