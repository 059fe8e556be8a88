// Who is compared behind Keyv: our store, the one over a Redis client, and the one over SQLite. Keyv's own work is in the figures of all: it is what
// its users get.

import { KeyvRustcache } from "../../node/adapters/keyv.js";
import type { Rival, Store } from "./rivals.js";

export const OURS_KEYV = "Keyv over rustcache";
export const REDIS_KEYV = "Keyv over @keyv/redis";
export const MAP_KEYV = "Keyv over a Map";
export const SQLITE_KEYV = "Keyv over @keyv/sqlite";

async function over(store: object): Promise<Store> {
  const { Keyv } = await import("keyv");
  const keyv = new Keyv({ store });
  // Keyv reports what fails here, and answers as if the key were not there.
  keyv.on("error", (error) => {
    throw error;
  });
  return {
    get: (key) => keyv.get(key),
    set: (key, value) => keyv.set(key, value),
    close: () => keyv.disconnect(),
  };
}

export const keyvRivals: readonly Rival[] = [
  { name: OURS_KEYV, note: "`rustcache/keyv`", open: () => over(new KeyvRustcache({})) },
  { name: MAP_KEYV, note: "no store at all: Keyv's own work", open: () => over(new Map()) },
  {
    name: REDIS_KEYV,
    note: "redis-server on a Unix socket, no persistence",
    needsServer: true,
    async open(_bytes, socket) {
      const { default: KeyvRedis } = await import("@keyv/redis");
      return over(new KeyvRedis({ socket: { path: socket, tls: false } }));
    },
  },
  {
    name: SQLITE_KEYV,
    note: "its default, a database in memory",
    async open() {
      const { default: KeyvSqlite } = await import("@keyv/sqlite");
      return over(new KeyvSqlite());
    },
  },
];

/** Whether SQLite's native part is there: npm builds none by itself. */
export async function hasSqlite(): Promise<boolean> {
  return import("@keyv/sqlite").then(
    () => true,
    () => false,
  );
}
