// Reading through, over a source in memory whose clock is the test's: who loads, who waits, what is stored and what is not.

import { strict as assert } from "node:assert";
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { describe, mock, test } from "node:test";
import type { NotStoredError, RustCacheError } from "./errors.js";
import { nameOf } from "./key-name.js";
import type { LoadContext, LoadOptions } from "./load-options.js";
import { Loads } from "./loads.js";
import { ReadThrough, type Source, type SourceEntry, type SourceItem } from "./read-through.js";
import { type Entry, freshFor, NotFresh } from "./reading.js";

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;
}

function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T | PromiseLike<T>) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Lets everything that is due be done. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Held {
  value: unknown;
  freshUntil: number;
  deadline: number;
}

/** A cache in memory. Its calls take a turn of their own each, in order, as those of a daemon do. */
class FakeSource implements Source {
  now = 1_000_000;
  reads = 0;
  readonly entries = new Map<string, Held>();
  readonly stored: SourceItem[] = [];
  readError: Error | undefined;
  storeError: Error | undefined;
  /** Keys that cannot be stored, and why. */
  readonly refused = new Map<string, Error>();
  near = false;
  /** What reads and stores wait for before they are done. */
  gates: { read?: Promise<void>; store?: Promise<void> } = {};
  written: (name: string) => void = () => {};

  readonly nameOf = nameOf;
  readonly recordOf = (tag: string) => tag;

  #entry(key: string | Uint8Array): SourceEntry | undefined {
    const held = this.entries.get(nameOf(key));
    if (held === undefined || this.now >= held.deadline) return undefined;
    return { value: held.value, ttl: held.deadline - this.now, freshUntil: held.freshUntil };
  }

  peek(key: string | Uint8Array, threshold: number): SourceEntry | undefined {
    const entry = this.near ? this.#entry(key) : undefined;
    return entry !== undefined && freshFor(entry, () => this.now) > threshold ? entry : undefined;
  }

  passOver(_: string | Uint8Array, error: unknown): void {
    throw error;
  }

  async getEntry(key: string | Uint8Array): Promise<SourceEntry | undefined> {
    this.reads++;
    const entry = this.#entry(key);
    await this.gates.read;
    if (this.readError !== undefined) throw this.readError;
    return entry;
  }

  async getFresh(key: string | Uint8Array): Promise<unknown> {
    const entry = await this.getEntry(key);
    const isFresh = entry !== undefined && entry.freshUntil! > this.now;
    return isFresh ? entry.value : new NotFresh(entry as Entry | undefined);
  }

  async getEntries(keys: readonly (string | Uint8Array)[]): Promise<(SourceEntry | undefined)[]> {
    return Promise.all(keys.map((key) => this.getEntry(key)));
  }

  async store(items: readonly SourceItem[]): Promise<readonly unknown[]> {
    // As a cache that tells of every write.
    for (const { key } of items) this.written(nameOf(key));
    await this.gates.store;
    const errors = items.map(({ key }) => this.refused.get(nameOf(key)) ?? this.storeError);
    for (const [i, item] of items.entries()) {
      if (errors[i] !== undefined) continue;
      this.stored.push(item);
      const ttl = item.ttl ?? Number.POSITIVE_INFINITY;
      this.entries.set(nameOf(item.key), {
        value: item.value,
        freshUntil: this.now + ttl,
        deadline: this.now + ttl + item.staleTtl,
      });
    }
    return errors;
  }
}

function make(defaultTtl?: number, random = () => 0) {
  const source = new FakeSource();
  const loads = new Loads(() => source.now);
  source.written = (name) => loads.written(name);
  const cache = new ReadThrough(source, (items) => source.store(items), loads, defaultTtl, {
    clock: () => source.now,
    wallClock: () => source.now,
    random,
  });
  /** A loader that brings `values` one after the other, and counts. */
  const counted = <T>(...values: T[]) => {
    const loader = mock.fn(
      (_: LoadContext<T>): T => values[Math.min(loader.mock.callCount(), values.length - 1)]!,
    );
    return loader;
  };
  return { source, cache, loads, counted };
}

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

