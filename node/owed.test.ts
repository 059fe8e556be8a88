// Removals and invalidations that a dead daemon could not do, in a cache whose failures are misses: what is out of date does not come back with the next
// daemon, which has the entries from the disk.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type Cache, type CacheOptions, type CacheView, createCache, Tag } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

requireDaemon();

const scratch = mkdtempSync(join(tmpdir(), "rustcache-owed-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

const KEYS = ["k", "kk", "other", "tagged"];

async function fill(view: CacheView): Promise<void> {
  await view.setMany(KEYS.map((key) => ({ key, value: `old ${key}`, tags: key === "tagged" ? ["t"] : [] })));
}

/** What is there, by key. */
async function held(view: CacheView): Promise<string> {
  const values = await view.getMany(KEYS);
  return KEYS.filter((_, i) => values[i] !== undefined).join();
}

/** Kills the daemon, which is not started again before `start()`. */
async function killed(cache: Cache): Promise<void> {
  const lost = new Promise((resolve) => cache.once("error", resolve));
  const alive = setInterval(() => {}, 1000);
  process.kill(cache.pid!, "SIGKILL");
  await lost;
  clearInterval(alive);
}

async function withKept(
  body: (cache: Cache, view: CacheView) => Promise<void>,
  options: CacheOptions = {},
): Promise<void> {
  for (const near of [undefined, {}]) {
    for (const inNamespace of [false, true]) {
      const dir = join(scratch, `${made++}`);
      await using cache = createCache({ dir, onError: "miss", restart: false, near, ...options });
      await body(cache, inNamespace ? cache.namespace("n") : cache);
    }
  }
}

describe("what a dead daemon could not do is done before it is asked for anything else", () => {
  /** Each makes something out of date; and what is left then. */
  const writes: [string, (view: CacheView) => Promise<unknown>, unknown, string][] = [
    ["invalidateTag", (view) => view.invalidateTag("t"), undefined, "k,kk,other"],
    ["delete", (view) => view.delete("k"), false, "kk,other,tagged"],
    ["deleteMany", (view) => view.deleteMany(["k", "other"]), [false, false], "kk,tagged"],
    ["clear", (view) => view.clear(), 0, ""],
    ["clear of a prefix", (view) => view.clear({ prefix: "k" }), 0, "other,tagged"],
    ["set", (view) => view.set("k", "new"), false, "kk,other,tagged"],
    ["set with tags", (view) => view.set("k", "new", { tags: ["u"] }), false, "kk,other,tagged"],
    ["set on a condition", (view) => view.set("k", "new", { condition: "ifAbsent" }), false, KEYS.join()],
    ["setMany", (view) => view.setMany([{ key: "k", value: 1 }]), [false], "kk,other,tagged"],
    ["getOrSet", (view) => view.getOrSet("k", () => "new"), "new", "kk,other,tagged"],
    ["get", (view) => view.get("k"), undefined, KEYS.join()],
  ];
  for (const [name, write, answer, left] of writes) {
    test(name, async () => {
      await withKept(async (cache, view) => {
        await fill(view);
        await fill(cache.namespace("beside"));
        await killed(cache);
        for (let i = 0; i < 2; i++) assert.deepEqual(await write(view), answer);
        await cache.start();
        assert.equal(await held(view), left);
        assert.equal(await held(cache.namespace("beside")), view === cache && left === "" ? "" : KEYS.join());
        // It is done once.
        await fill(view);
        assert.equal(await held(view), KEYS.join());
      });
    });
  }

  test("what is stored afterwards stays, whatever it is and whatever it waits for", async () => {
    await withKept(
      async (cache, view) => {
        await fill(view);
        await killed(cache);
        await Promise.all([view.clear(), view.invalidateTag("t"), view.deleteMany(KEYS)]);
        await cache.start();
        const large = "large".repeat(50_000);
        const answers = await Promise.all([
          view.set("tagged", "new", { tags: ["t"] }),
          view.set("k", large),
          view.get("k"),
          view.get("other"),
          view.get("tagged"),
        ]);
        assert.deepEqual(answers, [true, true, large, undefined, "new"]);
        assert.equal(await held(view), "k,tagged");
      },
      { compress: { above: 1000 } },
    );
  });

  test("after a second death as well, and for the next start after a close", async () => {
    await withKept(async (cache, view) => {
      await fill(view);
      await killed(cache);
      await Promise.all([view.invalidateTag("t"), view.delete("k")]);
      assert.equal(await view.get("other"), undefined);
      await cache.start();
      await killed(cache);
      assert.equal(await view.get("other"), undefined);
      await cache.close();
      await cache.start();
      assert.equal(await held(view), "kk,other");
    });
  });

  test("more keys than are remembered: everything goes", async () => {
    await withKept(async (cache, view) => {
      await fill(view);
      await killed(cache);
      const answers = await view.deleteMany(Array.from({ length: 10_000 }, (_, i) => `missing ${i}`));
      assert.equal(answers.includes(true), false);
      await cache.start();
      assert.equal(await held(view), "");
    });
  });

  test("a key that is too long for the daemon keeps no other from being removed", async () => {
    await withKept(
      async (cache, view) => {
        await fill(view);
        await killed(cache);
        await Promise.all(["k", "x".repeat(200), "other"].map((key) => view.delete(key)));
        await cache.start();
        await view.get("k");
        await cache.ping();
        assert.equal(await held(view), "kk,tagged");
      },
      { maxKeyBytes: 100 },
    );
  });
});

test("a value that is refused does not leave the one that it was to replace, where failures are misses", async () => {
  await using cache = createCache({ onError: "miss", maxValueBytes: 100_000, compress: { above: 1 } });
  const long = "x".repeat(100_001);
  await cache.setMany(["a", "b", "c"].map((key) => ({ key, value: "old" })));
  assert.equal(await cache.set("a", long), false);
  assert.deepEqual(await cache.setMany([{ key: "b", value: Buffer.alloc(100_001), tag: Tag.BYTES }]), [
    false,
  ]);
  assert.deepEqual(await cache.getMany(["a", "b", "c"]), [undefined, undefined, "old"]);
});

test("where failures reject nothing is done later", async () => {
  await withKept(
    async (cache, view) => {
      await fill(view);
      await killed(cache);
      const code = "ERR_RUSTCACHE_RESTARTS_EXHAUSTED";
      await assert.rejects(view.invalidateTag("t"), { code });
      await assert.rejects(view.delete("k"), { code });
      await cache.start();
      assert.equal(await held(view), KEYS.join());
    },
    { onError: "throw" },
  );
});
