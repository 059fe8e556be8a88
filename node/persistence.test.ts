// A `Cache` with a directory, against the real daemon: what it holds survives close() and kill -9, calls in flight find the next daemon, and a directory
// that cannot be used is told by its own errors.

import { strict as assert } from "node:assert";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import {
  type Cache,
  type CacheOptions,
  ConnectionLostError,
  createCache,
  DirectoryError,
  DirectoryInUseError,
  DiskError,
  StartError,
  UncertainError,
} from "./index.js";
import { checkCacheOptions } from "./options.js";
import { Status } from "./protocol.js";
import { statusError } from "./replies.js";
import { killDuring, requireDaemon } from "./testdata/daemon.js";

requireDaemon();

const scratch = mkdtempSync(join(tmpdir(), "rustcache-persistence-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

/** The path of a directory that is not there. */
const fresh = () => join(scratch, `dir-${made++}`);

function kept(options: CacheOptions = {}): Cache {
  return createCache({ dir: fresh(), ...options });
}

describe("what a cache with a directory holds", () => {
  test("is there after close() and start(), with its bytes, its tags and the time that is left", async () => {
    const dir = fresh();
    const bytes = Buffer.from([0, 255, 10, 13]);
    {
      await using cache = kept({ dir });
      await cache.set("text", "grüße");
      await cache.set("bytes", bytes, { tag: 200 });
      await cache.set("timed", "v", { ttl: 3_600_000 });
      await cache.setMany([{ key: "many", value: "v", ttl: 3_600_000 }]);
      await cache.set("removed", "v");
      await cache.remove("removed");
      await cache.increment("counter", 41);
      await cache.close();
      await cache.start();
      assert.equal(await cache.get("text"), "grüße");
    }
    await using other = kept({ dir });
    assert.equal(await other.get("text"), "grüße");
    const { value, tag, ttl } = (await other.getEntry("bytes"))!;
    assert.deepEqual({ value, tag, ttl }, { value: bytes, tag: 200, ttl: Number.POSITIVE_INFINITY });
    for (const key of ["timed", "many"]) {
      const left = (await other.ttl(key))!;
      assert.ok(left > 3_000_000 && left <= 3_600_000, `${key} has ${left} ms left`);
    }
    assert.equal(await other.has("removed"), false);
    assert.equal(await other.increment("counter"), 42);
  });

  test("is there after kill -9, right after a write resolved", async () => {
    await using cache = kept({ restart: { limit: 100 } });
    const alive = setInterval(() => {}, 1000);
    for (let round = 0; round < 5; round++) {
      await cache.set("k", `${round}`);
      const died = new Promise((resolve) => cache.once("error", resolve));
      process.kill(cache.pid!, "SIGKILL");
      await died;
      assert.equal(await cache.get("k"), `${round}`);
    }
    clearInterval(alive);
  });

  test("ends with its TTL while no daemon runs", async () => {
    await using cache = kept();
    const before = performance.now();
    await cache.set("brief", "v", { ttl: 40 });
    await cache.close();
    await cache.start();
    while ((await cache.get("brief")) !== undefined);
    assert.ok(performance.now() - before >= 38, "it ended early");
    await cache.close();
    await cache.start();
    assert.equal(await cache.get("brief"), undefined);
  });

  test("without a directory is gone", async () => {
    await using cache = createCache({ dir: null });
    await cache.set("k", "v");
    await cache.close();
    await cache.start();
    assert.equal(await cache.get("k"), undefined);
    assert.equal((await cache.stats()).persistent, 0);
  });

  test("is counted, and written to a snapshot on request", async () => {
    await using cache = kept();
    await cache.setMany(Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: "v" })));
    const before = await cache.stats();
    assert.deepEqual([before.persistent, before.journal_records, before.disk_failed], [1, 100, 0]);
    assert.notEqual(before.journal_bytes_since_snapshot, 0);
    await cache.snapshot();
    const { snapshots, last_snapshot_entries, journal_bytes_since_snapshot } = await cache.stats();
    assert.deepEqual([snapshots, last_snapshot_entries, journal_bytes_since_snapshot], [1, 100, 0]);
    await cache.close();
    await cache.start();
    assert.equal((await cache.stats()).recovered, 100);
  });

  test("with a default TTL ends by it, also what is set without options", async () => {
    await using cache = kept({ defaultTtl: 100_000 });
    await cache.set("plain", "v");
    await cache.set("tagged", "v", { tag: 1 });
    await cache.setMany([{ key: "many", value: "v" }]);
    await cache.set("ever", "v", { ttl: Number.POSITIVE_INFINITY });
    for (const key of ["plain", "tagged", "many"]) {
      const left = (await cache.ttl(key))!;
      assert.ok(left > 50_000 && left <= 100_000, `${key} has ${left} ms left`);
    }
    assert.equal(await cache.ttl("ever"), Number.POSITIVE_INFINITY);
    await cache.set("gone", "v");
    await cache.set("gone", "v", { ttl: 0 });
    assert.equal(await cache.has("gone"), false);
  });
});

