// A source in memory for tests of reading through, whose clock, delays and failures are the test's. Nothing is tested here.

import { mock } from "node:test";
import { nameOf } from "../../node/key-name.js";
import type { LoadContext } from "../../node/load-options.js";
import { Loads } from "../../node/loads.js";
import { ReadThrough, type Source, type SourceEntry, type SourceItem } from "../../node/read-through.js";
import { type Entry, freshFor, NotFresh } from "../../node/reading.js";

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T | PromiseLike<T>) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Lets everything that is due be done. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Held {
  value: unknown;
  freshUntil: number;
  deadline: number;
}

/** A cache in memory. Its calls take a turn of their own each, in order, as those of a daemon do. */
export class FakeSource implements Source {
  now = 1_000_000;
  reads = 0;
  readonly entries = new Map<string, Held>();
  readonly stored: SourceItem[] = [];
  readError: Error | undefined;
  storeError: Error | undefined;
  /** Keys that cannot be stored, and why. */
  readonly refused = new Map<string, Error>();
  near = false;
  /** What reads and stores wait for before they are done. */
  gates: { read?: Promise<void>; store?: Promise<void> } = {};
  written: (name: string) => void = () => {};

  readonly nameOf = nameOf;
  readonly recordOf = (tag: string) => tag;

  #entry(key: string | Uint8Array): SourceEntry | undefined {
    const held = this.entries.get(nameOf(key));
    if (held === undefined || this.now >= held.deadline) return undefined;
    return { value: held.value, ttl: held.deadline - this.now, freshUntil: held.freshUntil };
  }

  peek(key: string | Uint8Array, threshold: number): SourceEntry | undefined {
    const entry = this.near ? this.#entry(key) : undefined;
    return entry !== undefined && freshFor(entry, () => this.now) > threshold ? entry : undefined;
  }

  passOver(_: string | Uint8Array, error: unknown): void {
    throw error;
  }

  async getEntry(key: string | Uint8Array): Promise<SourceEntry | undefined> {
    this.reads++;
    const entry = this.#entry(key);
    await this.gates.read;
    if (this.readError !== undefined) throw this.readError;
    return entry;
  }

  async getFresh(key: string | Uint8Array): Promise<unknown> {
    const entry = await this.getEntry(key);
    const isFresh = entry !== undefined && entry.freshUntil! > this.now;
    return isFresh ? entry.value : new NotFresh(entry as Entry | undefined);
  }

  async getEntries(keys: readonly (string | Uint8Array)[]): Promise<(SourceEntry | undefined)[]> {
    return Promise.all(keys.map((key) => this.getEntry(key)));
  }

  async store(items: readonly SourceItem[]): Promise<readonly unknown[]> {
    // As a cache that tells of every write.
    for (const { key } of items) this.written(nameOf(key));
    await this.gates.store;
    const errors = items.map(({ key }) => this.refused.get(nameOf(key)) ?? this.storeError);
    for (const [i, item] of items.entries()) {
      if (errors[i] !== undefined) continue;
      this.stored.push(item);
      const ttl = item.ttl ?? Number.POSITIVE_INFINITY;
      this.entries.set(nameOf(item.key), {
        value: item.value,
        freshUntil: this.now + ttl,
        deadline: this.now + ttl + item.staleTtl,
      });
    }
    return errors;
  }
}

export function make(defaultTtl?: number, random = () => 0) {
  const source = new FakeSource();
  const loads = new Loads(() => source.now);
  source.written = (name) => loads.written(name);
  const cache = new ReadThrough(source, (items) => source.store(items), loads, defaultTtl, {
    clock: () => source.now,
    wallClock: () => source.now,
    random,
  });
  /** A loader that brings `values` one after the other, and counts. */
  const counted = <T>(...values: T[]) => {
    const loader = mock.fn(
      (_: LoadContext<T>): T => values[Math.min(loader.mock.callCount(), values.length - 1)]!,
    );
    return loader;
  };
  return { source, cache, loads, counted };
}
