// The conformance suites of the hosts are written for vitest, and take the runner as an argument. This is what they use of it, over
// node:test, so that all tests have one runner.

import assert from "node:assert/strict";
import { afterEach, beforeEach, it } from "node:test";

/** What a suite does with a value. */
class Expectation {
  readonly #actual: unknown;
  constructor(actual: unknown) {
    this.#actual = actual;
  }
  toBe(expected: unknown): void {
    assert.ok(Object.is(this.#actual, expected), `${String(this.#actual)} is not ${String(expected)}`);
  }
  toEqual(expected: unknown): void {
    assert.deepEqual(this.#actual, expected);
  }
  toBeTruthy(): void {
    assert.ok(this.#actual, `${String(this.#actual)} is not truthy`);
  }
  toBeFalsy(): void {
    assert.ok(!this.#actual, `${String(this.#actual)} is not falsy`);
  }
  toBeUndefined(): void {
    assert.equal(this.#actual, undefined);
  }
  toBeDefined(): void {
    assert.notEqual(this.#actual, undefined);
  }
  toBeNull(): void {
    assert.equal(this.#actual, null);
  }
}

type Body = (context: { expect: Expect }) => unknown;
interface Expect {
  (actual: unknown): Expectation;
  assertions(count: number): void;
}

/** A runner with vitest's names. `skip`: tests by their names, with the reason why they are not for this host. */
export function runner(skip: Readonly<Record<string, string>> = {}) {
  return {
    beforeEach,
    afterEach,
    it(name: string, body: Body): void {
      it(name, { skip: skip[name] ?? false }, async () => {
        let made = 0;
        let due: number | undefined;
        const expect = ((actual: unknown) => {
          made++;
          return new Expectation(actual);
        }) as Expect;
        expect.assertions = (count) => {
          due = count;
        };
        await body({ expect });
        if (due !== undefined) assert.equal(made, due, "assertions made");
      });
    },
  };
}
