// Namespaces, iteration, compression and codecs of a `Cache`, against the real daemon.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type Cache, type CacheOptions, type Codec, createCache, Tag } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";
import { encodeValue } from "./values.js";

requireDaemon();

/** Runs `body` with a cache of its own. */
function withCache(name: string, body: (cache: Cache) => Promise<void>, options: CacheOptions = {}): void {
  test(name, async () => {
    await using cache = createCache(options);
    await body(cache);
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found.sort();
}

describe("values", () => {
  withCache("a stored undefined and null are told from a miss by getEntry", async (cache) => {
    await cache.set("undefined", undefined);
    await cache.set("null", null);
    assert.deepEqual(await cache.getMany(["undefined", "null", "missing"]), [undefined, null, undefined]);
    const entry = await cache.getEntry("undefined");
    assert.ok(entry !== undefined && "value" in entry && entry.value === undefined, "it is there");
    assert.equal((await cache.getEntry("null"))?.value, null);
    assert.equal(await cache.getEntry("missing"), undefined);
    assert.deepEqual(cache.counts, { hits: 4, misses: 2, sets: 2, deletes: 0 });
  });

  withCache("come back equal by every way that reads them", async (cache) => {
    const values: [string, unknown][] = [
      ["text", "größer"],
      ["half", "\ud800"],
      ["json", { a: [1, null] }],
      ["map", new Map([["k", new Set([1n])]])],
      ["bytes", Buffer.from([0, 255])],
      ["date", new Date(5)],
      ["number", 7],
      ["large", { list: Array.from({ length: 20_000 }, (_, i) => `item ${i}`) }],
    ];
    assert.deepEqual(
      await cache.setMany(values.map(([key, value]) => ({ key, value }))),
      values.map(() => true),
    );
    const expected = values.map(([, value]) => value);
    const keys = values.map(([key]) => key);
    assert.deepStrictEqual(await cache.getMany(keys), expected);
    assert.deepStrictEqual(await Promise.all(keys.map((key) => cache.get(key))), expected);
    assert.deepStrictEqual(
      (await Promise.all(keys.map((key) => cache.getEntry(key)))).map((entry) => entry?.value),
      expected,
    );
    const walked = new Map<unknown, unknown>();
    for await (const [key, value] of cache) walked.set(key, value);
    assert.deepStrictEqual(
      keys.map((key) => walked.get(key)),
      expected,
    );
    assert.deepStrictEqual(await Promise.all(keys.map((key) => cache.take(key))), expected);
    assert.equal(await cache.increment("number", 3), 3);
  });

  withCache("a number that was stored can be incremented, and is a number still", async (cache) => {
    await cache.set("n", 41);
    assert.equal(await cache.increment("n"), 42);
    assert.equal(await cache.get("n"), 42);
  });
});

describe("compress and codec", () => {
  const text = "many words ".repeat(40_000);
  withCache(
    "a large value is compressed, and calls for its key keep their order meanwhile",
    async (cache) => {
      const other = cache.set("other", 1);
      const calls = [
        cache.set("k", text),
        cache.get("k"),
        cache.set("k", [text]),
        cache.set("k", "last"),
        cache.get("k"),
      ];
      assert.equal(await other, true);
      assert.deepEqual(await Promise.all(calls), [true, text, true, true, "last"]);
      await cache.setMany([
        { key: "a", value: text },
        { key: "b", value: "short" },
      ]);
      const { size, tag, value } = (await cache.getEntry("a"))!;
      assert.ok(size < 10_000 && value === text && tag === Tag.TEXT, `${size} bytes with tag ${tag}`);
      assert.deepEqual(await cache.getMany(["a", "b"]), [text, "short"]);
      assert.deepEqual(await all(cache.values({ prefix: "a" })), [text]);
      assert.equal(await cache.take("a"), text);
      const set = cache.set("closing", text, { tags: ["t"] });
      await cache.close();
      assert.equal(await set, true);
    },
    { compress: { above: 1000 } },
  );

  test("a codec may use its buffer again, unless it says that it never does", async () => {
    const shared = Buffer.alloc(64 * 1024);
    /** Text in the same buffer each time. */
    const reusing: Codec = {
      tag: 131,
      encode: (value) => shared.subarray(0, shared.write(String(value))),
      decode: String,
    };
    const large = (letter: string) => letter.repeat(40_000);
    const values = ["one", "two", large("a"), large("b"), "three"];
    for (const compress of [undefined, { above: 30_000 }]) {
      // Not started: all that is called first waits for the daemon.
      await using cache = createCache({ codec: reusing, compress });
      for (let round = 0; round < 2; round++) {
        await Promise.all([
          ...values.map((value, i) => cache.set(`${i}`, value)),
          cache.set("tagged", "four", { tags: ["t"] }),
          cache.setMany(values.map((value, i) => ({ key: `many ${i}`, value }))),
          cache.getOrSetMany(["x", "y"], () => ["loaded x", "loaded y"]),
        ]);
        assert.deepEqual(await cache.getMany(values.map((_, i) => `${i}`)), values);
        assert.deepEqual(await cache.getMany(values.map((_, i) => `many ${i}`)), values);
        assert.deepEqual(await cache.getMany(["tagged", "x", "y"]), ["four", "loaded x", "loaded y"]);
      }
    }
    const given = Buffer.from("given");
    const fresh = { tag: 131, encode: () => given, decode: String, freshBytes: true };
    assert.equal(encodeValue("v", fresh).body, given);
    assert.notEqual(encodeValue("v", { ...fresh, freshBytes: false }).body, given);
    const wrong = { ...fresh, freshBytes: 1 as never };
    assert.throws(() => createCache({ codec: wrong }), { message: /codec.freshBytes must be .* got 1/ });
  });

  const codec: Codec = {
    tag: 130,
    encode: (value) => Buffer.from(JSON.stringify({ v: value }).toUpperCase()),
    decode: async (bytes) => (JSON.parse(bytes.toString().toLowerCase()) as { v: unknown }).v,
  };
  withCache(
    "a codec takes all values, and one that answers later is waited for",
    async (cache) => {
      await cache.set("k", "abc", { tags: ["t"] });
      await cache.set("l", { a: "x" });
      assert.deepEqual(await cache.getMany(["k", "l"]), ["abc", { a: "x" }]);
      assert.equal((await cache.getEntry("k"))?.tag, 130);
      await cache.set("raw", "text", { tag: Tag.TEXT });
      assert.equal(await cache.get("raw"), "text");
      const plain = cache.namespace("plain", { codec: null });
      await plain.set("k", "abc");
      assert.equal((await plain.getEntry("k"))?.tag, Tag.TEXT);
    },
    { codec },
  );
});

describe("a namespace", () => {
  withCache("has keys, tags, counts and defaults of its own", async (cache) => {
    const users = cache.namespace<{ name: string }>("users", { defaultTtl: 60_000 });
    const sessions = users.namespace<string>("sessions");
    await cache.set("1", "root");
    await users.set("1", { name: "Ada" }, { tags: ["t"] });
    await sessions.set("1", "session", { tags: ["t"], ttl: Number.POSITIVE_INFINITY });
    assert.equal(await cache.get("1"), "root");
    assert.equal((await users.get("1"))?.name, "Ada");
    assert.ok((await users.ttl("1"))! <= 60_000, "its own default TTL");
    assert.equal(await sessions.ttl("1"), Number.POSITIVE_INFINITY);
    assert.equal(users.name, "users");
    await cache.invalidateTag("t");
    assert.equal((await users.get("1"))?.name, "Ada");
    await users.invalidateTag("t");
    assert.equal(await users.get("1"), undefined);
    assert.equal(await sessions.get("1"), "session");
    assert.deepEqual(users.counts, { hits: 2, misses: 1, sets: 1, deletes: 0 });
    assert.deepEqual(sessions.counts, { hits: 1, misses: 0, sets: 1, deletes: 0 });
    assert.equal(await cache.namespace("users").namespace("sessions").get("1"), "session");
    const forever = users.namespace<string>("forever", { defaultTtl: Number.POSITIVE_INFINITY });
    await forever.set("k", "v");
    assert.equal(await forever.ttl("k"), Number.POSITIVE_INFINITY);
  });

  withCache("does with its keys whatever a cache does", async (cache) => {
    const space = cache.namespace("größer ☃");
    const key = Buffer.from([0xff, 1]);
    for (const view of [cache, space]) {
      assert.equal(await view.set(key, 1), true);
      assert.equal(await view.set("\u0001\u0002k", 2, { condition: "ifAbsent" }), true);
      assert.deepEqual(await view.hasMany([key, "\u0001\u0002k", "x"]), [true, true, false]);
      assert.equal(await view.increment("n", 2, { ttl: 1e6 }), 2);
      assert.equal(await view.incrementBigInt("n", 2n), 4n);
      assert.equal(await view.compareAndSet("n", "4", "5"), true);
      assert.equal(await view.touch("n", 5e5), true);
      assert.ok((await view.ttl("n"))! <= 5e5, "touched");
      assert.deepEqual(await all(view.keys()), [key, "\u0001\u0002k", "n"].sort());
      assert.deepEqual(await all(view.keys({ prefix: "\u0001" })), ["\u0001\u0002k"]);
      assert.deepEqual(await view.deleteMany([key, "x"]), [true, false]);
      assert.equal(await view.delete("n"), true);
      assert.equal(await view.take("\u0001\u0002k"), 2);
    }
  });

  withCache("is cleared with what is in it, and leaves all else alone", async (cache) => {
    const [a, b, ab] = [cache.namespace("a"), cache.namespace("b"), cache.namespace("ab")];
    const inner = a.namespace("b");
    for (const view of [cache, a, b, ab, inner]) {
      await view.setMany([
        { key: "x:1", value: 1 },
        { key: "y:1", value: 2 },
      ]);
    }
    assert.equal(await a.clear({ prefix: "x" }), 1);
    assert.deepEqual(await all(a.keys()), ["y:1"]);
    assert.equal(await a.clear(), 3);
    assert.deepEqual(await all(inner.keys()), []);
    for (const view of [cache, b, ab]) assert.deepEqual(await all(view.keys()), ["x:1", "y:1"]);
    assert.equal(await cache.clear({ prefix: "x" }), 1);
    assert.deepEqual(await all(b.keys()), ["x:1", "y:1"]);
    assert.equal(await cache.clear(), 5);
  });

  test("its options are checked", () => {
    const cache = createCache({ binary: "/never/started" });
    const invalid = { code: "ERR_RUSTCACHE_INVALID_ARG" };
    assert.throws(() => cache.namespace(""), invalid);
    assert.throws(() => cache.namespace("a", 5 as never), invalid);
    assert.throws(() => cache.namespace("a", { ttl: 5 } as never), { ...invalid, message: /"ttl"/ });
    assert.throws(() => cache.namespace("a", { defaultTtl: 0 }), { code: "ERR_RUSTCACHE_INVALID_TTL" });
    assert.throws(() => createCache({ codec: { tag: 5 } as never }), { ...invalid, message: /codec/ });
    assert.throws(() => createCache({ compress: {} as never }), { ...invalid, message: /compress/ });
  });
});

describe("iteration", () => {
  withCache("match, limit and prefix choose among many keys", async (cache) => {
    const keys = Array.from({ length: 3000 }, (_, i) => `${i % 2 === 0 ? "user" : "page"}:${i}`);
    await cache.setMany(keys.map((key, i) => ({ key, value: i })));
    assert.deepEqual(
      await all(cache.keys({ match: "user:*00" })),
      keys.filter((key) => /^user:.*00$/.test(key)).sort(),
    );
    assert.deepEqual(
      await all(cache.keys({ prefix: "page:1", match: /5$/, pageSize: 7 })),
      keys.filter((key) => /^page:1.*5$/.test(key)).sort(),
    );
    // Where a RegExp that others use has stopped is not where the next key is looked at from.
    const sticky = /user:4\d\d$/y;
    sticky.lastIndex = 3;
    const global = /:4\d\d$/g;
    global.test("user:400");
    const [from, of] = [
      keys.filter((key) => /^user:4\d\d$/.test(key)),
      keys.filter((key) => /:4\d\d$/.test(key)),
    ];
    assert.deepEqual(await all(cache.keys({ match: sticky })), from.sort());
    assert.deepEqual(await all(cache.keys({ match: global })), of.sort());
    assert.deepEqual(await all(cache.keys({ match: /4\d\d$/y })), []);
    assert.equal(sticky.lastIndex, 3);
    for (const limit of [0, 1, 999, 1001]) assert.equal((await all(cache.keys({ limit }))).length, limit);
    assert.equal((await all(cache.values({ limit: 5 }))).length, 5);
    const entries = await all(cache.entries({ match: "user:4" }));
    assert.deepEqual(
      entries.map(({ key, value }) => [key, value]),
      [["user:4", 4]],
    );
    for (const wrong of [{ limit: -1 }, { match: 5 }, { pageSize: 0 }]) {
      await assert.rejects(all(cache.keys(wrong as never)), { code: "ERR_RUSTCACHE_INVALID_ARG" });
    }
  });
});
