// `rustcache/unstorage`: a driver for unstorage 1 (and so for Nitro and Nuxt). Items are text or bytes, as unstorage hands them over; keys
// have `:` between their parts.

import { type AdapterCache, type CacheSource, openCache, textKeys } from "./cache.js";

/**
 * Options of the driver.
 *
 * @example
 * import { rustcacheDriver } from "rustcache/unstorage";
 *
 * const driver = rustcacheDriver({ cache: { maxBytes: "256mb" }, base: "app", ttl: 60 });
 */
export interface UnstorageOptions {
  /** A cache, which stays its owner's to close, or the options of one that `dispose` closes. @default a cache in memory */
  readonly cache?: CacheSource | undefined;
  /** What all keys begin with, for storages that share a cache. @default nothing */
  readonly base?: string | undefined;
  /** Seconds, as in unstorage's own drivers, that an item lives when `setItem` has no `ttl`. @default the cache's defaultTtl */
  readonly ttl?: number | undefined;
}

/**
 * Options of one call.
 *
 * @example
 * import { rustcacheDriver } from "rustcache/unstorage";
 *
 * const driver = rustcacheDriver();
 * await driver.setItem("key", "value", { ttl: 60 });
 */
export interface UnstorageCallOptions {
  /** Seconds, as in unstorage itself; fractions are kept to the millisecond, 0 = as the cache's defaultTtl says. @default the `ttl` of the driver */
  readonly ttl?: number | undefined;
}

/** An item of `setItems`. */
export interface UnstorageItem {
  readonly key: string;
  readonly value: string;
  readonly options?: UnstorageCallOptions | undefined;
}

/** What unstorage takes for a driver. */
export interface UnstorageDriver {
  readonly name: "rustcache";
  readonly options: UnstorageOptions;
  /** The cache below. */
  getInstance(): AdapterCache;
  hasItem(key: string): Promise<boolean>;
  getItem(key: string): Promise<string | null>;
  /** What `setItemRaw` stored, as it was: bytes as a Buffer, objects as equal ones. */
  getItemRaw(key: string): Promise<unknown>;
  getItems(items: readonly { readonly key: string }[]): Promise<{ key: string; value: string | null }[]>;
  setItem(key: string, value: string, options?: UnstorageCallOptions): Promise<void>;
  setItems(items: readonly UnstorageItem[], options?: UnstorageCallOptions): Promise<void>;
  setItemRaw(key: string, value: unknown, options?: UnstorageCallOptions): Promise<void>;
  removeItem(key: string): Promise<void>;
  /** `ttl`: whole seconds left, rounded up; not there for an item that never expires. */
  getMeta(key: string): Promise<{ ttl?: number } | null>;
  getKeys(base?: string): Promise<string[]>;
  clear(base?: string): Promise<void>;
  dispose(): Promise<void>;
}

/** A driver for unstorage: `createStorage({ driver: rustcacheDriver({ cache: { maxBytes: "256mb" } }) })`. */
export function rustcacheDriver(options: UnstorageOptions = {}): UnstorageDriver {
  const { cache, close } = openCache(options.cache);
  const base = options.base === undefined || options.base === "" ? "" : `${options.base.replace(/:$/, "")}:`;
  const named = (key: string) => base + key;
  /** Milliseconds. */
  const lifetime = (call: UnstorageCallOptions | undefined) => {
    const seconds = call?.ttl ?? options.ttl;
    // As in unstorage's own drivers, 0 is no TTL.
    return seconds === undefined || seconds === 0 ? undefined : seconds * 1000;
  };
  return {
    name: "rustcache",
    options,
    getInstance: () => cache,
    hasItem: (key) => cache.has(named(key)),
    // unstorage parses what is text, and hands on all else.
    getItem: async (key) => ((await cache.get(named(key))) as string | undefined) ?? null,
    getItemRaw: async (key) => (await cache.get(named(key))) ?? null,
    async getItems(items) {
      const values = await cache.getMany(items.map(({ key }) => named(key)));
      return items.map(({ key }, index) => ({ key, value: (values[index] as string | undefined) ?? null }));
    },
    async setItem(key, value, call) {
      await cache.set(named(key), value, { ttl: lifetime(call) });
    },
    async setItems(items, call) {
      await cache.setMany(
        items.map((item) => ({
          key: named(item.key),
          value: item.value,
          ttl: lifetime(item.options ?? call),
        })),
      );
    },
    async setItemRaw(key, value, call) {
      await cache.set(named(key), value, { ttl: lifetime(call) });
    },
    async removeItem(key) {
      await cache.delete(named(key));
    },
    async getMeta(key) {
      const left = await cache.ttl(named(key));
      if (left === undefined) return null;
      return left === Number.POSITIVE_INFINITY ? {} : { ttl: Math.ceil(left / 1000) };
    },
    async getKeys(below = "") {
      const keys: string[] = [];
      for await (const key of textKeys(cache, named(below))) keys.push(key.slice(base.length));
      return keys;
    },
    async clear(below = "") {
      const prefix = named(below);
      await (prefix === "" ? cache.clear() : cache.clear({ prefix }));
    },
    dispose: close,
  };
}
