// The order of calls while one of them cannot be made yet.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Turns } from "./turns.js";

/** Something that is ready when it is told to be. */
function later<T>(): { promise: Promise<T>; ready: (value: T) => void; fail: (error: Error) => void } {
  let ready!: (value: T) => void;
  let fail!: (error: Error) => void;
  const promise = new Promise<T>((resolve, reject) => {
    ready = resolve;
    fail = reject;
  });
  return { promise, ready, fail };
}

/** Runs calls and notes in which order they are made. */
function recorder() {
  const turns = new Turns();
  const made: string[] = [];
  const run = (name: string, keys: (string | Uint8Array)[] | null, ready: unknown = undefined) =>
    turns.run(keys, ready, async () => {
      made.push(name);
      return name;
    });
  return { turns, made, run };
}

const settle = () => new Promise(setImmediate);

test("calls for a key wait for the one before them, and those for other keys do not", async () => {
  const { turns, made, run } = recorder();
  const first = later<void>();
  const calls = [run("set a", ["a"], first.promise), run("get a", [Buffer.from("a")]), run("get b", ["b"])];
  await settle();
  assert.deepEqual(made, ["get b"]);
  first.ready();
  assert.deepEqual(await Promise.all(calls), ["set a", "get a", "get b"]);
  assert.deepEqual(made, ["get b", "set a", "get a"]);
  await settle();
  assert.equal(turns.isIdle, true);
});

test("what is ready first is not made first if it came last", async () => {
  const { made, run } = recorder();
  const [slow, fast] = [later<void>(), later<void>()];
  const calls = [run("1", ["k"], slow.promise), run("2", ["k"], fast.promise), run("3", ["k"])];
  fast.ready();
  await settle();
  assert.deepEqual(made, []);
  slow.ready();
  await Promise.all(calls);
  assert.deepEqual(made, ["1", "2", "3"]);
});

test("a call for all keys waits for all, and all wait for it", async () => {
  const { made, run } = recorder();
  const [a, b] = [later<void>(), later<void>()];
  const calls = [run("a", ["a"], a.promise), run("b", ["b"], b.promise), run("clear", null)];
  calls.push(run("c", ["c"]), run("a again", ["a"]));
  a.ready();
  await settle();
  assert.deepEqual(made, ["a"]);
  b.ready();
  await Promise.all(calls);
  assert.deepEqual(made.slice(0, 3), ["a", "b", "clear"]);
  assert.deepEqual(made.slice(3).sort(), ["a again", "c"]);
});

test("one that fails rejects alone, and does not let those behind it go before those before it", async () => {
  const { turns, made, run } = recorder();
  const [slow, wrong] = [later<void>(), later<void>()];
  const first = run("1", ["k"], slow.promise);
  const failing = run("2", ["k"], wrong.promise);
  const last = run("3", ["k"]);
  wrong.fail(new Error("no"));
  await assert.rejects(failing, /^Error: no$/);
  await settle();
  assert.deepEqual(made, []);
  slow.ready();
  assert.deepEqual(await Promise.all([first, last]), ["1", "3"]);
  await settle();
  assert.equal(turns.isIdle, true);
});

test("a call that is made and rejects does not hold up the next one", async () => {
  const turns = new Turns();
  const first = turns.run(["k"], undefined, () => Promise.reject(new Error("refused")));
  const second = turns.run(["k"], undefined, async () => 2);
  await assert.rejects(first, /refused/);
  assert.equal(await second, 2);
});
