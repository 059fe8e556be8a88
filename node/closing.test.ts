// What was called before close() is answered first, batches keep their place among other calls, and nobody waits for ever for
// a daemon that hangs. Against the real daemon, stopped and continued by signals.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type Cache, type CacheOptions, ClosedError, createCache, RustCache } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

requireDaemon();

// `RustCache` in memory only.
process.env.RUSTCACHE_DIR = "";

const NAMES = ["getMany", "setMany", "deleteMany", "drained"] as const;
type Name = (typeof NAMES)[number];

/** The call of that name, with options. */
function call(
  cache: Cache,
  name: Name,
  options: { timeout?: number; signal?: AbortSignal },
): Promise<unknown> {
  if (name === "drained") return cache.drained(options);
  if (name === "setMany") return cache.setMany([{ key: "a", value: "b" }], options);
  return cache[name](["a"], options);
}

/** A cache whose daemon is stopped and whose queue is full of a call that was given up. */
async function hung(options: CacheOptions = {}): Promise<Cache> {
  const cache = createCache({ maxQueuedBytes: 100_000, closeTimeout: 50, ...options });
  await cache.start();
  process.kill(cache.pid!, "SIGSTOP");
  await assert.rejects(cache.set("large", Buffer.alloc(4 << 20), { timeout: 1 }), {
    code: "ERR_RUSTCACHE_TIMEOUT",
  });
  assert.ok(cache.queuedBytes > 100_000);
  return cache;
}

/** Many items: several frames, and more bytes than `maxQueuedBytes` of `small`. */
const small = { maxQueuedBytes: 10_000 };
const many = Array.from({ length: 20_000 }, (_, i) => ({ key: `key ${i}`, value: `value ${i}` }));

describe("a daemon that hangs", () => {
  for (const name of NAMES) {
    test(`${name} with a timeout rejects`, async () => {
      await using cache = await hung();
      await assert.rejects(call(cache, name, { timeout: 20 }), { code: "ERR_RUSTCACHE_TIMEOUT" });
    });

    test(`${name} with a signal rejects with its reason`, async () => {
      await using cache = await hung();
      const controller = new AbortController();
      const pending = call(cache, name, { signal: controller.signal });
      const reason = new Error("enough");
      controller.abort(reason);
      await assert.rejects(pending, reason);
      await assert.rejects(call(cache, name, { signal: controller.signal }), reason);
    });
  }

  test("without options the cache's timeout holds, for drained() and batches too", async () => {
    await using cache = await hung({ timeout: 20 });
    for (const name of NAMES) {
      await assert.rejects(call(cache, name, {}), { code: "ERR_RUSTCACHE_TIMEOUT" });
    }
    assert.equal(cache.pending, 0);
  });

  test("drained() resolves once it reads again", async () => {
    await using cache = await hung();
    const drained = cache.drained({ timeout: 0 });
    process.kill(cache.pid!, "SIGCONT");
    await drained;
    assert.ok(cache.queuedBytes <= 50_000);
    assert.deepEqual(await cache.getMany(["a"]), [undefined]);
  });

  test("batches in flight at close() reject, and close() resolves", async () => {
    const cache = await hung({ timeout: 0 });
    const calls = [
      cache.getMany(["a"]),
      cache.setMany(many),
      cache.deleteMany(["a"]),
      cache.drained({ timeout: 0 }),
    ];
    const settled = Promise.allSettled(calls);
    await cache.close();
    const results = await settled;
    for (const result of results.slice(0, 3)) {
      assert.ok(result.status === "rejected" && result.reason instanceof ClosedError);
    }
    assert.equal(cache.pending, 0);
    assert.equal(cache.pid, undefined);
  });
});

describe("a batch keeps its place", () => {
  for (const state of ["before the handshake", "when connected", "when the queue is full"]) {
    test(`what is called after it sees it, ${state}`, async () => {
      await using cache = createCache(small);
      if (state !== "before the handshake") await cache.start();
      const filling = state === "when the queue is full" ? cache.set("filler", Buffer.alloc(100_000)) : null;
      const stored = cache.setMany(many);
      const [first, last, all] = [cache.get("key 0"), cache.get("key 19999"), cache.getMany(["key 19999"])];
      const deleted = cache.deleteMany(many.map(({ key }) => key));
      const gone = cache.get("key 19999");
      assert.deepEqual(await Promise.all([first, last, all, gone]), [
        "value 0",
        "value 19999",
        ["value 19999"],
        undefined,
      ]);
      assert.ok((await stored).every(Boolean) && (await deleted).every(Boolean));
      await filling;
    });
  }

  test("a get right after batchInsert sees it", async () => {
    const cache = RustCache.createCache();
    await cache.start();
    const inserted = cache.batchInsert([{ key: "o", value: "1" }]);
    assert.equal(await cache.get("o"), "1");
    assert.deepEqual(await inserted, ["I"]);
    cache.close();
  });
});

