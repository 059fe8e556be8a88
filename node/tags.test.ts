// Tags that entries are invalidated by, and staleness, against the real daemon.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, mock, test } from "node:test";
import { type Cache, type CacheOptions, createCache } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

requireDaemon();

const scratch = mkdtempSync(join(tmpdir(), "rustcache-tags-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;
const fresh = () => join(scratch, `dir-${made++}`);

/** Runs `body` with a cache in memory, and with one in a directory. */
function withCache(name: string, body: (cache: Cache) => Promise<void>): void {
  for (const isKept of [false, true]) {
    test(`${name} (${isKept ? "in a directory" : "in memory"})`, async () => {
      await using cache = createCache(isKept ? { dir: fresh() } : {});
      await body(cache);
    });
  }
}

describe("invalidateTag", () => {
  withCache("makes all values with the tag misses, and no others", async (cache) => {
    await cache.set("a", 1, { tags: ["x"] });
    await cache.set("b", { n: 2 }, { tags: ["y", "x", "y"] });
    await cache.set("c", [3], { tags: ["y"] });
    await cache.set("d", 4);
    assert.deepEqual(await cache.getMany(["a", "b", "c", "d"]), [1, { n: 2 }, [3], 4]);
    assert.deepEqual((await cache.getEntry("b"))?.tags, ["y", "x"]);
    await cache.invalidateTag("x");
    assert.deepEqual(await cache.getMany(["a", "b", "c", "d"]), [undefined, undefined, [3], 4]);
    assert.equal(await cache.get("a"), undefined);
    assert.equal(await cache.getEntry("b"), undefined);
    assert.equal(await cache.take("a"), undefined);
    const seen = [];
    for await (const [key, value] of cache) seen.push([key, value]);
    assert.deepEqual(seen.sort(), [
      ["c", [3]],
      ["d", 4],
    ]);
    await cache.set("a", "new", { tags: ["x"] });
    assert.equal(await cache.get("a"), "new");
    await cache.invalidateTag("never used");
    assert.equal(await cache.get("a"), "new");
  });

  withCache("a set that has begun before does not survive it, one that begins after does", async (cache) => {
    for (const round of ["the tag is unknown", "the tag is known"]) {
      const before = cache.set("before", 1, { tags: ["t"] });
      const many = cache.setMany([{ key: "many", value: 1, tags: ["t"] }]);
      const invalidated = cache.invalidateTag("t");
      const after = cache.set("after", 2, { tags: ["t"] });
      const read = cache.getMany(["before", "many", "after"]);
      assert.deepEqual(await Promise.all([before, many, after]), [true, [true], true], round);
      await invalidated;
      assert.deepEqual(await read, [undefined, undefined, 2], round);
      assert.deepEqual(await cache.getMany(["before", "many", "after"]), [undefined, undefined, 2], round);
    }
  });

  withCache("calls for a key keep their order while a set asks for its tag", async (cache) => {
    const calls = [
      cache.set("k", 1, { tags: ["t"] }),
      cache.get("k"),
      cache.set("k", 2),
      cache.get("k"),
      cache.remove("k"),
      cache.get("k"),
      cache.set("k", 3, { tags: ["other"] }),
      cache.clear(),
      cache.set("k", 4),
      cache.getMany(["k"]),
    ];
    const results: unknown[] = await Promise.all(calls);
    // How many records of tags clear() removed besides is nobody's business.
    results[7] = "cleared";
    assert.deepEqual(results, [true, 1, true, 2, true, undefined, true, "cleared", true, [4]]);
  });

  test("costs one small write, however many values have the tag", async () => {
    await using cache = createCache({ dir: fresh() });
    await cache.setMany(Array.from({ length: 2000 }, (_, i) => ({ key: `${i}`, value: i, tags: ["all"] })));
    const { journal_records: before } = await cache.stats();
    await cache.invalidateTag("all");
    const { journal_records: after } = await cache.stats();
    assert.equal(after - before, 1);
    assert.deepEqual(new Set(await cache.getMany(["0", "1", "1999"])), new Set([undefined]));
  });

  test("holds after a restart, and so does what was not invalidated", async () => {
    const dir = fresh();
    for (const end of ["close", "kill"] as const) {
      await using cache = createCache({ dir });
      await cache.set("old", 1, { tags: ["x"] });
      await cache.set("kept", 2, { tags: ["y"] });
      await cache.invalidateTag("x");
      await cache.set("new", 3, { tags: ["x", "y"] });
      const { pid } = cache;
      if (end === "close") {
        await cache.close();
        await cache.start();
      } else {
        process.kill(pid!, "SIGKILL");
      }
      assert.deepEqual(await cache.getMany(["old", "kept", "new"]), [undefined, 2, 3], end);
      assert.notEqual(cache.pid, pid);
      await using other = end === "close" ? await reopened(cache, dir) : cache;
      assert.deepEqual(await other.getMany(["old", "kept", "new"]), [undefined, 2, 3], end);
      await other.clear();
    }
  });

  test("a set that has begun before does not come back with the next start either", async () => {
    const dir = fresh();
    {
      await using cache = createCache({ dir });
      const calls = [
        cache.set("before", 1, { tags: ["t"] }),
        cache.invalidateTag("t"),
        cache.set("after", 2, { tags: ["t"] }),
      ];
      await Promise.all(calls);
    }
    await using cache = createCache({ dir });
    assert.deepEqual(await cache.getMany(["before", "after"]), [undefined, 2]);
  });

  test("what was stored after clear() is there after the next start", async () => {
    const dir = fresh();
    {
      await using cache = createCache({ dir });
      await cache.set("k", 1, { tags: ["t"] });
      await cache.clear();
      await cache.set("k", 2, { tags: ["t"] });
    }
    await using cache = createCache({ dir });
    assert.equal(await cache.get("k"), 2);
  });

  test("what another process has invalidated meanwhile is a miss", async () => {
    const dir = fresh();
    await using first = createCache({ dir });
    await first.setMany(["a", "b"].map((key) => ({ key, value: "first", tags: ["t"] })));
    await first.close();
    {
      await using second = createCache({ dir });
      await second.invalidateTag("t");
      await second.set("b", "second", { tags: ["t"] });
    }
    await first.start();
    assert.deepEqual(await first.getMany(["a", "b"]), [undefined, "second"]);
  });

  /** Reads an entry with a tag while others push out all that is not read; then starts anew. `ms`: between two reads. */
  async function readAndRestart(
    dir: string,
    ms: number,
    read: (cache: Cache) => Promise<unknown>,
  ): Promise<void> {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      await using cache = createCache({ dir, maxItems: 6 });
      await cache.set("tagged", 1, { tags: ["t", "u"] });
      for (let i = 0; i < 30; i++) {
        await cache.set(`filler ${i}`, i);
        mock.timers.tick(ms);
        assert.equal(await read(cache), 1);
        // What was asked for besides has been answered.
        for (let round = 0; round < 2; round++) await cache.ping();
      }
      await cache.snapshot();
    } finally {
      mock.timers.reset();
    }
  }

  test("an entry that is read keeps its tags' records, and is there after a restart", async () => {
    const reads: ((cache: Cache) => Promise<unknown>)[] = [
      (cache) => cache.get("tagged"),
      async (cache) => (await cache.getMany(["tagged"]))[0],
      (cache) => cache.getOrSet("tagged", () => 2, { refreshThreshold: 1 }),
    ];
    for (const read of reads) {
      const dir = fresh();
      await readAndRestart(dir, 1000, read);
      await using cache = createCache({ dir, maxItems: 6 });
      assert.equal(await cache.get("tagged"), 1);
      await cache.invalidateTag("u");
      assert.equal(await cache.get("tagged"), undefined);
    }
  });

  test("a record that was evicted meanwhile is stored again with the next read", async () => {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    const dir = fresh();
    try {
      await using cache = createCache({ dir, maxItems: 6 });
      await cache.set("tagged", 1, { tags: ["t"] });
      for (let i = 0; i < 20; i++) {
        await cache.set(`filler ${i}`, i);
        assert.equal(await cache.get("tagged"), 1);
      }
      mock.timers.tick(1000);
      assert.equal(await cache.get("tagged"), 1);
      for (let round = 0; round < 2; round++) await cache.ping();
      await cache.snapshot();
    } finally {
      mock.timers.reset();
    }
    await using cache = createCache({ dir, maxItems: 6 });
    assert.equal(await cache.get("tagged"), 1);
  });

  test("the daemon is asked for a tag's record once in a second, however often entries with it are read", async () => {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      await using cache = createCache();
      await cache.set("k", 1, { tags: ["t"] });
      const asked = async () => {
        await cache.ping();
        return (await cache.stats()).hits;
      };
      const before = await asked();
      for (let i = 0; i < 100; i++) await cache.get("k");
      assert.equal((await asked()) - before, 100);
      for (const ms of [1000, 0, 999, 1, -5000, 0]) {
        if (ms < 0) mock.timers.setTime(Date.now() + ms);
        else mock.timers.tick(ms);
        await cache.getMany(["k", "k"]);
      }
      assert.equal((await asked()) - before, 100 + 6 * 2 + 3);
      await cache.clear();
      mock.timers.tick(1000);
      assert.equal(await cache.get("k"), undefined);
      await cache.ping();
      assert.equal((await cache.stats()).items, 0);
    } finally {
      mock.timers.reset();
    }
  });

  test("a value whose tag's record is gone is a miss after a restart, and can be stored again", async (t) => {
    const dir = fresh();
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
    {
      await using cache = createCache({ dir, maxItems: 4 });
      await cache.set("tagged", 1, { tags: ["t"] });
      for (let i = 0; i < 20; i++) {
        await cache.set(`filler ${i}`, i);
        assert.equal(await cache.get("tagged"), 1);
      }
      await cache.snapshot();
    }
    await using cache = createCache({ dir, maxItems: 4 });
    assert.equal(await cache.has("tagged"), true);
    assert.equal(await cache.get("tagged"), undefined);
    await cache.set("tagged", 2, { tags: ["t"] });
    assert.equal(await cache.get("tagged"), 2);
  });

  withCache("clear removes the generations with everything else, and tags work on", async (cache) => {
    await cache.set("a", 1, { tags: ["t"] });
    await cache.clear();
    assert.equal((await cache.stats()).items, 0);
    await cache.set("a", 2, { tags: ["t"] });
    assert.equal(await cache.get("a"), 2);
    await cache.invalidateTag("t");
    assert.equal(await cache.get("a"), undefined);
  });

  withCache("more tags than are remembered", async (cache) => {
    const names = Array.from({ length: 12_000 }, (_, i) => `tag ${i}`);
    await cache.setMany(names.map((name) => ({ key: name, value: name, tags: [name, "all"] })));
    assert.deepEqual(await cache.getMany(names), names);
    await cache.invalidateTag("tag 0");
    await cache.invalidateTag("tag 11999");
    const values = await cache.getMany(names);
    assert.deepEqual(
      [values[0], values[1], values[11_998], values[11_999]],
      [undefined, "tag 1", "tag 11998", undefined],
    );
  });

  withCache("a read before close() is answered", async (cache) => {
    await cache.set("k", "v", { tags: ["t"] });
    const read = cache.get("k");
    const set = cache.set("l", "w", { tags: ["unknown"] });
    await cache.close();
    assert.deepEqual(await Promise.all([read, set]), ["v", true]);
  });
});

