// Reading many keys through at once, and functions that are wrapped.

import { strict as assert } from "node:assert";
import { describe, mock, test } from "node:test";
import { deferred, make, turn } from "../tests/support/fake-source.js";
import type { NotStoredError, RustCacheError } from "./errors.js";

describe("getOrSetMany", () => {
  test("loads what is missing, in one call, and gives all in the order of the keys", async () => {
    const { source, cache } = make();
    await cache.getOrSet("b", () => "B");
    const loader = mock.fn((keys: readonly string[]) => keys.map((key) => key.toUpperCase()));
    const keys = ["a", "b", "c", "a"];
    assert.deepEqual(await cache.getOrSetMany(keys, loader, { ttl: 100 }), ["A", "B", "C", "A"]);
    assert.deepEqual(loader.mock.calls[0]!.arguments[0], ["a", "c"]);
    assert.deepEqual(await cache.getOrSetMany(keys, loader), ["A", "B", "C", "A"]);
    assert.deepEqual(await cache.getOrSetMany([], loader), []);
    assert.equal(loader.mock.callCount(), 1);
    assert.deepEqual(
      source.stored.map(({ key, ttl }) => [key, ttl]),
      [
        ["b", undefined],
        ["a", 100],
        ["c", 100],
      ],
    );
  });

  test("a Map may leave keys out; those are undefined, and kept as negativeTtl says", async () => {
    const { cache } = make();
    const loader = mock.fn((_: readonly string[]) => new Map([["a", 1]]));
    assert.deepEqual(await cache.getOrSetMany(["a", "b"], loader, { negativeTtl: 50 }), [1, undefined]);
    assert.deepEqual(await cache.getOrSetMany(["a", "b"], loader), [1, undefined]);
    assert.equal(loader.mock.callCount(), 1);
    assert.deepEqual(await cache.getOrSetMany(["c"], loader), [undefined]);
    assert.deepEqual(await cache.getOrSetMany(["c"], loader), [undefined]);
    assert.equal(loader.mock.callCount(), 3);
    for (const [wrong, got] of [
      [["x", "y"], "an array of 2"],
      [{}, "an object"],
    ] as const) {
      const call = cache.getOrSetMany(["d"], () => wrong as never);
      await assert.rejects(call, { code: "ERR_RUSTCACHE_INVALID_ARG", message: new RegExp(`got ${got}$`) });
    }
  });

  test("keys that are being loaded are joined, not loaded twice, in both directions", async () => {
    const { cache } = make();
    const gate = deferred<string>();
    const single = cache.getOrSet("a", () => gate.promise);
    await turn();
    const many = deferred<string[]>();
    const loader = mock.fn((_: readonly string[]) => many.promise);
    const batch = cache.getOrSetMany(["a", "b", "c"], loader);
    await turn();
    assert.deepEqual(loader.mock.calls[0]!.arguments[0], ["b", "c"]);
    const joins = cache.getOrSet("c", () => "never");
    many.resolve(["B", "C"]);
    gate.resolve("A");
    assert.deepEqual(await batch, ["A", "B", "C"]);
    assert.deepEqual([await single, await joins], ["A", "C"]);
  });

  test("a write to one key keeps that one from being stored, and no other", async () => {
    const { source, cache, loads } = make();
    const gate = deferred<number[]>();
    const batch = cache.getOrSetMany(["a", "b"], () => gate.promise);
    await turn();
    loads.written("a");
    gate.resolve([1, 2]);
    assert.deepEqual(await batch, [1, 2]);
    assert.deepEqual(
      source.stored.map(({ key }) => key),
      ["b"],
    );
  });

  test("stale values are served as options say: at once, or when the loader fails", async () => {
    const { source, cache } = make();
    const options = { ttl: 100, staleWhileRevalidate: 50, staleIfError: 1000 };
    await cache.getOrSetMany(["a", "b"], () => [1, 2], options);
    source.now += 120;
    const refresh = mock.fn((_: readonly string[]) => [10, 20]);
    assert.deepEqual(await cache.getOrSetMany(["a", "b"], refresh, options), [1, 2]);
    await turn();
    assert.deepEqual(await cache.getOrSetMany(["a", "b"], refresh, options), [10, 20]);
    assert.equal(refresh.mock.callCount(), 1);
    source.now += 200;
    const down = new Error("down");
    const fail = () => Promise.reject(down);
    assert.deepEqual(await cache.getOrSetMany(["a", "b"], fail, options), [10, 20]);
    await assert.rejects(cache.getOrSetMany(["a", "c"], fail, options), down);
  });

  test("what cannot be stored rejects, with all that was loaded; the rest is stored, and its other callers get it", async () => {
    const { source, cache, loads } = make();
    const error = new Error("too large");
    source.refused.set("b", error);
    const gate = deferred<number[]>();
    const batch = cache.getOrSetMany(["a", "b", "c", "d"], () => gate.promise, {
      ttl: (value) => (value === 4 ? Number.NaN : 100),
    });
    const rejected = assert.rejects(batch, (thrown: NotStoredError) => {
      assert.deepEqual(
        [thrown.code, thrown.index, thrown.cause, thrown.values],
        ["ERR_RUSTCACHE_NOT_STORED", 1, error, [1, 2, 3, 4]],
      );
      assert.match(thrown.message, /item 1 \(key "b"\).*too large.*1 more/);
      assert.deepEqual([...thrown.errors.keys()].sort(), [1, 3]);
      assert.equal((thrown.errors.get(3) as RustCacheError).code, "ERR_RUSTCACHE_INVALID_TTL");
      return true;
    });
    await turn();
    const [a, b] = ["a", "b"].map((key) => cache.getOrSet(key, () => 0));
    const refused = assert.rejects(b!, error);
    gate.resolve([1, 2, 3, 4]);
    await Promise.all([rejected, refused]);
    assert.equal(await a, 1);
    assert.deepEqual(
      source.stored.map(({ key }) => key),
      ["a", "c"],
    );
    assert.deepEqual([loads.counts.loads, loads.counts.load_errors], [1, 1]);
  });

  test("its loader's signal aborts when nobody waits for any of the keys", async () => {
    const { cache } = make();
    let signal: AbortSignal | undefined;
    const controllers = [new AbortController(), new AbortController()];
    const batch = cache.getOrSetMany(
      ["a", "b"],
      (_, context) => {
        signal = context.signal;
        return new Promise<never>(() => {});
      },
      { signal: controllers[0]!.signal },
    );
    await turn();
    const joins = cache.getOrSet("b", () => 1, { signal: controllers[1]!.signal });
    controllers[0]!.abort(new Error("enough"));
    await assert.rejects(batch, { message: "enough" });
    assert.equal(signal!.aborted, false);
    controllers[1]!.abort(new Error("enough"));
    await assert.rejects(joins, { message: "enough" });
    assert.equal(signal!.aborted, true);
  });
});

