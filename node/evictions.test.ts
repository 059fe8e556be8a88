// The event `evict` by itself: what is told of the daemon's counters, and that nobody is asked for nothing.

import { strict as assert } from "node:assert";
import { mock, test } from "node:test";
import { type EvictionCounts, EvictionSampler, type Evictions } from "./evictions.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

function make() {
  const daemon: { counts: EvictionCounts | undefined; wanted: boolean; asked: number } = {
    counts: { evictions_by_items: 5, evictions_by_bytes: 7 },
    wanted: true,
    asked: 0,
  };
  const told: Evictions[] = [];
  const sampler = new EvictionSampler({
    ask: () => {
      daemon.asked++;
      return daemon.counts === undefined ? undefined : Promise.resolve(daemon.counts);
    },
    isWanted: () => daemon.wanted,
    evicted: (evictions) => told.push(evictions),
  });
  return { daemon, told, sampler };
}

test("evictions are told once a second at most, as many as there were, from the first listener on", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const { daemon, told, sampler } = make();
    sampler.start();
    sampler.start();
    await settled();
    assert.deepEqual([daemon.asked, told], [1, []]);
    daemon.counts = { evictions_by_items: 6, evictions_by_bytes: 9 };
    mock.timers.tick(999);
    assert.equal(daemon.asked, 1);
    mock.timers.tick(1);
    await settled();
    mock.timers.tick(1000);
    await settled();
    assert.deepEqual(told, [{ count: 3, byItems: 1, byBytes: 2 }]);
    sampler.restarted();
    daemon.counts = { evictions_by_items: 0, evictions_by_bytes: 4 };
    mock.timers.tick(1000);
    await settled();
    assert.deepEqual(told[1], { count: 4, byItems: 0, byBytes: 4 });
    daemon.counts = undefined;
    mock.timers.tick(1000);
    await settled();
    assert.deepEqual([daemon.asked, told.length], [5, 2]);
    daemon.wanted = false;
    mock.timers.tick(5000);
    await settled();
    assert.equal(daemon.asked, 5);
  } finally {
    mock.timers.reset();
  }
});

test("an answer of a daemon that was replaced meanwhile is not compared with the next one's", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const { daemon, told, sampler } = make();
    sampler.start();
    await settled();
    mock.timers.tick(1000);
    sampler.restarted();
    await settled();
    daemon.counts = { evictions_by_items: 1, evictions_by_bytes: 0 };
    mock.timers.tick(1000);
    await settled();
    assert.deepEqual(told, [{ count: 1, byItems: 1, byBytes: 0 }]);
  } finally {
    mock.timers.reset();
  }
});
