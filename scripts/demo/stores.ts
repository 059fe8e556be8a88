// Where the demo keeps its results: in the cache, or in a Map. Two faces of the same thing, so that a pass does the same work
// with either.

import { RustCache } from "../../node/index.js";
import { residentBytes } from "../lib/statistics.js";

export interface ResultStore {
  /** "" when there is none. */
  get(key: string): Promise<string>;
  insert(key: string, result: string): Promise<void>;
  /** Calls that failed because the daemon died under them. Each was made again. */
  readonly failedCalls: number;
  entries(): number;
  /** Resident memory of the daemon, NaN when there is none. */
  daemonBytes(): number;
}

export class MapStore implements ResultStore {
  readonly #map = new Map<string, string>();
  readonly failedCalls = 0;

  async get(key: string): Promise<string> {
    return this.#map.get(key) ?? "";
  }

  async insert(key: string, result: string): Promise<void> {
    this.#map.set(key, result);
  }

  /** What a result must be; undefined for a file that this store never saw in that state. */
  expected(key: string): string | undefined {
    return this.#map.get(key);
  }

  entries(): number {
    return this.#map.size;
  }

  daemonBytes(): number {
    return Number.NaN;
  }
}

/** How often a call is made again before the demo gives up: a daemon that dies every time is not recovering. */
const ATTEMPTS = 3;

export class RustCacheStore implements ResultStore {
  failedCalls = 0;
  #entries = 0;

  constructor() {
    // A new daemon starts empty. What is counted is what the one that runs now has acknowledged.
    RustCache.on("disconnected", () => {
      this.#entries = 0;
    });
  }

  /**
   * The client starts a new daemon by itself, but only the caller can know whether a call that was in flight may be made twice.
   * Getting and inserting a computed result may.
   */
  async #call(make: () => Promise<string>): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await make();
      } catch (error) {
        const lost = (error as { code?: string }).code === "ERR_RUSTCACHE_CONNECTION_LOST";
        if (!lost || attempt === ATTEMPTS) throw error;
        this.failedCalls++;
      }
    }
  }

  get(key: string): Promise<string> {
    return this.#call(() => RustCache.get(key));
  }

  async insert(key: string, result: string): Promise<void> {
    await this.#call(() => RustCache.insert(key, result));
    this.#entries++;
  }

  entries(): number {
    return this.#entries;
  }

  daemonBytes(): number {
    return residentBytes(RustCache.process?.pid);
  }
}