describe("wrap", () => {
  test("a function keeps its type, its this and its errors, and runs once for each key", async () => {
    const { cache } = make();
    const greeter = {
      greeting: "hello",
      calls: 0,
      async greet(this: { greeting: string; calls: number }, name: string, loud = false): Promise<string> {
        this.calls++;
        if (name === "") throw new Error("nobody");
        return `${this.greeting} ${loud ? name.toUpperCase() : name}`;
      },
    };
    const wrapped = cache.wrap(greeter.greet, {
      key: (name, loud) => `greet:${name}:${loud ?? false}`,
      ttl: 100,
    });
    const result: string = await wrapped.call(greeter, "Ada");
    assert.equal(result, "hello Ada");
    assert.equal(await wrapped.call(greeter, "Ada", false), "hello Ada");
    assert.equal(await wrapped.call(greeter, "Ada", true), "hello ADA");
    assert.equal(greeter.calls, 2);
    assert.equal(wrapped.key("Ada"), "greet:Ada:false");
    await assert.rejects(wrapped.call(greeter, ""), { message: "nobody" });
    const sync = cache.wrap((n: number) => n * 2, { key: String });
    const double: number = await sync(21);
    assert.equal(double, 42);
  });

  test("wrong options are refused when it is made, and a wrong key when it is called", async () => {
    const { cache } = make();
    assert.throws(() => cache.wrap(7 as never, { key: String }), { message: /wrap takes a function, got 7/ });
    assert.throws(() => cache.wrap(String, {} as never), {
      message: /option key of wrap must be a function/,
    });
    assert.throws(() => cache.wrap(String, { key: String, ttl: -1 }), { code: "ERR_RUSTCACHE_INVALID_TTL" });
    await assert.rejects(cache.wrap(String, { key: () => 7 as never })(1), { message: /key must be/ });
  });
});
