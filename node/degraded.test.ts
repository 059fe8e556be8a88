// A cache whose daemon cannot do what it is asked, by the two failure policies; and what a cache tells of itself: events, statistics, tracing channels.

import { strict as assert } from "node:assert";
import { tracingChannel } from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { type Cache, createCache, type Degradation, type Key } from "./index.js";
import { killDuring, requireDaemon } from "./testdata/daemon.js";

requireDaemon();

const NOWHERE = "/nowhere/rustcache";

/** The next event of a name. */
function next<T>(cache: Cache, event: "degraded" | "evict" | "ready" | "close"): Promise<T> {
  return new Promise((resolve) => {
    // Nothing of a cache that nobody calls keeps a process alive.
    const alive = setInterval(() => {}, 1000);
    const listener = (what: T) => {
      clearInterval(alive);
      resolve(what);
    };
    cache.once(event, listener as never);
  });
}

async function unhandled(body: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const listener = (reason: unknown) => seen.push(reason);
  process.on("unhandledRejection", listener);
  try {
    await body();
    // They are told of when the microtasks of a turn are done.
    await new Promise(setImmediate);
  } finally {
    process.off("unhandledRejection", listener);
  }
  return seen;
}

describe('onError: "miss"', () => {
  /** Every call that has an answer, and that answer. */
  const answers: [string, (cache: Cache) => Promise<unknown>, unknown][] = [
    ["get", (cache) => cache.get("k"), undefined],
    ["getEntry", (cache) => cache.getEntry("k"), undefined],
    ["take", (cache) => cache.take("k"), undefined],
    ["ttl", (cache) => cache.ttl("k"), undefined],
    ["has", (cache) => cache.has("k"), false],
    ["set", (cache) => cache.set("k", "v"), false],
    ["set with tags", (cache) => cache.set("k", "v", { tags: ["t"] }), false],
    ["set of what is compressed", (cache) => cache.set("k", "v".repeat(1e6)), false],
    ["remove", (cache) => cache.remove("k"), false],
    ["touch", (cache) => cache.touch("k", 5), false],
    ["persist", (cache) => cache.persist("k"), false],
    ["compareAndSet", (cache) => cache.compareAndSet("k", "v", "w"), false],
    ["clear", (cache) => cache.clear(), 0],
    ["clear of a namespace", (cache) => cache.namespace("n").clear(), 0],
    ["getMany", (cache) => cache.getMany(["a", "b"]), [undefined, undefined]],
    ["hasMany", (cache) => cache.hasMany(["a", "b"]), [false, false]],
    ["setMany", (cache) => cache.setMany([{ key: "a", value: 1 }]), [false]],
    ["setMany with tags", (cache) => cache.setMany([{ key: "a", value: 1, tags: ["t"] }]), [false]],
    ["deleteMany", (cache) => cache.deleteMany(["a", "b"]), [false, false]],
    ["invalidateTag", (cache) => cache.invalidateTag("t"), undefined],
    ["getOrSet", (cache) => cache.getOrSet("k", () => "loaded", { tags: ["t"] }), "loaded"],
    ["getOrSetMany", (cache) => cache.getOrSetMany(["a", "b"], () => [1, 2]), [1, 2]],
  ];
  for (const [name, call, answer] of answers) {
    test(`${name} without a daemon is answered as by an empty cache`, async () => {
      for (const near of [undefined, {}]) {
        const compress = { above: 1000 };
        const cache = createCache({ binary: NOWHERE, onError: "miss", near, compress });
        const rejections = await unhandled(async () => assert.deepEqual(await call(cache), answer));
        assert.deepEqual(rejections, []);
        const strict = createCache({ binary: NOWHERE, near, compress });
        await assert.rejects(call(strict), { code: "ERR_RUSTCACHE_START" });
        await Promise.all([cache.close(), strict.close()]);
      }
    });
  }

  test("what has no harmless answer rejects, and so do wrong arguments", async () => {
    await using cache = createCache({ binary: NOWHERE, onError: "miss" });
    const code = "ERR_RUSTCACHE_START";
    await assert.rejects(cache.increment("k"), { code });
    await assert.rejects(cache.stats(), { code });
    await assert.rejects(cache.ping(), { code });
    await assert.rejects(cache.start(), { code });
    await assert.rejects(cache.ready, { code });
    await assert.rejects(
      async () => {
        for await (const key of cache.keys()) assert.fail(String(key));
      },
      { code },
    );
    await assert.rejects(cache.get(7 as unknown as Key), { code: "ERR_RUSTCACHE_INVALID_ARG" });
    await assert.rejects(cache.set("k", "v", { ttl: -1 }), { code: "ERR_RUSTCACHE_INVALID_TTL" });
    await assert.rejects(
      cache.set("k", () => 1),
      { code: "ERR_RUSTCACHE_ENCODE" },
    );
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(cache.get("k", { signal }), { message: "enough" });
    await assert.rejects(
      cache.getOrSet("k", () => Promise.reject(new Error("no such user"))),
      { message: "no such user" },
    );
    assert.throws(() => createCache({ onError: "ignore" as never }), {
      message: /onError must be one of throw, miss, got "ignore"/,
    });
  });

  test("an entry or a key that is too large is not stored, and the rest is served", async () => {
    await using cache = createCache({ onError: "miss", maxBytes: 100_000, maxKeyBytes: 100 });
    assert.equal(await cache.set("large", "x".repeat(200_000)), false);
    assert.equal(await cache.set("k".repeat(101), "v"), false);
    assert.equal(
      await cache.getOrSet("large", () => "x".repeat(200_000)).then((value) => value.length),
      200_000,
    );
    assert.equal(await cache.set("k", "v"), true);
    assert.equal(await cache.get("k"), "v");
    await cache.set("text", "abc");
    await assert.rejects(cache.increment("text"), { code: "ERR_RUSTCACHE_NOT_AN_INTEGER" });
    assert.equal((await cache.stats()).degraded, 3);
  });

  test("a death is told once, its calls are misses, and the next daemon serves again", async () => {
    await using cache = createCache({ onError: "miss" });
    await cache.set("k", "v");
    const told = next<Degradation>(cache, "degraded");
    const lost = await killDuring(cache.pid!, () => [cache.get("k"), cache.set("k", "w"), cache.get("k")]);
    assert.deepEqual(await Promise.all(lost), [undefined, false, undefined]);
    const { operation, error, count } = await told;
    assert.deepEqual([operation, error.code, count], ["get", "ERR_RUSTCACHE_CONNECTION_LOST", 1]);
    assert.equal(await cache.set("k", "x"), true);
    assert.equal(await cache.get("k"), "x");
    assert.equal((await cache.stats()).degraded, 3);
  });

  test("a closed cache is an empty one", async () => {
    const cache = createCache({ onError: "miss", near: {} });
    await cache.set("k", "v");
    assert.deepEqual([await cache.get("k"), await cache.get("k")], ["v", "v"]);
    await cache.close();
    assert.equal(await cache.get("k"), undefined);
    await assert.rejects(cache.ready, { code: "ERR_RUSTCACHE_CLOSED" });
  });
});

