// The cache handler of Next.js over rustcache, called as Next 16 calls it. Next itself is run by examples/adapters/next/start.mjs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, beforeEach, describe, mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  createCacheHandler,
  type NextCacheHandler,
  type NextCacheHandlerClass,
} from "../../node/adapters/next.js";
import { type Cache, createCache } from "../../node/index.js";

const START = Date.UTC(2030, 0, 1);
const errors: Error[] = [];
let cache: Cache;
let Handler: NextCacheHandlerClass;
let handler: NextCacheHandler;
before(() => {
  cache = createCache();
  Handler = createCacheHandler({ cache, onError: (error) => errors.push(error) });
});
after(() => cache.close());
beforeEach(async () => {
  await cache.clear();
  handler = new Handler({ revalidatedTags: [] });
  // Date alone: the client's timers are real.
  mock.timers.reset();
  mock.timers.enable({ apis: ["Date"], now: START });
});
after(() => mock.timers.reset());

const page = (tags: string) => ({
  kind: "APP_PAGE",
  html: "<h1>hello</h1>",
  rscData: Buffer.from([0, 1, 254, 255]),
  headers: { "x-next-cache-tags": tags },
  postponed: undefined,
  status: 200,
  segmentData: new Map([
    ["/_tree", Buffer.from("tree")],
    ["/page", Buffer.alloc(0)],
  ]),
});
const PAGE = { kind: "APP_PAGE", isRoutePPREnabled: false, isFallback: false };
const fetched = (tags: string[]) => ({
  kind: "FETCH",
  data: { headers: { "content-type": "text/plain" }, body: "aGVsbG8=", url: "http://x/", status: 200 },
  tags,
  revalidate: 60,
});
const FETCH = { kind: "FETCH" };

describe("the cache handler", () => {
  test("gives back pages, routes and fetches as they were: Buffers, Maps, undefined", async () => {
    const route = { kind: "APP_ROUTE", body: Buffer.from([1, 2, 3]), status: 200, headers: {} };
    const cacheControl = { revalidate: 60, expire: 3600 };
    await handler.set("/", page("a,b"), { fetchCache: false, cacheControl } as never);
    await handler.set("/route", route, { cacheControl: { revalidate: false } });
    await handler.set("hash", fetched(["a"]), { fetchCache: true, tags: ["a"] });
    assert.deepEqual(await handler.get("/", PAGE), {
      lastModified: START,
      value: page("a,b"),
      cacheControl,
    });
    assert.deepEqual((await handler.get("/route", { kind: "APP_ROUTE" }))?.value, route);
    assert.deepEqual(await handler.get("hash", FETCH), { lastModified: START, value: fetched(["a"]) });
    assert.equal(await handler.get("/none", PAGE), null);
    assert.ok(Buffer.isBuffer((await handler.get("/", PAGE))?.value.rscData), "a Buffer, which Next sends");
  });

  test("gives what one handler stored to all others: Next makes one for a request", async () => {
    await handler.set("/", page(""), {});
    assert.deepEqual((await new Handler().get("/", PAGE))?.value, page(""));
  });

  test("keeps a page no longer than it may be served, and what has no end until there is no room", async () => {
    await handler.set("/", page(""), { cacheControl: { revalidate: 1, expire: 3600 } });
    await handler.set("/static", page(""), { cacheControl: { revalidate: false } });
    const left = (await cache.ttl("next:entry:/"))!;
    assert.ok(left > 3_500_000 && left <= 3_600_000, `${left}`);
    assert.equal(await cache.ttl("next:entry:/static"), Number.POSITIVE_INFINITY);
  });

  test("removes what is set to null", async () => {
    await handler.set("/", page(""), {});
    await handler.set("/", null, {});
    assert.equal(await handler.get("/", PAGE), null);
  });
});

