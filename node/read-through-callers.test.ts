// Who waits for a loader, and who leaves it: callers with signals and time limits, and loaders within loaders.

import { strict as assert } from "node:assert";
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { describe, mock, test } from "node:test";
import { deferred, make, turn } from "../tests/support/fake-source.js";
import type { LoadContext } from "./load-options.js";

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
