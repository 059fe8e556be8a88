// express-rate-limit over rustcache: by its store's contract, and in an application.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import express from "express";
import { rateLimit, type Store } from "express-rate-limit";
import { RateLimitStore } from "../../node/adapters/rate-limit.js";
import { type Cache, createCache } from "../../node/index.js";

let cache: Cache;
before(() => {
  cache = createCache();
});
after(() => cache.close());

let prefixes = 0;
function makeStore(windowMs: number): RateLimitStore {
  const store = new RateLimitStore({ cache, prefix: `rl${prefixes++}:` });
  store.init({ windowMs });
  return store;
}

describe("the rate limit store", () => {
  test("counts each of many hits at once, and no two see the same number", async () => {
    const store = makeStore(60_000);
    const hits = await Promise.all(Array.from({ length: 500 }, () => store.increment("client")));
    const seen = hits.map((hit) => hit.totalHits).sort((a, b) => a - b);
    assert.deepEqual(
      seen,
      Array.from({ length: 500 }, (_, index) => index + 1),
    );
    assert.equal((await store.get("client"))?.totalHits, 500);
  });

  test("ends the window that the first hit began, whatever comes after", async () => {
    const store = makeStore(60_000);
    const began = Date.now();
    const first = await store.increment("client");
    await cache.touch(`${store.prefix}client`, 5000);
    const second = await store.increment("client");
    assert.equal(second.totalHits, 2);
    assert.ok(first.resetTime!.getTime() >= began + 59_000, `${first.resetTime}`);
    assert.ok(second.resetTime!.getTime() <= Date.now() + 5000, "the window does not begin anew");
  });

  test("begins at one after the window has ended", async () => {
    const store = makeStore(60_000);
    await store.increment("client");
    await cache.touch(`${store.prefix}client`, 0);
    assert.equal(await store.get("client"), undefined);
    assert.equal((await store.increment("client")).totalHits, 1);
  });

  test("takes a hit back, but not from a window that has ended", async () => {
    const store = makeStore(60_000);
    await store.increment("client");
    await store.increment("client");
    await store.decrement("client");
    assert.equal((await store.get("client"))?.totalHits, 1);
    await store.decrement("other");
    assert.equal(await store.get("other"), undefined);
    assert.equal((await store.increment("other")).totalHits, 1);
  });

  test("resets one client, and all of its own, and none of another limiter", async () => {
    const [store, other] = [makeStore(60_000), makeStore(60_000)];
    await Promise.all([store.increment("a"), store.increment("b"), other.increment("a")]);
    await store.resetKey("a");
    assert.deepEqual([await store.get("a"), (await store.get("b"))?.totalHits], [undefined, 1]);
    await store.resetAll();
    assert.deepEqual([await store.get("b"), (await other.get("a"))?.totalHits], [undefined, 1]);
  });

  test("shutdown closes the cache that was made for it, and leaves one that was given", async () => {
    const own = new RateLimitStore({ cache: { maxItems: 10 } });
    assert.equal((await own.increment("client")).totalHits, 1);
    await own.shutdown();
    await assert.rejects(own.increment("client"), { code: "ERR_RUSTCACHE_CLOSED" });
    await makeStore(1000).shutdown();
    await cache.ping();
  });
});

test("express-rate-limit lets through as many as its limit and refuses the rest, with headers that say when", async () => {
  const store: Store = new RateLimitStore({ cache, prefix: "app:" });
  const app = express();
  app.use(rateLimit({ windowMs: 60_000, limit: 5, standardHeaders: "draft-6", legacyHeaders: false, store }));
  app.get("/", (_request, response) => {
    response.send("in");
  });
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    const responses = await Promise.all(Array.from({ length: 12 }, () => fetch(url)));
    const statuses = responses.map((response) => response.status).sort();
    assert.deepEqual(statuses, [...Array(5).fill(200), ...Array(7).fill(429)]);
    for (const response of responses) {
      const reset = Number(response.headers.get("ratelimit-reset"));
      assert.ok(reset > 0 && reset <= 60, `${reset}`);
      await response.text();
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
