// The cache handler of Next.js over a cache that is dead and whose failures are misses. In a file of its own, since all handlers of a process share a cache.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createCacheHandler } from "../../node/adapters/next.js";
import { createCache } from "../../node/index.js";

test("a revalidation that a dead cache passes over rejects", async () => {
  const cache = createCache({ dir: null, binary: "/nowhere/rustcache", onError: "miss" });
  const handler = new (createCacheHandler({ cache }))({ revalidatedTags: [] });
  await assert.rejects(handler.revalidateTag("posts"), /"posts" is not revalidated/);
  await cache.close();
});
