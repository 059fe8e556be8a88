// The cache interceptor of undici over rustcache: by the store's contract, beside undici's own store, and with a server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { finished } from "node:stream/promises";
import { after, before, beforeEach, describe, test } from "node:test";
import { Agent, cacheStores, type Dispatcher, interceptors, request } from "undici";
import { type UndiciCacheKey, type UndiciCacheValue, UndiciStore } from "../../node/adapters/undici.js";
import { type Cache, createCache } from "../../node/index.js";

type Store = InstanceType<typeof cacheStores.MemoryCacheStore>;

let cache: Cache;
let store: UndiciStore;
before(() => {
  cache = createCache();
  store = new UndiciStore({ cache });
});
after(() => cache.close());
beforeEach(() => cache.clear());

const KEY: UndiciCacheKey = { origin: "http://localhost", path: "/", method: "GET", headers: {} };
const response = (more: Partial<UndiciCacheValue> = {}): UndiciCacheValue => ({
  statusCode: 200,
  statusMessage: "",
  headers: { foo: "bar", many: ["a", "b"] },
  cacheControlDirectives: {},
  cachedAt: Date.now(),
  staleAt: Date.now() + 10_000,
  deleteAt: Date.now() + 20_000,
  ...more,
});

async function write(
  key: UndiciCacheKey,
  value: UndiciCacheValue,
  body: readonly (string | Buffer)[] = ["asd", "123"],
  into: UndiciStore | Store = store,
): Promise<void> {
  const stream = into.createWriteStream(key as never, value as never)!;
  for (const chunk of body) stream.write(chunk);
  stream.end();
  await finished(stream);
}

async function read(key: UndiciCacheKey, from: UndiciStore | Store = store): Promise<string | undefined> {
  const found = await from.get(key as never);
  if (found === undefined) return undefined;
  return Buffer.concat((found.body ?? []) as Buffer[]).toString();
}