describe("what a cache tells of itself", () => {
  test("ready resolves with the first daemon, starts it, and starts none that was closed", async () => {
    const cache = createCache();
    assert.equal(cache.isReady, false);
    await Promise.all([cache.ready, cache.ready]);
    assert.equal(cache.isReady, true);
    await cache.close();
    assert.equal(cache.isReady, false);
    await assert.rejects(cache.ready, { code: "ERR_RUSTCACHE_CLOSED" });
    await cache.start();
    await cache.ready;
    await cache.close();
  });

  test("evictions are told to who listens, with how many there were", async () => {
    await using cache = createCache({ maxItems: 10 });
    await cache.setMany(Array.from({ length: 15 }, (_, i) => ({ key: `before ${i}`, value: i })));
    const told = next(cache, "evict");
    // The first look, which all that comes is compared with, is on its way.
    await cache.setMany(Array.from({ length: 7 }, (_, i) => ({ key: `after ${i}`, value: i })));
    assert.deepEqual(await told, { count: 7, byItems: 7, byBytes: 0 });
    const { evictions_by_items, evictions_by_bytes } = await cache.stats();
    assert.deepEqual([evictions_by_items, evictions_by_bytes], [12, 0]);
    const again = next(cache, "evict");
    await cache.close();
    await cache.start();
    await cache.setMany(Array.from({ length: 13 }, (_, i) => ({ key: `next ${i}`, value: i })));
    assert.deepEqual(await again, { count: 3, byItems: 3, byBytes: 0 });
  });

  test("a program that listens to evictions can end", async () => {
    const cache = createCache();
    cache.on("evict", () => {});
    await cache.get("k");
    await cache.close();
    assert.deepEqual(
      process.getActiveResourcesInfo().filter((what) => what === "Timeout"),
      [],
    );
  });

  test("requests and loads can be traced, and are what they are without that", async () => {
    await using cache = createCache({ near: {} });
    const seen: string[] = [];
    const note = (at: string) => (context: unknown) => {
      const { operation, key, keys, isBackground, error } = context as Record<string, unknown>;
      const what = operation === undefined ? `load ${keys} ${isBackground}` : `${operation} ${key ?? ""}`;
      seen.push(`${at} ${what}${error === undefined ? "" : ` ${(error as { code: string }).code}`}`.trim());
    };
    const never = () => {};
    const subscribers = {
      start: note("start"),
      end: never,
      asyncStart: never,
      asyncEnd: note("end"),
      error: note("error"),
    };
    const channels = ["request", "load"].map((name) => tracingChannel(`rustcache:${name}`));
    for (const channel of channels) channel.subscribe(subscribers);
    try {
      assert.equal(await cache.getOrSet("k", () => "v"), "v");
      assert.equal(await cache.get("k"), "v");
      assert.equal(await cache.get("k"), "v");
      await assert.rejects(cache.increment("k"), { code: "ERR_RUSTCACHE_NOT_AN_INTEGER" });
      assert.deepEqual(await cache.getMany(["k", "j"]), ["v", undefined]);
      await cache.set("j", 1, { tags: ["t"] });
    } finally {
      for (const channel of channels) channel.unsubscribe(subscribers);
    }
    await cache.get("untold");
    assert.deepEqual(seen, [
      "start get k",
      "end get k",
      "start load k false",
      "end load k false",
      "start set k",
      "end set k",
      "start get k",
      "end get k",
      "start incr k",
      "error incr k ERR_RUSTCACHE_NOT_AN_INTEGER",
      "end incr k ERR_RUSTCACHE_NOT_AN_INTEGER",
      "start get_many",
      "end get_many",
      "start set j",
      "end set j",
    ]);
  });
});

