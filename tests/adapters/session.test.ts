// express-session over rustcache: by its store's contract, and in an application.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import express from "express";
import session from "express-session";
import { SessionStore, type SessionStoreOptions } from "../../node/adapters/session.js";
import { type Cache, createCache } from "../../node/index.js";

declare module "express-session" {
  interface SessionData {
    views: number;
  }
}

let cache: Cache;
before(() => {
  cache = createCache();
});
after(() => cache.close());

let prefixes = 0;
const makeStore = (options: SessionStoreOptions = {}) =>
  new SessionStore({ cache, prefix: `s${prefixes++}:`, ...options });

/** Calls a method that takes a callback last. */
function call<T>(run: (callback: (error?: unknown, result?: T) => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    run((error, result) => (error ? reject(error) : resolve(result)));
  });
}

const content = (views: number, expires?: Date) => ({
  views,
  cookie: { originalMaxAge: null, path: "/", ...(expires && { expires }) },
});

describe("the session store", () => {
  test("gives back what was set, and nothing for what was not", async () => {
    const store = makeStore();
    await call((done) => store.set("a", content(1), done));
    assert.deepEqual(await call((done) => store.get("a", done)), content(1));
    assert.equal(await call((done) => store.get("b", done)), undefined);
    await call((done) => store.destroy("a", done));
    assert.equal(await call((done) => store.get("a", done)), undefined);
  });

  test("lets a session live as long as its cookie, else as long as its own ttl, and touches without writing", async () => {
    const store = makeStore({ ttl: 5000 });
    const left = (sid: string) => cache.ttl(store.prefix + sid);
    await call((done) => store.set("cookie", content(1, new Date(Date.now() + 60_000)), done));
    await call((done) => store.set("own", content(1), done));
    const [cookie, own] = [await left("cookie"), await left("own")];
    assert.ok(cookie! > 50_000 && cookie! <= 60_000, `${cookie}`);
    assert.ok(own! > 0 && own! <= 5000, `${own}`);
    await call((done) => store.touch("own", content(2, new Date(Date.now() + 90_000)), done));
    const touched = await left("own");
    assert.ok(touched! > 80_000, `${touched}`);
    assert.deepEqual(await call((done) => store.get("own", done)), content(1));

    const lazy = makeStore({ disableTouch: true, ttl: () => 1000 });
    await call((done) => lazy.set("a", content(1), done));
    await call((done) => lazy.touch("a", content(1), done));
    assert.ok((await cache.ttl(`${lazy.prefix}a`))! <= 1000, "not touched");
  });

  test("removes a session whose cookie has expired", async () => {
    const store = makeStore();
    await call((done) => store.set("a", content(1), done));
    await call((done) => store.set("a", content(1, new Date(Date.now() - 1)), done));
    assert.equal(await cache.has(`${store.prefix}a`), false);
    await call((done) => store.set("b", content(1), done));
    await call((done) => store.touch("b", content(1, new Date(0)), done));
    assert.equal(await cache.has(`${store.prefix}b`), false);
  });

  test("tells all sessions, their ids and their number, and clears them and no others", async () => {
    const [store, other] = [makeStore(), makeStore()];
    for (const sid of ["a", "b", "c"]) await call((done) => store.set(sid, content(1), done));
    await call((done) => other.set("a", content(9), done));
    assert.equal(await call((done) => store.length(done)), 3);
    assert.deepEqual((await call<string[]>((done) => store.ids(done)))?.sort(), ["a", "b", "c"]);
    const all = (await call<{ id: string; views: number }[]>((done) => store.all(done)))!;
    assert.deepEqual(
      all.map(({ id, views }) => [id, views]).sort(),
      ["a", "b", "c"].map((id) => [id, 1]),
    );
    await call((done) => store.clear(done));
    assert.equal(await call((done) => store.length(done)), 0);
    assert.deepEqual(await call((done) => other.get("a", done)), content(9));
  });

  test("hands the cache's errors to the callback", async () => {
    const closed = createCache();
    await closed.close();
    const store = makeStore({ cache: closed });
    await assert.rejects(
      call((done) => store.get("a", done)),
      { code: "ERR_RUSTCACHE_CLOSED" },
    );
    await assert.rejects(
      call((done) => store.set("a", content(1), done)),
      { code: "ERR_RUSTCACHE_CLOSED" },
    );
  });
});

async function visit(url: string, cookie: string | undefined) {
  const response = await fetch(url, { headers: cookie === undefined ? {} : { cookie } });
  return {
    body: await response.text(),
    cookie: response.headers.get("set-cookie")?.split(";")[0] ?? cookie,
  };
}

async function serve(store: session.Store, visits: (url: string) => Promise<void>): Promise<void> {
  const app = express();
  app.use(
    session({ secret: "s", resave: false, saveUninitialized: false, store, cookie: { maxAge: 60_000 } }),
  );
  app.get("/", (request, response) => {
    request.session.views = (request.session.views ?? 0) + 1;
    response.send(`views ${request.session.views}`);
  });
  app.get("/new", (request, response, next) => {
    request.session.regenerate((error: unknown) => {
      if (error) next(error);
      else response.send(`views ${request.session.views ?? 0}`);
    });
  });
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await visits(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("an application finds its sessions again, also after a restart, and begins new ones", async () => {
  const directory = mkdtempSync(join(tmpdir(), "rustcache-sessions-"));
  try {
    const before = new SessionStore({ cache: { dir: directory } });
    let cookie: string | undefined;
    await serve(before, async (url) => {
      const first = await visit(url, undefined);
      const second = await visit(url, first.cookie);
      assert.deepEqual([first.body, second.body], ["views 1", "views 2"]);
      cookie = second.cookie;
    });
    await before.close();

    const again = new SessionStore({ cache: { dir: directory } });
    await serve(again, async (url) => {
      assert.equal((await visit(url, cookie)).body, "views 3");
      const renewed = await visit(`${url}/new`, cookie);
      assert.equal(renewed.body, "views 0");
      assert.equal((await visit(url, "connect.sid=s%3Aforged.signature")).body, "views 1");
    });
    await again.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