describe("calls in flight at kill -9", () => {
  test("that may be done twice resolve, in order; others reject with a lost connection", async () => {
    await using cache = kept();
    await cache.set("old", "v");
    await cache.set("doomed", "v");
    await cache.set("n", "1");
    const large = Buffer.alloc(1 << 20, 7);
    const [resolved, rejected] = await killDuring(cache.pid!, () => [
      Promise.all([
        cache.get("old"),
        cache.set("new", "1"),
        cache.set("new", "2", { ttl: 3_600_000 }),
        cache.set("large", large),
        cache.get("new"),
        cache.remove("doomed"),
        cache.has("doomed"),
        cache.getMany(["old", "new", "doomed"]),
        cache.setMany([
          { key: "m1", value: "v" },
          { key: "m2", value: "w", ttl: 3_600_000 },
        ]),
        cache.deleteMany(["m1"]),
        cache.ping(),
      ]),
      Promise.allSettled([
        cache.increment("n"),
        cache.set("lock", "mine", { condition: "ifAbsent" }),
        cache.setMany([{ key: "x", value: "v", condition: "ifAbsent" }]),
        cache.compareAndSet("n", "1", "2"),
        cache.take("n"),
        cache.touch("n", 1000),
        cache.clear({ prefix: "nothing" }),
      ]),
    ]);
    const large2 = await cache.get("large");
    assert.deepEqual(await resolved, [
      "v",
      true,
      true,
      true,
      "2",
      true,
      false,
      ["v", "2", undefined],
      [true, true],
      [true],
      undefined,
    ]);
    assert.ok(large.equals(large2 as Buffer), "the large value came back altered");
    for (const result of await rejected) {
      assert.ok(result.status === "rejected", "a call that must not be done twice was sent again");
      assert.ok(result.reason instanceof ConnectionLostError, String(result.reason));
      assert.equal(result.reason.maybeApplied, true);
    }
    const left = (await cache.ttl("new"))!;
    assert.ok(left > 3_000_000 && left <= 3_600_000, `${left} ms are left`);
    assert.equal(await cache.has("m1"), false);
    assert.equal(await cache.get("n"), "1");
  });

  test("thousands at once all resolve, and what they wrote is there", async () => {
    await using cache = kept();
    await cache.start();
    const total = 5000;
    const stored = Array.from({ length: total }, (_, i) => cache.set(`k${i}`, `${i}`));
    const read = Array.from({ length: total }, (_, i) => cache.get(`k${i}`));
    // In the middle of the answers.
    await stored[10];
    process.kill(cache.pid!, "SIGKILL");
    assert.deepEqual(new Set(await Promise.all(stored)), new Set([true]));
    assert.deepEqual(
      await Promise.all(read),
      Array.from({ length: total }, (_, i) => `${i}`),
    );
  });

  test("reject when the cache is not to be restarted", async () => {
    await using cache = kept({ restart: false });
    await cache.start();
    const call = await killDuring(cache.pid!, () => [cache.set("k", "v"), cache.get("k")]);
    const [written, read] = await Promise.allSettled(call);
    for (const [result, maybeApplied] of [
      [written!, true],
      [read!, false],
    ] as const) {
      assert.ok(result.status === "rejected", "a call resolved although no daemon can have answered it");
      assert.ok(result.reason instanceof ConnectionLostError, String(result.reason));
      assert.equal(result.reason.maybeApplied, maybeApplied);
    }
    await cache.start();
    const found = (await cache.get("k")) as string | undefined;
    assert.ok(["v", undefined].includes(found), `${found} was never stored`);
  });

  test("reject with close(), as without a directory", async () => {
    const cache = kept();
    await cache.start();
    const { pid } = cache;
    process.kill(pid!, "SIGSTOP");
    const call = cache.set("k", "v");
    const closed = cache.close();
    process.kill(pid!, "SIGKILL");
    await assert.rejects(call, { code: "ERR_RUSTCACHE_CLOSED", maybeApplied: true });
    await closed;
  });

  test("a walk over the keys finds all that are there throughout, through the death of its daemon", async () => {
    await using cache = kept();
    const keys = Array.from({ length: 3000 }, (_, i) => `k${i}`);
    await cache.setMany(keys.map((key) => ({ key, value: "v" })));
    const seen = new Set<string | Buffer>();
    let kills = 0;
    for await (const key of cache.keys({ pageSize: 100 })) {
      seen.add(key);
      if (kills < 2 && seen.size >= 500 * (kills + 1)) {
        kills++;
        process.kill(cache.pid!, "SIGKILL");
      }
    }
    assert.equal(kills, 2);
    assert.equal(seen.size, keys.length);
    // A page by hand: the cursor is of a daemon that is gone.
    const { cursor } = await cache.scan({ pageSize: 10 });
    assert.notEqual(cursor, 0n);
    assert.equal((await cache.scan({ cursor, pageSize: 10 })).entries.length, 10);
    await cache.close();
    await cache.start();
    await assert.rejects(cache.scan({ cursor }), {
      code: "ERR_RUSTCACHE_CONNECTION_LOST",
      message: /begin again/,
    });
  });
});

