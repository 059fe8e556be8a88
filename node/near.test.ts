// The hot tier by itself: what it keeps, for how long, and what no write may leave in it. Its clock is the test's.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { mayHavePrefix, nameOf } from "./key-name.js";
import { Near, type NearLimits } from "./near.js";

function make(limits: Partial<NearLimits> = {}) {
  const clock = { now: 1000 };
  const all = { maxItems: 100, maxBytes: 1 << 20, ttl: 10_000, ...limits };
  const near = new Near<string>(all, () => clock.now);
  /** A read that is answered at once. */
  const read = (name: string, value: string, ttl = Number.POSITIVE_INFINITY, size = value.length) => {
    const fill = near.begin(name);
    near.fill(fill, value, clock.now, ttl, size);
    near.settle(fill);
  };
  const get = (name: string) => near.get(name)?.held;
  return { clock, near, read, get };
}

describe("what the hot tier keeps", () => {
  test("the least recently used entry goes first when there are too many", () => {
    const { near, read, get } = make({ maxItems: 3 });
    for (const name of ["a", "b", "c"]) read(name, name);
    assert.equal(get("a"), "a");
    read("d", "d");
    assert.deepEqual(
      ["a", "b", "c", "d"].map((name) => get(name)),
      ["a", undefined, "c", "d"],
    );
    assert.equal(near.stats.items, 3);
  });

  test("bytes are bounded, and an entry that is larger than the bound is not kept, nor what it replaces", () => {
    const { near, read, get } = make({ maxBytes: 2000 });
    for (let i = 0; i < 50; i++) {
      read(`key ${i}`, "v", Number.POSITIVE_INFINITY, 150);
      assert.ok(near.stats.bytes <= 2000, `${near.stats.bytes} bytes are held`);
    }
    assert.equal(get("key 49"), "v");
    read("key 49", "large", Number.POSITIVE_INFINITY, 2000);
    assert.equal(get("key 49"), undefined);
    near.clear();
    assert.deepEqual(near.stats, { hits: 1, misses: 1, items: 0, bytes: 0 });
  });

  test("links, count and bytes agree after any sequence of reads and writes", () => {
    const { near, read, clock } = make({ maxItems: 7, maxBytes: 3000, ttl: 50 });
    const model = new Map<string, { value: string; deadline: number }>();
    let seed = 42;
    const random = (n: number) => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * n);
    };
    for (let i = 0; i < 20_000; i++) {
      const name = `k${random(20)}`;
      clock.now += random(3);
      switch (random(4)) {
        case 0: {
          const ttl = 1 + random(80);
          read(name, `v${i}`, ttl, random(200));
          model.set(name, { value: `v${i}`, deadline: clock.now + Math.min(50, ttl - 1) });
          break;
        }
        case 1:
          near.written(name);
          model.delete(name);
          break;
        default: {
          const held = near.get(name)?.held;
          const known = model.get(name);
          if (held === undefined) continue;
          assert.equal(held, known?.value, "it gave a value that is not the last one");
          assert.ok(clock.now < known!.deadline, "it gave a value past its deadline");
        }
      }
      const { items, bytes } = near.stats;
      assert.ok(items <= 7 && bytes <= 3000 && bytes >= items * 300, `${items} items, ${bytes} bytes`);
    }
    const { hits, misses } = near.stats;
    assert.ok(hits > 100 && misses > 100, `${hits} hits, ${misses} misses: the test tests nothing`);
    near.writtenWhere(() => true);
    assert.deepEqual([near.stats.items, near.stats.bytes], [0, 0]);
  });
});

describe("how long", () => {
  test("an entry is served up to the last millisecond that is certain, and not at its deadline", () => {
    const { clock, read, get } = make();
    read("k", "v", 100);
    clock.now += 98.9;
    assert.equal(get("k"), "v");
    clock.now += 0.1;
    assert.equal(get("k"), undefined);
  });

  test("the time that a read was under way is taken off, since the daemon may have answered at its begin", () => {
    const { clock, near, get } = make();
    const fill = near.begin("k");
    const begun = clock.now;
    clock.now += 60;
    near.fill(fill, "v", begun, 100, 1);
    near.settle(fill);
    clock.now = begun + 98;
    assert.equal(get("k"), "v");
    clock.now = begun + 99;
    assert.equal(get("k"), undefined);
    const late = near.begin("k");
    near.fill(late, "v", clock.now - 100, 100, 1);
    assert.equal(near.stats.items, 0, "it was over before it came");
  });

  test("its own ttl bounds what lives longer in the daemon", () => {
    const { clock, read, get } = make({ ttl: 500 });
    read("k", "v");
    clock.now += 499;
    assert.equal(get("k"), "v");
    clock.now += 1;
    assert.equal(get("k"), undefined);
  });
});

describe("writes", () => {
  test("a write removes what is held, and spoils every read of its key that is under way, and no other", () => {
    const { clock, near, read, get } = make();
    read("k", "old");
    const before = [near.begin("k"), near.begin("k")];
    const other = near.begin("other");
    near.written("k");
    assert.equal(get("k"), undefined);
    const after = near.begin("k");
    near.fill(after, "new", clock.now, 1e6, 3);
    near.settle(after);
    for (const fill of before) {
      near.fill(fill, "old", clock.now, 1e6, 3);
      near.settle(fill);
    }
    near.fill(other, "o", clock.now, 1e6, 1);
    near.settle(other);
    assert.equal(get("k"), "new");
    assert.equal(get("other"), "o");
    // The one that is left of the reads before the write must not have taken the later one's place.
    const next = near.begin("k");
    near.written("k");
    assert.equal(next.valid, false);
  });

  test("clear and a write to many spoil what is under way as well", () => {
    const { clock, near, read, get } = make();
    const under = near.begin("a:1");
    const beside = near.begin("b:1");
    read("a:2", "v");
    read("b:2", "v");
    near.writtenWhere(mayHavePrefix("a:"));
    for (const fill of [under, beside]) near.fill(fill, "late", clock.now, 1e6, 4);
    assert.deepEqual(["a:1", "a:2", "b:1", "b:2"].map(get), [undefined, undefined, "late", "v"]);
    const last = near.begin("b:3");
    near.clear();
    near.fill(last, "late", clock.now, 1e6, 4);
    assert.equal(near.stats.items, 0);
  });
});

describe("names of keys", () => {
  test("a text and its bytes have the same name, and no two other keys do", () => {
    assert.equal(nameOf(Buffer.from("größer 🧱")), nameOf("größer 🧱"));
    const names = new Set<string>();
    for (let a = 0; a < 256; a++) {
      names.add(nameOf(new Uint8Array([a])));
      for (let b = 0; b < 256; b++) names.add(nameOf(new Uint8Array([a, b])));
    }
    assert.equal(names.size, 256 + 65_536);
  });

  test("a prefix is met by all keys that begin with it, and by every key if it may end within a character", () => {
    const keys = [Buffer.from("añb"), Buffer.from("ab"), Buffer.from([0x61, 0xff]), Buffer.from("b")];
    const met = (prefix: string | Uint8Array) => keys.map((key) => mayHavePrefix(prefix)(nameOf(key)));
    assert.deepEqual(met("añ"), [true, false, true, false]);
    assert.deepEqual(met("a"), [true, true, true, false]);
    assert.deepEqual(met(Buffer.from("añ").subarray(0, 2)), [true, true, true, true]);
  });
});
