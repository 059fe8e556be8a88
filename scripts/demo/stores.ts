// Where the demo keeps its results: in the cache, or in a Map. Two faces of the same thing, so that a pass does the same work
// with either.

import { RustCache } from "../../node/index.js";
import { residentBytes } from "../lib/statistics.js";

export interface ResultStore {
  /** "" when there is none. */
  get(key: string): Promise<string>;
  insert(key: string, result: string): Promise<void>;
  entries(): number;
  /** Resident memory of the daemon, NaN when there is none. */
  daemonBytes(): number;
}

export class MapStore implements ResultStore {
  readonly #map = new Map<string, string>();

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

export class RustCacheStore implements ResultStore {
  #entries = 0;

  get(key: string): Promise<string> {
    return RustCache.get(key);
  }

  async insert(key: string, result: string): Promise<void> {
    await RustCache.insert(key, result);
    this.#entries++;
  }

  entries(): number {
    return this.#entries;
  }

  daemonBytes(): number {
    return residentBytes(RustCache.process?.pid);
  }
}
