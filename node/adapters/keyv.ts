// `rustcache/keyv`: a storage adapter for Keyv 5 and 6, and so for what is built on Keyv (cache-manager 7, cacheable 2). Only what Keyv asks of
// a store: its values come serialized, or as they are when it was told not to.
//
// It keeps the older of Keyv's two contracts, relative TTLs, which Keyv 6 bridges to. Under Keyv 5 keys come with their namespace before them
// and `namespace` is set from outside; under Keyv 6 the bridge does both by itself, as long as this class has no `namespace` of its own.

import { type AdapterCache, type CacheSource, type OpenedCache, openCache, textKeys } from "./cache.js";

/** One entry of `setMany`. */
export interface KeyvEntry {
  readonly key: string;
  readonly value: unknown;
  /** Milliseconds. @default the cache's defaultTtl */
  readonly ttl?: number | undefined;
}

/** How many entries `iterator` reads at a time. */
const ITERATOR_BATCH = 100;

/**
 * A store for Keyv: `new Keyv({ store: new KeyvRustcache({ maxBytes: "64mb" }) })`. Give each Keyv one of its own; they may share a cache, which is
 * then passed instead of options. Without a TTL an entry lives as long as the cache's `defaultTtl` says. Errors of the cache reject, and Keyv
 * emits them as "error".
 */
export class KeyvRustcache {
  /** Set by Keyv 5. */
  declare namespace?: string | undefined;
  /** Keyv 5 iterates only over the stores whose `dialect` it knows; one of those is what it takes to be asked for `iterator`. */
  readonly opts: Record<string, unknown> = { dialect: "redis", url: "rustcache:" };
  readonly #opened: OpenedCache;
  readonly #cache: AdapterCache;

  /** `source`: a cache, which stays its owner's to close, or the options of one that `disconnect` closes. */
  constructor(source?: CacheSource) {
    this.#opened = openCache(source);
    this.#cache = this.#opened.cache;
  }

  async get(key: string): Promise<unknown> {
    return this.#cache.get(key);
  }

  async getMany(keys: string[]): Promise<unknown[]> {
    return [...(await this.#cache.getMany(keys))];
  }

  /** `ttl` in milliseconds; undefined or 0 = the cache's default. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    return this.#cache.set(key, value, { ttl: lifetime(ttl) });
  }

  async setMany(entries: readonly KeyvEntry[]): Promise<boolean[]> {
    const items = entries.map(({ key, value, ttl }) => ({
      key,
      value: value,
      ttl: lifetime(ttl),
    }));
    return [...(await this.#cache.setMany(items))];
  }

  async has(key: string): Promise<boolean> {
    return this.#cache.has(key);
  }

  async hasMany(keys: string[]): Promise<boolean[]> {
    return [...(await this.#cache.hasMany(keys))];
  }

  async delete(key: string): Promise<boolean> {
    return this.#cache.delete(key);
  }

  /** Whether all of them were there: what Keyv 5 asks for, and Keyv 6 takes as the answer for each. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return (await this.#cache.deleteMany(keys)).every(Boolean);
  }

  /** Removes the entries of the namespace, or everything when there is none. */
  async clear(): Promise<void> {
    const prefix = prefixOf(this.namespace);
    await (prefix === "" ? this.#cache.clear() : this.#cache.clear({ prefix }));
  }

  /** The entries of a namespace, with the keys that they were stored by; all without one. */
  async *iterator(namespace?: string): AsyncGenerator<[string, unknown], void, undefined> {
    let batch: string[] = [];
    for await (const key of textKeys(this.#cache, prefixOf(namespace))) {
      batch.push(key);
      if (batch.length < ITERATOR_BATCH) continue;
      yield* this.#read(batch);
      batch = [];
    }
    yield* this.#read(batch);
  }

  async *#read(keys: string[]): AsyncGenerator<[string, unknown], void, undefined> {
    if (keys.length === 0) return;
    const values = await this.#cache.getMany(keys);
    for (const [index, key] of keys.entries()) {
      // What has gone since the scan.
      if (values[index] !== undefined) yield [key, values[index]];
    }
  }

  /** Closes the cache, if it was made by this adapter. */
  async disconnect(): Promise<void> {
    await this.#opened.close();
  }
}

/** Both separators begin so: `:` of Keyv 5, `::` of the bridge of Keyv 6, which looks at the keys once more. */
function prefixOf(namespace: string | undefined): string {
  return namespace === undefined || namespace === "" ? "" : `${namespace}:`;
}

/** Keyv takes 0 for "no TTL"; for the cache it means "at once". */
function lifetime(ttl: number | undefined): number | undefined {
  return ttl === 0 ? undefined : ttl;
}
