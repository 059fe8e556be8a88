// The time limit of a start, by a clock of the test's own: what counts as progress, and how long there may be none.

import { strict as assert } from "node:assert";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { type LoadStats, StartWatch } from "./start-watch.js";
import { tick } from "./testdata/wire.js";

const LIMIT = 1000;

beforeEach(() => mock.timers.enable({ apis: ["setInterval"] }));
afterEach(() => mock.timers.reset());

/** A watch, and the daemon that it asks: `loaded` bytes of 100, or nothing for an answer when it is null. */
function watched(loaded: number | null) {
  const daemon = { isLoading: true, loaded, asked: 0, now: 0, reasons: [] as string[], lateAt: 0 };
  const watch = new StartWatch(LIMIT, {
    isLoading: () => daemon.isLoading,
    askStats() {
      daemon.asked++;
      if (daemon.loaded === null) return new Promise(() => {});
      return Promise.resolve({ loaded_bytes: daemon.loaded, load_bytes: 100 } as LoadStats);
    },
    late(reason) {
      daemon.reasons.push(reason);
      daemon.lateAt = daemon.now;
    },
  });
  const pass = async (ms: number, each = () => {}) => {
    for (let passed = 0; passed < ms; passed += 50) {
      daemon.now += 50;
      mock.timers.tick(50);
      each();
      await tick();
    }
  };
  return { watch, daemon, pass };
}

describe("the time limit of a start", () => {
  test("ends a daemon that does not answer the handshake", async () => {
    const { daemon, pass } = watched(0);
    daemon.isLoading = false;
    await pass(LIMIT - 50);
    assert.deepEqual(daemon.reasons, []);
    await pass(5 * LIMIT);
    assert.equal(daemon.lateAt, LIMIT);
    assert.deepEqual(daemon.reasons, [
      "it did not answer the handshake within 1000 ms (see the option startTimeout)",
    ]);
    assert.equal(daemon.asked, 0);
  });

  test("ends one that comes no further once, and not at twice the limit", async () => {
    for (const loaded of [0, 40]) {
      const { daemon, pass } = watched(loaded);
      await pass(5 * LIMIT);
      assert.equal(daemon.reasons.length, 1);
      assert.match(
        daemon.reasons[0]!,
        new RegExp(`loaded ${loaded} of the 100 bytes .* no further within 1000 ms`),
      );
      assert.ok(daemon.lateAt >= LIMIT && daemon.lateAt <= 1.2 * LIMIT, `after ${daemon.lateAt} ms`);
    }
  });

  test("ends one that does not say how far it is, not at three times the limit", async () => {
    const { daemon, pass } = watched(null);
    await pass(5 * LIMIT);
    assert.match(
      daemon.reasons.join(),
      /^it was loading its directory, and did not say how far it is within 1000 ms/,
    );
    assert.ok(daemon.lateAt >= LIMIT && daemon.lateAt <= 1.2 * LIMIT, `after ${daemon.lateAt} ms`);
  });

  test("counts from the handshake, and then from the last progress", async () => {
    const { daemon, pass } = watched(0);
    daemon.isLoading = false;
    await pass(0.9 * LIMIT);
    daemon.isLoading = true;
    // A little further just before each limit.
    for (let loaded = 1; loaded <= 5; loaded++) {
      await pass(0.95 * LIMIT);
      daemon.loaded = loaded;
    }
    assert.deepEqual(daemon.reasons, []);
    const last = daemon.now;
    await pass(5 * LIMIT);
    assert.ok(
      daemon.lateAt - last >= LIMIT && daemon.lateAt - last <= 1.2 * LIMIT,
      `${daemon.lateAt - last} ms`,
    );
  });

  test("does not judge by an answer to an early question: it may have come further since", async () => {
    const answers: ((loaded: number) => void)[] = [];
    const reasons: string[] = [];
    new StartWatch(LIMIT, {
      isLoading: () => true,
      askStats: () =>
        new Promise((resolve) => {
          answers.push((loaded) => resolve({ loaded_bytes: loaded, load_bytes: 100 } as LoadStats));
        }),
      late: (reason) => reasons.push(reason),
    });
    mock.timers.tick(100);
    answers[0]!(7);
    await tick();
    // Asked now, answered when the limit is over.
    mock.timers.tick(1000);
    answers[1]!(7);
    await tick();
    assert.equal(answers.length, 3);
    answers[2]!(8);
    await tick();
    mock.timers.tick(100);
    assert.deepEqual(reasons, []);
    assert.equal(answers.length, 4);
  });

  test("stops", async () => {
    const { watch, daemon, pass } = watched(0);
    watch.stop();
    await pass(5 * LIMIT);
    assert.deepEqual([daemon.asked, daemon.reasons], [0, []]);
  });
});
