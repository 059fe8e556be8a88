// The hot tier of a cache against the real daemon: a cache that has one answers as one that has none.

import { strict as assert } from "node:assert";
import { describe, mock, test } from "node:test";
import { type Cache, type CacheOptions, createCache, type NearOptions } from "./index.js";
import { killDuring, requireDaemon } from "./testdata/daemon.js";

requireDaemon();

async function withHot(
  body: (cache: Cache) => Promise<void>,
  near: NearOptions = {},
  more: CacheOptions = {},
) {
  await using cache = createCache({ near, ...more });
  await body(cache);
}

/** Reads a key until the hot tier answers for it. */
async function heat(cache: Cache, key: string): Promise<void> {
  const before = (await cache.stats()).near_hits;
  await cache.get(key);
  await cache.get(key);
  assert.equal((await cache.stats()).near_hits, before + 1, `${key} is not hot`);
}

describe("coherence", () => {
  /** Each changes what "k" holds, or may. */
  const writes: Record<string, (cache: Cache) => Promise<unknown>> = {
    set: (cache) => cache.set("k", "new"),
    "set of what takes its time": (cache) => cache.set("k", "new", { tags: ["fresh"] }),
    "set of what is compressed": (cache) => cache.set("k", "new".repeat(200_000)),
    "set on a condition": (cache) => cache.set("k", "new", { condition: "ifPresent" }),
    "set by bytes": (cache) => cache.set(Buffer.from("k"), "new"),
    setMany: (cache) =>
      cache.setMany([
        { key: "other", value: 1 },
        { key: "k", value: "new" },
      ]),
    "setMany of what takes its time": (cache) => cache.setMany([{ key: "k", value: "new", tags: ["fresh"] }]),
    delete: (cache) => cache.delete("k"),
    deleteMany: (cache) => cache.deleteMany(["other", "k"]),
    take: (cache) => cache.take("k"),
    touch: (cache) => cache.touch("k", 0),
    increment: (cache) => cache.increment("k", 4),
    compareAndSet: (cache) => cache.compareAndSet("k", "1", "new"),
    clear: (cache) => cache.clear(),
    "clear of a prefix": (cache) => cache.clear({ prefix: "k" }),
    "clear of everything under a namespace": (cache) => cache.namespace("n").clear(),
    "set in a namespace": (cache) => cache.namespace("n").set("k", "new"),
    "clear of a part of a namespace": (cache) => cache.namespace("n").clear({ prefix: "k" }),
    "invalidation of a tag": (cache) => cache.invalidateTag("t"),
    "invalidation of a namespace's tag": (cache) => cache.namespace("n").invalidateTag("t"),
    getOrSet: (cache) => cache.getOrSet("k", () => "new"),
    "a write elsewhere": (cache) => cache.set("other", "new"),
  };
  for (const [name, write] of Object.entries(writes)) {
    test(`a read after ${name} is what it is without a hot tier, awaited or not`, async () => {
      const compress = { above: 100_000 };
      await using hot = createCache({ near: {}, compress });
      await using plain = createCache({ compress });
      const outcomes: unknown[][] = [];
      for (const cache of [hot, plain]) {
        const inner = cache.namespace("n");
        const outcome: unknown[] = [];
        const all = () => Promise.all([cache.get("k"), cache.get("t"), inner.get("k"), inner.get("t")]);
        for (const awaited of [true, false]) {
          await cache.clear();
          for (const view of [cache, inner]) {
            await view.set("k", "1");
            await view.set("t", "tagged", { tags: ["t"] });
          }
          await all();
          // Reads that are under way when the write is called must not bring the old value back afterwards. (Whether those of a tagged value see its
          // invalidation is not said.)
          const under = Promise.all([cache.get("k"), inner.get("k")]);
          const tagged = Promise.all([cache.get("t"), inner.get("t")]);
          const written = write(cache);
          if (awaited) await written;
          outcome.push(await all(), await under, await all(), await written);
          await tagged;
        }
        outcomes.push(outcome);
      }
      assert.deepEqual(outcomes[0], outcomes[1]);
      if (name === "a write elsewhere") {
        const { near_hits } = await hot.stats();
        assert.ok(near_hits > 0, "nothing was ever hot");
      }
    });
  }

  test("any run of calls gives what it gives without a hot tier", async () => {
    await using hot = createCache({ near: { maxItems: 8 }, compress: { above: 500 } });
    await using plain = createCache({ compress: { above: 500 } });
    let seed = 7;
    const random = (n: number) => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * n);
    };
    const views = [hot, plain].map((cache) => [cache, cache.namespace("n")] as const);
    const values: (() => unknown)[] = [
      () => 1,
      () => "text",
      () => ({ a: [1] }),
      () => Buffer.from([1]),
      () => new Map([[1, 2]]),
    ];
    values.push(
      () => "long".repeat(130),
      () => undefined,
      () => null,
    );
    for (let round = 0; round < 60; round++) {
      // With nothing under way: whether a read that is sees it is not said.
      for (const pair of views) await pair[round % 2]!.invalidateTag(`t${round % 3}`);
      const calls: Promise<unknown>[][] = [[], []];
      for (let i = 0; i < 50; i++) {
        const [key, where, what, value] = [
          `k${random(10)}`,
          random(2),
          random(16),
          values[random(values.length)]!,
        ];
        const tags = random(3) === 0 ? [`t${random(3)}`] : [];
        views.forEach((pair, side) => {
          const view = pair[where as 0 | 1];
          const call = (): Promise<unknown> => {
            if (what < 8) return view.get(key);
            if (what < 9) return view.getMany(["k1", "k2", key]);
            if (what < 11) return view.set(key, value(), { tags });
            if (what < 12)
              return view.setMany([
                { key, value: value() },
                { key: "k1", value: round },
              ]);
            if (what < 13) return view.delete(key);
            if (what < 14)
              return view.getOrSet(key, () => `loaded ${round} ${i}`, { staleWhileRevalidate: 1000 });
            if (what < 15) return view.touch(key);
            return i === 0 ? view.clear({ prefix: "k" }) : view.take(key);
          };
          calls[side]!.push(call());
        });
      }
      const [ours, theirs] = await Promise.all(calls.map((side) => Promise.all(side)));
      assert.deepEqual(ours, theirs, `round ${round}`);
    }
    const { near_hits, near_items } = await hot.stats();
    assert.ok(near_hits > 100 && near_items <= 8, `${near_hits} hits, ${near_items} items`);
  });

  test("nothing is left of a daemon that died, nor of what it was asked", async () => {
    await withHot(async (cache) => {
      await cache.set("k", "old");
      await heat(cache, "k");
      const lost = await killDuring(cache.pid!, () => cache.getMany(["k", "j"]).catch((error) => error.code));
      assert.equal(lost, "ERR_RUSTCACHE_CONNECTION_LOST");
      assert.equal(await cache.get("k"), undefined);
    });
  });

  test("a closed cache answers nothing, and an opened one nothing of before", async () => {
    await withHot(async (cache) => {
      await cache.set("k", "old");
      await heat(cache, "k");
      const [under, closed] = [cache.get("j"), cache.close()];
      await assert.rejects(cache.get("k"), { code: "ERR_RUSTCACHE_CLOSED" });
      await under;
      await closed;
      await cache.start();
      assert.equal(await cache.get("k"), undefined);
    });
  });
});

