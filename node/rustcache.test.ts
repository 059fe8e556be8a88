// `RustCache` against the real daemon: what programs written for it rely on. The daemon's own face of this contract (version 1 frames) is tested elsewhere.

import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import { Cache, createCache, RustCache } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

const binary = requireDaemon();

// In memory only, here and in the programs that are started; rustcache-directory.test.ts has the other.
process.env.RUSTCACHE_DIR = "";

after(() => RustCache.close());

function daemon(): ChildProcess & { pid: number } {
  assert.ok(RustCache.process?.pid);
  return RustCache.process as ChildProcess & { pid: number };
}

async function untilDead(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("insert, get, remove", () => {
  test("answer 'I', the value and 'R', before any start()", async () => {
    assert.equal(await RustCache.insert("user:1", "hello", 60), "I");
    assert.equal(await RustCache.get("user:1"), "hello");
    assert.equal(await RustCache.remove("user:1"), "R");
    assert.equal(await RustCache.remove("user:1"), "R");
    assert.equal(await RustCache.get("user:1"), "");
    assert.equal(await RustCache.get(""), "");
    assert.equal(await RustCache.remove(""), "R");
  });

  test("start() is idempotent, and leaves one daemon", async () => {
    await Promise.all([RustCache.start(), RustCache.start()]);
    const { pid } = daemon();
    await RustCache.start();
    assert.equal(daemon().pid, pid);
  });

  test("an entry ends with its TTL; fractions count; 0 is for ever", async () => {
    const before = performance.now();
    await RustCache.insert("brief", "v", 0.05);
    await RustCache.insert("tiny", "v", 1e-9);
    await RustCache.insert("ever", "v", 0);
    while ((await RustCache.get("brief")) !== "");
    // Times are kept in whole milliseconds: an entry may go up to one early, and is never served late.
    assert.ok(performance.now() - before >= 49, "it ended early");
    while ((await RustCache.get("tiny")) !== "");
    assert.equal(await RustCache.get("ever"), "v");
    await RustCache.insert("brief", "w", 1000);
    assert.equal(await RustCache.get("brief"), "w");
  });

  test("keys and values of any length and any text come back byte for byte", async () => {
    let plane0 = "";
    for (let point = 0; point < 0x10000; point++) {
      if (point < 0xd800 || point > 0xdfff) plane0 += String.fromCharCode(point);
    }
    for (const text of [
      "G\n",
      "E",
      "\0",
      " ",
      "\ufeff",
      "a\0b\0",
      "🧱".repeat(5000),
      plane0,
      "x".repeat(1 << 20),
    ]) {
      const key = `key ${text.slice(0, 5000)}`;
      assert.equal(await RustCache.insert(key, text), "I");
      assert.ok(
        (await RustCache.get(key)) === text,
        `${JSON.stringify(text.slice(0, 20))} came back altered`,
      );
    }
  });

  test("what cannot be stored rejects with a typed error", async () => {
    for (const key of ["", " ", "\t\n", "\u00a0\u2003"]) {
      await assert.rejects(RustCache.insert(key, "v"), {
        code: "ERR_RUSTCACHE_INVALID_ARG",
        message: /empty or blank/,
      });
    }
    for (const ttl of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e300]) {
      await assert.rejects(RustCache.insert("k", "v", ttl), {
        code: "ERR_RUSTCACHE_INVALID_TTL",
        message: /TTL.*seconds/,
      });
    }
    await assert.rejects(RustCache.insert("k", "half \ud800"), { code: "ERR_RUSTCACHE_INVALID_ARG" });
    await assert.rejects(RustCache.insert("k", 5 as unknown as string), {
      message: /value must be a string, got 5/,
    });
    await assert.rejects(RustCache.get(5 as unknown as string), { message: /key must be a string, got 5/ });
    await assert.rejects(RustCache.remove(null as unknown as string), {
      message: /key must be a string, got null/,
    });
    assert.equal(await RustCache.get("k"), "");
  });

  test("batchInsert stores all, or names the item that is wrong", async () => {
    const items = Array.from({ length: 3000 }, (_, i) => ({
      key: `batch ${i}`,
      value: `${i}`,
      expire_duration: i % 2,
    }));
    items[7]!.value = "x".repeat(100_000);
    assert.deepEqual(await RustCache.batchInsert(items), new Array(3000).fill("I"));
    assert.equal(await RustCache.get("batch 2998"), "2998");
    assert.equal((await RustCache.get("batch 7")).length, 100_000);
    while ((await RustCache.get("batch 2999")) !== "");
    assert.deepEqual(await RustCache.batchInsert([]), []);
    await assert.rejects(
      RustCache.batchInsert([
        { key: "a", value: "b" },
        { key: " ", value: "c" },
      ]),
      {
        index: 1,
        message: /item 1: the key/,
      },
    );
    for (const item of [null, undefined, 5]) {
      const batch = [{ key: "a", value: "b" }, item as unknown as { key: string; value: string }];
      await assert.rejects(RustCache.batchInsert(batch), {
        code: "ERR_RUSTCACHE_INVALID_ARG",
        index: 1,
        message: /item 1: an item must be an object/,
      });
    }
    await assert.rejects(RustCache.batchInsert([{ key: "a", value: "b", expire_duration: -1 }]), {
      code: "ERR_RUSTCACHE_INVALID_TTL",
    });
  });
});

