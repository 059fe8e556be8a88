// Reading through a cache with the real daemon: what is stored, how long it lives, and what writes, tags and deaths do to a load under way.
// Who loads and who waits is read-through.test.ts's affair.

import { strict as assert } from "node:assert";
import { describe, mock, test } from "node:test";
import {
  type Cache,
  type CacheOptions,
  createCache,
  type NotStoredError,
  type RustCacheError,
} from "./index.js";
import { killDuring, requireDaemon } from "./testdata/daemon.js";

requireDaemon();

/** A test with a cache without a hot tier, and with one. */
function withCaches(name: string, body: (cache: Cache) => Promise<void>, options: CacheOptions = {}): void {
  for (const near of [undefined, {}]) {
    test(near === undefined ? name : `${name} (hot tier)`, async () => {
      await using cache = createCache({ ...options, near });
      await body(cache);
    });
  }
}

function gate<T>() {
  let open!: (value: T | PromiseLike<T>) => void;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** Waits until a loader is running. */
async function loading(cache: Cache, loads: number): Promise<void> {
  while ((await cache.stats()).loads < loads);
}

describe("getOrSet", () => {
  withCaches("values of every kind are loaded once, stored, and come back equal", async (cache) => {
    const values = { text: "größer", object: { a: [1, null] }, map: new Map([[1, new Date(0)]]), none: null };
    for (const [key, value] of Object.entries(values)) {
      const loader = mock.fn(() => value as unknown);
      for (let i = 0; i < 3; i++) assert.deepEqual(await cache.getOrSet(key, loader), value);
      assert.equal(loader.mock.callCount(), 1);
      assert.deepEqual(await cache.get(key), value);
    }
    const { loads, hits } = await cache.stats();
    assert.deepEqual([loads, hits], [4, 12]);
  });

  withCaches(
    "a stored value has the TTL that was asked for, and is stale for as long again",
    async (cache) => {
      await cache.getOrSet("plain", () => 1, { ttl: 1e6 });
      const plain = await cache.getEntry("plain");
      assert.ok(plain!.ttl <= 1e6 && plain!.ttl > 9e5, `${plain!.ttl} ms`);
      assert.equal(plain!.freshUntil, undefined);
      const before = Date.now();
      await cache.getOrSet("stale", () => 1, { ttl: 1e6, staleWhileRevalidate: 2e6, staleIfError: 3e6 });
      const stale = await cache.getEntry("stale");
      assert.ok(stale!.ttl <= 4e6 && stale!.ttl > 39e5, `${stale!.ttl} ms`);
      assert.ok(stale!.freshUntil! >= before + 1e6 && stale!.freshUntil! <= Date.now() + 1e6);
      await cache.getOrSet("default", () => 1);
      assert.ok((await cache.ttl("default"))! <= 5e6, "the default TTL");
    },
    { defaultTtl: 5e6 },
  );

  withCaches("what is stale is served and refreshed, and is a miss for get meanwhile", async (cache) => {
    const options = { ttl: 15, staleWhileRevalidate: 1e6 };
    await cache.getOrSet("k", () => "old", options);
    while ((await cache.get("k")) !== undefined);
    const { promise, open } = gate<string>();
    assert.equal(await cache.getOrSet("k", () => promise, { ...options, ttl: 1e6 }), "old");
    assert.equal(await cache.getOrSet("k", () => "another", options), "old");
    assert.deepEqual(await cache.getOrSetMany(["k"], () => ["another"], options), ["old"]);
    open("new");
    while ((await cache.get("k")) !== "new");
    const { loads, refreshes, stale_hits } = await cache.stats();
    assert.deepEqual([loads, refreshes, stale_hits], [2, 1, 3]);
  });

  withCaches("a stored undefined is a hit, and what is not stored is not", async (cache) => {
    const loader = mock.fn(() => undefined);
    for (let i = 0; i < 3; i++)
      assert.equal(await cache.getOrSet("k", loader, { negativeTtl: 1e6 }), undefined);
    assert.equal(loader.mock.callCount(), 1);
    assert.deepEqual((await cache.getEntry("k"))!.value, undefined);
  });

  for (const [what, write] of Object.entries({
    set: (cache: Cache) => cache.set("k", "written"),
    delete: (cache: Cache) => cache.delete(Buffer.from("k")),
    setMany: (cache: Cache) => cache.setMany([{ key: "k", value: "written" }]),
    deleteMany: (cache: Cache) => cache.deleteMany(["k"]),
    increment: (cache: Cache) => cache.increment("k"),
    clear: (cache: Cache) => cache.clear(),
    "clear of a prefix": (cache: Cache) => cache.clear({ prefix: "k" }),
    "a set with tags": (cache: Cache) => cache.set("k", "written", { tags: ["t"] }),
  })) {
    withCaches(`${what} while a loader runs is not undone by what it brings`, async (cache) => {
      const { promise, open } = gate<string>();
      const loaded = cache.getOrSet("k", () => promise);
      await loading(cache, 1);
      const written = write(cache);
      const after = cache.get("k");
      open("loaded");
      assert.equal(await loaded, "loaded");
      await written;
      assert.deepEqual(await cache.get("k"), await after);
      assert.notEqual(await after, "loaded");
    });
  }

  withCaches("a value that is set while getOrSet still reads is not overwritten", async (cache) => {
    const loader = mock.fn(() => "default");
    const calls = Promise.all([
      cache.getOrSet("k", loader),
      cache.getOrSetMany(["k", "j"], (keys) => keys.map(() => "default")),
      cache.set(Buffer.from("k"), "set"),
    ]);
    assert.deepEqual(await calls, ["set", ["set", "default"], true]);
    assert.equal(await cache.get("k"), "set");
    assert.equal(loader.mock.callCount(), 0);
  });

  withCaches("a tag that is invalidated while a loader runs keeps out what it brings", async (cache) => {
    const { promise, open } = gate<string>();
    const tagged = cache.getOrSet("k", () => promise, { tags: (value) => [`tag of ${value}`] });
    const untagged = cache.getOrSet("j", () => promise);
    await loading(cache, 2);
    await cache.invalidateTag("tag of v");
    open("v");
    assert.deepEqual(await Promise.all([tagged, untagged]), ["v", "v"]);
    assert.deepEqual(await cache.getMany(["k", "j"]), [undefined, "v"]);
    await cache.getOrSet("k", () => "w", { tags: ["t"] });
    assert.equal(await cache.get("k"), "w");
    await cache.invalidateTag("t");
    assert.equal(await cache.getOrSet("k", () => "x"), "x");
  });

  withCaches(
    "the same key in two namespaces is loaded for each, and once for two views of one",
    async (cache) => {
      const { promise, open } = gate<void>();
      const loader = mock.fn(async ({ key }: { key: unknown }) => {
        await promise;
        return `${loader.mock.callCount()} ${key}`;
      });
      const [a, again, b] = ["a", "a", "b"].map((name) => cache.namespace<string>(name));
      const calls = [a!, again!, b!, cache].map((view) => view.getOrSet("k", loader));
      await loading(cache, 3);
      open();
      await Promise.all(calls);
      assert.equal(loader.mock.callCount(), 3);
      assert.equal(await a!.get("k"), await again!.get("k"));
      assert.equal(a!.counts.hits + b!.counts.hits, 1);
    },
  );

  withCaches("what cannot be stored rejects with what is wrong with it", async (cache) => {
    await assert.rejects(
      cache.getOrSet("k", () => ({ f: () => 1 })),
      { code: "ERR_RUSTCACHE_ENCODE" },
    );
    assert.equal((await cache.stats()).load_errors, 1);
  });

  withCaches(
    "a daemon that dies during a load is replaced, and the value is stored in the next",
    async (cache) => {
      const { promise, open } = gate<string>();
      const loaded = cache.getOrSet("k", () => promise);
      await loading(cache, 1);
      const lost = await killDuring(cache.pid!, () => cache.ping().catch((error) => error.code));
      assert.equal(lost, "ERR_RUSTCACHE_CONNECTION_LOST");
      open("v");
      assert.equal(await loaded, "v");
      assert.equal(await cache.get("k"), "v");
    },
  );
});

describe("getOrSetMany and wrap", () => {
  withCaches("what is missing is loaded in one call and stored", async (cache) => {
    await cache.setMany([
      { key: "b", value: 2 },
      { key: "none", value: undefined },
    ]);
    const keys = ["a", "b", "none", "c"];
    const loader = mock.fn((missing: readonly string[]) => new Map(missing.map((key) => [key, key.length])));
    const load = (options = {}) => cache.getOrSetMany<number | undefined, string>(keys, loader, options);
    assert.deepEqual(await load({ ttl: 1e6 }), [1, 2, undefined, 1]);
    assert.deepEqual(loader.mock.calls[0]!.arguments[0], ["a", "c"]);
    assert.deepEqual(await load(), [1, 2, undefined, 1]);
    // Those without a TTL are not about to end.
    assert.deepEqual(await load({ refreshThreshold: 1000 }), [1, 2, undefined, 1]);
    assert.equal(loader.mock.callCount(), 1);
    await load({ refreshThreshold: 2e6 });
    assert.deepEqual(loader.mock.calls[1]!.arguments[0], ["a", "c"]);
  });

  withCaches(
    "values that cannot be stored keep none of the others from being stored, nor from being had",
    async (cache) => {
      const values = new Map<string, unknown>([
        ["a", 1],
        ["function", { f: () => 1 }],
        ["b", { n: 2 }],
        ["large", "x".repeat(200_000)],
        ["tagged", 4],
      ]);
      for (const tags of [undefined, ["t"]]) {
        await cache.clear();
        const keys = [...values.keys()];
        const thrown: NotStoredError = await cache
          .getOrSetMany(keys, () => values, { tags })
          .then(
            () => assert.fail("it did not reject"),
            (error) => error,
          );
        assert.equal(thrown.code, "ERR_RUSTCACHE_NOT_STORED");
        assert.equal(thrown.index, 1);
        assert.match(thrown.message, /item 1 \(key "function"\).*the value's \.f is a function.*1 more/);
        assert.deepEqual(thrown.values, [...values.values()]);
        assert.deepEqual(
          [...thrown.errors].map(([index, error]) => [index, (error as RustCacheError).code]).sort(),
          [
            [1, "ERR_RUSTCACHE_ENCODE"],
            [3, "ERR_RUSTCACHE_TOO_LARGE"],
          ],
        );
        assert.deepEqual(await cache.getMany(["a", "b", "tagged", "large"]), [1, { n: 2 }, 4, undefined]);
      }
    },
    { maxBytes: 100_000 },
  );

  test("a failure of the daemon for one loaded value is passed over where failures are, and no wrong value is", async () => {
    await using cache = createCache({ onError: "miss", maxBytes: 100_000 });
    const values = new Map<string, unknown>([
      ["a", 1],
      ["large", "x".repeat(200_000)],
    ]);
    const keys = [...values.keys()];
    assert.deepEqual(await cache.getOrSetMany(keys, () => values), [...values.values()]);
    assert.deepEqual(await cache.getMany(keys), [1, undefined]);
    assert.equal((await cache.stats()).degraded, 1);
    values.set("large", () => 1);
    await assert.rejects(
      cache.getOrSetMany(keys, () => values),
      { code: "ERR_RUSTCACHE_NOT_STORED", index: 1 },
    );
  });

  withCaches("what a refresh does not find any more is not served again", async (cache) => {
    const options = { ttl: 1, staleWhileRevalidate: 1e6, staleIfError: 1e6 };
    const many = (map: Map<string, string>) =>
      cache.getOrSetMany<string | undefined>(["b"], () => map, options);
    await cache.getOrSet("a", () => "old", options);
    await many(new Map([["b", "old"]]));
    while (!(await cache.getEntry("a"))!.stale || !(await cache.getEntry("b"))!.stale);
    const gone = mock.fn(() => undefined);
    assert.equal(await cache.getOrSet<string | undefined>("a", gone, options), "old");
    assert.deepEqual(await many(new Map()), ["old"]);
    while ((await cache.getEntry("a")) !== undefined || (await cache.getEntry("b")) !== undefined);
    assert.equal(gone.mock.callCount(), 1);
    const fails = () => Promise.reject(new Error("down"));
    await assert.rejects(cache.getOrSet("a", fails, options), { message: "down" });
    assert.deepEqual(await many(new Map([["b", "new"]])), ["new"]);
  });

  withCaches("a load is not disturbed by the invalidation of tags that are not its own", async (cache) => {
    for (const [key, tags] of [
      ["list", ["mine"]],
      ["function", () => ["mine"]],
    ] as [string, string[] | (() => string[])][]) {
      const source = gate<string>();
      const loader = mock.fn(() => source.promise);
      const first = cache.getOrSet(key, loader, { tags: tags as never });
      while (loader.mock.callCount() === 0) await cache.ping();
      await cache.invalidateTag("another");
      await cache.namespace("other").invalidateTag("mine");
      source.open("value");
      assert.equal(await first, "value");
      assert.equal(await cache.get(key), "value", `${key}: it is stored`);
      assert.equal(loader.mock.callCount(), 1);
    }
  });

  withCaches(
    "a load whose own tag is invalidated is not stored, whenever its tags are known",
    async (cache) => {
      for (const tags of [["mine"], () => ["mine"]]) {
        const source = gate<string>();
        const loader = mock.fn(() => source.promise);
        const first = cache.getOrSet("k", loader, { tags: tags as never });
        while (loader.mock.callCount() === 0) await cache.ping();
        await cache.invalidateTag("mine");
        source.open("old");
        assert.equal(await first, "old");
        assert.equal(await cache.get("k"), undefined);
      }
    },
  );

  withCaches("tags are asked for of what is stored, and of nothing else", async (cache) => {
    type User = { id: number };
    const tags = ({ id }: User) => [`user:${id}`];
    assert.equal(await cache.getOrSet<User>("none", () => undefined as never, { tags }), undefined);
    const found = await cache.getOrSetMany<User | undefined>(
      ["a", "none"],
      () => new Map([["a", { id: 1 }]]),
      {
        tags: tags as (user: User | undefined) => string[],
      },
    );
    assert.deepEqual(found, [{ id: 1 }, undefined]);
    assert.deepEqual(await cache.get("a"), { id: 1 });
    await cache.invalidateTag("user:1");
    assert.equal(await cache.get("a"), undefined);
  });

  withCaches(
    "a wrapped function runs once for each key, and again when its key is removed",
    async (cache) => {
      const find = mock.fn(async (id: number) => ({ id }));
      const cached = cache.namespace("users").wrap(find, { key: (id) => `user:${id}`, ttl: 1e6 });
      for (const id of [1, 2, 1, 1]) assert.deepEqual(await cached(id), { id });
      assert.equal(find.mock.callCount(), 2);
      assert.equal(await cache.namespace("users").delete(cached.key(1)), true);
      await cached(1);
      assert.equal(find.mock.callCount(), 3);
    },
  );
});
