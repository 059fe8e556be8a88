// Reading through, over a source in memory whose clock is the test's: who loads, what is stored, what is served stale, and what writes do to it.

import { strict as assert } from "node:assert";
import { describe, mock, test } from "node:test";
import { deferred, FakeSource, make, turn } from "../tests/support/fake-source.js";
import type { LoadContext, LoadOptions } from "./load-options.js";

describe("getOrSet", () => {
  test("a miss is loaded and stored, and then it is a hit", async () => {
    const { source, cache, counted } = make();
    const loader = counted("a", "b");
    assert.equal(await cache.getOrSet("k", loader, { ttl: 500 }), "a");
    assert.deepEqual(source.stored, [{ key: "k", value: "a", tags: undefined, ttl: 500, staleTtl: 0 }]);
    assert.equal(await cache.getOrSet("k", loader, { ttl: 500 }), "a");
    source.now += 500;
    assert.equal(await cache.getOrSet(Buffer.from("k"), loader, { ttl: 500 }), "b");
    assert.equal(loader.mock.callCount(), 2);
  });

  test("one loader at a time for each key, whoever asks, and whenever", async () => {
    const { source, cache, loads } = make();
    const gate = deferred<string>();
    const loader = mock.fn(() => gate.promise);
    const early = Array.from({ length: 50 }, () => cache.getOrSet("k", loader));
    await turn();
    const late = Array.from({ length: 50 }, (_, i) => cache.getOrSet(i % 2 ? "k" : Buffer.from("k"), loader));
    await turn();
    gate.resolve("v");
    const all = await Promise.all([...early, ...late]);
    assert.ok(
      all.every((value) => value === "v"),
      "not everyone got the value",
    );
    assert.equal(loader.mock.callCount(), 1);
    assert.equal(source.stored.length, 1);
    assert.deepEqual(loads.counts, { loads: 1, load_errors: 0, load_joins: 99, refreshes: 0, stale_hits: 0 });
  });

  test("a read that was answered while the value was being stored does not load once more", async () => {
    const { source, cache, counted } = make();
    const [read, store] = [deferred(), deferred()];
    const loader = counted("v");
    source.gates = { read: read.promise, store: store.promise };
    const late = cache.getOrSet("k", loader);
    source.gates = { store: store.promise };
    const first = cache.getOrSet("k", loader);
    await turn();
    assert.equal(loader.mock.callCount(), 1);
    read.resolve();
    await turn();
    store.resolve();
    assert.deepEqual(await Promise.all([late, first]), ["v", "v"]);
    assert.equal(loader.mock.callCount(), 1);
  });

  test("an error reaches every caller, is not kept, and the next call loads again", async () => {
    const { source, cache, loads } = make();
    const error = new Error("no such user");
    const loader = mock.fn(async () => {
      await turn();
      throw error;
    });
    const calls = Array.from({ length: 10 }, () => cache.getOrSet("k", loader));
    const settled = await Promise.allSettled(calls);
    assert.ok(
      settled.every((each) => each.status === "rejected" && each.reason === error),
      "not everyone got the error",
    );
    assert.equal(loader.mock.callCount(), 1);
    assert.equal(source.stored.length, 0);
    assert.equal(await cache.getOrSet("k", () => "v"), "v");
    const thrown = cache.getOrSet("j", () => {
      throw error;
    });
    await assert.rejects(thrown, error);
    assert.equal(loads.counts.load_errors, 2);
  });

  test("a failed read or a failed store rejects, and the loader's value is not lost in silence", async () => {
    const { source, cache, counted } = make();
    source.readError = new Error("unreachable");
    const loader = counted("v");
    await assert.rejects(cache.getOrSet("k", loader), source.readError);
    assert.equal(loader.mock.callCount(), 0);
    source.readError = undefined;
    source.storeError = new Error("too large");
    await assert.rejects(cache.getOrSet("k", loader), source.storeError);
  });

  test("a function may say how long each value lives; 0 keeps it out, undefined is the default", async () => {
    const { source, cache } = make(9000);
    const ttl = mock.fn((value: number) => [0, undefined, 700, Number.POSITIVE_INFINITY][value]);
    for (const value of [0, 1, 2, 3]) await cache.getOrSet(`k${value}`, () => value, { ttl });
    assert.deepEqual(
      source.stored.map((item) => item.ttl),
      [9000, 700, Number.POSITIVE_INFINITY],
    );
    assert.deepEqual(
      ttl.mock.calls.map((call) => call.arguments),
      [
        [0, "k0"],
        [1, "k1"],
        [2, "k2"],
        [3, "k3"],
      ] as unknown,
    );
    await assert.rejects(
      cache.getOrSet("k", () => 1, { ttl: () => Number.NaN }),
      { code: "ERR_RUSTCACHE_INVALID_TTL", message: /ttl function returns.*NaN/ },
    );
  });

  test("jitter takes a random part off a TTL, never adds one", async () => {
    const randoms = [0, 0.5, 0.999_999];
    const { source, cache } = make(undefined, () => randoms.shift()!);
    for (const key of ["a", "b", "c"]) await cache.getOrSet(key, () => 1, { ttl: 1000, ttlJitter: 0.2 });
    assert.deepEqual(
      source.stored.map((item) => Math.round(item.ttl!)),
      [1000, 900, 800],
    );
    await cache.getOrSet("d", () => 1, { ttlJitter: 0.2 });
    assert.equal(source.stored[3]!.ttl, undefined);
  });

  test("undefined is loaded each time, unless negativeTtl keeps it", async () => {
    const { source, cache, counted } = make();
    const loader = counted<string | undefined>(undefined);
    assert.equal(await cache.getOrSet("k", loader, { ttl: 1e6 }), undefined);
    assert.equal(await cache.getOrSet("k", loader, { ttl: 1e6 }), undefined);
    assert.equal(loader.mock.callCount(), 2);
    assert.equal(source.stored.length, 0);
    for (let i = 0; i < 3; i++) await cache.getOrSet("k", loader, { ttl: 1e6, negativeTtl: 50 });
    assert.equal(loader.mock.callCount(), 3);
    source.now += 50;
    await cache.getOrSet("k", loader, { negativeTtl: 50 });
    assert.equal(loader.mock.callCount(), 4);
    // null is a value.
    const none = counted<string | null>(null);
    for (let i = 0; i < 3; i++) assert.equal(await cache.getOrSet("null", none), null);
    assert.equal(none.mock.callCount(), 1);
  });

  test("what is near is given out without a read", async () => {
    const { source, cache, counted } = make();
    await cache.getOrSet("k", counted("v"), { ttl: 100 });
    source.near = true;
    source.reads = 0;
    assert.equal(await cache.getOrSet("k", counted("w")), "v");
    assert.equal(source.reads, 0);
    assert.equal(await cache.getOrSet("k", counted("w"), { refreshThreshold: 200 }), "v");
    assert.equal(source.reads, 1, "one that is about to end is looked at");
  });

  test("wrong arguments reject at once, and name what is wrong", async () => {
    const { cache } = make();
    const rejects = (options: unknown, message: RegExp) =>
      assert.rejects(
        cache.getOrSet("k", () => 1, options as LoadOptions<number>),
        { message },
      );
    await assert.rejects(
      cache.getOrSet(7 as never, () => 1),
      { message: /the key must be .* got 7/ },
    );
    await assert.rejects(cache.getOrSet("k", 7 as never), { message: /loader must be a function, got 7/ });
    await rejects(7, /options must be an object, got 7/);
    await rejects({ ttl: -1 }, /ttl must be milliseconds .* got -1/);
    await rejects({ ttlJitter: 10 }, /ttlJitter must be a part .* got 10/);
    await rejects({ loaderTimeout: 0.5 }, /loaderTimeout must be an integer .* got 0.5/);
    for (const name of ["staleWhileRevalidate", "staleIfError", "refreshThreshold", "negativeTtl"]) {
      await rejects({ [name]: "1s" }, new RegExp(`${name} must be milliseconds .* got "1s"`));
    }
    await rejects({ signal: {} }, /signal must be an AbortSignal/);
  });
});

