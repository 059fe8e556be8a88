// Acceptance cases: many calls at once. Each answer must be the one to its own question, and calls must take effect in the
// order in which they were made.

import { strict as assert } from "node:assert";
import { RustCache } from "../../node/index.js";
import { randomNumbers } from "../../scripts/lib/statistics.js";
import { inFlight, type Report } from "./harness.js";

export async function concurrency(report: Report): Promise<void> {
  report.section("Many calls at once");
  const { quick, seed } = report.settings;
  await RustCache.start();

  await report.case("thousands of interleaved calls agree with a Map", async () => {
    const random = randomNumbers(seed);
    const pick = (below: number) => Math.floor(random() * below);
    const model = new Map<string, string>();
    const calls: Promise<unknown>[] = [];
    for (let number = 0; number < (quick ? 5000 : 50_000); number++) {
      const key = `model:${pick(300)}`;
      const choice = random();
      // The model changes when the call is made, not when it settles: the order of the calls is the order of their effects.
      if (choice < 0.4) {
        const value = `${number} ${"é".repeat(pick(60))}${pick(50) === 0 ? "x".repeat(pick(100_000)) : ""}`;
        model.set(key, value);
        calls.push(RustCache.insert(key, value).then((answer) => assert.equal(answer, "I")));
      } else if (choice < 0.5) {
        model.delete(key);
        calls.push(RustCache.remove(key).then((answer) => assert.equal(answer, "R")));
      } else {
        const expected = model.get(key) ?? "";
        calls.push(
          RustCache.get(key).then((value) =>
            assert.ok(value === expected, `call ${number}: wrong value for ${key}`),
          ),
        );
      }
      // Now and then everything so far is awaited, so that idle and busy moments both occur.
      if (pick(1000) === 0) await Promise.all(calls.splice(0));
    }
    await Promise.all(calls);
    for (const [key, value] of model) assert.equal(await RustCache.get(key), value);
  });

  await report.case("a thousand users, each reads its own writes", async () => {
    const rounds = quick ? 5 : 50;
    await inFlight(1000, 1000, async (user) => {
      for (let round = 0; round < rounds; round++) {
        const value = `${user} in round ${round}`;
        await RustCache.insert(`user:${user}`, value);
        assert.equal(await RustCache.get(`user:${user}`), value);
      }
      await RustCache.remove(`user:${user}`);
      assert.equal(await RustCache.get(`user:${user}`), "");
    });
  });

  await report.case("large and small values at once do not mix", async () => {
    const values = Array.from({ length: 200 }, (_, number) =>
      String.fromCharCode(97 + (number % 26)).repeat(number % 10 === 0 ? 1_000_000 : 10 + number),
    );
    await Promise.all(values.map((value, number) => RustCache.insert(`mixed:${number}`, value)));
    const back = await Promise.all(values.map((_, number) => RustCache.get(`mixed:${number}`)));
    values.forEach((value, number) => {
      assert.ok(back[number] === value, `value ${number} came back altered`);
    });
  });

  await report.case("fifty thousand calls made in one tick are all answered", async () => {
    const total = quick ? 10_000 : 50_000;
    const inserts = Array.from({ length: total }, (_, number) =>
      RustCache.insert(`tick:${number % 1000}`, `${number}`),
    );
    assert.ok((await Promise.all(inserts)).every((answer) => answer === "I"));
    for (let number = 0; number < 1000; number += 111) {
      assert.equal(
        await RustCache.get(`tick:${number}`),
        `${total - 1000 + number}`,
        "the last insert of a key wins",
      );
    }
  });
}
