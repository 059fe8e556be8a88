// unstorage over rustcache. unstorage does not publish the suite for its drivers; these are the promises that it checks there, and a
// comparison with its own driver in memory.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { createStorage, type Driver, restoreSnapshot, type Storage, snapshot } from "unstorage";
import memoryDriver from "unstorage/drivers/memory";
import { rustcacheDriver } from "../../node/adapters/unstorage.js";
import { type Cache, createCache } from "../../node/index.js";

let cache: Cache;
let storage: Storage;
before(() => {
  cache = createCache();
  const driver: Driver = rustcacheDriver({ cache });
  storage = createStorage({ driver });
});
after(() => cache.close());
beforeEach(() => cache.clear());

describe("a driver keeps its promises", () => {
  test("set, get, has and remove", async () => {
    await storage.setItem("s1:a", "test_data");
    await storage.setItem("s2:a", "test_data");
    assert.equal(await storage.hasItem("s1:a"), true);
    assert.equal(await storage.hasItem("s3:a"), false);
    assert.equal(await storage.getItem("s1:a"), "test_data");
    assert.equal(await storage.getItem("s3:a"), null);
    await storage.removeItem("s1:a");
    assert.equal(await storage.hasItem("s1:a"), false);
    assert.equal(await storage.getItem("s1:a"), null);
  });

  test("keys: all, and those below a base, as deep as is asked", async () => {
    for (const key of ["s1:a", "s2:a", "s3:a:b:c", "s10:a"]) await storage.setItem(key, "v");
    assert.deepEqual((await storage.getKeys()).sort(), ["s10:a", "s1:a", "s2:a", "s3:a:b:c"]);
    assert.deepEqual(await storage.getKeys("s1"), ["s1:a"]);
    assert.deepEqual((await storage.getKeys(undefined, { maxDepth: 1 })).sort(), ["s10:a", "s1:a", "s2:a"]);
  });

  test("objects, arrays, numbers, booleans and null come back equal", async () => {
    for (const value of [{ a: [1, { b: "c" }] }, [1, "2", null], 4.2, 0, true, false, "", "ключ 🔑"]) {
      await storage.setItem("/data/test.json", value);
      assert.deepEqual(await storage.getItem("/data/test.json"), value);
    }
    await assert.rejects(
      async () => storage.setItem("/data/test.json", new (class Test {})() as never),
      /stringify/,
    );
  });

  test("many items are set and got at once, in order", async () => {
    const items = Array.from({ length: 300 }, (_, index) => ({ key: `i:${index}`, value: `v${index}` }));
    await storage.setItems(items);
    const read = await storage.getItems([...items.map(({ key }) => key), "i:none"]);
    assert.deepEqual(read, [...items, { key: "i:none", value: null }]);
  });

  test("raw bytes come back as they were, and nothing as null", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await storage.setItemRaw("raw", bytes);
    assert.deepEqual(await storage.getItemRaw("raw"), bytes);
    assert.equal(await storage.getItemRaw("none"), null);
  });

  test("meta data is set, got and removed beside its item", async () => {
    await storage.setItem("m", "v");
    await storage.setMeta("m", { mine: 1 });
    assert.deepEqual({ ...(await storage.getMeta("m")) }, { mine: 1 });
    await storage.removeItem("m", { removeMeta: true });
    assert.deepEqual({ ...(await storage.getMeta("m")) }, {});
  });

  test("clear takes what is below a base, or everything", async () => {
    for (const key of ["s1:a", "s1:b", "s2:a"]) await storage.setItem(key, "v");
    // unstorage asks the drivers that are mounted below a base, and no other.
    await rustcacheDriver({ cache }).clear("s1:");
    assert.deepEqual(await storage.getKeys(), ["s2:a"]);
    await storage.setItem("s1:a", "v");
    const mounted = createStorage();
    mounted.mount("m", rustcacheDriver({ cache, base: "s1" }) as Driver);
    assert.deepEqual(await mounted.getKeys(), ["m:a"]);
    await mounted.clear("m");
    assert.deepEqual(await storage.getKeys(), ["s2:a"]);
    await storage.clear();
    assert.deepEqual(await storage.getKeys(), []);
  });

  test("a snapshot is taken and restored", async () => {
    await storage.setItem("snap:a", { v: 1 });
    await storage.setItem("snap:b", "two");
    const taken = await snapshot(storage, "snap");
    await storage.clear();
    await restoreSnapshot(storage, taken, "back");
    assert.deepEqual(await storage.getItem("back:a"), { v: 1 });
    assert.equal(await storage.getItem("back:b"), "two");
  });

  test("dispose closes the cache that was made for it, and leaves one that was given", async () => {
    const own = createStorage({ driver: rustcacheDriver({ cache: { maxItems: 10 } }) as Driver });
    await own.setItem("k", "v");
    await own.dispose();
    await assert.rejects(async () => own.getItem("k"), { code: "ERR_RUSTCACHE_CLOSED" });
    await createStorage({ driver: rustcacheDriver({ cache }) as Driver }).dispose();
    await cache.ping();
  });
});

test("a TTL is in seconds, the call's before the driver's, and getMeta tells what is left of it", async () => {
  const timed = createStorage({ driver: rustcacheDriver({ cache, ttl: 100 }) as Driver });
  await timed.setItem("driver", "v");
  await timed.setItem("call", "v", { ttl: 5 });
  await timed.setItems([{ key: "batch", value: "v", options: { ttl: 7 } }]);
  assert.equal((await timed.getMeta("driver")).ttl, 100);
  assert.equal((await timed.getMeta("call")).ttl, 5);
  assert.equal((await timed.getMeta("batch")).ttl, 7);
  assert.ok((await cache.ttl("call"))! <= 5000, "milliseconds in the cache");
});

test("two storages with bases of their own share a cache and see nothing of each other", async () => {
  const [one, two] = ["one", "two:"].map((base) =>
    createStorage({ driver: rustcacheDriver({ cache, base }) as Driver }),
  ) as [Storage, Storage];
  await one.setItem("k", 1);
  await two.setItem("k", 2);
  assert.deepEqual([await one.getItem("k"), await two.getItem("k")], [1, 2]);
  assert.deepEqual(await one.getKeys(), ["k"]);
  await one.clear();
  assert.deepEqual([await one.getItem("k"), await two.getItem("k")], [null, 2]);
  assert.deepEqual(await storage.getKeys(), ["two:k"]);
});

test("random calls give what unstorage's own driver in memory gives", async () => {
  const reference = createStorage({ driver: memoryDriver() });
  let seed = 20;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * below);
  };
  const key = () => ["a", "b", "a:b", "a:b:c", "ab", "b:a", "c.d"][random(7)]!;
  for (let step = 0; step < 600; step++) {
    const [name, value] = [key(), { step, text: "x".repeat(random(50)) }];
    const calls: ((of: Storage) => Promise<unknown>)[] = [
      (of) => of.setItem(name, value),
      (of) => of.setItemRaw(name, "text"),
      (of) => of.getItem(name),
      (of) => of.getItemRaw(name).then((raw) => (typeof raw === "string" ? raw : typeof raw)),
      (of) => of.hasItem(name),
      (of) => of.removeItem(name),
      (of) => of.getItems([name, "a", "none"]),
      async (of) => (await of.getKeys(random(2) === 0 ? "" : name)).sort(),
      ...(random(20) === 0 ? [(of: Storage) => of.clear()] : []),
    ];
    const call = calls[random(calls.length)]!;
    const state = seed;
    const expected = await call(reference);
    seed = state;
    assert.deepEqual(await call(storage), expected, `step ${step}, ${name}`);
  }
});
