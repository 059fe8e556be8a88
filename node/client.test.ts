// `Cache` against the real daemon.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { Cache, type CacheOptions, createCache, Tag, UnsafeIntegerError } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

requireDaemon();

/** Runs `body` with a cache of its own. */
function withCache(name: string, body: (cache: Cache) => Promise<void>, options: CacheOptions = {}): void {
  test(name, async () => {
    await using cache = createCache(options);
    await body(cache);
  });
}

/** Waits until `condition` holds; each try is a round trip. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

describe("one entry", () => {
  withCache(
    "what was stored as text comes back as text, bytes as bytes, and a tag says which",
    async (cache) => {
      const bytes = Buffer.from([0, 255, 10, 13, 0xf5]);
      assert.equal(await cache.set("text", "größer 🧱\0\n"), true);
      assert.equal(await cache.set("bytes", bytes), true);
      assert.equal(await cache.set("view", new Uint8Array(bytes)), true);
      assert.equal(await cache.set("json", '{"a":1}', { tag: Tag.JSON }), true);
      assert.equal(await cache.set("mine", "abc", { tag: 200 }), true);
      assert.equal(await cache.set("empty", ""), true);
      assert.equal(await cache.set("", "of the empty key"), true);
      assert.equal(await cache.get("text"), "größer 🧱\0\n");
      assert.deepEqual(await cache.get("bytes"), bytes);
      assert.deepEqual(await cache.get("view"), bytes);
      assert.deepEqual(await cache.get("json"), { a: 1 });
      assert.deepEqual(await cache.get("mine"), Buffer.from("abc"));
      assert.equal(await cache.get("empty"), "");
      assert.equal(await cache.get(""), "of the empty key");
      assert.equal(await cache.get("missing"), undefined);
      assert.deepEqual(await cache.getEntry("json"), {
        value: { a: 1 },
        tag: 2,
        ttl: Number.POSITIVE_INFINITY,
        size: 7,
        stale: false,
        freshUntil: undefined,
        age: undefined,
        tags: [],
      });
      assert.equal(await cache.getEntry("missing"), undefined);
    },
  );

  withCache("bytes that are not UTF-8 are refused under a tag for text", async (cache) => {
    const bytes = Buffer.from([0x61, 0xff]);
    const wrong = (tag: number) => ({
      code: "ERR_RUSTCACHE_INVALID_ARG",
      message: new RegExp(`tag ${tag} .*<61ff>`),
    });
    for (const tag of [Tag.TEXT, Tag.JSON]) {
      await assert.rejects(cache.set("k", bytes, { tag }), wrong(tag));
      await assert.rejects(cache.setMany([{ key: "k", value: bytes, tag }]), { ...wrong(tag), index: 0 });
      await assert.rejects(cache.compareAndSet("k", "", bytes, { tag }), wrong(tag));
      assert.equal(await cache.set("k", Buffer.from('"größer \ufffd"'), { tag }), true);
      assert.equal(await cache.get("k"), tag === Tag.JSON ? "größer \ufffd" : '"größer \ufffd"');
    }
  });

  withCache("a text and its bytes are the same key, and any bytes are one", async (cache) => {
    await cache.set("ключ", "1");
    assert.equal(await cache.get(Buffer.from("ключ")), "1");
    await cache.set(Buffer.from([0xff, 0]), "2");
    assert.equal(await cache.get(new Uint8Array([0xff, 0])), "2");
  });

  withCache("remove, delete, take and has say whether it was there", async (cache) => {
    for (const how of ["remove", "delete"] as const) {
      await cache.set("k", "v");
      assert.equal(await cache.has("k"), true);
      assert.equal(await cache[how]("k"), true);
      assert.equal(await cache[how]("k"), false);
      assert.equal(await cache.has("k"), false);
    }
    await cache.set("k", "v");
    assert.equal(await cache.take("k"), "v");
    assert.equal(await cache.take("k"), undefined);
  });

  withCache("values of every size come back whole", async (cache) => {
    for (const size of [1, 255, 4095, 16_383, 16_384, 65_520, 65_536, 65_537, 300_000, 5_000_000]) {
      const bytes = Buffer.alloc(size);
      for (let i = 0; i < size; i++) bytes[i] = (i * 31) >> 3;
      const text = bytes.toString("latin1");
      await Promise.all([cache.set("bytes", bytes), cache.set("text", text)]);
      const [backBytes, backText] = await Promise.all([cache.get("bytes"), cache.get("text")]);
      assert.ok(Buffer.isBuffer(backBytes) && backBytes.equals(bytes), `${size} bytes came back altered`);
      assert.ok(backText === text, `${size} characters came back altered`);
    }
  });

  withCache("a small value that is kept does not keep the chunk that it came in", async (cache) => {
    await cache.set("k", Buffer.alloc(10));
    await cache.set("large", Buffer.alloc(60_000));
    const [value] = await Promise.all([cache.get("k"), cache.get("large")]);
    assert.ok((value as Buffer).buffer.byteLength <= Buffer.poolSize);
  });
});

describe("conditions and expiry", () => {
  withCache("ifAbsent and ifPresent", async (cache) => {
    assert.equal(await cache.set("k", "1", { condition: "ifPresent" }), false);
    assert.equal(await cache.set("k", "1", { condition: "ifAbsent" }), true);
    assert.equal(await cache.set("k", "2", { condition: "ifAbsent" }), false);
    assert.equal(await cache.get("k"), "1");
    assert.equal(await cache.set("k", "3", { condition: "ifPresent" }), true);
    assert.equal(await cache.set("k", "4", { condition: "always" }), true);
    assert.equal(await cache.get("k"), "4");
  });

  withCache("an entry expires after its TTL, and never before", async (cache) => {
    const before = performance.now();
    await cache.set("k", "v", { ttl: 40 });
    await until(async () => (await cache.get("k")) === undefined);
    assert.ok(performance.now() - before >= 40, "it expired early");
    assert.equal(await cache.has("k"), false);
    assert.equal(await cache.ttl("k"), undefined);
  });

  withCache("ttl 0 expires at once, and removes what the key held", async (cache) => {
    await cache.set("k", "old");
    assert.equal(await cache.set("k", "new", { ttl: 0 }), true);
    assert.equal(await cache.get("k"), undefined);
    await cache.set("k", "old");
    await cache.set("k", "new", { expiresAt: Date.now() - 1 });
    assert.equal(await cache.get("k"), undefined);
    for (const expiresAt of [-1, 0, new Date("1969-07-20"), Number.NEGATIVE_INFINITY]) {
      await cache.set("k", "old");
      assert.equal(await cache.set("k", "new", { expiresAt }), true);
      assert.equal(await cache.get("k"), undefined);
    }
  });

  withCache("ttl, touch, persist, keepTtl and expiresAt", async (cache) => {
    const near = async (key: string, ms: number) => {
      const left = await cache.ttl(key);
      assert.ok(left !== undefined && left <= ms && left > ms - 60_000, `${left} ms left instead of ${ms}`);
    };
    await cache.set("k", "v");
    assert.equal(await cache.ttl("k"), Number.POSITIVE_INFINITY);
    assert.equal(await cache.touch("k", 1e6), true);
    await near("k", 1e6);
    await cache.set("k", "w", { keepTtl: true });
    await near("k", 1e6);
    assert.equal((await cache.getEntry("k"))?.value, "w");
    assert.equal(await cache.persist("k"), true);
    assert.equal(await cache.ttl("k"), Number.POSITIVE_INFINITY);
    await cache.set("k", "x", { expiresAt: new Date(Date.now() + 2e6) });
    await near("k", 2e6);
    await cache.set("k", "y", { ttl: Number.MAX_SAFE_INTEGER });
    assert.ok((await cache.ttl("k"))! > 1e13);
    assert.equal(await cache.touch("missing", 1000), false);
    assert.equal(await cache.persist("missing"), false);
    assert.equal(await cache.touch("k", 0), true);
    assert.equal(await cache.get("k"), undefined);
  });

  withCache(
    "defaultTtl is for entries without a TTL of their own",
    async (cache) => {
      await cache.set("default", "v");
      await cache.set("never", "v", { ttl: Number.POSITIVE_INFINITY });
      await cache.set("own", "v", { ttl: 1e6 });
      const left = await cache.ttl("default");
      assert.ok(left !== undefined && left <= 5e5 && left > 4e5);
      assert.equal(await cache.ttl("never"), Number.POSITIVE_INFINITY);
      assert.ok((await cache.ttl("own"))! > 9e5);
    },
    { defaultTtl: 5e5 },
  );
});

describe("numbers and compareAndSet", () => {
  withCache("increment over the whole range", async (cache) => {
    assert.equal(await cache.increment("n"), 1);
    assert.equal(await cache.increment("n", 41), 42);
    assert.equal(await cache.increment("n", -50), -8);
    assert.equal(await cache.get("n"), "-8");
    await cache.set("n", String(Number.MAX_SAFE_INTEGER));
    await assert.rejects(cache.increment("n"), (error: UnsafeIntegerError) => {
      assert.ok(error instanceof UnsafeIntegerError);
      assert.equal(error.value, 2n ** 53n);
      assert.match(error.message, /incrementBigInt/);
      return true;
    });
    assert.equal(await cache.incrementBigInt("n", 2n ** 63n - 1n - 2n ** 53n), 2n ** 63n - 1n);
    await assert.rejects(cache.incrementBigInt("n"), { code: "ERR_RUSTCACHE_OVERFLOW" });
    assert.equal(await cache.incrementBigInt("m", -(2n ** 63n)), -(2n ** 63n));
    await cache.set("text", "abc");
    await assert.rejects(cache.increment("text"), { code: "ERR_RUSTCACHE_NOT_AN_INTEGER" });
    await cache.increment("brief", 1, { ttl: 1e6 });
    assert.ok((await cache.ttl("brief"))! <= 1e6);
    await cache.increment("brief", 1, { ttl: 5e6 });
    assert.ok((await cache.ttl("brief"))! <= 1e6, "an existing entry keeps its deadline");
  });

  withCache("compareAndSet loses no change of many writers", async (cache) => {
    await cache.set("n", "0");
    const addOne = async () => {
      for (;;) {
        const seen = (await cache.get("n")) as string;
        if (await cache.compareAndSet("n", seen, String(Number(seen) + 1))) return;
      }
    };
    await Promise.all(Array.from({ length: 30 }, addOne));
    assert.equal(await cache.get("n"), "30");
    assert.equal(await cache.compareAndSet("missing", "", "v"), false);
    assert.equal(await cache.compareAndSet("n", Buffer.from("30"), Buffer.from([1]), { ttl: 1e6 }), true);
    assert.deepEqual(await cache.get("n"), Buffer.from([1]));
    assert.ok((await cache.ttl("n"))! <= 1e6);
    const large = Buffer.alloc(100_000, 1);
    assert.equal(await cache.compareAndSet("n", Buffer.from([1]), large), true);
    assert.equal(await cache.compareAndSet("n", large, "small"), true);
    assert.equal(await cache.get("n"), "small");
  });
});

describe("many at once", () => {
  withCache("batches keep the order of their keys, through many frames", async (cache) => {
    const keys = Array.from({ length: 10_000 }, (_, i) => `key ${i}`);
    const stored = await cache.setMany(keys.map((key, i) => ({ key, value: `value ${i}` })));
    assert.deepEqual(stored, new Array(10_000).fill(true));
    const values = await cache.getMany([...keys, "missing", keys[0]!]);
    assert.equal(values.length, 10_002);
    assert.ok(keys.every((_, i) => values[i] === `value ${i}`));
    assert.deepEqual(values.slice(10_000), [undefined, "value 0"]);
    assert.deepEqual(await cache.deleteMany(["key 5", "missing", "key 5", "key 6"]), [
      true,
      false,
      false,
      true,
    ]);
    assert.equal((await cache.stats()).items, 9_998);
    assert.deepEqual(await cache.getMany([]), []);
    assert.deepEqual(await cache.setMany([]), []);
    assert.deepEqual(await cache.deleteMany([]), []);
  });

  withCache(
    "each item of setMany has its own tag, condition and expiry; large and small ones mix",
    async (cache) => {
      await cache.set("there", "1");
      const large = Buffer.alloc(200_000, 7);
      const stored = await cache.setMany([
        { key: "text", value: "v" },
        { key: "there", value: "2", condition: "ifAbsent" },
        { key: "large", value: large },
        { key: Buffer.from("brief"), value: Buffer.from([1]), ttl: 1e6 },
        { key: "same", value: "first" },
        { key: "same", value: "x".repeat(20_000) },
        { key: "same", value: "last" },
        { key: "gone", value: "v", ttl: 0 },
        { key: "json", value: "{}", tag: Tag.JSON, expiresAt: Date.now() + 1e6 },
      ]);
      assert.deepEqual(stored, [true, false, true, true, true, true, true, true, true]);
      const values = await cache.getMany(["text", "there", "large", "brief", "same", "gone", "json"]);
      assert.deepEqual(values, ["v", "1", large, Buffer.from([1]), "last", undefined, {}]);
      assert.ok((await cache.ttl("brief"))! <= 1e6);
      assert.equal((await cache.getEntry("json"))?.tag, Tag.JSON);
    },
  );

  withCache(
    "values that do not fit into one reply are asked for again",
    async (cache) => {
      const value = Buffer.alloc(60_000, 3);
      const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`);
      await Promise.all(keys.map((key) => cache.set(key, value)));
      const values = await cache.getMany([...keys, "missing"]);
      assert.equal(values.pop(), undefined);
      assert.equal(values.length, 50);
      assert.ok(values.every((each) => value.equals(each as Buffer)));
    },
    // One reply holds at most 128 KiB and a little.
    { maxKeyBytes: 100, maxValueBytes: 65_536 },
  );

  withCache(
    "an item that is refused is named, and the others are done",
    async (cache) => {
      await assert.rejects(
        cache.setMany([
          { key: "a", value: "1" },
          { key: "k".repeat(101), value: "2" },
          { key: "\ud800", value: "3" },
          { key: "b", value: "4" },
        ]),
        { code: "ERR_RUSTCACHE_KEY_TOO_LONG", index: 1, message: /^item 1: the key/ },
      );
      assert.deepEqual(await cache.getMany(["a", "b"]), ["1", "4"]);
      await assert.rejects(cache.setMany([{ key: "k".repeat(101), value: "2" }]), { index: 0 });
      await assert.rejects(cache.getMany(["a", "k".repeat(101)]), {
        code: "ERR_RUSTCACHE_KEY_TOO_LONG",
        index: 1,
      });
      const items = Array.from({ length: 20 }, (_, i) => ({
        key: `key ${i}`,
        value: i === 7 ? "x".repeat(9000) : "v",
      }));
      await assert.rejects(cache.setMany(items), {
        code: "ERR_RUSTCACHE_TOO_LARGE",
        index: 7,
        message: /^item 7 \(key "key 7"\): .*maxBytes/,
      });
      const values = await cache.getMany(items.map((item) => item.key));
      assert.deepEqual(
        values,
        items.map((_, i) => (i === 7 ? undefined : "v")),
      );
    },
    { maxKeyBytes: 100, maxBytes: 8192 },
  );

  withCache("clear, with and without a prefix", async (cache) => {
    await cache.setMany(["a:1", "a:2", "b:1"].map((key) => ({ key, value: "v" })));
    assert.equal(await cache.clear({ prefix: "a:" }), 2);
    assert.deepEqual(await cache.getMany(["a:1", "a:2", "b:1"]), [undefined, undefined, "v"]);
    assert.equal(await cache.clear(), 1);
    assert.equal(await cache.clear(), 0);
  });

  withCache("keys and entries walk over everything, or over a prefix", async (cache) => {
    const expected = new Map(Array.from({ length: 2500 }, (_, i) => [`key:${i}`, `value ${i}`]));
    await cache.setMany([...expected].map(([key, value]) => ({ key, value })));
    await cache.set(Buffer.from([0xff, 0xfe]), Buffer.from([1]), { ttl: 1e6 });
    const keys = new Set<string>();
    let odd: string | Buffer | undefined;
    for await (const key of cache.keys({ pageSize: 100 })) {
      if (typeof key === "string") keys.add(key);
      else odd = key;
    }
    assert.deepEqual(keys, new Set(expected.keys()));
    assert.deepEqual(odd, Buffer.from([0xff, 0xfe]));
    const entries = new Map<string | Buffer, unknown>();
    for await (const { key, value, ttl, tag, size } of cache.entries({ prefix: "key:1" })) {
      entries.set(key, value);
      assert.deepEqual([ttl, tag, size], [Number.POSITIVE_INFINITY, Tag.TEXT, (value as string).length]);
    }
    assert.deepEqual(entries, new Map([...expected].filter(([key]) => key.startsWith("key:1"))));
    for await (const key of cache.keys()) {
      assert.ok(key);
      break;
    }
    const page = await cache.scan({ pageSize: 10, prefix: Buffer.from([0xff]) });
    assert.ok(page.entries.length <= 10 && page.entries.every((entry) => entry.value === undefined));
  });
});

describe("limits, numbers and signs of life", () => {
  withCache(
    "maxItems and maxBytes hold, and stats() counts",
    async (cache) => {
      await cache.setMany(Array.from({ length: 500 }, (_, i) => ({ key: `${i}`, value: "v" })));
      await cache.get("499");
      await cache.get("0");
      const stats = await cache.stats();
      assert.deepEqual([stats.items, stats.hits, stats.misses], [100, 1, 1]);
      assert.ok(stats.bytes > 0);
    },
    { maxItems: 100 },
  );

  withCache(
    "an oversize call rejects alone",
    async (cache) => {
      await cache.start();
      const good = cache.set("good", "v");
      await assert.rejects(cache.set("k".repeat(11), "v"), { code: "ERR_RUSTCACHE_KEY_TOO_LONG" });
      await assert.rejects(cache.set("k", "v".repeat(101)), { code: "ERR_RUSTCACHE_VALUE_TOO_LONG" });
      await assert.rejects(cache.set("k", Buffer.alloc(1 << 20)), { code: "ERR_RUSTCACHE_VALUE_TOO_LONG" });
      await assert.rejects(cache.compareAndSet("k", "x".repeat(101), "v"), {
        code: "ERR_RUSTCACHE_VALUE_TOO_LONG",
      });
      assert.equal(await good, true);
      assert.equal(await cache.get("good"), "v");
    },
    { maxKeyBytes: 10, maxValueBytes: 100 },
  );

  withCache(
    "the same before the handshake has named the limits",
    async (cache) => {
      const results = await Promise.allSettled([
        cache.set("k".repeat(11), "v"),
        cache.set("k", "v".repeat(101)),
        cache.getMany(["k".repeat(11)]),
        cache.set("good", "v"),
      ]);
      assert.deepEqual(
        results.map((result) => (result.status === "fulfilled" ? result.value : result.reason.code)),
        ["ERR_RUSTCACHE_KEY_TOO_LONG", "ERR_RUSTCACHE_VALUE_TOO_LONG", "ERR_RUSTCACHE_KEY_TOO_LONG", true],
      );
    },
    { maxKeyBytes: 10, maxValueBytes: 100 },
  );

  withCache("ping answers; a snapshot without a directory says so", async (cache) => {
    await cache.ping();
    await assert.rejects(cache.snapshot(), { code: "ERR_RUSTCACHE_NO_DIRECTORY" });
    assert.equal(cache.isReady, true);
    assert.ok(cache.pid! > 0);
    assert.deepEqual([cache.pending, cache.queuedBytes], [0, 0]);
  });

  withCache(
    "far more than the bound at once, with back-pressure, in order",
    async (cache) => {
      const value = Buffer.alloc(10_000, 1);
      const calls = Array.from({ length: 1000 }, (_, i) => cache.set("k", i % 2 === 0 ? value : `${i}`));
      calls.push(cache.set("k", "last"));
      await cache.drained();
      await Promise.all(calls);
      assert.equal(await cache.get("k"), "last");
    },
    { maxQueuedBytes: 50_000 },
  );

  withCache("abort and timeout of a call leave the others alone", async (cache) => {
    await cache.start();
    const controller = new AbortController();
    const calls = Array.from({ length: 100 }, (_, i) =>
      cache.set(`${i}`, "v", i % 2 === 0 ? { signal: controller.signal } : { timeout: 10_000 }),
    );
    controller.abort();
    const results = await Promise.allSettled(calls);
    assert.ok(results.every((result, i) => (i % 2 === 0) === (result.status === "rejected")));
    assert.equal((results[0] as PromiseRejectedResult).reason.name, "AbortError");
    assert.equal(await cache.get("1"), "v");
  });

  test("a wrong daemon option: the start says which, in the daemon's words", async () => {
    await using cache = new Cache({ args: ["--no-such-option"] });
    await assert.rejects(cache.start(), { code: "ERR_RUSTCACHE_START", message: /--no-such-option/ });
  });
});