describe("what was called before close() is answered first", () => {
  for (const started of [true, false]) {
    const when = started ? "when connected" : "before the handshake";

    test(`single calls and batches of a Cache, ${when}`, async () => {
      const cache = createCache(small);
      let ready = 0;
      cache.on("ready", () => ready++);
      if (started) await cache.start();
      const before = [cache.set("a", "1"), cache.get("a"), cache.setMany(many), cache.getMany(["key 19999"])];
      const closed = cache.close();
      await assert.rejects(cache.get("after"), ClosedError);
      await assert.rejects(cache.setMany([{ key: "after", value: "v" }]), ClosedError);
      const results = await Promise.all(before);
      assert.deepEqual([results[0], results[1], results[3]], [true, "1", ["value 19999"]]);
      assert.ok((results[2] as boolean[]).every(Boolean));
      await closed;
      assert.equal(ready, 1);
      assert.deepEqual([cache.pid, cache.pending, cache.queuedBytes], [undefined, 0, 0]);
    });

    test(`batchInsert of a RustCache, ${when}: and no new daemon is started for it`, async () => {
      const cache = RustCache.createCache();
      let connected = 0;
      cache.on("connected", () => connected++);
      const gone = new Promise<void>((resolve) => cache.once("disconnected", resolve));
      if (started) await cache.start();
      const inserted = cache.batchInsert(many);
      cache.close();
      assert.equal((await inserted).length, many.length);
      await gone;
      assert.equal(connected, 1);
      assert.equal(cache.process, null);
    });
  }

  test("each close() in a row of calls that nobody awaits ends a daemon of its own", async () => {
    const cache = RustCache.createCache();
    let [connected, disconnected] = [0, 0];
    cache.on("connected", () => connected++);
    const allGone = new Promise<void>((resolve) => {
      cache.on("disconnected", () => {
        if (++disconnected === 3) resolve();
      });
    });
    const answers: Promise<string>[] = [];
    for (let i = 0; i < 3; i++) {
      answers.push(cache.get("k"), cache.insert("k", `${i}`), cache.get("k"));
      cache.close();
    }
    assert.deepEqual(await Promise.all(answers), ["", "I", "0", "", "I", "1", "", "I", "2"]);
    await allGone;
    assert.equal(connected, 3);
  });

  test("a getMany that needs several rounds gets them all", async () => {
    const cache = createCache({ maxKeyBytes: 100, maxValueBytes: 65_536 });
    const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`);
    const value = Buffer.alloc(60_000, 3);
    await Promise.all(keys.map((key) => cache.set(key, value)));
    const values = cache.getMany(keys);
    const closed = cache.close();
    const again = cache.start();
    assert.ok((await values).every((each) => value.equals(each as Buffer)));
    await Promise.all([closed, again]);
    assert.equal(await cache.get("key 0"), undefined);
    await cache.close();
  });

  test("a start that fails: the calls reject with its error, and close() resolves", async () => {
    const cache = createCache({ args: ["--no-such-option"] });
    const calls = [cache.set("a", "b"), cache.getMany(["a"]), cache.setMany([{ key: "a", value: "b" }])];
    const results = Promise.allSettled(calls);
    await cache.close();
    for (const result of await results) {
      assert.ok(result.status === "rejected");
      assert.equal(result.reason.code, "ERR_RUSTCACHE_START");
    }
  });

  test("calls that are given up meanwhile hold nothing up", async () => {
    const cache = createCache({ timeout: 0 });
    const controller = new AbortController();
    const { signal } = controller;
    const start = cache.start();
    const calls = Promise.allSettled([cache.get("a", { signal }), cache.getMany(["a"], { signal }), start]);
    const closed = cache.close();
    controller.abort();
    assert.ok((await calls).every((result) => result.status === "rejected"));
    await closed;
    assert.equal(cache.pid, undefined);
  });
});

test("a start that close() cuts off rejects, even when the daemon's answer is in the pipe already", {
  skip: process.platform !== "linux",
}, async () => {
  const cache = createCache();
  const start = cache.start();
  while (cache.pid === undefined) await Promise.resolve();
  // Until it sleeps, in its read of what comes after the handshake, nothing else runs here: its answer is not read.
  while (!readFileSync(`/proc/${cache.pid}/stat`, "utf8").includes(") S ")) {}
  const closed = cache.close();
  await assert.rejects(start, ClosedError);
  await closed;
});

test('"close" is told once for each daemon, when it is gone', async () => {
  const cache = createCache();
  const told: string[] = [];
  cache.on("close", () => {
    told.push("close");
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  });
  await cache.start();
  const pid = cache.pid!;
  const first = cache.close();
  const start = assert.rejects(cache.start(), ClosedError);
  await Promise.all([first, start, cache.close()]);
  await new Promise(setImmediate);
  assert.deepEqual(told, ["close"]);
});
