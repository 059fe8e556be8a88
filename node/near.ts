// The hot tier: the entries that were read last, kept in this process, so that a read of one needs no round trip. Pure: keys by name
// (key-name.ts), a clock, and whatever the owner wants kept for an entry; what a value is, is the owner's affair (client.ts).
//
// Invariants: an entry is here only if no write to its key was called since the read that brought it was, since requests are done in the order in which
// they are called. It is never served at or after its deadline, which is not after the daemon's. Nothing survives the daemon that it came from.

/** What an entry costs beyond the characters of key and value: its objects, its place in the map. Measured on node 20: 290. */
const ENTRY_BYTES = 300;

/** One entry of the hot tier. */
export class NearEntry<V> {
  readonly name: string;
  readonly held: V;
  /** By the clock; Infinity = no deadline. */
  readonly deadline: number;
  readonly bytes: number;
  newer: NearEntry<V> | null = null;
  older: NearEntry<V> | null = null;

  constructor(name: string, held: V, deadline: number, bytes: number) {
    this.name = name;
    this.held = held;
    this.deadline = deadline;
    this.bytes = bytes;
  }
}

/** Reads of one key that are under way, none of them overtaken by a write. */
export interface Fill {
  readonly name: string;
  reads: number;
  /** False once a write has passed: what these reads bring may be older than it. */
  valid: boolean;
}

/** Limits of a hot tier, all of them given. */
export interface NearLimits {
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Milliseconds that an entry is served from here at most; Infinity = as long as it lives. */
  readonly ttl: number;
}

/** What a hot tier has counted, and what it holds. */
export interface NearStats {
  readonly hits: number;
  readonly misses: number;
  readonly items: number;
  readonly bytes: number;
}

export class Near<V> {
  readonly #limits: NearLimits;
  readonly #clock: () => number;
  #entries = new Map<string, NearEntry<V>>();
  #newest: NearEntry<V> | null = null;
  #oldest: NearEntry<V> | null = null;
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  readonly #fills = new Map<string, Fill>();

  /** `clock`: monotonic, in milliseconds. */
  constructor(limits: NearLimits, clock: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** What it has counted since it was made, and what it holds now. */
  get stats(): NearStats {
    return { hits: this.#hits, misses: this.#misses, items: this.#entries.size, bytes: this.#bytes };
  }

  /** The entry of this name, which is the most recently used one from now on; undefined when it is not here or past its deadline. Counts. */
  get(name: string): NearEntry<V> | undefined {
    const entry = this.look(name);
    if (entry === undefined) this.missed();
    else this.used(entry);
    return entry;
  }

  /** As `get`, for those who may find it not good enough: `used` or `missed` must follow, before anything else is called here. */
  look(name: string): NearEntry<V> | undefined {
    const entry = this.#entries.get(name);
    // A look at the clock costs half as much as the rest of a hit.
    if (
      entry !== undefined &&
      entry.deadline !== Number.POSITIVE_INFINITY &&
      this.#clock() >= entry.deadline
    ) {
      this.#remove(entry);
      return undefined;
    }
    return entry;
  }

  /** Nothing was found that answers a read. */
  missed(): void {
    this.#misses++;
  }

  /** What was found answers a read. */
  used(entry: NearEntry<V>): void {
    this.#hits++;
    if (entry !== this.#newest) {
      this.#unlink(entry);
      this.#link(entry);
    }
  }

  /** The time by the clock that deadlines are measured by. */
  now(): number {
    return this.#clock();
  }

  /** A read leaves for the daemon. `fill` or `settle` must follow. */
  begin(name: string): Fill {
    let fill = this.#fills.get(name);
    if (fill === undefined) {
      fill = { name, reads: 0, valid: true };
      this.#fills.set(name, fill);
    }
    fill.reads++;
    return fill;
  }

  /** A read has ended. */
  settle(fill: Fill): void {
    if (--fill.reads === 0 && fill.valid) this.#fills.delete(fill.name);
  }

  /**
   * Keeps what a read has brought, unless a write has passed it. `begun`: the time when it was called; `ttl`: milliseconds that were left to the entry
   * when the daemon answered, which was later, so that the deadline is never too late; `size`: bytes that `held` takes.
   */
  fill(fill: Fill, held: V, begun: number, ttl: number, size: number): void {
    if (!fill.valid) return;
    const { maxBytes, maxItems } = this.#limits;
    const bytes = ENTRY_BYTES + 2 * fill.name.length + size;
    const former = this.#entries.get(fill.name);
    if (former !== undefined) this.#remove(former);
    if (bytes > maxBytes) return;
    // The daemon rounds up: at the last of these milliseconds the entry may be gone.
    const deadline = begun + Math.min(this.#limits.ttl, ttl - 1);
    if (this.#clock() >= deadline) return;
    const entry = new NearEntry(fill.name, held, deadline, bytes);
    this.#entries.set(fill.name, entry);
    this.#link(entry);
    this.#bytes += bytes;
    while (this.#bytes > maxBytes || this.#entries.size > maxItems) this.#remove(this.#oldest!);
  }

  /** A write to this key is called. */
  written(name: string): void {
    if (this.#fills.size > 0) {
      const fill = this.#fills.get(name);
      if (fill !== undefined) this.#spoil(fill);
    }
    const entry = this.#entries.get(name);
    if (entry !== undefined) this.#remove(entry);
  }

  /** A write to all keys that `matches` says yes to is called. */
  writtenWhere(matches: (name: string) => boolean): void {
    for (const fill of [...this.#fills.values()]) if (matches(fill.name)) this.#spoil(fill);
    for (const entry of [...this.#entries.values()]) if (matches(entry.name)) this.#remove(entry);
  }

  /** Everything may have changed, or is gone. */
  clear(): void {
    for (const fill of [...this.#fills.values()]) this.#spoil(fill);
    // Not emptied but replaced: the cost is the same however much it held.
    this.#entries = new Map();
    this.#newest = null;
    this.#oldest = null;
    this.#bytes = 0;
  }

  #spoil(fill: Fill): void {
    fill.valid = false;
    this.#fills.delete(fill.name);
  }

  #remove(entry: NearEntry<V>): void {
    this.#entries.delete(entry.name);
    this.#unlink(entry);
    this.#bytes -= entry.bytes;
  }

  #link(entry: NearEntry<V>): void {
    entry.newer = null;
    entry.older = this.#newest;
    if (this.#newest !== null) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  #unlink(entry: NearEntry<V>): void {
    if (entry.newer !== null) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    if (entry.older !== null) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
  }
}
