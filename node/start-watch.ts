// The time limit of a start. It bounds the time without any progress, not the start: a large directory may take as long as it likes to load.
// It counts its own ticks, not the time: one that comes late because the event loop was blocked counts once.

/** Ticks in the time limit: how far the daemon is gets asked at each. */
const TICKS = 10;

/** What a daemon that loads tells of it. */
export type LoadStats = Record<
  "loaded_bytes" | "load_bytes" | "loaded_entries" | "snapshot_progress" | "snapshot_bytes",
  number
>;

export interface StartWatchHooks {
  /** Whether the daemon has answered the handshake, and is loading its directory. */
  isLoading(): boolean;
  /** Only asked of one that is loading. */
  askStats(): Promise<LoadStats>;
  /** It has come no further for `limit` ms. */
  late(reason: string): void;
}

export class StartWatch {
  readonly #hooks: StartWatchHooks;
  readonly #within: string;
  readonly #timer: NodeJS.Timeout;
  #isStopped = false;
  #wasLoading = false;
  /** Ticks since the last progress. */
  #ticks = 0;
  /** The count of ticks when a question was asked that is not answered. */
  #askedAt: number | null = null;
  #last = "";

  /** `limit`: milliseconds without progress. */
  constructor(limit: number, hooks: StartWatchHooks) {
    this.#hooks = hooks;
    this.#within = `within ${limit} ms (see the option startTimeout)`;
    this.#timer = setInterval(() => this.#tick(), Math.ceil(limit / TICKS));
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.#isStopped) return;
    this.#ticks++;
    if (!this.#hooks.isLoading()) {
      if (this.#ticks >= TICKS) this.#late(`it did not answer the handshake ${this.#within}`);
      return;
    }
    if (!this.#wasLoading) {
      this.#wasLoading = true;
      this.#ticks = 0;
    }
    if (this.#askedAt === null) this.#ask();
    else if (this.#ticks > TICKS)
      this.#late(`it was loading its directory, and did not say how far it is ${this.#within}`);
  }

  #ask(): void {
    this.#askedAt = this.#ticks;
    this.#hooks.askStats().then(
      (stats) => this.#look(stats),
      () => {},
    );
  }

  #look(stats: LoadStats): void {
    const askedAt = this.#askedAt;
    this.#askedAt = null;
    if (this.#isStopped || !this.#hooks.isLoading()) return;
    const { loaded_bytes, load_bytes, loaded_entries, snapshot_progress, snapshot_bytes } = stats;
    const now = [loaded_bytes, loaded_entries, snapshot_progress, snapshot_bytes].join();
    if (now !== this.#last) {
      this.#last = now;
      this.#ticks = 0;
    } else if (this.#ticks >= TICKS) {
      // It may have come further since it was asked.
      if (askedAt! < TICKS) this.#ask();
      else
        this.#late(
          `it has loaded ${loaded_bytes} of the ${load_bytes} bytes in its directory, and came no further ${this.#within}`,
        );
    }
  }

  #late(reason: string): void {
    this.stop();
    this.#hooks.late(reason);
  }
}