async function reopened(cache: Cache, dir: string, options: CacheOptions = {}): Promise<Cache> {
  await cache.close();
  return createCache({ dir, ...options });
}

describe("staleTtl", () => {
  withCache("keeps an entry beyond its TTL: a miss for get, stale for getEntry", async (cache) => {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      const now = Date.now();
      await cache.set("k", { n: 1 }, { ttl: 60_000, staleTtl: 600_000 });
      await cache.set("at", 2, { expiresAt: now + 60_000, staleTtl: 600_000 });
      await cache.set("never", 3, { staleTtl: 600_000 });
      const { value, stale, freshUntil, age, ttl } = (await cache.getEntry("k"))!;
      assert.deepEqual([value, stale, freshUntil, age], [{ n: 1 }, false, now + 60_000, 0]);
      assert.ok(ttl > 600_000 && ttl <= 660_000, `${ttl} ms left`);
      mock.timers.tick(59_999);
      assert.deepEqual(await cache.getMany(["k", "at", "never"]), [{ n: 1 }, 2, 3]);
      mock.timers.tick(1);
      assert.deepEqual(await cache.getMany(["k", "at", "never"]), [undefined, undefined, 3]);
      assert.equal(await cache.get("k"), undefined);
      const entry = (await cache.getEntry("k"))!;
      assert.deepEqual([entry.value, entry.stale, entry.age], [{ n: 1 }, true, 60_000]);
      assert.equal((await cache.getEntry("at"))?.stale, true);
      const never = (await cache.getEntry("never"))!;
      assert.deepEqual(
        [never.stale, never.freshUntil, never.ttl],
        [false, undefined, Number.POSITIVE_INFINITY],
      );
    } finally {
      mock.timers.reset();
    }
  });

  withCache(
    "touch and persist move the end of an entry, and not the moment when it becomes stale",
    async (cache) => {
      mock.timers.enable({ apis: ["Date"], now: Date.now() });
      try {
        const times = { ttl: 60_000, staleTtl: 600_000 };
        await cache.setMany(["touched", "persisted", "late"].map((key) => ({ key, value: key, ...times })));
        const freshUntil = Date.now() + 60_000;
        assert.equal(await cache.touch("touched", 3_600_000), true);
        assert.equal(await cache.persist("persisted"), true);
        mock.timers.tick(59_999);
        assert.deepEqual(await cache.getMany(["touched", "persisted"]), ["touched", "persisted"]);
        mock.timers.tick(1);
        assert.equal(await cache.touch("late", 7_200_000), true);
        assert.deepEqual(await cache.getMany(["touched", "persisted", "late"]), new Array(3).fill(undefined));
        for (const [key, most] of [
          ["touched", 3_600_000],
          ["persisted", Number.POSITIVE_INFINITY],
          ["late", 7_200_000],
        ] as const) {
          const entry = (await cache.getEntry(key))!;
          assert.deepEqual([entry.stale, entry.freshUntil], [true, freshUntil], key);
          assert.ok(entry.ttl <= most && entry.ttl >= most - 60_000, `${key}: ${entry.ttl} ms left`);
        }
      } finally {
        mock.timers.reset();
      }
    },
  );

  withCache("may be for ever", async (cache) => {
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      const staleTtl = Number.POSITIVE_INFINITY;
      await cache.set("ttl", 1, { ttl: 60_000, staleTtl });
      await cache.set("at", 2, { expiresAt: Date.now() + 60_000, staleTtl });
      const options = { ttl: 60_000, staleWhileRevalidate: staleTtl, staleIfError: staleTtl };
      await cache.getOrSet("loaded", () => 3, options);
      await cache.getOrSet("none", () => undefined, { negativeTtl: staleTtl });
      assert.deepEqual(await cache.getMany(["ttl", "at", "loaded"]), [1, 2, 3]);
      mock.timers.tick(365 * 86_400_000);
      assert.deepEqual(await cache.getMany(["ttl", "at", "loaded"]), [undefined, undefined, undefined]);
      for (const key of ["ttl", "at", "loaded"]) {
        const { stale, ttl } = (await cache.getEntry(key))!;
        assert.deepEqual([stale, ttl], [true, Number.POSITIVE_INFINITY], key);
      }
      assert.equal(await cache.ttl("none"), Number.POSITIVE_INFINITY);
      const down = () => Promise.reject(new Error("down"));
      assert.equal(await cache.getOrSet<unknown>("ttl", down, { staleIfError: staleTtl }), 1);
      assert.equal(await cache.getOrSet<unknown>("at", down, { staleWhileRevalidate: staleTtl }), 2);
    } finally {
      mock.timers.reset();
    }
  });

  test("goes with defaultTtl", async () => {
    await using cache = createCache({ defaultTtl: 60_000 });
    const users = cache.namespace("users", { defaultTtl: 1000 });
    for (const [view, ttl] of [
      [cache, 60_000],
      [users, 1000],
    ] as const) {
      const before = Date.now();
      await view.set("k", 1, { staleTtl: 5000 });
      const entry = (await view.getEntry("k"))!;
      assert.ok(
        entry.freshUntil! >= before + ttl && entry.freshUntil! <= Date.now() + ttl,
        "fresh for its TTL",
      );
      assert.ok(entry.ttl > ttl && entry.ttl <= ttl + 5000, `${entry.ttl} ms left`);
    }
  });
});

test("what is stored with tags after a clear that has to wait is there after the next start", async () => {
  const tags = ["t"];
  const stores: ((cache: Cache) => Promise<unknown>)[] = [
    (cache) => cache.set("b", 2, { tags }),
    (cache) => cache.setMany([{ key: "b", value: 2, tags }]),
  ];
  for (const store of stores) {
    const dir = fresh();
    {
      await using cache = createCache({ dir });
      await Promise.all([cache.set("a", 1, { tags }), cache.clear(), store(cache)]);
      assert.deepEqual(await cache.getMany(["a", "b"]), [undefined, 2]);
    }
    await using cache = createCache({ dir });
    assert.deepEqual(await cache.getMany(["a", "b"]), [undefined, 2]);
  }
});