describe("a directory that cannot be had", () => {
  test("is in use: the error names who has it, the start is not repeated, and start() tries again", async () => {
    const dir = fresh();
    await using first = kept({ dir });
    await first.set("k", "v");
    const second = kept({ dir });
    const restarts: unknown[] = [];
    second.on("restart", (info) => restarts.push(info));
    const waiting = assert.rejects(second.get("k"), { code: "ERR_RUSTCACHE_DIRECTORY_IN_USE" });
    await assert.rejects(second.start(), (error: DirectoryInUseError) => {
      assert.ok(error instanceof DirectoryInUseError && error instanceof StartError, String(error));
      assert.equal(error.code, "ERR_RUSTCACHE_DIRECTORY_IN_USE");
      assert.equal(error.pid, first.pid);
      assert.ok(error.message.includes(dir) && error.message.includes(`${first.pid}`), error.message);
      assert.match(error.message, /another directory/);
      return true;
    });
    await waiting;
    assert.deepEqual(restarts, []);
    await first.close();
    await second.start();
    assert.equal(await second.get("k"), "v");
    await second.close();
  });

  test("is a file: the error says so", async () => {
    const dir = fresh();
    writeFileSync(dir, "not a directory");
    await using cache = kept({ dir });
    for (const call of [cache.start(), cache.get("k")]) {
      await assert.rejects(call, (error: DirectoryError) => {
        assert.ok(error instanceof DirectoryError && error instanceof StartError, String(error));
        assert.equal(error.code, "ERR_RUSTCACHE_DIRECTORY");
        assert.ok(error.message.includes(dir), error.message);
        return true;
      });
    }
  });

  test("is damaged: recover strict refuses, and the default serves what is valid", async () => {
    const dir = fresh();
    await using cache = kept({ dir });
    await cache.setMany(Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: "v".repeat(100) })));
    process.kill(cache.pid!, "SIGKILL");
    await cache.close();
    const journal = readdirSync(dir).find((name) => name.startsWith("journal-"))!;
    const file = openSync(join(dir, journal), "r+");
    writeSync(file, Buffer.alloc(10, 0xaa), 0, 10, 2000);
    closeSync(file);
    await using strict = kept({ dir, recover: "strict" });
    await assert.rejects(strict.start(), { code: "ERR_RUSTCACHE_DIRECTORY" });
    await using valid = kept({ dir });
    assert.equal(await valid.get("k0"), "v".repeat(100));
    assert.notEqual((await valid.stats()).dropped_records, 0);
  });
});

