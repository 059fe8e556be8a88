// `rustcache/rate-limit`: a store for express-rate-limit 7 and 8. A client's count is one counter, added to in the daemon, so that no
// two requests read the same number; its window is the TTL that the counter gets when the first of them makes it.

import { type AdapterCache, type CacheSource, type OpenedCache, openCache } from "./cache.js";

/**
 * Options of `RateLimitStore`.
 *
 * @example
 * import { RateLimitStore } from "rustcache/rate-limit";
 *
 * const store = new RateLimitStore({ cache: { maxItems: 1_000_000 }, prefix: "login:" });
 */
export interface RateLimitStoreOptions {
  /** A cache, which stays its owner's to close, or the options of one that `shutdown` closes. @default a cache in memory */
  readonly cache?: CacheSource | undefined;
  /** What the keys begin with; one for each limiter that shares the cache. @default "rl:" */
  readonly prefix?: string | undefined;
}

/** How often a client came, as express-rate-limit asks for it. */
export interface ClientHits {
  totalHits: number;
  /** When the window ends. */
  resetTime: Date | undefined;
}

/** express-rate-limit's own, until it says otherwise by `init`; milliseconds. */
const DEFAULT_WINDOW = 60_000;

/** A store for express-rate-limit: `rateLimit({ windowMs: 60_000, limit: 100, store: new RateLimitStore() })`. */
export class RateLimitStore {
  /** Counts of clients are seen by every limiter that shares the cache and the prefix. */
  readonly localKeys = false;
  readonly prefix: string;
  readonly #opened: OpenedCache;
  readonly #cache: AdapterCache;
  #window = DEFAULT_WINDOW;

  constructor(options: RateLimitStoreOptions = {}) {
    this.#opened = openCache(options.cache);
    this.#cache = this.#opened.cache;
    this.prefix = options.prefix ?? "rl:";
  }

  /** Called by express-rate-limit. `windowMs`: milliseconds. */
  init(options: { windowMs: number }): void {
    this.#window = options.windowMs;
  }

  async get(key: string): Promise<ClientHits | undefined> {
    const entry = await this.#cache.getEntry(this.prefix + key);
    if (entry === undefined) return undefined;
    return { totalHits: Number(entry.value), resetTime: after(entry.ttl) };
  }

  async increment(key: string): Promise<ClientHits> {
    const name = this.prefix + key;
    // One flight. A window that ends between the two has ended now.
    const [totalHits, left] = await Promise.all([
      this.#cache.increment(name, 1, { ttl: this.#window }),
      this.#cache.ttl(name),
    ]);
    return { totalHits, resetTime: after(left ?? 0) };
  }

  async decrement(key: string): Promise<void> {
    // A counter that is gone, because its window has ended, is not made anew with less than nothing in it: it ends at once.
    await this.#cache.increment(this.prefix + key, -1, { ttl: 0 });
  }

  async resetKey(key: string): Promise<void> {
    await this.#cache.delete(this.prefix + key);
  }

  async resetAll(): Promise<void> {
    await this.#cache.clear({ prefix: this.prefix });
  }

  /** Closes the cache, if it was made by this store. */
  async shutdown(): Promise<void> {
    await this.#opened.close();
  }
}

function after(ms: number | undefined): Date | undefined {
  return ms === undefined || ms === Number.POSITIVE_INFINITY ? undefined : new Date(Date.now() + ms);
}