describe("a hot value that cannot be told at once", () => {
  const codec = {
    tag: 200,
    encode: (value: unknown) => Buffer.from(String(value)),
    decode: async () => Promise.reject(new Error("never")),
  };

  test("is a miss when failures are, and never ends the process", async () => {
    const cache = createCache({ dir: null, near: {}, codec, onError: "miss" });
    try {
      const seen = await unhandled(async () => {
        await cache.set("k", "v");
        for (let read = 0; read < 3; read++) {
          assert.equal(await cache.get("k"), undefined);
          assert.deepEqual(await cache.getMany(["k", "none"]), [undefined, undefined]);
          await cache.getOrSet("k", () => "loaded").catch(() => {});
        }
      });
      assert.deepEqual(seen, []);
    } finally {
      await cache.close();
    }
  });

  test("rejects with what is wrong when failures do, for each who asks", async () => {
    const cache = createCache({ dir: null, near: {}, codec });
    try {
      const seen = await unhandled(async () => {
        await cache.set("k", "v");
        for (let read = 0; read < 3; read++) {
          await assert.rejects(cache.get("k"), { code: "ERR_RUSTCACHE_DECODE" });
          assert.equal(await cache.getOrSet("k", () => "loaded"), "loaded");
        }
      });
      assert.deepEqual(seen, []);
    } finally {
      await cache.close();
    }
  });
});

describe("clear", () => {
  test("refuses an option that it does not know, and removes nothing", async () => {
    const cache = createCache({ dir: null });
    try {
      await cache.set("k", "v");
      await assert.rejects(cache.clear({ match: "zzz*" } as never), { code: "ERR_RUSTCACHE_INVALID_ARG" });
      assert.equal(await cache.get("k"), "v");
    } finally {
      await cache.close();
    }
  });
});