describe("values", () => {
  test("what one reader does to his value no other sees", async () => {
    await withHot(async (cache) => {
      const make = {
        plain: () => ({ a: { b: [1, 2] } }),
        bytes: () => Buffer.from("bytes"),
        map: () => new Map([[1, { two: 2 }]]),
        date: () => new Date(1e12),
      };
      for (const [key, value] of Object.entries(make)) {
        await cache.set(key, value());
        await heat(cache, key);
      }
      const plain = await cache.get<{ a: { b: number[] } }>("plain");
      plain!.a.b.push(3);
      (await cache.get<Buffer>("bytes"))!.fill(0);
      (await cache.get<Map<number, { two: number }>>("map"))!.get(1)!.two = 3;
      (await cache.get<Date>("date"))!.setTime(0);
      for (const [key, value] of Object.entries(make)) assert.deepEqual(await cache.get(key), value());
      assert.deepEqual(await cache.getMany(["plain", "bytes"]), [make.plain(), make.bytes()]);
    });
  });

  test("with freeze, plain data is one frozen object for all, and nothing else is shared", async () => {
    await withHot(
      async (cache) => {
        await cache.set("plain", { a: { b: [1] } });
        await cache.set("bytes", Buffer.from("bytes"));
        const first = await cache.get<{ a: { b: number[] } }>("plain");
        const second = await cache.get<{ a: { b: number[] } }>("plain");
        assert.equal(first, second);
        assert.throws(() => second!.a.b.push(2), TypeError);
        (await cache.get<Buffer>("bytes"))!.fill(0);
        (await cache.get<Buffer>("bytes"))!.fill(0);
        assert.deepEqual(await cache.get("bytes"), Buffer.from("bytes"));
        assert.equal((await cache.stats()).near_hits, 3);
      },
      { freeze: true },
    );
  });

  test("a codec's values are read by the codec of whoever reads", async () => {
    const codec = (offset: number) => ({
      tag: 200,
      encode: (value: unknown) => Buffer.from([value as number]),
      decode: (bytes: Buffer) => bytes[0]! + offset,
    });
    await withHot(async (cache) => {
      const [a, b] = [0, 100].map((offset) => cache.namespace("n", { codec: codec(offset) }));
      await a!.set("k", 7);
      for (let i = 0; i < 3; i++) assert.deepEqual([await a!.get("k"), await b!.get("k")], [7, 107]);
      assert.ok((await cache.stats()).near_hits >= 4, "it was not hot");
    });
  });

  test("a stale value is a miss for get, and an entry for those who take stale ones", async () => {
    for (const near of [{}, { freeze: true }]) {
      await withHot(async (cache) => {
        for (const value of ["text", { plain: [1] }, new Map([[1, 2]])]) {
          const options = { ttl: 1e6, staleWhileRevalidate: 1e6 };
          await cache.set("k", value, { ttl: 20, staleTtl: 1e6 });
          while ((await cache.get("k")) !== undefined);
          assert.equal(await cache.get("k"), undefined);
          assert.deepEqual((await cache.getEntry("k"))?.value, value);
          assert.deepEqual(await cache.getOrSet("k", () => "new" as unknown, options), value);
          while ((await cache.get("k")) !== "new");
          assert.equal(await cache.getOrSet("k", () => "newer", options), "new");
        }
      }, near);
    }
  });
});

