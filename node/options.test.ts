// Every option and argument that is wrong is refused at once, with a text that names it, its value and what is allowed.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { show } from "./errors.js";
import { type Cache, type CacheOptions, createCache, RustCacheError } from "./index.js";
import { checkCacheOptions, expiryOf, ttlExpiry } from "./options.js";
import { Expiry, NO_EXPIRY } from "./protocol.js";
import { bytesOf, checkSize } from "./sizes.js";

const INVALID_ARG = "ERR_RUSTCACHE_INVALID_ARG";
const INVALID_TTL = "ERR_RUSTCACHE_INVALID_TTL";

/** Bytes whose memory is another's. */
function transferred(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

describe("options of a cache", () => {
  const wrong: [object, RegExp, string?][] = [
    [{ maxItem: 1 }, /no option "maxItem".*maxItems/],
    [{ binary: "" }, /binary must be the path of the daemon, got ""/],
    [{ binary: 1 }, /binary must be .* got 1/],
    [{ args: "x" }, /args must be an array of strings, got "x"/],
    [{ args: [1] }, /args must be an array of strings/],
    [{ args: ["--dir", "x"] }, /args must not have .* got "--dir": use the option dir instead/],
    [{ args: ["--log-format", "json", "--dir=x"] }, /got "--dir=x": use the option dir instead/],
    [{ args: ["--max-value=1kb"] }, /got "--max-value=1kb": use the option maxValueBytes instead/],
    [{ args: ["--snapshot-every", "1s"] }, /use the option snapshotEvery instead/],
    [{ env: 1 }, /env must be an object/],
    [{ policy: "fifo" as "lru" }, /policy must be one of lru, s3-fifo, tinylfu, adaptive, got "fifo"/],
    [{ maxItems: 0 }, /maxItems must be an integer from 1 to 9007199254740991, got 0/],
    [{ maxItems: 1.5 }, /maxItems .* got 1.5/],
    [{ maxItems: "10" }, /maxItems .* got "10"/],
    [{ maxBytes: 0 }, /maxBytes must be a positive integer or a text such as "512mb", got 0/],
    [{ maxBytes: "12xb" }, /maxBytes .* got "12xb"/],
    [{ maxBytes: Number.NaN }, /maxBytes .* got NaN/],
    [{ defaultTtl: 0 }, /defaultTtl must be milliseconds above 0, got 0/, INVALID_TTL],
    [{ defaultTtl: -1 }, /defaultTtl .* got -1/, INVALID_TTL],
    [{ defaultTtl: "1h" }, /defaultTtl .* got "1h"/, INVALID_TTL],
    [{ maxKeyBytes: -1 }, /maxKeyBytes .* got -1/],
    [{ maxValueBytes: 2 ** 31 }, /maxValueBytes .* to 1073741824, got 2147483648/],
    [{ timeout: -1 }, /timeout .* got -1/],
    [{ timeout: Number.POSITIVE_INFINITY }, /timeout .* got Infinity/],
    [{ maxQueuedBytes: 0 }, /maxQueuedBytes .* got 0/],
    [{ startTimeout: 0 }, /startTimeout .* got 0/],
    [{ closeTimeout: 2 ** 31 }, /closeTimeout .* got 2147483648/],
    [{ restart: true }, /restart must be an object or false, got true/],
    [{ restart: { limit: -1 } }, /restart\.limit .* got -1/],
    [{ restart: { window: 0 } }, /restart\.window .* got 0/],
    [{ restart: { pause: "1" } }, /restart\.pause .* got "1"/],
    [{ logLevel: "loud" }, /logLevel must be one of off, error, warn, info, debug, trace, got "loud"/],
    [{ onLog: "console" }, /onLog must be a function, got "console"/],
  ];
  for (const [options, message, code = INVALID_ARG] of wrong) {
    test(`${Object.keys(options)[0]}: ${String(message)}`, () => {
      assert.throws(() => createCache(options as CacheOptions), { code, message });
      assert.throws(() => createCache(options as CacheOptions), RustCacheError);
    });
  }

  test("null and numbers are no options, and debug goes with a path", () => {
    for (const options of [null, 5, true]) {
      assert.throws(() => createCache(options as unknown as CacheOptions), {
        code: INVALID_ARG,
        message: /options must be/,
      });
    }
    assert.throws(() => createCache({} as unknown as string, true), {
      code: INVALID_ARG,
      message: /debug goes with a path/,
    });
  });

  test("what is right becomes the daemon's command line", () => {
    const { args } = checkCacheOptions({
      args: ["serve", "--log-format=json", "--directory"],
      maxItems: 10,
      maxBytes: "1.5 GiB",
      policy: "s3-fifo",
      defaultTtl: 1500.2,
      maxKeyBytes: 100,
      maxValueBytes: 1000,
      logLevel: "info",
    });
    assert.deepEqual(
      args.join(" "),
      "serve --log-format=json --directory --max-items 10 --max-bytes 1.5 GiB --policy s3-fifo --default-ttl 1501ms --max-key 100 --max-value 1000 --log-level info",
    );
    assert.deepEqual(checkCacheOptions({}).args, []);
    assert.deepEqual(
      checkCacheOptions({ maxItems: undefined, defaultTtl: Number.POSITIVE_INFINITY }).args,
      [],
    );
    assert.equal(checkCacheOptions({ restart: false }).restart.limit, 0);
    assert.equal(checkCacheOptions({ env: { A: "b" } }).env.A, "b");
  });
});

describe("expiry", () => {
  test("every way to say it", () => {
    assert.deepEqual(ttlExpiry(undefined), { kind: Expiry.DEFAULT, ms: NO_EXPIRY });
    assert.deepEqual(ttlExpiry(Number.POSITIVE_INFINITY), { kind: Expiry.NEVER, ms: NO_EXPIRY });
    assert.deepEqual(ttlExpiry(0), { kind: Expiry.TTL, ms: 0 });
    assert.deepEqual(ttlExpiry(0.1), { kind: Expiry.TTL, ms: 1 });
    assert.deepEqual(ttlExpiry(1500), { kind: Expiry.TTL, ms: 1500 });
    assert.deepEqual(expiryOf({ keepTtl: true }), { kind: Expiry.KEEP, ms: NO_EXPIRY });
    assert.deepEqual(expiryOf({ keepTtl: false, ttl: 5 }), { kind: Expiry.TTL, ms: 5 });
    assert.deepEqual(expiryOf({ expiresAt: new Date(1e12) }), { kind: Expiry.DEADLINE, ms: 1e12 });
    assert.deepEqual(expiryOf({ expiresAt: 1e12 }), { kind: Expiry.DEADLINE, ms: 1e12 });
  });

  test("a moment before 1970 is past, as any other that is", () => {
    for (const expiresAt of [-1, -0.5, 0, new Date("1969-07-20"), Number.NEGATIVE_INFINITY]) {
      assert.deepEqual(expiryOf({ expiresAt }), { kind: Expiry.DEADLINE, ms: 0 });
    }
  });

  test("a TTL that cannot be is refused, whoever takes it", async () => {
    for (const ttl of [-1, -0.001, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 53, "60", null, 5n]) {
      assert.throws(() => ttlExpiry(ttl), {
        code: INVALID_TTL,
        message: /TTL must be milliseconds from 0 on/,
      });
    }
    for (const expiresAt of [new Date(Number.NaN), Number.NaN, 2 ** 53, "now" as unknown as number]) {
      assert.throws(() => expiryOf({ expiresAt }), { code: INVALID_TTL, message: /expiresAt must be/ });
    }
    assert.throws(() => expiryOf({ ttl: 1, expiresAt: 1e12 }), { code: INVALID_ARG, message: /only one of/ });
    assert.throws(() => expiryOf({ ttl: 1, keepTtl: true }), { code: INVALID_ARG, message: /only one of/ });
  });
});

describe("arguments of calls: nothing starts, nothing is sent, and the call rejects", () => {
  const cache = createCache({ binary: "/never/started" });
  const untyped = cache as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const wrong: [string, unknown[], RegExp, string?][] = [
    ["get", [42], /the key must be a string, a Buffer or a Uint8Array, got 42/],
    ["get", [null], /got null/],
    ["get", ["k", 5], /options must be an object, got 5/],
    ["get", ["k", { timeout: -1 }], /timeout must be an integer from 0 to 2147483647, got -1/],
    ["get", ["k", { signal: 1 }], /signal must be an AbortSignal, got 1/],
    ["set", ["k", () => 1], /the value is a function, which cannot be stored/, "ERR_RUSTCACHE_ENCODE"],
    ["set", ["k", 42, { tag: 0 }], /the value must be a string, a Buffer or a Uint8Array here, got 42/],
    ["set", ["k", "v", { tag: 66 }], /the tag 66 is reserved/],
    ["set", ["k", "v", { ttl: 5, staleTtl: -1 }], /staleTtl must be .* got -1/, INVALID_TTL],
    ["set", ["k", "v", { keepTtl: true, staleTtl: 1 }], /staleTtl does not go with keepTtl/],
    ["set", ["k", "v", { tags: "a" }], /tags must be an array, got "a"/],
    ["set", ["k", "v", { tags: [""] }], /a tag .* got ""/],
    ["set", ["k", "v", { tags: Array.from({ length: 256 }, (_, i) => `${i}`) }], /255 tags, got 256/],
    ["invalidateTag", [7], /a tag .* got 7/],
    ["set", [new ArrayBuffer(1), "v"], /the key must be/],
    ["set", ["k", "v", { ttl: -5 }], /TTL .* got -5/, INVALID_TTL],
    [
      "set",
      ["k", "v", { condition: "nx" }],
      /condition must be "always", "ifAbsent" or "ifPresent", got "nx"/,
    ],
    ["set", ["k", "v", { tag: 256 }], /tag must be an integer from 0 to 255, got 256/],
    ["set", ["k", "v", { expiresAt: "tomorrow" }], /expiresAt .* got "tomorrow"/, INVALID_TTL],
    ["touch", ["k", -1], /TTL/, INVALID_TTL],
    ["increment", ["k", 1.5], /delta must be a safe integer, got 1.5: incrementBigInt/],
    ["increment", ["k", 2 ** 53], /delta must be a safe integer/],
    ["incrementBigInt", ["k", 2n ** 63n], /delta must be a bigint of 64 bits, got 9223372036854775808n/],
    ["incrementBigInt", ["k", 1], /got 1/],
    ["compareAndSet", ["k", 1, "v"], /the value must be/],
    ["clear", [{ prefix: 1 }], /prefix must be a string, a Buffer or a Uint8Array, got 1/],
    ["getMany", ["keys"], /keys must be an array, got "keys"/],
    ["getMany", [["a", 1]], /item 1: the key must be/],
    ["setMany", [{}], /items must be an array, got an object/],
    [
      "setMany",
      [[{ key: "a", value: "b" }, null]],
      /item 1: an item must be an object with key and value, got null/,
    ],
    ["setMany", [[{ key: "a", value: "b", ttl: -1 }]], /item 0: the TTL/, INVALID_TTL],
    [
      "setMany",
      [
        [
          { key: "a", value: "b" },
          { key: "c", value: { d: Symbol.iterator } },
        ],
      ],
      /item 1: the value's \.d is Symbol\(Symbol\.iterator\)/,
      "ERR_RUSTCACHE_ENCODE",
    ],
    ["deleteMany", [[undefined]], /item 0: the key must be/],
    ["hasMany", [[undefined]], /item 0: the key must be/],
    ["scan", [{ pageSize: 0 }], /pageSize must be an integer from 1 to 10000, got 0/],
    ["scan", [{ cursor: 5 }], /cursor must be the bigint of a former page, got 5/],
    ["ping", [7], /options must be an object, got 7/],
    ["get", [transferred()], /the key must be .* got bytes that were transferred/],
    ["getMany", [["a", transferred()]], /item 1: the key must be .* got bytes that were transferred/],
    ["set", ["k", transferred(), { tag: 0 }], /the value must be .* got bytes that were transferred/],
    ["set", ["k", transferred()], /the value is memory that was transferred/, "ERR_RUSTCACHE_ENCODE"],
  ];
  for (const [method, args, message, code = INVALID_ARG] of wrong) {
    test(`${method}: ${String(message)}`, async () => {
      await assert.rejects(untyped[method]!.apply(cache as Cache, args), { code, message });
    });
  }
});

describe("an option that nobody knows is refused, with the one that is meant", () => {
  const cache = createCache({ binary: "/never/started" });
  const load = () => 1;
  const walk = async (items: AsyncIterable<unknown>) => {
    for await (const _ of items);
  };
  const calls: [string, (options: never) => unknown, object, RegExp][] = [
    ["get", (o) => cache.get("k", o), { ttl: 5 }, /this call has no option "ttl": it takes timeout, signal/],
    ["getEntry", (o) => cache.getEntry("k", o), { timeOut: 5 }, /"timeOut": did you mean "timeout"\?/],
    ["take", (o) => cache.take("k", o), { sginal: 5 }, /did you mean "signal"/],
    ["has", (o) => cache.has("k", o), { time: 5 }, /did you mean "timeout"/],
    ["ttl", (o) => cache.ttl("k", o), { x: 5 }, /no option "x"/],
    ["set", (o) => cache.set("k", "v", o), { tll: 5 }, /set has no option "tll": did you mean "ttl"\?/],
    ["set", (o) => cache.set("k", "v", o), { ex: 5 }, /set has no option "ex": it takes ttl, expiresAt/],
    ["set", (o) => cache.set("k", "v", o), { ttl: 5, Tags: [] }, /did you mean "tags"/],
    ["set", (o) => cache.set("k", "v", o), { staleWhileRevalidate: 5 }, /no option "staleWhileRevalidate"/],
    ["remove", (o) => cache.remove("k", o), { ttl: 5 }, /no option "ttl"/],
    ["touch", (o) => cache.touch("k", 5, o), { ttl: 5 }, /no option "ttl"/],
    ["persist", (o) => cache.persist("k", o), { ttl: 5 }, /no option "ttl"/],
    ["increment", (o) => cache.increment("k", 1, o), { tag: 5 }, /increment has no option "tag"/],
    ["compareAndSet", (o) => cache.compareAndSet("k", "a", "b", o), { tags: [] }, /did you mean "tag"\?/],
    ["invalidateTag", (o) => cache.invalidateTag("t", o), { tags: [] }, /no option "tags"/],
    ["getOrSet", (o) => cache.getOrSet("k", load, o), { swr: 5 }, /getOrSet has no option "swr": it takes/],
    ["getOrSet", (o) => cache.getOrSet("k", load, o), { staleTtl: 5 }, /no option "staleTtl"/],
    ["getOrSet", (o) => cache.getOrSet("k", load, o), { stalelfError: 5 }, /did you mean "staleIfError"/],
    ["getOrSetMany", (o) => cache.getOrSetMany(["k"], load as never, o), { tTL: 5 }, /did you mean "ttl"/],
    [
      "wrap",
      (o) => cache.wrap(load, o),
      { key: String, tl: 5 },
      /wrap has no option "tl": did you mean "ttl"/,
    ],
    ["getMany", (o) => cache.getMany(["k"], o), { onUndecodeable: 5 }, /did you mean "onUndecodable"/],
    [
      "setMany",
      (o) => cache.setMany([o]),
      { key: "k", value: 1, timeout: 5 },
      /item 0: .*no option "timeout"/,
    ],
    ["setMany", (o) => cache.setMany([], o), { ttl: 5 }, /no option "ttl"/],
    ["deleteMany", (o) => cache.deleteMany(["k"], o), { prefix: "k" }, /no option "prefix"/],
    ["clear", (o) => cache.clear(o), { match: "k" }, /clear has no option "match"/],
    ["keys", (o) => walk(cache.keys(o)), { pattern: "k" }, /no option "pattern"/],
    ["values", (o) => walk(cache.values(o)), { count: 5 }, /no option "count"/],
    ["entries", (o) => walk(cache.entries(o)), { matches: "k" }, /did you mean "match"/],
    ["scan", (o) => cache.scan(o), { match: "k" }, /scan has no option "match"/],
    ["stats", (o) => cache.stats(o), { reset: true }, /no option "reset"/],
    ["namespace", (o) => cache.namespace("n", o), { ttl: 5 }, /no option "ttl".*defaultTtl/],
    ["createCache", (o) => createCache(o), { maxSize: 5 }, /a cache has no option "maxSize"/],
    [
      "restart",
      (o) => createCache(o),
      { restart: { limits: 5 } },
      /restart has no option "limits": did you mean "limit"/,
    ],
    [
      "compress",
      (o) => createCache(o),
      { compress: { above: 1, level: 5 } },
      /compress has no option "level"/,
    ],
  ];
  for (const [name, call, options, message] of calls) {
    test(`${name}: ${Object.keys(options).join()}`, async () => {
      await assert.rejects(async () => call(options as never), { code: INVALID_ARG, message });
    });
  }

  test("options that are inherited are options, and one that is undefined is none", async () => {
    const { binary: _, ...none } = { binary: undefined };
    const inherited = Object.create({ ttl: 1000 }) as object;
    await assert.rejects(cache.set("k", "v", inherited), { code: "ERR_RUSTCACHE_START" });
    await assert.rejects(cache.set("k", "v", { ...none, ttl: undefined }), { code: "ERR_RUSTCACHE_START" });
    await assert.rejects(cache.set("k", "v", Object.create({ tll: 1000 })), { code: INVALID_ARG });
  });
});

test("a size means what it means to the daemon", () => {
  const sizes: [number | string, number][] = [
    [1, 1],
    ["7", 7],
    ["7 B", 7],
    ["4kb", 4000],
    ["4 KiB", 4096],
    ["1.5mb", 1_500_000],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["2tb", 2e12],
    ["2TiB", 2 * 2 ** 40],
  ];
  for (const [size, bytes] of sizes) assert.equal(bytesOf(checkSize(size, "size")!), bytes, `${size}`);
  for (const size of [0, -1, 1.5, "", "mb", "4 pb", "4i"]) {
    assert.throws(() => checkSize(size, "near.maxBytes"), {
      code: INVALID_ARG,
      message: /near.maxBytes must be/,
    });
  }
});

test("values in error texts are short, printable, and well-formed", () => {
  assert.equal(show("a\nb"), '"a\\nb"');
  assert.equal(show("x".repeat(1000)), `"${"x".repeat(40)}"… (1000 characters)`);
  assert.ok((show("🔑".repeat(100)) as string & { isWellFormed(): boolean }).isWellFormed());
  assert.equal(show(Buffer.alloc(100, 0xab)), `<${"ab".repeat(16)}…> (100 bytes)`);
  assert.equal(show([1]), "an array");
  assert.equal(show(undefined), "undefined");
});
