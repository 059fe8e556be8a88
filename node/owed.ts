// What this client owes its daemon: removals and invalidations that were called, could not be done, and were passed over (`onError: "miss"`). They are
// sent before anything else is asked for, so that what is out of date is never served later. When that is, is shared.ts's affair.
//
// Invariant: what is owed is given up only when it is done, or when there is nothing left that it concerns.

import { deleteMany } from "./batches.js";
import type { Channel } from "./channel.js";
import { KeyTooLongError } from "./errors.js";
import type { Generations } from "./generations.js";
import { nameOf } from "./key-name.js";
import { NO_EXPIRY, Op } from "./protocol.js";
import { decodeCount } from "./replies.js";

type Key = string | Uint8Array;

/** Keys that are remembered one by one; with more, everything is removed. */
const MAX_KEYS = 4096;
/** A daemon that is up and refuses (its disk has failed, say) is asked again after as long (ms). */
const PAUSE_MS = 1000;

export class Owed {
  readonly #generations: Generations;
  readonly #clock: () => number;
  /** By name. */
  readonly #keys = new Map<string, Key>();
  readonly #prefixes = new Map<string, Key>();
  /** Of tags. */
  readonly #records = new Set<string>();
  #everything = false;
  #failedOn = 0;
  #failedAt = 0;
  isEmpty = true;

  /** `clock`: monotonic, in milliseconds. */
  constructor(generations: Generations, clock: () => number = () => performance.now()) {
    this.#generations = generations;
    this.#clock = clock;
  }

  /** These entries are out of date. */
  remove(keys: Iterable<Key>): void {
    this.isEmpty = false;
    if (this.#everything) return;
    for (const key of keys) this.#keys.set(nameOf(key), key);
    if (this.#keys.size > MAX_KEYS) this.removeUnder(null);
  }

  /** All entries are whose keys have this prefix; null = all. */
  removeUnder(prefix: Key | null): void {
    this.isEmpty = false;
    if (prefix !== null && !this.#everything) {
      this.#prefixes.set(nameOf(prefix), prefix);
      return;
    }
    this.#everything = true;
    this.#keys.clear();
    this.#prefixes.clear();
  }

  /** All values are with this tag. */
  invalidate(record: string): void {
    this.isEmpty = false;
    this.#records.add(record);
  }

  /** The entries are gone, and all that is owed with them. */
  forget(): void {
    this.#everything = false;
    this.#keys.clear();
    this.#prefixes.clear();
    this.#records.clear();
    this.isEmpty = true;
  }

  /** Sends all of it. What fails is owed again. `isUp`: whether the channel has a daemon. */
  settle(channel: Channel, isUp: boolean): void {
    const { connection } = channel;
    if (isUp && this.#failedOn === connection && this.#clock() - this.#failedAt < PAUSE_MS) return;
    const everything = this.#everything;
    // No entry can have a key that is too long, and a batch with one in it is refused.
    const limit = channel.limits?.keyLimit ?? Number.POSITIVE_INFINITY;
    const keys = [...this.#keys.values()].filter((key) => Buffer.byteLength(key) <= limit);
    const prefixes = [...this.#prefixes.values()];
    const records = [...this.#records];
    this.forget();
    const send = (request: Promise<unknown>, again: (error: unknown) => void) => {
      request.catch((error) => {
        if (!(error instanceof KeyTooLongError)) {
          this.#failedOn = connection;
          this.#failedAt = this.#clock();
        }
        again(error);
      });
    };
    const clear = (prefix: Key | null) =>
      channel.call(Op.CLEAR, 0, 0, null, NO_EXPIRY, prefix, null, decodeCount);
    if (everything) {
      this.#generations.cleared();
      send(clear(null), () => this.removeUnder(null));
    }
    for (const prefix of prefixes) send(clear(prefix), () => this.removeUnder(prefix));
    if (keys.length > 0) {
      send(deleteMany(channel, keys, keys, undefined), (error) => {
        // The limit was not known.
        const never = error instanceof KeyTooLongError ? error.index : undefined;
        const rest = keys.filter((_, i) => i !== never);
        if (rest.length > 0) this.remove(rest);
      });
    }
    for (const record of records) {
      send(this.#generations.invalidate(record), () => this.invalidate(record));
    }
  }
}