describe("callers who leave", () => {
  test("an abort rejects one caller, and the loader goes on for the others", async () => {
    const { source, cache } = make();
    const gate = deferred<string>();
    let signal: AbortSignal | undefined;
    const loader = (context: LoadContext<string>) => {
      signal = context.signal;
      return gate.promise;
    };
    const controller = new AbortController();
    const leaves = cache.getOrSet("k", loader, { signal: controller.signal });
    const stays = cache.getOrSet("k", loader);
    await turn();
    controller.abort(new Error("enough"));
    await assert.rejects(leaves, { message: "enough" });
    assert.equal(signal!.aborted, false);
    gate.resolve("v");
    assert.equal(await stays, "v");
    assert.equal(source.stored.length, 1);
  });

  test("with the last caller the loader's signal aborts, what it brings is dropped, and newcomers load anew", async () => {
    const { source, cache } = make();
    const gate = deferred<string>();
    const contexts: LoadContext<string>[] = [];
    const loader = (context: LoadContext<string>) => {
      contexts.push(context);
      return contexts.length === 1 ? gate.promise : "new";
    };
    const controllers = [new AbortController(), new AbortController()];
    const calls = controllers.map(({ signal }) => cache.getOrSet("k", loader, { signal }));
    await turn();
    const { signal } = contexts[0]!;
    const rejected = calls.map((call) => assert.rejects(call, { message: "enough" }));
    controllers[0]!.abort(new Error("enough"));
    assert.equal(signal.aborted, false);
    controllers[1]!.abort(new Error("enough"));
    assert.equal(signal.aborted, true);
    assert.equal(signal.reason.message, "enough");
    await Promise.all(rejected);
    assert.equal(await cache.getOrSet("k", loader), "new");
    gate.resolve("old");
    await turn();
    assert.deepEqual(
      source.stored.map((item) => item.value),
      ["new"],
    );
    // Asked for too late, it has aborted all the same.
    assert.equal(contexts[0]!.signal.aborted, true);
  });

  test("a signal that many callers share, or that has aborted before, is one like others", async () => {
    const { cache, counted } = make();
    const controller = new AbortController();
    const warnings: Error[] = [];
    const listener = (warning: Error) => warnings.push(warning);
    process.on("warning", listener);
    const never = new Promise<string>(() => {});
    const calls = Array.from({ length: 30 }, () =>
      cache.getOrSet("k", () => never, { signal: controller.signal }),
    );
    await turn();
    controller.abort(new Error("enough"));
    for (const call of await Promise.allSettled(calls)) assert.equal(call.status, "rejected");
    await turn();
    process.off("warning", listener);
    assert.deepEqual(warnings, []);
    const loader = counted("v");
    await assert.rejects(cache.getOrSet("k", loader, { signal: controller.signal }), { message: "enough" });
    assert.equal(await cache.getOrSet("k", loader), "v");
  });

  test("a background refresh goes on though nobody waits for it", async () => {
    const { source, cache } = make();
    const options = { ttl: 100, staleWhileRevalidate: 100 };
    await cache.getOrSet("k", () => "old", options);
    source.now += 100;
    const gate = deferred<string>();
    await cache.getOrSet("k", () => gate.promise, options);
    source.now += 100;
    const controller = new AbortController();
    const joins = cache.getOrSet("k", () => "x", { ...options, signal: controller.signal });
    await turn();
    controller.abort(new Error("enough"));
    await assert.rejects(joins, { message: "enough" });
    gate.resolve("new");
    await turn();
    assert.equal(source.stored.at(-1)!.value, "new");
  });

  test("a loader that takes too long is given up, and says so", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const { source, cache } = make();
      const gate = deferred<string>();
      let signal: AbortSignal | undefined;
      const options = { ttl: 100, staleIfError: 100, loaderTimeout: 500 };
      const loader = (context: LoadContext<string>) => {
        signal = context.signal;
        return gate.promise;
      };
      const late = cache.getOrSet("k", loader, options);
      await turn();
      mock.timers.tick(499);
      assert.equal(signal!.aborted, false);
      mock.timers.tick(1);
      assert.equal(signal!.aborted, true);
      await assert.rejects(late, { code: "ERR_RUSTCACHE_LOADER_TIMEOUT", message: /"k".* 500 ms/ });
      gate.resolve("too late");
      await turn();
      assert.equal(source.stored.length, 0);
      await cache.getOrSet("k", () => "old", options);
      source.now += 100;
      const stale = cache.getOrSet("k", () => new Promise<string>(() => {}), options);
      await turn();
      mock.timers.tick(500);
      assert.equal(await stale, "old");
    } finally {
      mock.timers.reset();
    }
  });
});

