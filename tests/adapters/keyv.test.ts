// Keyv 5 and 6 over rustcache, by the suite that Keyv publishes for its stores; and cache-manager and cacheable on top of that.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import keyvTestSuite, { keyvIteratorTests } from "@keyv/test-suite";
import { createCache as createCacheManager } from "cache-manager";
import { Cacheable } from "cacheable";
import { Keyv as Keyv5 } from "keyv";
import { Keyv as Keyv6 } from "keyv6";
import { KeyvRustcache } from "../../node/adapters/keyv.js";
import { type Cache, createCache } from "../../node/index.js";
import { runner } from "./suite.js";

let cache: Cache;
before(() => {
  cache = createCache();
});
after(() => cache.close());

type Suite = typeof keyvTestSuite;
/** The suite is typed for vitest and for one version of Keyv. */
function run(suite: Suite, keyv: unknown, skip?: Record<string, string>): void {
  suite(
    runner(skip) as unknown as Parameters<Suite>[0],
    keyv as Parameters<Suite>[1],
    () => new KeyvRustcache(cache),
  );
}

describe("Keyv 5 keeps its promises", () => {
  run(keyvTestSuite, Keyv5);
  describe("and iterates", () => run(keyvIteratorTests, Keyv5));
});

describe("Keyv 6 keeps its promises", () => {
  run(keyvTestSuite, Keyv6, {
    ".deleteMany([keys]) with nonexistent keys resolves to false":
      "the suite is Keyv 5's: Keyv 6 resolves with an answer for each key",
  });
  test(".deleteMany([keys]) with nonexistent keys resolves to false for each", async () => {
    const keyv = new Keyv6({ store: new KeyvRustcache(cache) });
    assert.deepEqual(await keyv.delete(["nothing", "nowhere"]), [false, false]);
  });
  describe("and iterates", () => run(keyvIteratorTests, Keyv6));
});