describe("a tag that is revalidated", () => {
  test("takes every page and fetch that has it, and no other; what is stored later is served", async () => {
    await handler.set("/a", page("posts,_N_T_/a"), {});
    await handler.set("/b", page("users"), {});
    await handler.set("f", fetched(["posts"]), { fetchCache: true, tags: ["posts"] });
    mock.timers.setTime(START + 10);
    await handler.revalidateTag("posts");
    assert.equal(await handler.get("/a", PAGE), null);
    assert.equal(await handler.get("f", { ...FETCH, tags: ["posts"] }), null);
    assert.notEqual(await handler.get("/b", PAGE), null);
    mock.timers.setTime(START + 20);
    await handler.set("/a", page("posts,_N_T_/a"), {});
    assert.equal((await handler.get("/a", PAGE))?.lastModified, START + 20);
  });

  test("takes a fetch by a tag that only the reader names: revalidatePath", async () => {
    await handler.set("f", fetched([]), { fetchCache: true });
    mock.timers.setTime(START + 10);
    await handler.revalidateTag(["_N_T_/layout", "_N_T_/a"]);
    assert.equal(await handler.get("f", { ...FETCH, tags: [], softTags: ["_N_T_/a"] }), null);
    assert.notEqual(await handler.get("f", { ...FETCH, tags: [], softTags: ["_N_T_/b"] }), null);
  });

  test("in the very millisecond in which an entry was stored takes it as well", async () => {
    await handler.set("/a", page("posts"), {});
    await handler.revalidateTag("posts");
    assert.equal(await handler.get("/a", PAGE), null);
  });

  test("with a duration makes entries stale, and takes them when that is over", async () => {
    await handler.set("/a", page("posts"), {});
    await handler.set("f", fetched(["posts"]), { fetchCache: true, tags: ["posts"] });
    mock.timers.setTime(START + 10);
    await handler.revalidateTag("posts", { expire: 5 });
    assert.equal((await handler.get("/a", PAGE))?.lastModified, -1, "made anew before it is served");
    const stale = (await handler.get("f", FETCH))!;
    assert.ok((Date.now() - stale.lastModified) / 1000 > 31_536_000, "older than any revalidate of Next");
    assert.deepEqual(stale.value, fetched(["posts"]));
    mock.timers.setTime(START + 10 + 5000);
    assert.equal(await handler.get("/a", PAGE), null);
    assert.equal(await handler.get("f", FETCH), null);
  });

  test("a second time takes back nothing of what was said the first time", async () => {
    await handler.set("/old", page("posts"), {});
    mock.timers.setTime(START + 10);
    await handler.revalidateTag("posts");
    mock.timers.setTime(START + 20);
    await handler.set("/new", page("posts"), {});
    mock.timers.setTime(START + 30);
    await Promise.all([
      handler.revalidateTag("posts", { expire: 1 }),
      handler.revalidateTag("posts", { expire: 300 }),
    ]);
    assert.equal(await handler.get("/old", PAGE), null, "though it is only stale by the second");
    assert.equal((await handler.get("/new", PAGE))?.lastModified, -1);
    mock.timers.setTime(START + 30 + 1000);
    assert.equal(await handler.get("/new", PAGE), null, "the earlier of two ends holds");
    await handler.revalidateTag("posts", {});
    assert.equal(await handler.get("/new", PAGE), null);
    mock.timers.setTime(START + 2000);
    await handler.set("/new", page("posts"), {});
    assert.notEqual((await handler.get("/new", PAGE))?.lastModified, -1);
  });

  test("by a former request of the same visitor, which Next tells, is a miss for him", async () => {
    await handler.set("/a", page("posts"), {});
    assert.equal(await new Handler({ revalidatedTags: ["posts"] }).get("/a", PAGE), null);
    assert.notEqual(await handler.get("/a", PAGE), null);
  });
});

/** A process of its own, since a process has one cache for Next. */
function inProcess(program: string, env: NodeJS.ProcessEnv = {}): string {
  const module = new URL("../../node/adapters/next.ts", import.meta.url).href;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      "--import",
      import.meta.resolve("tsx"),
      "--input-type=module",
      "--eval",
      `import { createCacheHandler } from ${JSON.stringify(module)};\n${program}`,
    ],
    { encoding: "utf8", cwd: fileURLToPath(new URL(".", import.meta.url)), env: { ...process.env, ...env } },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

test("a cache that fails is a miss that is told of, and a revalidation that fails rejects", () => {
  const printed = inProcess(`
    const Handler = createCacheHandler({ cache: { binary: "/no/such/binary" }, onError: (error) => console.log(error.code) });
    const handler = new Handler();
    console.log(await handler.get("/", { kind: "APP_PAGE" }));
    await handler.revalidateTag("a").catch((error) => console.log("rejected", error.code));
  `);
  assert.equal(printed, "ERR_RUSTCACHE_START\nnull\nrejected ERR_RUSTCACHE_START\n");
});

test("the modules of one process share one cache, and a build goes without the directory", () => {
  const directory = fileURLToPath(new URL("never-made", import.meta.url));
  const printed = inProcess(
    `
    import { existsSync } from "node:fs";
    const options = { cache: { dir: ${JSON.stringify(directory)} } };
    const [One, Two] = [createCacheHandler(options), createCacheHandler(options)];
    await new One().set("/", { kind: "PAGES", html: "h" }, {});
    console.log((await new Two().get("/", { kind: "PAGES" })).value.html, existsSync(${JSON.stringify(directory)}));
  `,
    { NEXT_PHASE: "phase-production-build" },
  );
  assert.equal(printed, "h false\n");
  assert.deepEqual(errors, []);
});
