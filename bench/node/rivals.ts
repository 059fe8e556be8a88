// Who is compared, each behind the same two calls. A rival is opened in a process of its own (worker.ts), with the settings that
// suit it best for a cache in memory: no persistence, a Unix socket where there is a server.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCache, RustCache } from "../../node/index.js";

/** Text up to 1 KiB, bytes above: what a program would store in either size. */
export type Value = string | Buffer;

/** Calls may be synchronous: then the loops await a value that is there already, as a program written for either would. */
export interface Store<V = Value> {
  get(key: string): PromiseLike<unknown> | unknown;
  /** The values in the order of the keys. */
  getMany?(keys: readonly string[]): PromiseLike<unknown> | unknown;
  set(key: string, value: V): PromiseLike<unknown> | unknown;
  close(): void | Promise<void>;
}

export interface Rival<V = Value> {
  readonly name: string;
  /** What it was given, for the notes below the tables. */
  readonly note: string;
  readonly needsServer?: boolean;
  /** Value sizes that make no sense here: a cache that hands out references moves no bytes. */
  readonly skipsLarge?: boolean;
  open(bytes: boolean, socket: string): Promise<Store<V>>;
}

/** `RustCache` speaks text alone; it is measured with small values. */
export const OURS_TEXT = "rustcache RustCache";
export const OURS = "rustcache Cache";
export const ECHO = "echo (cat)";
export const IOREDIS = "ioredis";
export const IOREDIS_PIPELINING = "ioredis (auto-pipelining)";
export const NODE_REDIS = "redis (node-redis)";

function ioredis(name: string, enableAutoPipelining: boolean, note: string): Rival {
  return {
    name,
    note,
    needsServer: true,
    async open(bytes, socket) {
      const { Redis } = await import("ioredis");
      const client = new Redis({ path: socket, enableAutoPipelining, lazyConnect: true });
      await client.connect();
      return {
        get: bytes ? (key) => client.getBuffer(key) : (key) => client.get(key),
        getMany: (keys) => client.mget(...keys),
        set: (key, value) => client.set(key, value),
        close: () => client.disconnect(),
      };
    },
  };
}

/** Ours with everything kept on disk: for the comparison with servers that do so, not for the others. */
export const DURABLE = { everysec: "rustcache Cache, sync everysec", always: "rustcache Cache, sync always" };

function durable(sync: keyof typeof DURABLE): Rival {
  return {
    name: DURABLE[sync],
    note: `\`createCache({ dir, sync: "${sync}" })\``,
    async open() {
      const dir = mkdtempSync(join(tmpdir(), "rustcache-bench-"));
      const cache = createCache({ dir, sync });
      await cache.start();
      return {
        get: (key) => cache.get(key),
        set: (key, value) => cache.set(key, value),
        async close() {
          await cache.close();
          rmSync(dir, { recursive: true, force: true });
        },
      };
    },
  };
}

export const durableRivals: readonly Rival[] = [durable("everysec"), durable("always")];

export const rivals: readonly Rival[] = [
  {
    name: OURS_TEXT,
    note: "`RustCache.get` and `.insert`, strings",
    skipsLarge: true,
    async open() {
      // Nothing is kept on disk, as with the rivals.
      RustCache.configure({ dir: null });
      await RustCache.start();
      return {
        get: (key) => RustCache.get(key),
        set: (key, value) => RustCache.insert(key, value as string),
        close: () => RustCache.close(),
      };
    },
  },
  {
    name: OURS,
    note: "`createCache({})`, `get` and `set`; strings up to 1 KiB, Buffers above",
    async open() {
      const cache = createCache({});
      await cache.start();
      return {
        get: (key) => cache.get(key),
        getMany: (keys) => cache.getMany(keys),
        set: (key, value) => cache.set(key, value),
        close: () => cache.close(),
      };
    },
  },
  ioredis(IOREDIS, false, "redis-server on a Unix socket, no persistence"),
  ioredis(
    IOREDIS_PIPELINING,
    true,
    "the same with `enableAutoPipelining`: faster at some loads, slower at others",
  ),
  {
    name: NODE_REDIS,
    note: "the same server; it pipelines the calls of a tick by itself",
    needsServer: true,
    async open(bytes, socket) {
      const { createClient, RESP_TYPES } = await import("redis");
      const client = createClient({ socket: { path: socket, tls: false } });
      await client.connect();
      const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      return {
        get: bytes ? (key) => buffers.get(key) : (key) => client.get(key),
        set: (key, value) => client.set(key, value),
        close: () => client.destroy(),
      };
    },
  },
  {
    name: "lmdb",
    note: "in process, memory-mapped; `noSync`; its `get` is synchronous, its `put` is awaited",
    async open(bytes) {
      const { open } = await import("lmdb");
      const directory = mkdtempSync(join(tmpdir(), "rustcache-bench-lmdb-"));
      const database = open<Value, string>({
        path: directory,
        encoding: bytes ? "binary" : "string",
        noSync: true,
      });
      return {
        get: (key) => database.get(key),
        set: (key, value) => database.put(key, value),
        async close() {
          await database.close();
          rmSync(directory, { recursive: true, force: true });
        },
      };
    },
  },
  {
    name: "lru-cache",
    note: "in the JS heap; synchronous, hands out references",
    skipsLarge: true,
    async open() {
      const { LRUCache } = await import("lru-cache");
      const cache = new LRUCache<string, Value>({ max: 1_000_000 });
      return {
        get: (key) => cache.get(key),
        set: (key, value) => cache.set(key, value),
        close: () => cache.clear(),
      };
    },
  },
];
