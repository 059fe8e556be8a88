// Where `RustCache` keeps its data: in `.rustcache`, or where RUSTCACHE_DIR or configure() say, or nowhere. Each program runs in a process and a
// working directory of its own, as a user's would.

import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createCache, DirectoryInUseError, RustCache, type RustCacheOptions } from "./index.js";
import { killDuring, requireDaemon } from "./testdata/daemon.js";

const binary = requireDaemon();

const scratch = realpathSync(mkdtempSync(join(tmpdir(), "rustcache-directory-")));
after(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

/** A new, empty directory. */
function place(): string {
  const path = join(scratch, `place-${made++}`);
  mkdirSync(path);
  return path;
}

const INDEX = JSON.stringify(new URL("./index.ts", import.meta.url).href);
const TSX = import.meta.resolve("tsx");

/** Starts a program in `cwd`. `variable`: RUSTCACHE_DIR; undefined = not set. */
function start(cwd: string, body: string, variable?: string): ChildProcess {
  const env: NodeJS.ProcessEnv = { ...process.env, RUSTCACHE_BINARY: binary, RUSTCACHE_DIR: variable };
  const code = `import { RustCache, createCache } from ${INDEX}; ${body}`;
  return spawn(process.execPath, ["--import", TSX, "--input-type=module", "-e", code], {
    cwd,
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** Runs one to its end and gives what it printed. */
async function run(cwd: string, body: string, variable?: string): Promise<string> {
  const child = start(cwd, body, variable);
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, text);
  return text.trim();
}

const WRITE = `await RustCache.insert("k", "kept", 3600); await RustCache.insert("ever", "kept");`;
const READ = `console.log(await RustCache.get("k"), await RustCache.get("ever"));`;

describe("by default", () => {
  test("the data is in .rustcache, for its owner alone and for no version control, and the next process finds it", async () => {
    const cwd = place();
    assert.equal(await run(cwd, `${WRITE} console.log("written");`), "written");
    assert.deepEqual(readdirSync(cwd), [".rustcache"]);
    const directory = join(cwd, ".rustcache");
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.equal(readFileSync(join(directory, ".gitignore"), "utf8"), "*\n");
    assert.equal(await run(cwd, READ), "kept kept");
  });

  test("a directory that is there is left as it is", async () => {
    const cwd = place();
    mkdirSync(join(cwd, ".rustcache"), { mode: 0o755 });
    await run(cwd, WRITE);
    assert.equal(statSync(join(cwd, ".rustcache")).mode & 0o777, 0o755);
    assert.equal(existsSync(join(cwd, ".rustcache", ".gitignore")), false);
    assert.equal(await run(cwd, READ), "kept kept");
  });

  test("importing it and looking at it makes no directory", async () => {
    const cwd = place();
    assert.equal(await run(cwd, `console.log(RustCache.process); RustCache.close();`), "null");
    assert.deepEqual(readdirSync(cwd), []);
  });

  test("others, and those of createCache, keep nothing on disk", async () => {
    const cwd = place();
    const body = `const a = RustCache.createCache(); const b = createCache(undefined, false); const c = createCache();
      await a.insert("k", "v"); await b.insert("k", "v"); await c.set("k", "v"); a.close(); b.close(); await c.close();`;
    await run(cwd, body);
    await run(cwd, body, join(cwd, "by-variable"));
    assert.deepEqual(readdirSync(cwd), []);
  });

  test("kill -9 of the process and its daemon loses nothing that was acknowledged", async () => {
    const cwd = place();
    const child = start(cwd, `${WRITE} console.log(RustCache.process.pid); setInterval(() => {}, 1000);`);
    const [pid] = (await once(child.stdout!.setEncoding("utf8"), "data")) as [string];
    process.kill(Number(pid), "SIGKILL");
    child.kill("SIGKILL");
    await once(child, "close");
    assert.equal(await run(cwd, READ), "kept kept");
  });

  test("a file in the place of the directory is an error that says so", async () => {
    const cwd = place();
    writeFileSync(join(cwd, ".rustcache"), "");
    const text = await run(cwd, `await RustCache.get("k").catch((e) => console.log(e.code, e.message));`);
    assert.match(text, /^ERR_RUSTCACHE_DIRECTORY .*\.rustcache/);
  });
});

describe("RUSTCACHE_DIR", () => {
  test("names another directory, which is made with all above it", async () => {
    const cwd = place();
    const other = join(place(), "a", "b");
    await run(cwd, WRITE, other);
    assert.deepEqual(readdirSync(cwd), []);
    assert.equal(readFileSync(join(other, ".gitignore"), "utf8"), "*\n");
    assert.equal(statSync(other).mode & 0o777, 0o700);
    assert.equal(await run(cwd, READ, other), "kept kept");
  });

  test("empty keeps nothing on disk, whatever configure() says of syncing", async () => {
    const cwd = place();
    await run(cwd, `RustCache.configure({ sync: "always" }); ${WRITE}`, "");
    assert.deepEqual(readdirSync(cwd), []);
    assert.equal(await run(cwd, READ, ""), "");
  });

  test("is read when the daemon starts, not at import", async () => {
    const cwd = place();
    await run(cwd, `process.env.RUSTCACHE_DIR = "late"; ${WRITE}`);
    assert.deepEqual(readdirSync(cwd), ["late"]);
  });
});

describe("configure", () => {
  test("wins over RUSTCACHE_DIR and the default, and null keeps nothing on disk", async () => {
    const cwd = place();
    await run(
      cwd,
      `RustCache.configure({ dir: "mine", sync: "always" }); ${WRITE}`,
      join(cwd, "by-variable"),
    );
    assert.deepEqual(readdirSync(cwd), ["mine"]);
    assert.equal(await run(cwd, `RustCache.configure({ dir: "mine" }); ${READ}`), "kept kept");
    await run(cwd, `RustCache.configure({ dir: null }); ${WRITE}`);
    assert.deepEqual(readdirSync(cwd), ["mine"]);
  });

  test("after the start throws an error of its own, and after close() it holds again", async () => {
    const [one, two] = [place(), place()];
    const cache = RustCache.createCache().configure({ dir: one });
    await cache.insert("k", "one");
    assert.throws(() => cache.configure({ dir: two }), {
      code: "ERR_RUSTCACHE_ALREADY_STARTED",
      message: /before the first call, or after close\(\)/,
    });
    assert.equal(await cache.get("k"), "one");
    cache.close();
    cache.configure({ dir: two });
    assert.equal(await cache.get("k"), "");
    cache.close();
    cache.configure({ dir: one });
    assert.equal(await cache.get("k"), "one");
    cache.close();
    cache.configure({ dir: undefined });
    assert.equal(await cache.get("k"), "");
    cache.close();
  });

  test("during the start throws as well", async () => {
    const cache = RustCache.createCache().configure({ dir: place() });
    const call = cache.insert("k", "v");
    assert.throws(() => cache.configure({ maxItems: 5 }), { code: "ERR_RUSTCACHE_ALREADY_STARTED" });
    await call;
    cache.close();
  });

  test("its limits hold, and each call changes only what it names", async () => {
    const cache = RustCache.createCache();
    cache.configure({ maxItems: 2 }).configure({ maxBytes: "1gb" });
    for (const key of ["a", "b", "c"]) await cache.insert(key, "v");
    assert.deepEqual([await cache.get("a"), await cache.get("b"), await cache.get("c")], ["", "v", "v"]);
    cache.close();
  });

  test("checks what it is given, and what is wrong changes nothing", async () => {
    const cache = RustCache.createCache().configure({ maxItems: 2 });
    for (const [options, message] of [
      [null, /options must be an object, got null/],
      [{ ttl: 5 }, /no option "ttl": it takes dir, sync, maxItems, maxBytes/],
      [{ dir: "" }, /dir must be the path of a directory, or null/],
      [{ dir: 5 }, /dir must be/],
      [{ maxItems: 0 }, /maxItems must be an integer from 1/],
      [{ maxBytes: "x" }, /maxBytes must be/],
      [{ dir: "x", sync: "often" }, /sync must be one of always, everysec, never/],
      [{ dir: null, sync: "always" }, /sync "always" is for a cache that is kept on disk/],
      [{ sync: "always" }, /sync "always" is for a cache that is kept on disk/],
    ] as [RustCacheOptions, RegExp][]) {
      assert.throws(() => cache.configure(options), { code: "ERR_RUSTCACHE_INVALID_ARG", message });
    }
    for (const key of ["a", "b", "c"]) await cache.insert(key, "v");
    assert.equal(await cache.get("a"), "");
    cache.close();
  });
});

describe("one directory, two processes", () => {
  test("the second is told who has it, and has it once the first has ended", async () => {
    const cwd = place();
    const holder = start(cwd, `${WRITE} console.log(RustCache.process.pid); process.stdin.resume();`);
    const [pid] = (await once(holder.stdout!.setEncoding("utf8"), "data")) as [string];
    const text = await run(
      cwd,
      `await RustCache.get("k").catch((e) => console.log(e.name, e.code, e.pid, e.message));
       await RustCache.insert("k", "v").catch((e) => console.log(e.code));`,
    );
    const [first, second] = text.split("\n") as [string, string];
    assert.ok(first.startsWith(`DirectoryInUseError ERR_RUSTCACHE_DIRECTORY_IN_USE ${pid.trim()} `), first);
    assert.ok(first.includes(join(cwd, ".rustcache")) && first.includes("RUSTCACHE_DIR"), first);
    assert.equal(second, "ERR_RUSTCACHE_DIRECTORY_IN_USE");
    const ended = once(holder, "close");
    holder.stdin!.end();
    await ended;
    assert.equal(await run(cwd, READ), "kept kept");
  });

  test("after the error configure() can name another, and start() tries again", async () => {
    const dir = place();
    const [one, two] = [RustCache.createCache(), RustCache.createCache()];
    one.configure({ dir });
    two.configure({ dir });
    await one.insert("k", "one");
    await assert.rejects(two.start(), DirectoryInUseError);
    two.configure({ dir: place() });
    await two.insert("k", "two");
    assert.deepEqual([await one.get("k"), await two.get("k")], ["one", "two"]);
    two.close();
    two.configure({ dir });
    await assert.rejects(two.start(), DirectoryInUseError);
    const gone = new Promise<void>((resolve) => one.once("disconnected", resolve));
    one.close();
    await gone;
    await two.start();
    assert.equal(await two.get("k"), "one");
    two.close();
  });
});

describe("a RustCache that is kept on disk", () => {
  test("loses nothing by close() and start() at once", async () => {
    const cache = RustCache.createCache().configure({ dir: place() });
    for (let round = 0; round < 5; round++) {
      await cache.insert(`round ${round}`, `${round}`);
      cache.close();
      await cache.start();
      for (let i = 0; i <= round; i++) assert.equal(await cache.get(`round ${i}`), `${i}`);
    }
    cache.close();
  });

  test("answers what was in flight at kill -9", async () => {
    const cache = RustCache.createCache().configure({ dir: place() });
    await cache.insert("old", "v");
    const answers = await killDuring(cache.process!.pid!, () =>
      Promise.all([
        cache.get("old"),
        cache.insert("timed", "v", 3600),
        cache.insert("k", "v"),
        cache.remove("old"),
        cache.get("old"),
        cache.batchInsert([
          { key: "b1", value: "v" },
          { key: "b2", value: "v".repeat(100_000), expire_duration: 3600 },
        ]),
        cache.get("b1"),
      ]),
    );
    assert.deepEqual(answers, ["v", "I", "I", "R", "", ["I", "I"], "v"]);
    assert.equal(await cache.get("timed"), "v");
    cache.close();
  });

  test("ends an entry with its TTL, fractions counted, also through a restart", async () => {
    const cache = RustCache.createCache().configure({ dir: place() });
    const before = performance.now();
    await cache.insert("brief", "v", 0.05);
    await cache.insert("long", "v", 3600);
    cache.close();
    while ((await cache.get("brief")) !== "");
    assert.ok(performance.now() - before >= 48, "it ended early");
    assert.equal(await cache.get("long"), "v");
    cache.close();
  });

  test("is a Cache's directory as well", async () => {
    const dir = place();
    const cache = RustCache.createCache().configure({ dir });
    await cache.insert("k", "v");
    const gone = new Promise<void>((resolve) => cache.once("disconnected", resolve));
    cache.close();
    await gone;
    await using other = createCache({ dir });
    assert.equal(await other.get("k"), "v");
  });
});
