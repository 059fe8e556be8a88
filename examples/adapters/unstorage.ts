// unstorage over rustcache, as in Nitro and Nuxt: any JSON under keys with parts, and raw bytes.

import { rustcacheDriver } from "rustcache/unstorage";
import { createStorage } from "unstorage";

const storage = createStorage({ driver: rustcacheDriver({ cache: { maxBytes: "64mb" } }) });
await storage.setItem("users:1", { name: "Ada" }, { ttl: 60 }); // seconds
await storage.setItem("users:2", { name: "Grace" });
await storage.setItemRaw("images:1", Buffer.from([0x89, 0x50]));
console.log(await storage.getItem("users:1"), (await storage.getMeta("users:1")).ttl);
console.log((await storage.getKeys("users")).sort());
console.log(await storage.getItemRaw("images:1"));
await storage.removeItem("users:1");
console.log(await storage.getItem("users:1"));
await storage.dispose();

// > { name: 'Ada' } 60
// > [ 'users:1', 'users:2' ]
// > <Buffer 89 50>
// > null
