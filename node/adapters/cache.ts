// What the adapters need of a cache, so that they take a `Cache`, a view on one, or the options to make one of. No adapter knows
// another; what their hosts ask for, each keeps to itself.

import { Cache } from "../client.js";
import { InvalidArgumentError, show } from "../errors.js";
import type { CacheOptions } from "../options.js";

/** The part of `Cache`, and of its namespaces, that adapters use. Times are in milliseconds. */
export interface AdapterCache {
  get(key: string): Promise<unknown>;
  getEntry(key: string): Promise<{ readonly value: unknown; readonly ttl: number | undefined } | undefined>;
  getMany(keys: readonly string[]): Promise<readonly unknown[]>;
  set(
    key: string,
    value: unknown,
    options?: { ttl?: number | undefined; expiresAt?: number | undefined },
  ): Promise<boolean>;
  setMany(
    items: readonly { key: string; value: unknown; ttl?: number | undefined }[],
  ): Promise<readonly boolean[]>;
  has(key: string): Promise<boolean>;
  hasMany(keys: readonly string[]): Promise<readonly boolean[]>;
  delete(key: string): Promise<boolean>;
  deleteMany(keys: readonly string[]): Promise<readonly boolean[]>;
  touch(key: string, ttl?: number): Promise<boolean>;
  ttl(key: string): Promise<number | undefined>;
  increment(key: string, delta?: number, options?: { ttl?: number }): Promise<number>;
  clear(options?: { prefix?: string }): Promise<unknown>;
  keys(options?: { prefix?: string }): AsyncIterable<string | Uint8Array>;
}

/** A cache to use, or the options of one that is made for the adapter alone. */
export type CacheSource = AdapterCache | CacheOptions;

/** The cache of one adapter. */
export interface OpenedCache {
  readonly cache: AdapterCache;
  /** Ends a cache that was made here; one that was given is its owner's to close. */
  close(): Promise<void>;
}

/** Opens what an adapter was given; `undefined` makes a cache with the default options, in memory only. */
export function openCache(source: CacheSource | undefined): OpenedCache {
  if (isCache(source)) return { cache: source, close: async () => {} };
  if (source !== undefined && (typeof source !== "object" || source === null)) {
    throw new InvalidArgumentError(
      `an adapter takes a cache, or the options of one, as an object; got ${show(source)}`,
    );
  }
  const made = new Cache(source);
  return { cache: made, close: () => made.close() };
}

function isCache(source: CacheSource | undefined): source is AdapterCache {
  return typeof (source as Partial<AdapterCache> | null | undefined)?.get === "function";
}

/** The keys of a scan that are text; an adapter has stored no others. */
export async function* textKeys(
  cache: AdapterCache,
  prefix: string,
): AsyncGenerator<string, void, undefined> {
  // A scan may meet an entry twice.
  const seen = new Set<string>();
  for await (const key of cache.keys({ prefix })) {
    if (typeof key !== "string" || seen.has(key)) continue;
    seen.add(key);
    yield key;
  }
}
