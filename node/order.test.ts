// The order of calls that nobody awaits, against the real daemon and a model: whatever a set needs before it can be sent, each read sees what was
// called before it, and no read sees what was invalidated before it.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type CacheView, createCache } from "./index.js";
import { requireDaemon } from "./testdata/daemon.js";
import { randomFrom } from "./testdata/random.js";

requireDaemon();

const scratch = mkdtempSync(join(tmpdir(), "rustcache-order-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const KEYS = ["a", "b", "c", "d", "\u0001e"];
const TAGS = ["red", "green", "blue"];
/** Compressed by another thread. */
const LARGE = "large ".repeat(12_000);

interface Held {
  readonly value: unknown;
  readonly tags: readonly string[];
  /** Invalidated after it was read, before the reply was there: such a read may find it, or not. */
  isDoubtful: boolean;
}

/** One of two views of a cache, and what it holds by the order of the calls. */
interface Side {
  readonly view: CacheView;
  readonly entries: Map<string, Held>;
  /** All that there ever was. */
  readonly former: Held[];
}

/** Makes one random call and returns a check of its result, to be done later. */
function call(
  random: (below: number) => number,
  { view, entries, former }: Side,
  serial: number,
): Promise<() => void> {
  const key = KEYS[random(KEYS.length)]!;
  const value = random(4) === 0 ? LARGE + serial : random(2) === 0 ? `small ${serial}` : { serial };
  const tags = TAGS.filter(() => random(3) === 0);
  const equal = (what: string, found: unknown, held: Held | undefined) => {
    if (held?.isDoubtful && found === undefined) return;
    assert.deepEqual(found, held?.value, `call ${serial}: ${what}`);
  };
  const put = (key: string, value: unknown, tags: readonly string[]) => {
    const held = { value, tags, isDoubtful: false };
    former.push(held);
    entries.set(key, held);
  };
  switch (random(9)) {
    case 0:
    case 1:
    case 2:
      put(key, value, tags);
      return view.set(key, value, { tags }).then((stored) => () => assert.equal(stored, true));
    case 3: {
      put(key, value, tags);
      put("b", serial, []);
      const items = [
        { key, value, tags },
        { key: "b", value: serial },
      ];
      return view.setMany(items).then((stored) => () => assert.deepEqual(stored, [true, true]));
    }
    case 4: {
      const held = KEYS.map((each) => entries.get(each));
      return view.getMany(KEYS).then((found) => () => {
        for (const [i, each] of KEYS.entries()) equal(`getMany, ${each}`, found[i], held[i]);
      });
    }
    case 5: {
      const tag = TAGS[random(TAGS.length)]!;
      for (const held of former) held.isDoubtful ||= held.tags.includes(tag);
      for (const [each, held] of entries) if (held.isDoubtful) entries.delete(each);
      return view.invalidateTag(tag).then(() => () => {});
    }
    case 6: {
      if (random(4) > 0) break;
      entries.clear();
      return view.clear().then(() => () => {});
    }
    case 7: {
      entries.delete(key);
      return view.delete(key).then(() => () => {});
    }
  }
  const held = entries.get(key);
  return view.get(key).then((found) => () => equal(`get, ${key}`, found, held));
}

for (const isKept of [false, true]) {
  test(`reads see what was called before them, and nothing that was invalidated (${isKept ? "in a directory" : "in memory"})`, async () => {
    const dir = isKept ? join(scratch, "kept") : null;
    await using cache = createCache({ dir, compress: { above: 1000 } });
    // Beside each other: clear() of the cache itself would clear both.
    const sides = ["one", "two"].map(
      (name): Side => ({ view: cache.namespace(name), entries: new Map(), former: [] }),
    );
    let serial = 0;
    for (let burst = 1; burst <= 120; burst++) {
      const random = randomFrom(burst);
      const calls = Array.from({ length: 1 + random(60) }, () => call(random, sides[random(2)]!, ++serial));
      for (const check of await Promise.all(calls)) check();
      if (!isKept || burst % 30 !== 0) continue;
      if (burst % 60 === 0) process.kill(cache.pid!, "SIGKILL");
      else await cache.close().then(() => cache.start());
      // The first reads after it are of what was acknowledged before it.
    }
  });
}
