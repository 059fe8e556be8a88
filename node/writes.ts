// Values on their way into the entries of one cache or namespace: one, many, and what was loaded. What of a set is sent is writing.ts's affair, in
// which turn shared.ts's.
//
// Invariant: each is called for, or takes its turn, within the call itself, so that it keeps its place among other calls.

import { Refused, type SetOutcome, setEach } from "./batches.js";
import type { CallOptions } from "./call.js";
import { atItem, InvalidArgumentError, show } from "./errors.js";
import type { SetItem } from "./items.js";
import type { Key, KeySpace } from "./keys.js";
import { checkCallOptions, checkKey, type SetOptions } from "./options.js";
import { NO_EXPIRY, Op, Tag } from "./protocol.js";
import type { SourceItem } from "./read-through.js";
import type { Counts } from "./reading.js";
import { decodeStored } from "./replies.js";
import type { Shared } from "./shared.js";
import { isWellFormed } from "./values.js";
import type { Prepared, Writing } from "./writing.js";

/**
 * One item of `setMany`: a key, a value, and what `set` takes for one entry.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * await cache.setMany([
 *   { key: "a", value: 1 },
 *   { key: "b", value: 2, ttl: 60_000, tags: ["even"] },
 * ]);
 */
export interface SetItemOptions<V = unknown> extends Omit<SetOptions, "timeout" | "signal"> {
  readonly key: Key;
  readonly value: V;
}

type Ready = Prepared | Refused;

export class Writes {
  readonly #shared: Shared;
  readonly #keys: KeySpace;
  readonly #writing: Writing;
  readonly #counts: Counts;

  constructor(shared: Shared, keys: KeySpace, writing: Writing, counts: Counts) {
    this.#shared = shared;
    this.#keys = keys;
    this.#writing = writing;
    this.#counts = counts;
  }

  set(key: Key, value: unknown, options: SetOptions | undefined): Promise<boolean> {
    const { channel } = this.#shared.daemon;
    try {
      checkKey(key);
      const wire = this.#keys.wire(key);
      if (
        options === undefined &&
        typeof value === "string" &&
        this.#writing.isPlain &&
        isWellFormed(value)
      ) {
        return this.#shared.call(Op.SET, 0, Tag.TEXT, null, NO_EXPIRY, wire, value, this.#decode);
      }
      const set = options ?? {};
      checkCallOptions(set);
      const prepared = this.#writing.prepare(channel, value, set);
      if (!(prepared instanceof Promise) && (prepared.records === undefined || this.#shared.isIdle)) {
        const { flags, tag, ms, body } = prepared;
        return this.#shared.call(Op.SET, flags, tag, null, ms, wire, body, this.#decode, options);
      }
      const send = ({ flags, tag, ms, body, records }: Prepared) => {
        if (records !== undefined) this.#shared.generations.record(channel, records);
        return channel.call(Op.SET, flags, tag, null, ms, wire, body, this.#decode, options);
      };
      return this.#shared.when(Op.SET, [wire], channel, Promise.resolve(prepared), send, () => false);
    } catch (error) {
      return this.#shared.failures.guard("set", Promise.reject(error), () => false);
    }
  }

  async setMany(items: readonly SetItemOptions[], options: CallOptions | undefined): Promise<boolean[]> {
    if (!Array.isArray(items)) throw new InvalidArgumentError(`items must be an array, got ${show(items)}`);
    if (options !== undefined) checkCallOptions(options);
    const { channel } = this.#shared.daemon;
    // All of them first: a batch with a wrong argument in it is not half done.
    const prepared = Array.from(items, (item: SetItemOptions, index) =>
      atItem(index, () => {
        if (typeof item !== "object" || item === null) {
          throw new InvalidArgumentError(`an item must be an object with key and value, got ${show(item)}`);
        }
        checkKey(item.key);
        const each = this.#writing.prepare(channel, item.value, item);
        // Another item may turn out to be wrong before this one is awaited.
        if (each instanceof Promise) each.catch(() => {});
        return each;
      }),
    );
    const keys = items.map(({ key }) => key);
    const outcomes = await this.#send(keys, prepared, options, true);
    return outcomes.map((outcome) => {
      if (!(outcome instanceof Refused)) return outcome;
      this.#shared.failures.excuse("set_many", outcome.error);
      return false;
    });
  }

  /**
   * Stores what was loaded, each item for itself; resolves with what has kept each from being stored: undefined = nothing, or what is passed over as a
   * failure of the cache.
   */
  async keep(items: readonly SourceItem[], options: CallOptions): Promise<unknown[]> {
    if (items.length === 1) {
      const { key, value, ...rest } = items[0]!;
      const stored = this.set(key, value, { ...rest, ...options });
      return [
        await stored.then(
          () => undefined,
          (error: unknown) => error,
        ),
      ];
    }
    const { channel } = this.#shared.daemon;
    const prepared = items.map(({ key: _, value, ...rest }): Ready | Promise<Ready> => {
      try {
        const each = this.#writing.prepare(channel, value, rest);
        return each instanceof Promise ? each.catch((error) => new Refused(error)) : each;
      } catch (error) {
        return new Refused(error);
      }
    });
    const keys = items.map(({ key }) => key);
    const outcomes = await this.#send(keys, prepared, options, false);
    return outcomes.map((outcome) => {
      if (!(outcome instanceof Refused)) return undefined;
      try {
        this.#shared.failures.excuse("set_many", outcome.error);
        return undefined;
      } catch (error) {
        return error;
      }
    });
  }

  #send(
    keys: readonly Key[],
    prepared: readonly (Ready | Promise<Ready>)[],
    options: CallOptions | undefined,
    isNumbered: boolean,
  ): Promise<SetOutcome[]> {
    const { channel } = this.#shared.daemon;
    const wire = keys.map((key) => this.#keys.wire(key));
    const send = async (ready: readonly Ready[]): Promise<SetOutcome[]> => {
      const outcomes: SetOutcome[] = new Array(ready.length).fill(false);
      const places: number[] = [];
      const sets: SetItem[] = [];
      for (let i = 0; i < ready.length; i++) {
        const each = ready[i]!;
        if (each instanceof Refused) {
          outcomes[i] = each;
          continue;
        }
        const { flags, tag, ms, body, records } = each;
        if (records !== undefined) this.#shared.generations.record(channel, records);
        places.push(i);
        sets.push({ flags, tag, expiry: ms, key: wire[i]!, value: body });
      }
      const names = places.length === keys.length ? keys : places.map((place) => keys[place]!);
      const sent = await setEach(channel, sets, names, options, isNumbered);
      for (let n = 0; n < sent.length; n++) {
        outcomes[places[n]!] = sent[n]!;
        if (sent[n] === true) this.#counts.sets++;
      }
      return outcomes;
    };
    const none = () => new Array<SetOutcome>(keys.length).fill(false);
    if (prepared.some((each) => each instanceof Promise)) {
      return this.#shared.when(Op.SET_MANY, wire, channel, Promise.all(prepared), send, none);
    }
    this.#shared.writtenAll(wire);
    return this.#shared.all(Op.SET_MANY, () => send(prepared as readonly Ready[]), none);
  }

  readonly #decode = (status: number): boolean => {
    const stored = decodeStored(status);
    if (stored) this.#counts.sets++;
    return stored;
  };
}
