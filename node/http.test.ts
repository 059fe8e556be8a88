// One daemon, asked by the Node client and over HTTP: what one writes the other reads as what it is.

import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { serialize } from "node:v8";
import { type Cache, createCache } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";

let directory: string;
let cache: Cache;
let url: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "rustcache-http-"));
  const [binary, log] = [join(directory, "rustcache"), join(directory, "log")];
  // The client starts the daemon with options of its own: these come before them.
  writeFileSync(binary, `#!/bin/sh\nexec '${requireDaemon()}' --http 127.0.0.1:0 --stdio "$@" 2>'${log}'\n`, {
    mode: 0o755,
  });
  cache = createCache({ binary });
  await cache.start();
  let said: RegExpExecArray | null = null;
  while (said === null) {
    said = /serving (http:\S+)/.exec(readFileSync(log, "utf8"));
    if (said === null) await sleep(10);
  }
  url = said[1]!;
});

after(async () => {
  await cache.close();
  rmSync(directory, { recursive: true });
});

const kv = async (key: string) => fetch(`${url}kv/${encodeURIComponent(key)}`);

test("what Node writes, HTTP reads", async () => {
  const values: [string, unknown, string][] = [
    ["text ä/", 'ä "\u{1f600}', "text/plain; charset=utf-8"],
    ["object", { name: "Ada", list: [1, null, "x"] }, "application/json"],
    ["number", 1.5, "application/json"],
    ["null", null, "application/json"],
  ];
  for (const [key, value, type] of values) {
    await cache.set(key, value);
    assert.deepEqual(await (await kv(key)).json(), { key, value });
    const entry = await fetch(`${url}v1/entries/${encodeURIComponent(key)}`);
    assert.equal(entry.headers.get("content-type"), type);
    assert.deepEqual(type.startsWith("text") ? await entry.text() : await entry.json(), value);
  }
  await cache.set("bytes", Buffer.from([0, 255]), { ttl: 60_000 });
  assert.equal((await kv("bytes")).status, 406);
  const bytes = await fetch(`${url}v1/entries/bytes`);
  assert.deepEqual(new Uint8Array(await bytes.arrayBuffer()), new Uint8Array([0, 255]));
  assert.match(bytes.headers.get("cache-control") ?? "", /^max-age=(59|60)$/);
  await cache.set("clone", new Map([[1, 2]]));
  const clone = await fetch(`${url}v1/entries/clone`);
  assert.equal(clone.headers.get("content-type"), "application/vnd.rustcache.v8");
});

test("what HTTP writes, Node reads", async () => {
  for (const value of ["text", 'ä "', 12, -0.5, true, null, [1, { a: "b" }], {}]) {
    const body = JSON.stringify({ key: "k", value });
    const headers = { "Content-Type": "application/json" };
    assert.equal((await fetch(`${url}kv/insert`, { method: "PUT", headers, body })).status, 200);
    assert.deepEqual(await cache.get("k"), value);
  }
  const put = async (type: string, body: Uint8Array<ArrayBuffer>) =>
    fetch(`${url}v1/entries/k?ttl=60`, { method: "PUT", headers: { "Content-Type": type }, body });
  const body = new Uint8Array([0, 255, 10]);
  for (const type of ["application/octet-stream", "image/png", "application/msgpack"]) {
    await put(type, body);
    assert.deepEqual(await cache.get("k"), Buffer.from(body), type);
  }
  await put("application/vnd.rustcache.v8", new Uint8Array(serialize(new Set(["x"]))));
  assert.deepEqual(await cache.get("k"), new Set(["x"]));
});

test("both count with one number", async () => {
  await cache.increment("n", 40);
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ key: "n", delta: 2 });
  const sum = await fetch(`${url}v1/incr`, { method: "POST", headers, body });
  assert.deepEqual(await sum.json(), { value: 42 });
  assert.equal(await cache.increment("n", 0), 42);
});
