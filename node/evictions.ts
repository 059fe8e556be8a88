// The event `evict`: how many entries had to go, asked for once in a while, and only as long as somebody listens. Pure, but for its timer; who
// answers is the owner's affair.

/** Entries that were removed to make room, since the last such event. */
export interface Evictions {
  readonly count: number;
  /** Those that went because of `maxItems`. */
  readonly byItems: number;
  /** Those that went because of `maxBytes`. */
  readonly byBytes: number;
}

/** What the daemon has counted since it started. */
export interface EvictionCounts {
  readonly evictions_by_items: number;
  readonly evictions_by_bytes: number;
}

export interface EvictionHooks {
  /** Asks the running daemon; undefined when none runs. */
  ask(): Promise<EvictionCounts> | undefined;
  /** Whether anybody still listens. */
  isWanted(): boolean;
  evicted(evictions: Evictions): void;
}

const PERIOD_MS = 1000;
const NONE: EvictionCounts = { evictions_by_items: 0, evictions_by_bytes: 0 };

export class EvictionSampler {
  readonly #hooks: EvictionHooks;
  #timer: NodeJS.Timeout | undefined;
  /** The last answer of this daemon; null before the first one since somebody listens. */
  #last: EvictionCounts | null = null;
  #isAsking = false;

  constructor(hooks: EvictionHooks) {
    this.#hooks = hooks;
  }

  /** Somebody listens from now on. What was evicted before is not told. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#last = null;
    void this.#sample();
    this.#timer = setInterval(() => void this.#sample(), PERIOD_MS);
    this.#timer.unref();
  }

  /** Nobody does, or the cache is closed. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Another daemon has begun to count, from nothing. */
  restarted(): void {
    this.#last = NONE;
  }

  async #sample(): Promise<void> {
    if (!this.#hooks.isWanted()) {
      this.stop();
      return;
    }
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const before = this.#last;
      const counts = await this.#hooks.ask();
      // One that was replaced meanwhile has another past.
      if (counts === undefined || this.#last !== before) return;
      this.#last = counts;
      if (before === null) return;
      const byItems = counts.evictions_by_items - before.evictions_by_items;
      const byBytes = counts.evictions_by_bytes - before.evictions_by_bytes;
      if (byItems + byBytes > 0) this.#hooks.evicted({ count: byItems + byBytes, byItems, byBytes });
    } catch {
      // The calls of the user meet the same, and tell of it.
    } finally {
      this.#isAsking = false;
    }
  }
}
