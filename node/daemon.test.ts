// Starting, dying, restarting and closing, with a daemon that misbehaves on order (testdata/fake-daemon.mjs). Those of its load are in loading.test.ts.

import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findBinary } from "./binary.js";
import { ClosedError, ConnectionLostError, createCache, DirectoryInUseError, StartError } from "./index.js";
import { directory, FAKE, fake } from "./testdata/fake.js";

const starts = (file: string) => readFileSync(file).length;

describe("a daemon that does not start", () => {
  test("exits at once: the error has its exit code and its last words", async () => {
    const cache = fake("exit");
    await assert.rejects(cache.start(), (error: StartError) => {
      assert.ok(error instanceof StartError);
      assert.equal(error.code, "ERR_RUSTCACHE_START");
      assert.match(error.message, /exited with code 3/);
      assert.match(error.message, /the disk is on fire/);
      return true;
    });
    await cache.close();
  });

  test("the calls that waited for it get the same error, each once", async () => {
    const cache = fake("exit");
    const errors: Error[] = [];
    cache.on("error", (error) => errors.push(error));
    const results = await Promise.allSettled([cache.get("a"), cache.set("b", "c"), cache.getMany(["d"])]);
    for (const result of results)
      assert.match(String((result as PromiseRejectedResult).reason), /disk is on fire/);
    await new Promise(setImmediate);
    assert.equal(errors.length, 1);
    await cache.close();
  });

  test("says nothing: the start times out", async () => {
    const cache = fake("silent", { startTimeout: 300 });
    await assert.rejects(cache.start(), { code: "ERR_RUSTCACHE_START", message: /did not answer.*300 ms/ });
    assert.equal(cache.pid, undefined);
    await cache.close();
  });

  test("prints what is no protocol: the error shows it", async () => {
    const cache = fake("garbage");
    await assert.rejects(cache.start(), {
      code: "ERR_RUSTCACHE_START",
      message: /Listening on port 7070.*rustcache\?/,
    });
    await cache.close();
  });

  test("speaks other versions: the error has its reason", async () => {
    const cache = fake("refuse");
    await assert.rejects(cache.start(), { code: "ERR_RUSTCACHE_START", message: /you speak 2, I speak 9/ });
    await cache.close();
  });

  test("echoes: that is no answer", { skip: process.platform === "win32" }, async () => {
    const cache = createCache({ binary: "cat" });
    await assert.rejects(cache.start(), { code: "ERR_RUSTCACHE_START" });
    await cache.close();
  });

  test("is not there, or not a program", async () => {
    const nowhere = createCache({ binary: "/no/such/rustcache" });
    await assert.rejects(nowhere.start(), {
      code: "ERR_RUSTCACHE_START",
      message: /option binary.*no\/such\/rustcache.*not there/,
    });
    const unknown = createCache({ binary: "no-such-program-in-path" });
    await assert.rejects(unknown.get("k"), {
      code: "ERR_RUSTCACHE_START",
      message: /no-such-program-in-path could not be run/,
    });
    const file = join(directory, "not-executable");
    writeFileSync(file, "");
    await assert.rejects(createCache({ binary: file }).start(), { code: "ERR_RUSTCACHE_START" });
    await assert.rejects(createCache({ binary: directory }).start(), { message: /not a file/ });
  });

  test("the option goes before the variable, and a wrong one is an error", () => {
    assert.throws(() => findBinary(undefined, { RUSTCACHE_BINARY: "/no/where" }), {
      message: /RUSTCACHE_BINARY.*\/no\/where.*not there/,
    });
    assert.equal(findBinary(process.execPath, { RUSTCACHE_BINARY: "/no/where" }), process.execPath);
    assert.equal(findBinary(undefined, { RUSTCACHE_BINARY: process.execPath }), process.execPath);
  });

  test("a start that failed can be tried again, and calls that come meanwhile are not lost", async () => {
    const cache = fake("exit");
    await assert.rejects(cache.start());
    await assert.rejects(cache.start());
    await assert.rejects(cache.get("k"));
    await cache.close();
  });
});