for (const [version, Keyv] of [
  [5, Keyv5],
  [6, Keyv6 as unknown as typeof Keyv5],
] as const) {
  describe(`Keyv ${version} over rustcache`, () => {
    test("hands the TTL on to the daemon, in milliseconds, and stores without one for ever", async () => {
      const keyv = new Keyv({ store: new KeyvRustcache(cache), namespace: "ttl" });
      await keyv.set("short", "v", 5000);
      await keyv.set("long", "v");
      await keyv.setMany([
        { key: "batched", value: "v", ttl: 5000 },
        { key: "batched for ever", value: "v" },
      ]);
      const separator = version === 5 ? ":" : "::";
      const left = await Promise.all(
        ["short", "batched", "long", "batched for ever"].map((key) => cache.ttl(`ttl${separator}${key}`)),
      );
      for (const ms of left.slice(0, 2)) assert.ok(ms !== undefined && ms > 0 && ms <= 5000, `${ms}`);
      assert.deepEqual(left.slice(2), [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
      await keyv.clear();
      assert.equal(await cache.has(`ttl${separator}long`), false);
    });

    test("iterates over more entries than it reads at a time, each once", async () => {
      const keyv = new Keyv({ store: new KeyvRustcache(cache), namespace: "many" });
      const entries = Array.from({ length: 1234 }, (_, index) => ({ key: `key:${index}`, value: { index } }));
      await keyv.setMany(entries);
      const seen = new Map<string, unknown>();
      for await (const [key, value] of keyv.iterator!(undefined)) {
        assert.ok(!seen.has(key), `${key} came twice`);
        seen.set(key, value);
      }
      assert.deepEqual(seen, new Map(entries.map(({ key, value }) => [key, value])));
      await keyv.clear();
    });

    test("keeps values as they are when it does not serialize: Dates, Maps, Buffers", async () => {
      const plain = { serialize: undefined, deserialize: undefined, serialization: false };
      const keyv = new Keyv({ store: new KeyvRustcache(cache), namespace: "plain", ...(plain as object) });
      const value = { at: new Date(0), map: new Map([["a", Buffer.from("b")]]), none: undefined };
      await keyv.set("k", value, 60_000);
      await keyv.set("text", "not JSON");
      assert.deepEqual(await keyv.get("k"), value);
      assert.deepEqual(await keyv.get(["text", "none"]), ["not JSON", undefined]);
      await keyv.clear();
    });

    test("takes a namespace of a cache, and clears it and nothing else", async () => {
      const [one, two] = ["one", "two"].map(
        (name) => new Keyv({ store: new KeyvRustcache(cache.namespace(name)), namespace: "" }),
      );
      await one!.set("k", 1);
      await two!.set("k", 2);
      const seen: unknown[] = [];
      for await (const entry of one!.iterator!(undefined)) seen.push(entry);
      assert.deepEqual(
        seen.map((entry) => (entry as [string, unknown])[1]),
        [1],
      );
      await one!.clear();
      assert.deepEqual([await one!.get("k"), await two!.get("k")], [undefined, 2]);
      await two!.clear();
    });

    test("emits the errors of a closed cache, and resolves with a miss", async () => {
      const closed = createCache();
      await closed.close();
      const keyv = new Keyv({ store: new KeyvRustcache(closed) });
      const errors: unknown[] = [];
      keyv.on("error", (error: unknown) => errors.push(error));
      assert.equal(await keyv.set("k", "v"), false);
      assert.equal(await keyv.get("k"), undefined);
      assert.equal((errors[0] as { code?: string }).code, "ERR_RUSTCACHE_CLOSED");
    });

    test("disconnect closes the cache that was made for it, and leaves one that was given", async () => {
      const own = new Keyv({ store: new KeyvRustcache({ maxItems: 10 }) });
      own.on("error", () => {});
      assert.equal(await own.set("k", "v"), true);
      await own.disconnect();
      assert.equal(await own.set("k", "v"), false);
      await new Keyv({ store: new KeyvRustcache(cache) }).disconnect();
      await cache.ping();
    });
  });
}

test("cache-manager 7 reads, writes, wraps and clears over rustcache", async () => {
  const store = new Keyv5({ store: new KeyvRustcache(cache), namespace: "manager" });
  const manager = createCacheManager({ stores: [store], ttl: 10_000 });
  assert.equal(await manager.get("k"), undefined);
  await manager.set("k", { a: [1, "two", null] });
  assert.deepEqual(await manager.get("k"), { a: [1, "two", null] });
  await manager.mset([
    { key: "m1", value: 1 },
    { key: "m2", value: 2, ttl: 5000 },
  ]);
  assert.deepEqual(await manager.mget(["m1", "m2", "m3"]), [1, 2, undefined]);
  let loads = 0;
  const load = () => manager.wrap("w", async () => ({ loads: ++loads }));
  assert.deepEqual(await Promise.all([load(), load()]), [{ loads: 1 }, { loads: 1 }]);
  assert.deepEqual(await load(), { loads: 1 });
  const ttl = await cache.ttl("manager:k");
  assert.ok(ttl !== undefined && ttl > 0 && ttl <= 10_000, `${ttl}`);
  await manager.mdel(["m1", "m2"]);
  assert.equal(await manager.del("k"), true);
  assert.deepEqual(await manager.mget(["k", "m1", "w"]), [undefined, undefined, { loads: 1 }]);
  await manager.clear();
  assert.equal(await manager.get("w"), undefined);
});

test("cacheable 2 has rustcache as its secondary store, and fills the primary from it", async () => {
  const secondary = new Keyv5({ store: new KeyvRustcache(cache), namespace: "second" });
  const cacheable = new Cacheable({ secondary, ttl: "1h" });
  await cacheable.set("k", { v: 1 });
  await cacheable.setMany([
    { key: "a", value: 1 },
    { key: "b", value: 2, ttl: "5s" },
  ]);
  // What another process would see: only the secondary store has it.
  await cacheable.primary.clear();
  assert.deepEqual(await cacheable.get("k"), { v: 1 });
  assert.deepEqual(await cacheable.getMany(["a", "b", "c"]), [1, 2, undefined]);
  assert.equal((await cacheable.primary.get("k")) !== undefined, true);
  assert.equal(await cacheable.delete("k"), true);
  assert.equal(await cacheable.get("k"), undefined);
  assert.equal(await secondary.get("k"), undefined);
  await cacheable.clear();
  assert.equal(await secondary.has("a"), false);
});
