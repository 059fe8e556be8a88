// Acceptance cases: what the cache does for a user who follows its documentation. `RustCache` first, then the typed `Cache`.

import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createCache, RustCache } from "../../node/index.js";
import type { Report } from "./harness.js";

/** Runs a program beside this file to its end; rejects when it fails or does not end by itself. */
async function runProgram(file: string): Promise<string> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", path], {
    timeout: 30_000,
  });
  return stdout;
}

export async function functional(report: Report): Promise<void> {
  report.section("RustCache");

  await report.case("start() resolves once the daemon answers, and again when it is running", async () => {
    const before = RustCache.process;
    assert.equal(before, null);
    await RustCache.start();
    const pid = RustCache.process?.pid;
    assert.ok(pid);
    await Promise.all([RustCache.start(), RustCache.start()]);
    assert.equal(RustCache.process?.pid, pid);
  });

  await report.case("insert, get and remove answer as documented", async () => {
    assert.equal(await RustCache.get("user:1"), "");
    assert.equal(await RustCache.insert("user:1", "hello"), "I");
    assert.equal(await RustCache.get("user:1"), "hello");
    assert.equal(await RustCache.insert("user:1", "hello again", 60), "I");
    assert.equal(await RustCache.get("user:1"), "hello again");
    assert.equal(await RustCache.remove("user:1"), "R");
    assert.equal(await RustCache.get("user:1"), "");
    assert.equal(await RustCache.remove("user:1"), "R");
  });

  await report.case("the program in the documentation prints what it says, and ends by itself", async () => {
    assert.equal(await runProgram("readme-program.ts"), "User data: { name: 'John', role: 'admin' }\n");
  });

  await report.case(
    "a program that never calls close() ends by itself, and its last writes are not lost",
    async () => {
      assert.equal(await runProgram("unclosed-program.ts"), "stored I, read v\n");
    },
  );

  await report.case("batchInsert stores every item, with its own expiry", async () => {
    const items = Array.from({ length: 500 }, (_, number) => ({
      key: `batch:${number}`,
      value: `value ${number}`,
    }));
    const answers = await RustCache.batchInsert([
      ...items,
      { key: "batch:ttl", value: "v", expire_duration: 60 },
    ]);
    assert.deepEqual(
      answers,
      Array.from({ length: 501 }, () => "I"),
    );
    const values = await Promise.all(items.map(({ key }) => RustCache.get(key)));
    assert.deepEqual(
      values,
      items.map(({ value }) => value),
    );
    assert.equal(await RustCache.get("batch:ttl"), "v");
  });

  await report.case("an entry expires after its TTL, not before, and is never served later", async () => {
    const began = performance.now();
    await RustCache.insert("short", "lived", 1);
    await RustCache.insert("long", "lived", 3600);
    await RustCache.insert("ever", "lived", 0);
    let value = await RustCache.get("short");
    // Asked without a pause, so that every moment around the deadline is seen.
    while (value !== "") {
      assert.equal(value, "lived");
      assert.ok(
        performance.now() - began < 10_000,
        "10 s after an insert with a TTL of 1 s the value is still served",
      );
      value = await RustCache.get("short");
    }
    assert.ok(
      performance.now() - began >= 990,
      `expired ${performance.now() - began} ms after an insert with a TTL of 1 s`,
    );
    for (let again = 0; again < 100; again++) assert.equal(await RustCache.get("short"), "");
    assert.equal(await RustCache.get("long"), "lived");
    assert.equal(await RustCache.get("ever"), "lived");
  });

  await report.case("a new insert replaces the TTL of the old one", async () => {
    await RustCache.insert("renewed", "first", 0.05);
    await RustCache.insert("renewed", "second");
    await RustCache.insert("witness", "w", 0.1);
    while ((await RustCache.get("witness")) !== "");
    assert.equal(await RustCache.get("renewed"), "second");
  });

  await report.case("two caches know nothing of each other", async () => {
    const path = RustCache.process?.spawnfile;
    assert.ok(path);
    const other = createCache(path, false);
    await other.insert("owner", "other");
    await RustCache.insert("owner", "first");
    assert.equal(await other.get("owner"), "other");
    assert.equal(await RustCache.get("owner"), "first");
    assert.notEqual(other.process?.pid, RustCache.process?.pid);
    other.close();
  });

  await report.case("a call before start() starts the daemon", async () => {
    const path = RustCache.process?.spawnfile;
    assert.ok(path);
    const unstarted = createCache(path);
    assert.equal(unstarted.process, null);
    assert.equal(await unstarted.insert("k", "v"), "I");
    assert.equal(await unstarted.get("k"), "v");
    unstarted.close();
  });

  await report.case("close() ends the daemon with exit code 0, and the next call begins anew", async () => {
    await RustCache.insert("before", "close");
    const daemon = RustCache.process;
    assert.ok(daemon);
    const ended = once(daemon, "exit");
    RustCache.close();
    const next = RustCache.get("before");
    assert.deepEqual(await ended, [0, null]);
    assert.equal(await next, "", "a cache in memory is empty after close()");
    assert.notEqual(RustCache.process?.pid, daemon.pid);
    RustCache.close();
  });

  report.section("Cache");

  await report.case("values keep their type, and TTLs are milliseconds", async () => {
    await using cache = createCache({});
    assert.equal(await cache.get("missing"), undefined);
    assert.equal(await cache.set("text", "grüße"), true);
    assert.equal(await cache.set("bytes", Buffer.from([0, 255, 10, 13])), true);
    assert.equal(await cache.get("text"), "grüße");
    assert.deepEqual(await cache.get("bytes"), Buffer.from([0, 255, 10, 13]));
    assert.equal(await cache.has("text"), true);
    await cache.set("brief", "v", { ttl: 30 });
    while ((await cache.get("brief")) !== undefined);
    assert.equal(await cache.has("brief"), false);
    assert.equal(await cache.remove("text"), true);
    assert.equal(await cache.remove("text"), false);
  });

  await report.case("batches answer in the order of their keys", async () => {
    await using cache = createCache({});
    const keys = Array.from({ length: 3000 }, (_, number) => `key:${number}`);
    await cache.setMany(
      keys.filter((_, number) => number % 3 !== 0).map((key) => ({ key, value: `of ${key}` })),
    );
    const values = await cache.getMany(keys);
    assert.deepEqual(
      values,
      keys.map((key, number) => (number % 3 === 0 ? undefined : `of ${key}`)),
    );
    await cache.deleteMany(keys);
    assert.equal((await cache.stats()).items, 0);
  });

  await report.case("increments from many callers add up", async () => {
    await using cache = createCache({});
    await Promise.all(Array.from({ length: 1000 }, () => cache.increment("hits")));
    assert.equal(await cache.increment("hits", -1), 999);
    assert.equal(await cache.get("hits"), "999");
  });

  await report.case("maxItems evicts the least recently used, and stats() counts", async () => {
    await using cache = createCache({ maxItems: 2 });
    await cache.set("a", "1");
    await cache.set("b", "2");
    await cache.get("a");
    await cache.set("c", "3");
    assert.equal(await cache.get("b"), undefined);
    assert.equal(await cache.get("a"), "1");
    assert.equal(await cache.get("c"), "3");
    const { items, hits, misses } = await cache.stats();
    assert.deepEqual({ items, hits, misses }, { items: 2, hits: 3, misses: 1 });
  });
}
