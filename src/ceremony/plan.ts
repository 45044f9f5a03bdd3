/**
 * A ceremony's plan: the one file that is reviewed, hashed and approved, and from which everything else follows: the
 * printed script, the dry run, the rehearsal, the run and what the verifier expects. Reading it: plan-file.ts.
 */

/**
 * create: a new fleet. replace: a spare takes the place of a site's token, in a fleet that runs. retire: a site leaves a
 * fleet that runs; its place stays empty, and what its token holds is destroyed.
 */
export type CeremonyKind = "create" | "replace" | "retire";

/** Everything that a rehearsal makes says that it is one. */
export type CeremonyMode = "production" | "rehearsal";

export interface PlannedToken {
  /** pkcs11: URI; `module-path` and, where no person types it, `pin-source`. */
  readonly uri: string;
  /** Name or path of its profile. */
  readonly profile: string;
  /** The serial number on the device. A rehearsal's tokens get theirs when they are initialised. */
  readonly serial?: string | undefined;
  /** `file:` URI of the security officer's PIN; without it a person types it. */
  readonly soPinSource?: string | undefined;
  /** What the module needs in its environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** A token that gets the keys of a site: the site's own, or one that is kept offline to take its place. */
export interface PlannedSite {
  readonly name: string;
  /** Where clients reach the site. */
  readonly url: string;
  /** Where it stands, for people. */
  readonly location?: string | undefined;
  readonly token: PlannedToken;
}

/**
 * A spare belongs to one site: it holds the shares of that site and no others, for a token with the shares of two
 * sites would count as two.
 */
export interface PlannedSpare {
  readonly name: string;
  /** The site whose place it can take. */
  readonly for: string;
  readonly location?: string | undefined;
  readonly token: PlannedToken;
}

export interface PlannedOfficer {
  readonly name: string;
  /** Ed25519, 32 bytes, hex. */
  readonly publicKey: string;
}

/** What becomes of the security officers' PINs at sealing. The users' PINs are the services'. */
export type CredentialPolicy =
  | { readonly soPin: "destroy" }
  | {
      readonly soPin: "split";
      /** So many custodians together can put it together again (Shamir). */
      readonly quorum: number;
      readonly custodians: readonly string[];
    };

export interface CeremonyPlan {
  readonly type: "strongroom/ceremony-plan/v1";
  readonly kind: CeremonyKind;
  readonly mode: CeremonyMode;
  readonly title: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  readonly fleet: string;
  readonly threshold: number;
  readonly maxAttempts: number;
  readonly officers: { readonly quorum: number; readonly members: readonly PlannedOfficer[] };
  readonly credentials: CredentialPolicy;
  /** The software that runs it, and the SHA-256 of its build (hex), as `strongroom ceremony plan` prints it. */
  readonly software: { readonly release: string; readonly digest: string };
  readonly auditor?: { readonly name: string; readonly publicKey?: string | undefined } | undefined;
  /** The token with the root key. */
  readonly root: { readonly token: PlannedToken; readonly location?: string | undefined };
  /** 1, 3, 5 or 7, in the manifest's order; the first leads. */
  readonly sites: readonly PlannedSite[];
  readonly spares: readonly PlannedSpare[];
  /** For production on software tokens, which is refused without these words. */
  readonly softwareTokensAccepted?: string | undefined;
  /** Of replace and retire: what the fleet is before. */
  readonly predecessor?:
    | {
        /** SHA-256 of the manifest that is in force, hex. */
        readonly manifest: string;
        /** Directory of the evidence of the ceremony that it came from, relative to the plan. */
        readonly evidence: string;
      }
    | undefined;
  /** Of replace: the site, and the spare that takes its place. Of retire: the site. */
  readonly change?: { readonly site: string; readonly spare?: string | undefined } | undefined;
}

/** The station where the root key is. */
export const ROOT = "root";

/** A token that gets fleet keys: a site's own or a spare. */
export interface Member {
  readonly name: string;
  readonly token: PlannedToken;
  /** Index of the site whose keys it holds. */
  readonly seat: number;
  readonly isSpare: boolean;
}

/** The sites in their order, then the spares in theirs. */
export function membersOf(plan: CeremonyPlan): readonly Member[] {
  return [
    ...plan.sites.map(({ name, token }, seat) => ({ name, token, seat, isSpare: false })),
    ...plan.spares.map((spare) => ({
      name: spare.name,
      token: spare.token,
      seat: plan.sites.findIndex(({ name }) => name === spare.for),
      isSpare: true,
    })),
  ];
}
