// The order of calls while one of them cannot be made yet: a set whose value is being compressed, or whose tags' generations are being asked
// for. Calls for its key wait for it, and calls for other keys do not. Knows nothing of what a call is.
//
// Invariant: of two calls that have a key in common, the one that was asked for first is made first.

import { nameOf } from "./key-name.js";

type Over = Promise<void>;

export class Turns {
  /** By key: when the last call for it has been made. */
  readonly #keys = new Map<string, Over>();
  /** When the last call for all keys has been made. */
  #all: Over | null = null;

  /** True when no call waits: others can be made without asking here. */
  get isIdle(): boolean {
    return this.#keys.size === 0 && this.#all === null;
  }

  /**
   * Makes a call when what it needs is `ready` and those before it have been made. `keys` null = all of them. Rejects with what `ready` rejects with, or
   * with what the call does.
   */
  run<P, T>(
    keys: readonly (string | Uint8Array)[] | null,
    ready: P | Promise<P>,
    make: (prepared: P) => Promise<T>,
  ): Promise<T> {
    const names = keys === null ? null : new Set(keys.map(nameOf));
    const before: Over[] = [];
    if (this.#all !== null) before.push(this.#all);
    for (const name of names ?? this.#keys.keys()) {
      const last = this.#keys.get(name);
      if (last !== undefined) before.push(last);
    }
    let answer: Promise<T> | undefined;
    const made = Promise.all([ready, ...before]).then(([prepared]) => {
      answer = make(prepared as P);
      // Whoever asked hears of it below.
      answer.catch(() => {});
    });
    const over: Over = Promise.allSettled([made, ...before]).then(() => {
      if (this.#all === over) this.#all = null;
      for (const name of names ?? []) if (this.#keys.get(name) === over) this.#keys.delete(name);
    });
    if (names === null) this.#all = over;
    else for (const name of names) this.#keys.set(name, over);
    return made.then(() => answer!);
  }
}
