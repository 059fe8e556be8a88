// Keyv over rustcache, and cache-manager over that: the entries are in a process of their own, bounded by bytes.

import { createCache as createCacheManager } from "cache-manager";
import { Keyv } from "keyv";
import { createCache } from "rustcache";
import { KeyvRustcache } from "rustcache/keyv";

const cache = createCache({ maxBytes: "64mb" });

// Each Keyv has a store of its own; the stores share the cache.
const users = new Keyv({ store: new KeyvRustcache(cache), namespace: "users" });
await users.set("1", { name: "Ada", born: 1815 }, 60_000);
console.log(await users.get("1"));
console.log(await users.get(["1", "2"]));

const manager = createCacheManager({
  stores: [new Keyv({ store: new KeyvRustcache(cache), namespace: "pages" })],
});
console.log(await manager.wrap("/", async () => "<h1>made once</h1>", 60_000));
console.log(await manager.wrap("/", async () => "never made", 60_000));

await users.clear();
console.log(await users.has("1"), await manager.get("/"));
await cache.close();

// > { name: 'Ada', born: 1815 }
// > [ { name: 'Ada', born: 1815 }, undefined ]
// > <h1>made once</h1>
// > <h1>made once</h1>
// > false <h1>made once</h1>