describe("loaders within loaders", () => {
  const reentrant = { code: "ERR_RUSTCACHE_REENTRANT_LOAD", message: /getOrSet\(\) of the same key/ };

  test("one that asks for its own key gets an error instead of waiting for itself", async () => {
    const { cache, loads } = make();
    const loader = async (): Promise<string> => {
      await turn();
      return cache.getOrSet("k", loader);
    };
    await assert.rejects(cache.getOrSet("k", loader), reentrant);
    // At once, before any await.
    const hasty = (): Promise<string> => cache.getOrSet("k", hasty);
    await assert.rejects(cache.getOrSet("k", hasty), reentrant);
    // Having removed it first, so that another load begins.
    const stubborn = async (): Promise<string> => {
      loads.written("k");
      return cache.getOrSet("k", stubborn);
    };
    await assert.rejects(cache.getOrSet("k", stubborn), reentrant);
    assert.equal(await cache.getOrSet("k", () => "v"), "v");
  });

  test("so does a ring of loaders that wait for each other, however they came to do so", async () => {
    const { cache } = make();
    const nested = cache.getOrSet("a", () =>
      cache.getOrSet("b", async () => {
        await turn();
        return cache.getOrSet("c", () => cache.getOrSet("a", () => "never"));
      }),
    );
    await assert.rejects(nested, reentrant);
    // Begun side by side, by others.
    const [x, y] = [deferred(), deferred()];
    const calls = [
      cache.getOrSet("x", async () => {
        await x.promise;
        return cache.getOrSet("y", () => "never");
      }),
      cache.getOrSet("y", async () => {
        await y.promise;
        return cache.getOrSet("x", () => "never");
      }),
    ];
    const rejected = calls.map((call) => assert.rejects(call, reentrant));
    await turn();
    x.resolve();
    await turn();
    y.resolve();
    await Promise.all(rejected);
  });

  test("loaders that share what they load are no ring", async () => {
    const { cache } = make();
    const shared = () => cache.getOrSet("shared", () => turn().then(() => 1));
    const one = async () => (await shared()) + (await Promise.all([shared(), shared()])).length;
    const all = await Promise.all([cache.getOrSet("a", one), cache.getOrSet("b", one), shared()]);
    assert.deepEqual(all, [3, 3, 1]);
  });

  test("what a loader has left behind may ask for its key once it has ended", async () => {
    const { cache } = make();
    const [late, gate, end] = [deferred<string>(), deferred(), deferred()];
    const another = cache.getOrSet("another", () => end.promise);
    const value = await cache.getOrSet(
      "k",
      () => {
        void gate.promise.then(() => late.resolve(cache.getOrSet("k", () => "again", { ttl: 0 })));
        return "v";
      },
      { ttl: 0 },
    );
    assert.equal(value, "v");
    gate.resolve();
    assert.equal(await late.promise, "again");
    end.resolve();
    await another;
  });

  test("a load that another has left behind may ask for the other's key, be that stored already or not", async () => {
    const { source, cache } = make();
    for (const isStored of [true, false]) {
      const [late, gate, end, store] = [deferred<string>(), deferred(), deferred(), deferred()];
      const another = cache.getOrSet("another", () => end.promise);
      if (!isStored) source.gates = { store: store.promise };
      const outer = cache.getOrSet(
        "k",
        async () => {
          const left = cache.getOrSet("left behind", async () => {
            await gate.promise;
            return cache.getOrSet("k", () => "again", { ttl: 0 });
          });
          left.then(late.resolve, late.reject);
          await turn();
          return "v";
        },
        { ttl: isStored ? 0 : 1000 },
      );
      if (isStored) assert.equal(await outer, "v");
      else for (let i = 0; i < 3; i++) await turn();
      gate.resolve();
      await turn();
      store.resolve();
      assert.equal(await late.promise, isStored ? "again" : "v");
      assert.equal(await outer, "v");
      end.resolve();
      await another;
      source.gates = {};
      source.entries.clear();
    }
  });

  test("what runs in the context of a loader is taken for a part of it as long as it loads, and not outside of that context", async () => {
    const { cache } = make();
    const gate = deferred<string>();
    // As a connection does that a loader opens, and that goes on to serve others.
    const listeners: (() => Promise<string>)[] = [];
    const first = cache.getOrSet("k", () => {
      const inherited = new AsyncResource("connection");
      listeners.push(() => inherited.runInAsyncScope(() => cache.getOrSet("k", () => "another")));
      listeners.push(() => outside(() => cache.getOrSet("k", () => "another")));
      return gate.promise;
    });
    const outside = AsyncResource.bind((call: () => Promise<string>) => call());
    await turn();
    await assert.rejects(listeners[0]!(), reentrant);
    const joins = listeners[1]!();
    gate.resolve("v");
    assert.deepEqual(await Promise.all([first, joins]), ["v", "v"]);
    assert.equal(await listeners[0]!(), "v");
  });

  test("a loader that goes on with the old value is not within itself", async () => {
    const { source, cache } = make();
    const options = { ttl: 100, staleWhileRevalidate: 100 };
    await cache.getOrSet("k", () => 1, options);
    source.now += 100;
    const loader = async (): Promise<number> => (await cache.getOrSet("k", loader, options)) + 1;
    assert.equal(await cache.getOrSet("k", loader, options), 1);
    await turn();
    assert.equal(await cache.getOrSet("k", loader, options), 2);
  });

  test("a loader runs in the context of its caller", async () => {
    const { cache } = make();
    const storage = new AsyncLocalStorage<string>();
    const seen = await storage.run("request 7", () =>
      cache.getOrSet("k", async () => {
        await turn();
        return storage.getStore();
      }),
    );
    assert.equal(seen, "request 7");
  });
});

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
