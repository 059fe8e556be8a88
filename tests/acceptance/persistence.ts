// Acceptance cases: a cache that is kept on disk, in a temporary directory. What was acknowledged is there after close() and after `kill -9`, what
// was removed or has expired is not, and calls that were in flight are answered by the next daemon.

import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { RustCache } from "../../node/index.js";
import { randomNumbers } from "../../scripts/lib/statistics.js";
import { daemon, killDuring, type Report } from "./harness.js";

export async function persistence(report: Report): Promise<void> {
  report.section("Restart and recovery, kept on disk");
  const { quick, seed } = report.settings;
  const directory = mkdtempSync(join(tmpdir(), "rustcache-acceptance-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

  await report.case("close(), then start() at once: the data is there", async () => {
    RustCache.close();
    RustCache.configure({ dir: directory });
    await RustCache.start();
    for (let round = 0; round < (quick ? 3 : 20); round++) {
      await RustCache.insert(`round:${round}`, `${round}`);
      const { pid } = daemon();
      RustCache.close();
      await RustCache.start();
      assert.notEqual(daemon().pid, pid);
      for (let each = 0; each <= round; each++) {
        assert.equal(await RustCache.get(`round:${each}`), `${each}`);
      }
    }
  });

  await report.case("kill -9 right after an insert was answered: it is there", async () => {
    for (let round = 0; round < 4; round++) {
      RustCache.close();
      await RustCache.start();
      await RustCache.insert("killed", `${round}`);
      await killDuring(() => [RustCache.get("killed")]);
      assert.equal(await RustCache.get("killed"), `${round}`);
    }
  });

  await report.case(
    "kill -9 with gets, inserts and removes in flight: all are answered, in order",
    async () => {
      RustCache.close();
      await RustCache.start();
      await RustCache.insert("old", "v");
      const results = await killDuring(() =>
        Array.from({ length: 1000 }, (_, number) => [
          RustCache.insert(`flight:${number}`, `${number}`, number % 2 === 0 ? 0 : 3600),
          RustCache.get(`flight:${number}`),
          RustCache.remove(`flight:${number - 1}`),
          RustCache.get(`flight:${number - 1}`),
        ]).flat(),
      );
      results.forEach((result, at) => {
        assert.ok("value" in result, "error" in result ? String(result.error) : "");
        assert.equal(result.value, ["I", `${at >> 2}`, "R", ""][at & 3]);
      });
      assert.equal(await RustCache.get("old"), "v");
      assert.equal(await RustCache.get("flight:999"), "999");
    },
  );

  await report.case("what was removed, replaced or has expired does not come back", async () => {
    RustCache.close();
    await RustCache.start();
    await RustCache.insert("removed", "v");
    await RustCache.remove("removed");
    await RustCache.insert("replaced", "old", 3600);
    await RustCache.insert("replaced", "new");
    const began = performance.now();
    await RustCache.insert("short", "v", 0.2);
    await RustCache.insert("long", "v", 3600);
    await killDuring(() => [RustCache.get("removed")]);
    assert.equal(await RustCache.get("removed"), "");
    assert.equal(await RustCache.get("replaced"), "new");
    while ((await RustCache.get("short")) !== "");
    assert.ok(performance.now() - began >= 195, "it expired early");
    assert.equal(await RustCache.get("long"), "v");
  });

  await report.case("a model in a Map agrees, through restarts and kill -9", async () => {
    const random = randomNumbers(seed);
    const pick = (below: number) => Math.floor(random() * below);
    const model = new Map<string, string>();
    for (let life = 0; life < (quick ? 4 : 16); life++) {
      // A fresh start, so that the restarts of earlier lives do not count against this one.
      RustCache.close();
      await RustCache.start();
      for (const [key, value] of model) assert.equal(await RustCache.get(key), value, key);
      const calls: Promise<unknown>[] = [];
      const kill = pick(2) === 0 ? pick(2000) : -1;
      for (let number = 0; number < 2000; number++) {
        const key = `model:${pick(500)}`;
        if (pick(3) === 0) {
          model.delete(key);
          calls.push(RustCache.remove(key));
        } else {
          const value = `${life} ${number} ${"é".repeat(pick(200))}`;
          model.set(key, value);
          calls.push(RustCache.insert(key, value));
        }
        if (pick(100) === 0) await Promise.all(calls.splice(0));
        if (number === kill) process.kill(daemon().pid, "SIGKILL");
      }
      await Promise.all(calls);
      for (let number = 0; number < 500; number++) {
        const key = `model:${number}`;
        assert.equal(await RustCache.get(key), model.get(key) ?? "", key);
      }
    }
  });

  await report.case("another process on the same directory is told who has it", async () => {
    await RustCache.start();
    const program = fileURLToPath(new URL("second-program.ts", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", program], {
      timeout: 30_000,
      env: { ...process.env, RUSTCACHE_DIR: directory },
    });
    assert.equal(stdout, `ERR_RUSTCACHE_DIRECTORY_IN_USE ${daemon().pid}\n`);
  });

  RustCache.close();
  RustCache.configure({ dir: undefined });
}
