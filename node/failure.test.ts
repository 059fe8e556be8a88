// What becomes of calls that fail, by itself: which failures are passed over, and what is told of them.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import {
  ClosedError,
  ConnectionLostError,
  InvalidArgumentError,
  InvalidTtlError,
  KeyTooLongError,
  NotAnIntegerError,
  OverflowError,
  StartError,
  TimeoutError,
  TooLargeError,
  UnsafeIntegerError,
} from "./errors.js";
import { type Degradation, FailurePolicy } from "./failure.js";

function make(onError: "throw" | "miss") {
  const clock = { now: 0 };
  const told: Degradation[] = [];
  const policy = new FailurePolicy(
    onError,
    (what) => told.push(what),
    () => clock.now,
  );
  return { clock, told, policy };
}

describe("failure policy", () => {
  test('with "throw" a call is what it was', async () => {
    const { policy, told } = make("throw");
    const error = new ClosedError();
    const call = Promise.reject<number>(error);
    assert.equal(
      policy.guard("get", call, () => 0),
      call,
    );
    await assert.rejects(call, error);
    assert.deepEqual([policy.count, told], [0, []]);
  });

  test('with "miss" what a cache cannot do is answered as by an empty one, and counted', async () => {
    const { policy } = make("miss");
    const errors = [
      new ClosedError(),
      new ConnectionLostError("killed", true),
      new TimeoutError(10, false),
      new StartError("no binary"),
      new KeyTooLongError("long"),
      new TooLargeError("large"),
    ];
    for (const error of errors) {
      const answer = policy.guard("set", Promise.reject<boolean>(error), () => false);
      assert.equal(await answer, false, error.message);
    }
    assert.equal(await policy.guard("get", Promise.resolve(1), () => 2), 1);
    assert.equal(policy.count, errors.length);
  });

  test('with "miss" what the caller did wrong, or wanted, rejects as ever', async () => {
    const { policy } = make("miss");
    const errors = [
      new InvalidArgumentError("wrong"),
      new InvalidTtlError("wrong"),
      new NotAnIntegerError("text"),
      new OverflowError("large"),
      new UnsafeIntegerError(2n ** 60n),
      new DOMException("enough", "AbortError"),
    ];
    for (const error of errors) {
      await assert.rejects(
        policy.guard("get", Promise.reject<unknown>(error), () => 0),
        error,
      );
    }
    assert.equal(policy.count, 0);
  });

  test("the first failure is told, then one in a second at most, with how many there were", () => {
    const { policy, told, clock } = make("miss");
    const error = new ClosedError();
    const fail = (times: number, ms: number) => {
      clock.now += ms;
      for (let i = 0; i < times; i++) policy.excuse("get", error);
    };
    fail(1, 0);
    fail(1000, 999);
    assert.deepEqual(told, [{ operation: "get", error, count: 1 }]);
    fail(5, 1);
    assert.equal(told.length, 2);
    assert.equal(told[1]!.count, 1001);
    fail(1, 1000);
    assert.equal(told[2]!.count, 5);
    assert.equal(policy.count, 1007);
  });
});