describe("stale values", () => {
  test("staleWhileRevalidate serves the old value while one loader refreshes it in the background", async () => {
    const { source, cache, loads } = make();
    const options = { ttl: 100, staleWhileRevalidate: 50 };
    await cache.getOrSet("k", () => "old", options);
    assert.equal(source.stored[0]!.staleTtl, 50);
    source.now += 149;
    const gate = deferred<string>();
    const contexts: LoadContext<string>[] = [];
    const loader = mock.fn((context: LoadContext<string>) => {
      contexts.push(context);
      return gate.promise;
    });
    for (let i = 0; i < 5; i++) assert.equal(await cache.getOrSet("k", loader, options), "old");
    assert.equal(loader.mock.callCount(), 1);
    assert.equal(contexts[0]!.stale, "old");
    assert.equal(contexts[0]!.key, "k");
    gate.resolve("new");
    await turn();
    assert.equal(await cache.getOrSet("k", loader, options), "new");
    assert.deepEqual(loads.counts, { loads: 2, load_errors: 0, load_joins: 0, refreshes: 1, stale_hits: 5 });
  });

  test("past that, callers wait for the loader: for that of the background, if it runs", async () => {
    const { source, cache, counted } = make();
    const options = { ttl: 100, staleWhileRevalidate: 50, staleIfError: 1000 };
    await cache.getOrSet("k", () => "old", options);
    source.now += 120;
    const gate = deferred<string>();
    const loader = mock.fn(() => gate.promise);
    assert.equal(await cache.getOrSet("k", loader, options), "old");
    source.now += 30;
    const waiting = cache.getOrSet("k", loader, options);
    await turn();
    gate.resolve("new");
    assert.equal(await waiting, "new");
    assert.equal(loader.mock.callCount(), 1);
    source.now += 150;
    assert.equal(await cache.getOrSet("k", counted("newer"), options), "newer");
  });

  test("a background loader that fails harms nobody, and is tried again a second later, not for every hit", async () => {
    const { source, cache, loads } = make();
    const options = { ttl: 100, staleWhileRevalidate: 1e6 };
    await cache.getOrSetMany(["k", "j"], () => ["old", "old"], options);
    source.now += 100;
    const loader = mock.fn(async () => {
      throw new Error("down");
    });
    for (const [ms, calls] of [
      [0, 1],
      [0, 1],
      [999, 1],
      [1, 2],
      [10, 2],
    ] as const) {
      source.now += ms;
      assert.equal(await cache.getOrSet("k", loader, options), "old");
      assert.deepEqual(await cache.getOrSetMany(["k"], loader, options), ["old"]);
      await turn();
      assert.equal(loader.mock.callCount(), calls);
    }
    assert.equal(loads.counts.load_errors, 2);
    // Others are refreshed as ever, and who has no value that is good enough waits for a loader at once.
    assert.equal(await cache.getOrSet("j", () => "new", options), "old");
    assert.equal(await cache.getOrSet("k", () => "new", { ttl: 100 }), "new");
  });

  test("staleIfError serves the old value when the loader fails, as long as it says, and to each by his own options", async () => {
    const { source, cache, loads } = make();
    const options = { ttl: 100, staleIfError: 1000 };
    await cache.getOrSet("k", () => "old", options);
    source.now += 100;
    const gate = deferred<string>();
    const down = new Error("down");
    const lenient = cache.getOrSet("k", () => gate.promise, options);
    const strict = cache.getOrSet("k", () => gate.promise, { ttl: 100 });
    await turn();
    // The time that the loader takes counts.
    source.now += 999;
    gate.reject(down);
    assert.equal(await lenient, "old");
    await assert.rejects(strict, down);
    const fail = () => Promise.reject(down);
    source.now += 0.5;
    assert.equal(await cache.getOrSet("k", fail, options), "old");
    source.now += 1;
    await assert.rejects(cache.getOrSet("k", fail, options), down);
    assert.equal(loads.counts.stale_hits, 2);
  });

  test("refreshThreshold refreshes a hit that is about to end, in the background", async () => {
    const { source, cache, counted, loads } = make();
    const options = { ttl: 100, refreshThreshold: 20 };
    const loader = counted("a", "b");
    await cache.getOrSet("k", loader, options);
    source.now += 79;
    assert.equal(await cache.getOrSet("k", loader, options), "a");
    await turn();
    assert.equal(loader.mock.callCount(), 1);
    source.now += 1;
    assert.equal(await cache.getOrSet("k", loader, options), "a");
    await turn();
    source.now += 70;
    assert.equal(await cache.getOrSet("k", loader, options), "b");
    assert.deepEqual(loads.counts, { loads: 2, load_errors: 0, load_joins: 0, refreshes: 1, stale_hits: 0 });
  });
});