describe("its life", () => {
  test("close() then start() at once is a new daemon; the old one is gone by itself", async () => {
    for (let i = 0; i < 5; i++) {
      await RustCache.insert("before", "close");
      const old = daemon();
      RustCache.close();
      assert.equal(RustCache.process, null);
      await RustCache.start();
      assert.notEqual(daemon().pid, old.pid);
      assert.equal(old.exitCode, 0);
      assert.equal(await RustCache.get("before"), "");
    }
  });

  test("what was called before close() is answered, and a call afterwards starts a new daemon", async () => {
    await RustCache.start();
    const calls = Array.from({ length: 5000 }, (_, i) => RustCache.insert(`k${i}`, "v"));
    RustCache.close();
    RustCache.close();
    assert.ok((await Promise.all(calls)).every((answer) => answer === "I"));
    assert.equal(await RustCache.insert("after", "v"), "I");
    assert.equal(await RustCache.get("after"), "v");
    assert.equal(await RustCache.get("k1"), "");
  });

  test("kill -9 in flight: every call settles once, and the next call works", async () => {
    RustCache.close();
    await RustCache.start();
    for (let round = 0; round < 4; round++) {
      let settled = 0;
      const calls = Array.from({ length: 3000 }, (_, i) =>
        (i % 2 === 0 ? RustCache.insert(`k${i}`, "v") : RustCache.get(`k${i - 1}`)).then(
          (answer) => {
            settled++;
            assert.ok(answer === "I" || answer === "v" || answer === "");
          },
          (error: NodeJS.ErrnoException) => {
            settled++;
            assert.equal(error.code, "ERR_RUSTCACHE_CONNECTION_LOST");
            assert.match(error.message, /SIGKILL/);
          },
        ),
      );
      // In the middle of the answers, or before the first of them.
      if (round % 2 === 0) await calls[0];
      const killed = daemon();
      // All may have been answered by then, and an idle daemon keeps nobody alive.
      killed.ref();
      process.kill(killed.pid, "SIGKILL");
      await Promise.all([...calls, once(killed, "exit")]);
      assert.equal(settled, 3000);
      assert.equal(await RustCache.insert("next", "v"), "I");
      assert.equal(await RustCache.get("next"), "v");
    }
  });

  test("events tell, and an error that nobody listens to ends nothing", async () => {
    RustCache.close();
    const other = createCache(binary);
    const told: string[] = [];
    other.on("connected", () => told.push("connected")).on("disconnected", () => told.push("disconnected"));
    await other.start();
    const stuck = spawnStop(other.process!);
    const call = other.get("k");
    process.kill(stuck, "SIGKILL");
    await assert.rejects(call, { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    await other.start();
    let errors = 0;
    const onError = () => errors++;
    other.on("error", onError);
    other.off("error", onError);
    const gone = new Promise<void>((resolve) => other.once("disconnected", resolve));
    other.close();
    await gone;
    other.close();
    assert.deepEqual(told, ["connected", "disconnected", "connected", "disconnected"]);
    assert.equal(errors, 0);
  });

  test("createCache with a path is a RustCache, without one or with options a Cache", async () => {
    const plain = [
      RustCache.createCache(),
      RustCache.createCache(binary),
      RustCache.createCache(binary, false),
      RustCache.createCache(undefined, false),
      createCache(binary),
      createCache(binary, false),
      createCache(undefined, false),
    ];
    for (const cache of plain) {
      assert.equal(await cache.insert("k", "v"), "I");
      assert.equal(await cache.get("k"), "v");
      cache.close();
    }
    for (const cache of [createCache(), createCache(undefined), createCache({}), createCache({ binary })]) {
      assert.ok(cache instanceof Cache);
      assert.equal(await cache.set("k", "v"), true);
      await cache.close();
    }
  });

  test("createCache makes others, each with a daemon of its own", async () => {
    const other = RustCache.createCache(binary);
    await Promise.all([other.insert("owner", "other"), RustCache.insert("owner", "first")]);
    assert.equal(await other.get("owner"), "other");
    assert.equal(await RustCache.get("owner"), "first");
    assert.notEqual(other.process?.pid, RustCache.process?.pid);
    other.close();
    const wrong = createCache("/no/such/binary");
    await assert.rejects(wrong.insert("k", "v"), {
      code: "ERR_RUSTCACHE_START",
      message: /\/no\/such\/binary/,
    });
  });
});

/** Stops a process, so that it certainly answers nothing more; returns its pid. */
function spawnStop(child: ChildProcess): number {
  process.kill(child.pid!, "SIGSTOP");
  return child.pid!;
}

describe("the program around it", () => {
  const index = JSON.stringify(new URL("./index.ts", import.meta.url).href);
  const run = (body: string) =>
    spawn(
      process.execPath,
      [
        "--import",
        "tsx",
        "--input-type=module",
        "-e",
        `import { RustCache, createCache } from ${index}; ${body}`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
  const firstLine = async (child: ChildProcess) => {
    const [chunk] = (await once(child.stdout!.setEncoding("utf8"), "data")) as [string];
    return chunk.trim();
  };

  test("ends by itself, without close(), and its daemon with it", async () => {
    const child = run(`await RustCache.insert("a", "b"); console.log(RustCache.process.pid);`);
    const exited = once(child, "exit");
    const pid = Number(await firstLine(child));
    assert.deepEqual((await exited)[0], 0);
    await untilDead(pid);
  });

  test("ends by itself in the middle of writes that nobody awaits", async () => {
    const child = run(`await RustCache.start(); console.log(RustCache.process.pid);
      for (let i = 0; i < 20000; i++) RustCache.insert("k" + i, "v".repeat(100));`);
    const exited = once(child, "exit");
    const pid = Number(await firstLine(child));
    assert.deepEqual((await exited)[0], 0);
    await untilDead(pid);
  });

  test("leaves no daemon behind when it is killed", async () => {
    const child = run(
      `await RustCache.insert("a", "b"); console.log(RustCache.process.pid); setInterval(() => {}, 1000);`,
    );
    const pid = Number(await firstLine(child));
    process.kill(pid, 0);
    child.kill("SIGKILL");
    await untilDead(pid);
  });

  test("leaves no daemon behind after process.exit()", async () => {
    const child = run(
      `RustCache.insert("a", "b"); await RustCache.start(); console.log(RustCache.process.pid); process.exit(7);`,
    );
    const exited = once(child, "exit");
    const pid = Number(await firstLine(child));
    assert.equal((await exited)[0], 7);
    await untilDead(pid);
  });

  test("debug forwards the daemon's log to stderr, and nothing to stdout", async () => {
    const path = JSON.stringify(binary);
    const code = `import { createCache } from ${index}; const c = createCache(${path}, true); await c.insert("a", "b"); c.close();`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    child.stdout!.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr!.on("data", (chunk) => {
      err += chunk;
    });
    await once(child, "close");
    assert.equal(out, "");
    assert.notEqual(err, "");
  });
});