describe("the options of a directory", () => {
  test("become the daemon's command line", () => {
    const { args, dir, startTimeout } = checkCacheOptions({
      dir: "some/where",
      sync: "always",
      recover: "strict",
      onDiskError: "memory",
      snapshotAfter: "16mb",
      snapshotEvery: 60_000,
    });
    const path = join(process.cwd(), "some/where");
    assert.equal(dir, path);
    assert.equal(
      args.join(" "),
      `--dir ${path} --sync always --recover strict --on-disk-error memory --snapshot-after 16mb --snapshot-every 60000ms`,
    );
    assert.equal(startTimeout, 60_000);
    assert.equal(checkCacheOptions({ dir: "x", startTimeout: 5 }).startTimeout, 5);
    assert.deepEqual(checkCacheOptions({ dir: null }).args, []);
    assert.equal(checkCacheOptions({}).startTimeout, 10_000);
  });

  test("are understood by the daemon", async () => {
    await using cache = kept({
      sync: "always",
      recover: "strict",
      onDiskError: "exit",
      snapshotAfter: 1 << 20,
      snapshotEvery: 3_600_000,
    });
    assert.equal(await cache.set("k", "v"), true);
    assert.notEqual((await cache.stats()).journal_syncs, 0);
  });

  test("the path is that of the moment at which the cache was made", async () => {
    const dir = fresh();
    const cwd = process.cwd();
    process.chdir(dirname(dir));
    const cache = createCache({ dir: basename(dir) });
    process.chdir(cwd);
    await cache.set("k", "v");
    assert.equal(existsSync(dir), true);
    await cache.close();
  });

  test("RUSTCACHE_DIR is not for caches that are made with createCache", async () => {
    const dir = fresh();
    const former = process.env.RUSTCACHE_DIR;
    process.env.RUSTCACHE_DIR = dir;
    try {
      for (const options of [{}, { env: { RUSTCACHE_DIR: dir } }]) {
        await using cache = createCache(options);
        assert.equal((await cache.stats()).persistent, 0);
      }
      assert.equal(existsSync(dir), false);
    } finally {
      if (former === undefined) delete process.env.RUSTCACHE_DIR;
      else process.env.RUSTCACHE_DIR = former;
    }
  });

  for (const [options, message] of [
    [{ dir: "" }, /dir must be the path of a directory, or null .*, got ""/],
    [{ dir: 5 }, /dir must be .* got 5/],
    [{ sync: "sometimes", dir: "x" }, /sync must be one of always, everysec, never, got "sometimes"/],
    [{ recover: true, dir: "x" }, /recover must be one of valid, strict, got true/],
    [{ onDiskError: "ignore", dir: "x" }, /onDiskError must be one of refuse, memory, exit, got "ignore"/],
    [{ snapshotAfter: "much", dir: "x" }, /snapshotAfter must be a positive integer or a text/],
    [{ snapshotEvery: 0, dir: "x" }, /snapshotEvery must be an integer from 1/],
    [{ sync: "always" }, /sync "always" is for a cache that is kept on disk.*give dir/],
    [{ dir: null, snapshotEvery: 5 }, /snapshotEvery 5 is for a cache that is kept on disk/],
    [{ recover: "strict" }, /recover "strict" is for/],
    [{ onDiskError: "exit" }, /onDiskError "exit" is for/],
    [{ snapshotAfter: 5 }, /snapshotAfter 5 is for/],
  ] as [object, RegExp][]) {
    test(`are checked: ${JSON.stringify(options)}`, () => {
      assert.throws(() => createCache(options as CacheOptions), {
        code: "ERR_RUSTCACHE_INVALID_ARG",
        message,
      });
    });
  }
});

test("a disk that failed is an error of its own, which says whether the write was done", () => {
  const refused = statusError(Status.DISK_FAILED, "the disk is full");
  const undurable = statusError(Status.NOT_DURABLE, "the disk is full");
  for (const [error, maybeApplied] of [
    [refused, false],
    [undurable, true],
  ] as const) {
    assert.ok(error instanceof DiskError && error instanceof UncertainError, String(error));
    assert.equal(error.code, "ERR_RUSTCACHE_DISK");
    assert.equal(error.message, "the disk is full");
    assert.equal(error.maybeApplied, maybeApplied);
  }
});