describe("the store keeps its promises", () => {
  test("a response comes back whole: head, body, times", async () => {
    const value = response({ etag: '"e"', cacheControlDirectives: { "max-age": 10, public: true } });
    await write(KEY, value);
    const { body, ...head } = (await store.get(KEY))!;
    assert.deepEqual(head, value);
    assert.equal(Buffer.concat(body).toString(), "asd123");
    assert.equal(await store.get({ ...KEY, path: "/other" }), undefined);
    assert.equal(await store.get({ ...KEY, method: "HEAD" }), undefined);
    assert.equal(await store.get({ ...KEY, origin: "http://localhost:81" }), undefined);
  });

  test("any bytes of a body, in any pieces, and none at all", async () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => (index * 7) % 256));
    for (const at of [0, 1, 3, 4, 500, 1000]) {
      await write(KEY, response(), [bytes.subarray(0, at), bytes.subarray(at)]);
      assert.deepEqual(Buffer.concat((await store.get(KEY))!.body), bytes);
    }
    await write(KEY, response(), []);
    assert.deepEqual((await store.get(KEY))?.body, []);
  });

  test("a later response takes the place of an earlier one", async () => {
    await write(KEY, response(), ["old"]);
    await write(KEY, response({ statusCode: 203 }), ["new"]);
    assert.equal((await store.get(KEY))?.statusCode, 203);
    assert.equal(await read(KEY), "new");
  });

  test("nothing is found before it is complete, nor when its stream is destroyed", async () => {
    const stream = store.createWriteStream(KEY, response());
    stream.write("half");
    assert.equal(await store.get(KEY), undefined);
    stream.destroy();
    await once(stream, "close");
    assert.equal(await store.get(KEY), undefined);
  });

  test("a response that is too large is not kept, and its stream ends without an error", async () => {
    const small = new UndiciStore({ cache, maxEntrySize: 10 });
    const stream = small.createWriteStream(KEY, response());
    const closed = once(stream, "close");
    stream.write("0123456789");
    stream.write("x");
    await closed;
    assert.equal(await store.get(KEY), undefined);
    await write(KEY, response(), ["0123456789"], small);
    assert.equal(await read(KEY), "0123456789");
  });

  test("what is to be deleted at a moment is gone then, and what is so already is not stored", async () => {
    await write(KEY, response({ deleteAt: Date.now() + 5000 }));
    const left = await cache.ttl("http:GET http://localhost /");
    assert.ok(left !== undefined && left <= 5000, `${left} ms: not the deadline of the response`);
    await write(KEY, response({ deleteAt: Date.now() - 1 }));
    assert.equal(await store.get(KEY), undefined);
  });

  test("a response that varies answers only requests with the same headers", async () => {
    const english = { ...KEY, headers: { "accept-language": "en", other: "1" } };
    const german = { ...KEY, headers: { "accept-language": "de" } };
    await write(english, response({ vary: { "accept-language": "en" } }), ["hello"]);
    await write(german, response({ vary: { "accept-language": "de" } }), ["hallo"]);
    await write(KEY, response({ vary: { "accept-language": null } }), ["…"]);
    assert.equal(await read(english), "hello");
    assert.equal(await read({ ...english, headers: { "accept-language": "en", other: "2" } }), "hello");
    assert.equal(await read(german), "hallo");
    assert.equal(await read(KEY), "…");
    assert.equal(await read({ ...KEY, headers: { "accept-language": "fr" } }), undefined);
  });

  test("a response that varies by more headers does not hide one that varies by fewer", async () => {
    const headers = { a: "1", b: "1" };
    await write({ ...KEY, headers }, response({ vary: { a: "1" } }), ["by a"]);
    await write({ ...KEY, headers: { a: "2", b: "2" } }, response({ vary: { b: "2", a: "2" } }), ["by both"]);
    assert.equal(await read({ ...KEY, headers }), "by a");
    assert.equal(await read({ ...KEY, headers: { a: "2", b: "2" } }), "by both");
    assert.equal(await read({ ...KEY, headers: { a: "2", b: "1" } }), undefined);
  });

  test("variants that are stored in the same moment are all found", async () => {
    const of = (index: number) => ({ ...KEY, headers: { a: `${index}` } });
    const all = Array.from({ length: 50 }, (_, index) => index);
    await Promise.all(
      all.map((index) => write(of(index), response({ vary: { a: `${index}` } }), [`${index}`])),
    );
    assert.deepEqual(await Promise.all(all.map((index) => read(of(index)))), all.map(String));
  });

  test("a variant that is stored while its URI is deleted does not bring the others back", async () => {
    const of = (value: string) => ({ ...KEY, headers: { a: value } });
    for (let i = 0; i < 20; i++) {
      await write(of("1"), response({ vary: { a: "1" } }));
      const stored = write(of("2"), response({ vary: { a: "2" } }));
      await new Promise(i % 2 === 0 ? setImmediate : process.nextTick);
      await Promise.all([stored, store.delete(KEY)]);
      assert.equal(await read(of("1")), undefined, `round ${i}`);
    }
  });

  test("the record of what varies lives as long as the last response that it leads to", async () => {
    const vary = (v: string) => ({ vary: { a: v } });
    const of = (v: string) => ({ ...KEY, headers: { a: v } });
    await write(of("1"), response({ ...vary("1"), deleteAt: Date.now() + 50_000 }));
    await write(of("2"), response({ ...vary("2"), deleteAt: Date.now() + 1000 }));
    const record = async () => (await cache.ttl("http:GET http://localhost /"))!;
    assert.ok((await record()) > 40_000, "not shortened by the second");
    await write(of("3"), response({ ...vary("3"), deleteAt: Date.now() + 90_000 }));
    assert.ok((await record()) > 80_000, "lengthened by the third");
    assert.equal(await read(of("1")), "asd123");
  });

  test("delete takes every method of a URI and however it varies, and no other URI", async () => {
    const varied = { ...KEY, headers: { a: "1" } };
    await write(varied, response({ vary: { a: "1" } }));
    await write({ ...KEY, method: "HEAD" }, response());
    await write({ ...KEY, path: "/other" }, response());
    await store.delete({ ...KEY, method: "GET" });
    assert.equal(await read(varied), undefined);
    assert.equal(await read({ ...KEY, method: "HEAD" }), undefined);
    assert.equal(await read({ ...KEY, path: "/other" }), "asd123");
    await write({ ...KEY, headers: { a: "2" } }, response({ vary: { a: "2" } }));
    assert.equal(await read(varied), undefined, "a former variant does not come back");
  });

  test("random responses are found as in undici's own store", async () => {
    const reference = new cacheStores.MemoryCacheStore();
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return Math.floor((seed / 2147483648) * below);
    };
    const values = [undefined, "x", "y", ["x", "y"]];
    for (let step = 0; step < 400; step++) {
      const headers: Record<string, string | string[]> = {};
      for (const name of ["a", "b"]) {
        const value = values[random(4)];
        if (value !== undefined) headers[name] = value;
      }
      const key = { ...KEY, path: `/${random(3)}`, method: ["GET", "HEAD"][random(2)]!, headers };
      const action = random(10);
      if (action < 4) {
        // One rule for a URI: where it changes, the order in which undici's store looks decides, and that is not promised.
        const vary =
          key.path === "/0"
            ? undefined
            : { a: headers.a ?? null, ...(key.path === "/2" && { b: headers.b ?? null }) };
        const value = response(vary === undefined ? {} : { vary });
        for (const each of [store, reference]) await write(key, value, [`step ${step}`], each);
      } else if (action === 9) {
        await reference.delete(key);
        await store.delete(key);
      } else
        assert.equal(await read(key), await read(key, reference), `step ${step}: ${JSON.stringify(key)}`);
    }
  });
});