describe("counts and limits", () => {
  test("its hits count as hits, in the cache and in the namespace", async () => {
    await withHot(async (cache) => {
      const inner = cache.namespace("n");
      await inner.set("k", "v");
      for (let i = 0; i < 10; i++) await inner.get("k");
      await inner.getMany(["k", "k", "missing"]);
      const { hits, misses, near_hits, near_misses, near_items, near_bytes } = await cache.stats();
      assert.deepEqual([hits, misses], [12, 1]);
      assert.deepEqual([near_hits, near_misses, near_items], [11, 2, 1]);
      assert.ok(near_bytes > 0, `${near_bytes} bytes`);
      assert.deepEqual([inner.counts.hits, inner.counts.misses], [12, 1]);
    });
  });

  test("what getOrSet reads counts once, as without a hot tier, be it fresh, stale, about to end or invalidated", async () => {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      await using hot = createCache({ near: {} });
      await using plain = createCache();
      const outcomes = [];
      for (const cache of [hot, plain]) {
        const outcome: unknown[] = [];
        const note = async () => {
          const { hits, misses } = cache.counts;
          const { hits: all, stale_hits } = await cache.stats();
          outcome.push([hits, misses, all, stale_hits]);
        };
        const down = () => Promise.reject(new Error("down"));
        const options = { staleWhileRevalidate: 1e6 };
        const times = { ttl: 60_000, staleTtl: 600_000 };
        await cache.set("text", "v", times);
        await cache.set("object", { n: 1 }, times);
        await cache.set("tagged", { n: 2 }, { tags: ["t"] });
        for (const key of ["text", "object", "tagged"]) {
          for (let i = 0; i < 3; i++) await cache.get(key);
          await note();
        }
        const refreshThreshold = 30_000;
        mock.timers.tick(40_000);
        for (const key of ["text", "object"]) {
          await cache.getOrSet(key, down, { ...options, refreshThreshold });
          await cache.getOrSetMany([key], down, { ...options, refreshThreshold });
          await note();
        }
        mock.timers.tick(40_000);
        for (const key of ["text", "object"]) {
          await cache.getOrSet(key, down, options);
          await cache.getOrSetMany([key], down, options);
          await note();
        }
        await cache.invalidateTag("t");
        await assert.rejects(cache.getOrSet("tagged", down, options), { message: "down" });
        await assert.rejects(cache.getOrSetMany(["tagged"], down, options), { message: "down" });
        await note();
        outcomes.push(outcome);
      }
      assert.deepEqual(outcomes[0], outcomes[1]);
      const [hits, misses, , stale] = outcomes[1]!.at(-1) as number[];
      assert.deepEqual([hits, misses, stale], [17, 2, 4]);
    } finally {
      mock.timers.reset();
    }
  });

  test("an entry is never served past its TTL, however often it is read", async () => {
    await withHot(async (cache) => {
      for (let i = 0; i < 5; i++) {
        await cache.set("k", "v", { ttl: 25 });
        // Stored before this moment, so that it has ended 25 ms after it.
        const stored = performance.now();
        for (;;) {
          const asked = performance.now();
          const value = await cache.get("k");
          if (value === undefined) break;
          assert.ok(asked < stored + 25, "it was served past its end");
        }
      }
      const { near_hits } = await cache.stats();
      assert.ok(near_hits > 0, "it was never hot");
    });
  });

  test("its limits are in the words of the others: a size as text, Infinity for no end", async () => {
    for (const [maxBytes, items] of [
      ["1kb", 1],
      ["2kib", 3],
    ] as const) {
      await withHot(
        async (cache) => {
          for (let i = 0; i < 8; i++) {
            await cache.set(`${i}`, "x".repeat(250));
            await cache.get(`${i}`);
          }
          assert.equal((await cache.stats()).near_items, items);
        },
        { maxBytes, ttl: Number.POSITIVE_INFINITY },
      );
    }
  });

  test("a call that is given up leaves nothing behind", async () => {
    await withHot(async (cache) => {
      await cache.set("k", "v");
      const controller = new AbortController();
      const given = cache.get("k", { signal: controller.signal });
      controller.abort(new Error("enough"));
      await assert.rejects(given, { message: "enough" });
      await assert.rejects(cache.get("k", { signal: controller.signal }), { message: "enough" });
      await heat(cache, "k");
      await assert.rejects(cache.get("k", { signal: controller.signal }), { message: "enough" });
    });
  });

  test("an item of a batch that is at fault is named by its place", async () => {
    await withHot(
      async (cache) => {
        await cache.set("k", "v");
        await heat(cache, "k");
        await assert.rejects(cache.getMany(["k", "j", "x".repeat(101)]), {
          code: "ERR_RUSTCACHE_KEY_TOO_LONG",
          index: 2,
          message: /^item 2/,
        });
      },
      {},
      { maxKeyBytes: 100 },
    );
  });

  test("wrong options are refused, with what they may be", () => {
    const wrong = (near: unknown, message: RegExp) =>
      assert.throws(() => createCache({ near: near as NearOptions }), {
        code: "ERR_RUSTCACHE_INVALID_ARG",
        message,
      });
    wrong(true, /near must be an object, got true/);
    wrong({ max: 5 }, /near has no option "max": did you mean "maxItems"\? It takes maxItems/);
    wrong(
      { maxBytes: "much" },
      /near.maxBytes must be a positive integer or a text such as "512mb", got "much"/,
    );
    wrong({ maxItems: 0 }, /near.maxItems must be an integer from 1 on, got 0/);
    wrong({ ttl: 0.5 }, /near.ttl must be an integer from 1 on, got 0.5/);
    wrong({ freeze: 1 }, /near.freeze must be true or false, got 1/);
  });
});