describe("a daemon that dies", () => {
  test("in flight: the call rejects, says that the write is uncertain, and quotes the last words", async () => {
    const lines: string[] = [];
    const cache = fake("noisy", { onLog: (line) => lines.push(line) });
    await assert.rejects(cache.set("k", "v"), (error: ConnectionLostError) => {
      assert.ok(error instanceof ConnectionLostError);
      assert.equal(error.maybeApplied, true);
      assert.match(error.message, /exited with code 1/);
      assert.match(error.message, /line 50\n {2}no newline/);
      assert.doesNotMatch(error.message, /line 30\n/, "more than the last lines");
      return true;
    });
    assert.equal(lines.length, 51);
    assert.equal(lines[0], "line 1");
    await cache.close();
  });

  test("the next call starts another, and the events tell", async () => {
    const cache = fake("crash-on-set");
    const told: string[] = [];
    cache.on("ready", ({ name }) => told.push(`ready ${name}`));
    cache.on("error", (error) => told.push(`error ${(error as ConnectionLostError).code}`));
    cache.on("restart", ({ attempt, reason }) =>
      told.push(`restart ${attempt} ${/SIGKILL/.test(reason.message)}`),
    );
    cache.on("close", () => told.push("close"));
    const read = cache.get("k");
    const [lost] = await Promise.allSettled([cache.set("k", "v"), read]);
    assert.match(String((lost as PromiseRejectedResult).reason), /killed by SIGKILL/);
    assert.equal(await cache.get("k"), undefined);
    await Promise.all([new Promise<void>((resolve) => cache.once("close", resolve)), cache.close()]);
    assert.deepEqual(told, [
      "ready fake 1",
      "error ERR_RUSTCACHE_CONNECTION_LOST",
      "restart 1 true",
      "ready fake 1",
      "close",
    ]);
  });

  test("a reply that it wrote before its death is a reply", async () => {
    const cache = fake("answer-and-crash");
    // An idle daemon keeps nobody alive, and its death is awaited here.
    const alive = setInterval(() => {}, 1000);
    for (let i = 0; i < 5; i++) {
      const died = new Promise<void>((resolve) => cache.once("error", () => resolve()));
      assert.equal(await cache.set("k", "v"), true);
      await died;
    }
    clearInterval(alive);
    await cache.close();
  });

  test("nonsense in its output ends it, and the reason is told", async () => {
    const cache = fake("garbage-on-set");
    await assert.rejects(cache.set("k", "v"), {
      code: "ERR_RUSTCACHE_CONNECTION_LOST",
      message: /the stream is damaged/,
    });
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
  });

  test("one that closes its output is as good as dead", async () => {
    const cache = fake("mute-on-set");
    await assert.rejects(cache.set("k", "v"), {
      code: "ERR_RUSTCACHE_CONNECTION_LOST",
      message: /closed its output/,
    });
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
  });

  test("one that closes its input is as good as dead, and what it answered before counts", async () => {
    const cache = fake("deaf-on-get");
    assert.equal(await cache.get("k"), undefined);
    const large = Buffer.alloc(4 << 20);
    await assert.rejects(cache.set("k", large), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    await cache.close();
  });

  test("a grandchild that holds its pipes does not hold up its death", async () => {
    let grandchild = 0;
    const cache = fake("grandchild-on-set", {
      onLog(line) {
        if (line.startsWith("grandchild")) grandchild = Number(line.split(" ")[1]);
      },
    });
    await assert.rejects(cache.set("k", "v"), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
    process.kill(grandchild, "SIGKILL");
  });

  test("calls made while it restarts wait, through failed attempts too", async () => {
    const file = join(directory, "fails-twice");
    const cache = fake("fails-twice", { restart: { pause: 1 } }, file);
    await assert.rejects(cache.set("k", "v"), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    const results = await Promise.all([cache.get("a"), cache.set("b", "c"), cache.get("d")]);
    assert.deepEqual(results, [undefined, true, undefined]);
    assert.equal(starts(file), 4);
    await cache.close();
  });

  test("too often: a final error says why, without another start; start() tries again", async () => {
    const file = join(directory, "works-once");
    const cache = fake("works-once", { restart: { limit: 3, pause: 1 } }, file);
    await assert.rejects(cache.set("k", "v"), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    const failed = cache.get("k");
    await assert.rejects(failed, {
      code: "ERR_RUSTCACHE_RESTARTS_EXHAUSTED",
      message: /failed 4 times within 180 s.*exited with code 6/,
    });
    assert.equal(starts(file), 4);
    await assert.rejects(cache.get("k"), { code: "ERR_RUSTCACHE_RESTARTS_EXHAUSTED" });
    assert.equal(starts(file), 4, "it was started although it is to be left alone");
    await assert.rejects(cache.start(), { code: "ERR_RUSTCACHE_START", message: /exited with code 6/ });
    assert.equal(starts(file), 5);
    await cache.close();
  });

  test("restart: false means never", async () => {
    const cache = fake("crash-on-set", { restart: false });
    await assert.rejects(cache.set("k", "v"), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    await assert.rejects(cache.get("k"), { code: "ERR_RUSTCACHE_RESTARTS_EXHAUSTED", message: /SIGKILL/ });
    await cache.start();
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
  });

  test("an error event without a listener harms nobody; events and listeners are checked", async () => {
    const cache = fake("crash-on-set");
    await assert.rejects(cache.set("k", "v"), { code: "ERR_RUSTCACHE_CONNECTION_LOST" });
    await cache.close();
    assert.throws(() => cache.on("no-such-event" as "error", () => {}), {
      message: /"no-such-event".*ready, restart/,
    });
    assert.throws(() => cache.on("error", 1 as unknown as () => void), { code: "ERR_RUSTCACHE_INVALID_ARG" });
  });
});

describe("a daemon with a directory", () => {
  test("a call that it dies of is sent four times, and rejects", async () => {
    const file = join(directory, "poison");
    const cache = fake("crash-on-set", { dir: file, restart: { pause: 1 } });
    let deaths = 0;
    cache.on("error", () => deaths++);
    await assert.rejects(cache.set("poison", "v"), {
      code: "ERR_RUSTCACHE_CONNECTION_LOST",
      maybeApplied: true,
    });
    await new Promise(setImmediate);
    assert.equal(deaths, 4);
    assert.equal(await cache.get("k"), undefined);
    await cache.close();
  });

  test("restarts that are used up reject what was to be sent again", async () => {
    const cache = fake("crash-on-set", { dir: directory, restart: { limit: 1 } });
    await assert.rejects(cache.set("k", "v"), (error: ConnectionLostError) => {
      assert.ok(error instanceof ConnectionLostError && error.maybeApplied);
      assert.equal((error.cause as StartError).code, "ERR_RUSTCACHE_RESTARTS_EXHAUSTED");
      return true;
    });
    await cache.close();
  });

  test("that cannot have its directory again is not started again and again", async () => {
    const file = join(directory, "loses");
    const cache = fake("loses-its-directory", { dir: directory, restart: { pause: 1 } }, file);
    await assert.rejects(cache.set("k", "v"), (error: ConnectionLostError) => {
      assert.ok(error instanceof ConnectionLostError);
      assert.ok(error.cause instanceof DirectoryInUseError);
      assert.equal(error.cause.pid, 4711);
      return true;
    });
    assert.equal(starts(file), 2);
    await assert.rejects(cache.get("k"), DirectoryInUseError);
    await cache.close();
  });

  test("whose disk has failed: each write says whether it was done, items of batches too", async () => {
    const cache = fake("disk-failed");
    await assert.rejects(cache.set("k", "v"), {
      code: "ERR_RUSTCACHE_DISK",
      maybeApplied: false,
      message: "journal-1: no space left",
    });
    await assert.rejects(cache.remove("k"), { code: "ERR_RUSTCACHE_DISK", maybeApplied: true });
    const batch = cache.setMany([
      { key: "a", value: "b" },
      { key: "c", value: "d" },
    ]);
    await assert.rejects(batch, { code: "ERR_RUSTCACHE_DISK", index: 1, message: /item 1 \(key "c"\)/ });
    await cache.close();
  });
});

describe("close", () => {
  test("answers what was called before, rejects what comes after, and start() opens it again", async () => {
    const cache = fake("serve");
    await cache.start();
    const before = [cache.get("a"), cache.set("b", "c")];
    const closed = cache.close();
    await assert.rejects(cache.get("after"), ClosedError);
    await assert.rejects(cache.getMany(["after"]), ClosedError);
    const again = cache.start();
    const later = cache.set("later", "v");
    assert.deepEqual(await Promise.all(before), [undefined, true]);
    await closed;
    await again;
    assert.equal(await later, true);
    await cache.close();
    assert.equal(cache.pid, undefined);
  });

  test("during a start that nothing waits for: it rejects at once", async () => {
    const cache = fake("silent");
    const start = cache.start();
    const closed = cache.close();
    await assert.rejects(start, ClosedError);
    await closed;
  });

  test("during a start that never ends: what waits for it rejects with its error", async () => {
    const cache = fake("silent", { startTimeout: 300 });
    const calls = [cache.start(), cache.get("k"), cache.setMany([{ key: "k", value: "v" }])];
    const results = Promise.allSettled(calls);
    await cache.close();
    for (const result of await results) {
      assert.ok(result.status === "rejected");
      assert.match(result.reason.message, /did not answer.*300 ms/);
    }
  });

  test("during the pause before a restart: it is tried once more, at once", async () => {
    const file = join(directory, "paused");
    const cache = fake("works-once", { restart: { limit: 100, pause: 100_000 } }, file);
    await assert.rejects(cache.set("k", "v"));
    const restarting = new Promise<void>((resolve) => {
      cache.on("restart", ({ attempt }) => {
        if (attempt === 2) resolve();
      });
    });
    const call = cache.get("k");
    await restarting;
    const rejected = assert.rejects(call, { code: "ERR_RUSTCACHE_START", message: /exited with code 6/ });
    await cache.close();
    await rejected;
    assert.equal(starts(file), 3);
  });

  test("twice is once, and without a start nothing", async () => {
    const cache = fake("serve");
    let closes = 0;
    cache.on("close", () => closes++);
    await Promise.all([cache.close(), cache.close()]);
    await cache.start();
    await Promise.all([cache.close(), cache.close()]);
    await cache.close();
    await new Promise(setImmediate);
    assert.equal(closes, 2);
  });

  test("a daemon that ignores the end of its input and SIGTERM is killed; calls it never answered reject", async () => {
    const cache = fake("stubborn", { closeTimeout: 50 });
    const lines: string[] = [];
    await cache.start();
    const { pid } = cache;
    cache.on("close", () => lines.push("close"));
    await cache.close();
    assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });

    const hanging = fake("hang-on-set", { closeTimeout: 5000 });
    await hanging.start();
    const call = hanging.set("k", "v");
    await hanging.close();
    await assert.rejects(call, { code: "ERR_RUSTCACHE_CLOSED", maybeApplied: true });
  });

  test("await using closes", async () => {
    let pid: number | undefined;
    {
      await using cache = fake("serve");
      await cache.start();
      pid = cache.pid;
    }
    assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  });

  test("a call that hangs is timed out, others are not", async () => {
    const cache = fake("hang-on-set", { timeout: 50 });
    await cache.start();
    const stuck = cache.set("k", "v");
    assert.equal(await cache.get("k", { timeout: 0 }), undefined);
    await assert.rejects(stuck, { code: "ERR_RUSTCACHE_TIMEOUT", maybeApplied: true });
    assert.equal(cache.pending, 0);
    await cache.close();
  });
});

describe("the program around it", () => {
  const index = new URL("./index.ts", import.meta.url).href;
  const run = (body: string) => {
    const code = `import { createCache } from ${JSON.stringify(index)};
      const cache = (mode) => createCache({ binary: process.execPath, args: [${JSON.stringify(FAKE)}, mode] });
      ${body}`;
    return spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  };
  const output = async (child: ReturnType<typeof run>) => {
    let text = "";
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    const [code] = (await once(child, "close")) as [number];
    return { text, code };
  };

  test("ends by itself although nobody calls close()", async () => {
    const { text, code } = await output(
      run(`const c = cache("serve"); await c.set("a", "b"); console.log("done");`),
    );
    assert.deepEqual({ text, code }, { text: "done\n", code: 0 });
  });

  test("does not end while a call is in flight, also when the daemon dies meanwhile", async () => {
    const { text, code } = await output(
      run(`const c = cache("crash-on-set"); await c.start();
        try { await c.set("a", "b"); } catch (error) { console.log(error.code); }
        console.log(await c.get("a"));`),
    );
    assert.deepEqual({ text, code }, { text: "ERR_RUSTCACHE_CONNECTION_LOST\nundefined\n", code: 0 });
  });

  test("waits for the end of a close()", async () => {
    const { text, code } = await output(
      run(`const c = cache("serve"); await c.start(); await c.close(); console.log("closed");`),
    );
    assert.deepEqual({ text, code }, { text: "closed\n", code: 0 });
  });
});
