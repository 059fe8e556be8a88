// Entries whose values cannot be read, since another program has stored them in its own way: which calls they stop, and which they do not.

import { strict as assert } from "node:assert";
import { describe, mock, test } from "node:test";
import {
  type Cache,
  type CacheOptions,
  type CacheView,
  type Codec,
  createCache,
  DecodeError,
  type Degradation,
  Tag,
} from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

requireDaemon();

const code = "ERR_RUSTCACHE_DECODE";

/** Refuses what has been stored as "bad", at once or later. */
function codec(isLate: boolean): Codec {
  const decode = (bytes: Buffer) => {
    if (bytes.toString() === "bad") throw new Error("never heard of");
    return bytes.toString();
  };
  const late = async (bytes: Buffer) => decode(bytes);
  return { tag: 200, encode: (value) => Buffer.from(String(value)), decode: isLate ? late : decode };
}

/** Each way of not being readable; and `spoil`, which stores something of that kind. */
const kinds: [string, CacheOptions, (view: CacheView, key: string) => Promise<unknown>][] = [
  ["damaged JSON", {}, (view, key) => view.set(key, "{", { tag: Tag.JSON })],
  ["what the codec refuses", { codec: codec(false) }, (view, key) => view.set(key, "bad")],
  ["what the codec refuses later", { codec: codec(true) }, (view, key) => view.set(key, "bad")],
];

function withUnreadable(
  name: string,
  body: (cache: Cache, spoil: (view: CacheView, key: string) => Promise<unknown>) => Promise<void>,
  more: CacheOptions = {},
): void {
  for (const [kind, options, spoil] of kinds) {
    for (const near of [undefined, {}]) {
      test(`${name} (${kind}${near === undefined ? "" : ", hot tier"})`, async () => {
        await using cache = createCache({ near, ...options, ...more });
        await body(cache, spoil);
      });
    }
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found.sort();
}

describe("an entry that cannot be decoded", () => {
  withUnreadable(
    "is named by getMany and by iteration, and is left out if that is wanted",
    async (cache, spoil) => {
      for (const view of [cache, cache.namespace("n")]) {
        await view.setMany(["a", "b"].map((key) => ({ key, value: key })));
        await spoil(view, "x");
        await assert.rejects(view.get("x"), { code });
        await assert.rejects(view.getEntry("x"), { code });
        // Those that are hot are another way.
        for (let i = 0; i < 2; i++) {
          await view.get("a");
          await view.get("x").catch(() => {});
          await assert.rejects(view.getMany(["a", "b", "x"]), {
            code,
            index: 2,
            key: "x",
            message: /^item 2 \(key "x"\): the /,
          });
          const onUndecodable = "miss";
          const before = { ...view.counts };
          assert.deepEqual(await view.getMany(["a", "x", "b"], { onUndecodable }), ["a", undefined, "b"]);
          const { hits, misses } = view.counts;
          assert.deepEqual([hits - before.hits, misses - before.misses], [2, 1]);
          for (const walk of [view, view.values(), view.entries()]) {
            await assert.rejects(all<unknown>(walk), {
              code,
              key: "x",
              message: /^the entry \(key "x"\): the /,
            });
          }
          await assert.rejects(view.scan({ withValues: true }), { code, key: "x" });
          assert.deepEqual(await all(view.values({ onUndecodable })), ["a", "b"]);
          assert.deepEqual(await all(view.keys()), ["a", "b", "x"]);
        }
        const wrong = { onUndecodable: "skip" as never };
        await assert.rejects(view.getMany(["a"], wrong), { code: "ERR_RUSTCACHE_INVALID_ARG" });
        await assert.rejects(all(view.values(wrong)), { code: "ERR_RUSTCACHE_INVALID_ARG" });
        assert.equal(await view.delete("x"), true);
        assert.deepEqual(await view.getMany(["a", "x", "b"]), ["a", undefined, "b"]);
        await view.clear();
      }
    },
  );

  withUnreadable("is loaded anew by getOrSet, which is told of", async (cache, spoil) => {
    const told: Degradation[] = [];
    cache.on("degraded", (what) => told.push(what));
    const loader = mock.fn(() => "new");
    await spoil(cache, "x");
    assert.equal(await cache.getOrSet("x", loader), "new");
    assert.equal(await cache.getOrSet("x", loader), "new");
    assert.equal(await cache.get("x"), "new");
    assert.equal(loader.mock.callCount(), 1);
    assert.equal(told.length, 1);
    const { error } = told[0]!;
    assert.ok(error instanceof DecodeError && error.key === "x", `${error} is not of the entry`);
    await spoil(cache, "x");
    await cache.get("x").catch(() => {});
    assert.equal(await cache.getOrSet("x", loader, { refreshThreshold: 1000 }), "new");
    assert.equal(await cache.get("x"), "new");
    const many = mock.fn((keys: readonly string[]) => keys.map((key) => `many ${key}`));
    for (const refreshThreshold of [0, 1000]) {
      await spoil(cache, "y");
      await cache.get("y").catch(() => {});
      assert.deepEqual(await cache.getOrSetMany(["x", "y"], many, { refreshThreshold }), ["new", "many y"]);
      assert.equal(await cache.get("y"), "many y");
    }
    assert.equal(many.mock.callCount(), 2);
    assert.equal((await cache.stats()).degraded, 4);
    const { hits, misses } = cache.counts;
    assert.deepEqual([hits, misses], [7, 4]);
  });

  withUnreadable(
    "is a miss by itself where failures are misses",
    async (cache, spoil) => {
      await cache.set("a", "a");
      await spoil(cache, "x");
      for (let i = 0; i < 3; i++) {
        assert.deepEqual([await cache.get("a"), await cache.get("x")], ["a", undefined]);
        assert.deepEqual(await cache.getMany(["x", "a"]), [undefined, "a"]);
        assert.deepEqual(await all(cache.values()), ["a"]);
      }
      await assert.rejects(cache.getMany(["x"], { onUndecodable: "throw" }), { code, key: "x" });
    },
    { onError: "miss" },
  );
});