describe("writes that pass a loader", () => {
  test("what it brings goes to those who waited, and not over the newer state", async () => {
    const { source, cache, counted, loads } = make();
    for (const write of [() => loads.written("k"), () => loads.writtenWhere((name) => name === "k")]) {
      source.stored.length = 0;
      const gate = deferred<string>();
      const before = cache.getOrSet("k", () => gate.promise);
      const other = cache.getOrSet("other", () => gate.promise);
      await turn();
      write();
      const after = cache.getOrSet("k", counted("new"));
      await turn();
      assert.equal(await after, "new");
      gate.resolve("old");
      assert.equal(await before, "old");
      assert.equal(await other, "old");
      assert.deepEqual(
        source.stored.map((item) => [item.key, item.value]),
        [
          ["k", "new"],
          ["other", "old"],
        ],
      );
      assert.equal(await cache.getOrSet("k", counted("newer")), "new");
      source.entries.clear();
    }
  });

  test("nor does it come over what was written while its caller was still reading: that is read instead", async () => {
    const { source, cache, loads, counted } = make();
    const loader = counted("loaded");
    const write = (key: string, value: string) => {
      loads.written(key);
      source.entries.set(key, { value, freshUntil: source.now + 1e6, deadline: source.now + 2e6 });
    };
    const read = deferred();
    source.gates = { read: read.promise };
    const calls = [cache.getOrSet("a", loader), cache.getOrSet("a", loader, { refreshThreshold: 10 })];
    const many = cache.getOrSetMany(["a", "b"], (keys) => keys.map(() => "loaded"));
    await turn();
    write("a", "written");
    source.gates = {};
    read.resolve();
    assert.deepEqual(await Promise.all(calls), ["written", "written"]);
    assert.equal(loader.mock.callCount(), 0);
    assert.deepEqual(await many, ["written", "loaded"]);
    assert.equal(source.entries.get("a")!.value, "written");
  });

  test("a storm of writes puts a load off for three reads, and no longer", async () => {
    const { source, cache, loads, counted } = make();
    const loader = counted("loaded");
    const { getFresh } = FakeSource.prototype;
    source.getFresh = function (key) {
      const found = getFresh.call(this, key);
      for (let i = 0; i < 2000; i++) loads.written(`another ${i}`);
      return found;
    };
    assert.equal(await cache.getOrSet("k", loader), "loaded");
    assert.equal(source.reads, 3);
    source.getFresh = getFresh;
    loads.writtenWhere(() => false);
    assert.equal(await cache.getOrSet("j", loader), "loaded");
    assert.equal(source.reads, 4, "what was written before does not count");
  });

  test("a loader that writes to its own key at once is overtaken by itself", async () => {
    const { source, cache, loads } = make();
    const value = await cache.getOrSet("k", () => {
      loads.written("k");
      return "v";
    });
    assert.equal(value, "v");
    assert.equal(source.stored.length, 0);
  });
});
