// Acceptance cases: the daemon goes, by close() or by `kill -9`. No call may hang, none may get another's answer, and the next
// call must work as if nothing had happened (the cache is in memory: what it held is gone, and a get says so). With a directory:
// persistence.ts.

import { strict as assert } from "node:assert";
import { RustCache } from "../../node/index.js";
import { daemon, killDuring, outcome, type Report } from "./harness.js";

export async function recovery(report: Report): Promise<void> {
  report.section("Restart and recovery");
  const { quick } = report.settings;

  await report.case("close(), then start() at once: a new daemon, and an empty cache", async () => {
    await RustCache.start();
    for (let round = 0; round < (quick ? 3 : 20); round++) {
      await RustCache.insert("before", "close");
      const { pid } = daemon();
      RustCache.close();
      await RustCache.start();
      assert.notEqual(daemon().pid, pid);
      assert.equal(await RustCache.get("before"), "");
      assert.equal(await RustCache.insert("after", `${round}`), "I");
      assert.equal(await RustCache.get("after"), `${round}`);
    }
  });

  await report.case(
    "what was called before close() is answered, batches and calls before the handshake too",
    async () => {
      for (const started of [true, false]) {
        if (started) await RustCache.start();
        const calls = Array.from({ length: 1000 }, (_, number) => RustCache.insert(`closing:${number}`, "v"));
        const items = Array.from({ length: 10_000 }, (_, number) => ({ key: `batch:${number}`, value: "v" }));
        const batch = RustCache.batchInsert(items);
        const read = RustCache.get("batch:9999");
        RustCache.close();
        for (const answer of await Promise.all(calls)) assert.equal(answer, "I");
        assert.deepEqual(await batch, new Array(10_000).fill("I"));
        assert.equal(await read, "v");
      }
    },
  );

  await report.case("close() twice, and before any start(), is no fault", async () => {
    RustCache.close();
    RustCache.close();
    await RustCache.start();
    RustCache.close();
    RustCache.close();
    await RustCache.start();
  });

  await report.case(
    "kill -9: every call in flight rejects with a code, and none resolves with a stranger's value",
    async () => {
      await RustCache.insert("k", "v");
      const results = await killDuring(() =>
        Array.from({ length: 1000 }, (_, number) =>
          number % 2 === 0 ? RustCache.get("k") : RustCache.insert(`lost:${number}`, "v"),
        ),
      );
      for (const result of results) {
        assert.ok("error" in result, "a call that the stopped daemon cannot have answered resolved");
        assert.match(String(result.error.code), /^ERR_RUSTCACHE_/);
      }
    },
  );

  await report.case("the next call after kill -9 works, without start()", async () => {
    await RustCache.insert("k", "v");
    await killDuring(() => [RustCache.get("k")]);
    assert.equal(await RustCache.get("k"), "", "a cache in memory is empty after its daemon died");
    assert.equal(await RustCache.insert("k", "again"), "I");
    assert.equal(await RustCache.get("k"), "again");
  });

  await report.case("kill -9 while nobody waits is noticed, and told by an event", async () => {
    RustCache.close();
    await RustCache.start();
    const told = new Promise<void>((resolve) => RustCache.on("disconnected", () => resolve()));
    process.kill(daemon().pid, "SIGKILL");
    await told;
    assert.equal(await RustCache.insert("k", "v"), "I");
    assert.equal(await RustCache.get("k"), "v");
  });

  await report.case("a burst through kill -9: what is read afterwards was written", async () => {
    // A fresh start, so that the restarts of earlier cases do not count against this one.
    RustCache.close();
    await RustCache.start();
    const written = Array.from({ length: 2000 }, (_, number) =>
      outcome(RustCache.insert(`burst:${number}`, `${number}`)),
    );
    process.kill(daemon().pid, "SIGKILL");
    for (const result of await Promise.all(written)) {
      if ("error" in result) assert.match(String(result.error.code), /^ERR_RUSTCACHE_/);
    }
    for (let number = 0; number < 2000; number += 37) {
      assert.ok(
        ["", `${number}`].includes(await RustCache.get(`burst:${number}`)),
        `burst:${number} holds another key's value`,
      );
    }
  });

  RustCache.close();
}
