/** What the walk-through walks through: a site, or a fleet of them, on this machine. */
export interface Demo {
  /** Holds everything. */
  readonly dir: string;
  /** The fleet's name. */
  readonly fleet: string;
  readonly manifest: string;
  /** Sites that may fail without users noticing; 0 for a fleet of one. */
  readonly spare: number;
  readonly urls: readonly string[];
  /** Shows how the sites are. */
  show(): void;
  /** Kills sites with everything that belongs to them, as a power failure would. */
  kill(sites: readonly number[]): Promise<void>;
  /** Brings killed sites back. */
  revive(): Promise<void>;
  /** Resolves when a service has ended by itself. */
  ended(): Promise<number | null>;
  stop(): Promise<void>;
}
