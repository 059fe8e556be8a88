// What callers see while a daemon loads its directory: it is slow, stands still, or fails on order (testdata/fake-daemon.mjs).

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type CacheOptions, ClosedError, DirectoryError, DirectoryInUseError } from "./index.js";
import { directory, fake } from "./testdata/fake.js";

describe("a daemon that is loading its directory", () => {
  const loading = (mode: string, options: CacheOptions = {}) => fake(mode, { dir: directory, ...options });

  test("tells how far it is; the start, and all other calls, wait until it is done", async () => {
    const cache = loading("loading");
    let started = false;
    const start = cache.start().then(() => {
      started = true;
    });
    const call = cache.get("k");
    // One that waited for the handshake, and one that was made after it.
    for (const bytes of [1, 2]) {
      const stats = await cache.stats();
      assert.deepEqual([stats.loading, stats.loaded_bytes, stats.load_bytes], [1, bytes, 1000]);
    }
    assert.equal(started, false);
    await cache.ping();
    await start;
    assert.equal(await call, undefined);
    await cache.close();
  });

  test("may take longer than startTimeout, as long as it comes further", async () => {
    const cache = loading("loading-long", { startTimeout: 1500 });
    await cache.start();
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
  });

  test("is ended when it comes no further: the error says how far it was", async () => {
    const cache = loading("loading-hangs", { startTimeout: 1500 });
    const call = assert.rejects(cache.get("k"), { code: "ERR_RUSTCACHE_START" });
    await assert.rejects(cache.start(), {
      code: "ERR_RUSTCACHE_START",
      message: /loaded 0 of the 1000 bytes .* no further within 1500 ms/,
    });
    await call;
    await cache.close();
  });

  test("is ended within startTimeout, not within twice as long", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const cache = loading("loading-hangs", { startTimeout: 1000 });
    t.after(() => cache.close());
    const start = cache.start().catch((error: Error) => error);
    await cache.stats();
    let error: Error | undefined;
    for (let passed = 0; passed < 1200 && error === undefined; passed += 100) {
      t.mock.timers.tick(100);
      // Answered after the question that the tick asks.
      await cache.stats().catch((reason: Error) => {
        error = reason;
      });
    }
    assert.match(String(error), /no further within 1000 ms/);
    assert.equal(await start, error);
  });

  test("and cannot load it: the start and what waits for it reject with the error of the directory", async () => {
    const cache = loading("loading-fails");
    const calls = [cache.start(), cache.get("k"), cache.increment("n")];
    const results = Promise.allSettled(calls);
    await cache.ping();
    for (const result of await results) {
      assert.ok(result.status === "rejected", "it resolved");
      assert.ok(result.reason instanceof DirectoryError, String(result.reason));
      assert.match(result.reason.message, /there is damage: journal-1/);
    }
    await cache.close();
  });

  test("and fails while a call is unanswered: that rejects with the error of the directory as well", async () => {
    for (const [name, type] of [
      ["ping", DirectoryError],
      ["stats", DirectoryInUseError],
    ] as const) {
      const cache = loading("loading-fails-unanswered");
      const results = await Promise.allSettled([cache.start(), cache.get("k"), cache[name]()]);
      for (const result of results) {
        assert.ok(result.status === "rejected", "it resolved");
        assert.ok(result.reason instanceof type, `${name}: ${result.reason}`);
      }
      await cache.close();
    }
  });

  test("answers what was sent before a close(), and is killed then", async () => {
    for (const name of ["ping", "stats"] as const) {
      // What is sent with the wait for the load, and what is sent after it.
      for (const isGreeted of [false, true]) {
        const cache = loading("loading-hangs");
        const start = assert.rejects(cache.start(), ClosedError);
        if (isGreeted) await cache.ping();
        const call = cache[name]();
        await Promise.all([cache.close(), start]);
        await call;
      }
    }
  });

  test("fails after a close(): what was sent before rejects with the error of the directory", async () => {
    const cache = loading("loading-fails-unanswered");
    const call = assert.rejects(cache.ping(), DirectoryError);
    await cache.close();
    await call;
  });

  test("is asked how far it is although the queue is full", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const cache = loading("loading-asked", { maxQueuedBytes: 1, startTimeout: 1000 });
    // A close() would wait for ever for a question that does not leave.
    t.after(() => {
      if (cache.pid !== undefined) process.kill(cache.pid, "SIGKILL");
    });
    let started = false;
    const start = cache.start().then(
      () => {
        started = true;
      },
      () => {},
    );
    await cache.stats();
    // The queue is full until the end of this tick, and the watch asks before.
    const first = cache.ping();
    t.mock.timers.tick(1000);
    await first;
    await cache.ping();
    await new Promise(setImmediate);
    assert.ok(started, "it was not asked");
    await start;
    await cache.close();
  });

  test("is killed by a close() that no call waits for", async () => {
    const cache = loading("loading");
    const start = assert.rejects(cache.start(), ClosedError);
    await cache.stats();
    const { pid } = cache;
    await cache.close();
    await start;
    assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  });
});