/** A reader has the end of a response before it is stored; this says when it is. */
class Watched extends UndiciStore {
  #stored: Promise<void>[] = [];
  override createWriteStream(key: UndiciCacheKey, value: UndiciCacheValue) {
    const stream = super.createWriteStream(key, value);
    this.#stored.push(finished(stream));
    return stream;
  }
  async stored(): Promise<void> {
    await Promise.all(this.#stored);
  }
}

/** Serves, and gives a dispatcher that caches in the store. */
async function serve(
  listener: RequestListener,
  visits: (url: string, dispatcher: Dispatcher, stored: () => Promise<void>) => Promise<void>,
) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent();
  const watched = new Watched({ cache });
  const dispatcher = agent.compose(interceptors.cache({ store: watched }));
  try {
    await visits(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, dispatcher, () =>
      watched.stored(),
    );
  } finally {
    await agent.close();
    server.close();
  }
}

describe("undici, with a server,", () => {
  test("asks once for what may be cached, and for each variant of it", async () => {
    let asked = 0;
    await serve(
      (incoming, outgoing) => {
        asked++;
        outgoing.setHeader("cache-control", "public, max-age=100");
        outgoing.setHeader("vary", "accept-language");
        outgoing.end(`${incoming.headers["accept-language"]} ${asked}`);
      },
      async (url, dispatcher, stored) => {
        const get = async (language: string) => {
          const { body } = await request(url, { dispatcher, headers: { "accept-language": language } });
          const text = await body.text();
          await stored();
          return text;
        };
        assert.equal(await get("en"), "en 1");
        assert.equal(await get("de"), "de 2");
        assert.equal(await get("en"), "en 1");
        assert.equal(await get("de"), "de 2");
        assert.equal(asked, 2);
      },
    );
  });

  test("streams a large body into the store while it is read, and out of it the same", async () => {
    const body = Buffer.alloc(3 << 20, "rustcache ");
    let asked = 0;
    await serve(
      (_incoming, outgoing) => {
        asked++;
        outgoing.setHeader("cache-control", "max-age=100");
        outgoing.end(body);
      },
      async (url, dispatcher, stored) => {
        for (let i = 0; i < 3; i++) {
          await stored();
          const answer = Buffer.from(await (await request(url, { dispatcher })).body.arrayBuffer());
          assert.ok(answer.equals(body), `body ${i} differs`);
        }
        assert.equal(asked, 1);
      },
    );
  });

  test("revalidates by the etag, and forgets a URI that is written to", async () => {
    const seen: string[] = [];
    await serve(
      (incoming, outgoing) => {
        seen.push(`${incoming.method} ${incoming.headers["if-none-match"] ?? "-"}`);
        outgoing.setHeader("etag", '"one"');
        outgoing.setHeader("cache-control", "max-age=100, no-cache");
        if (incoming.headers["if-none-match"] === '"one"') outgoing.writeHead(304).end();
        else outgoing.end("body");
      },
      async (url, dispatcher, stored) => {
        const get = async () => {
          const text = await (await request(url, { dispatcher })).body.text();
          await stored();
          return text;
        };
        assert.equal(await get(), "body");
        assert.equal(await get(), "body");
        await (await request(url, { dispatcher, method: "POST" })).body.dump();
        assert.equal(await get(), "body");
        assert.deepEqual(seen, ["GET -", 'GET "one"', "POST -", "GET -"]);
      },
    );
  });

  test("is told of the errors of the cache by the stream", async () => {
    const closed = createCache();
    await closed.close();
    const former = store;
    store = new UndiciStore({ cache: closed });
    try {
      const stream = store.createWriteStream(KEY, response());
      stream.end("x");
      await assert.rejects(finished(stream), { code: "ERR_RUSTCACHE_CLOSED" });
    } finally {
      store = former;
    }
  });
});
