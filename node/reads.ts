// Reads of the entries of one cache or namespace: answered by the hot tier or sent to the daemon. What a reply means is reading.ts's affair, what the
// hot tier keeps hot.ts's.

import { getMany, type ReadItem, type UnreadItem } from "./batches.js";
import type { CallOptions, Decode } from "./call.js";
import type { Channel } from "./channel.js";
import { DecodeError, InvalidArgumentError, ofKey, show } from "./errors.js";
import type { FailurePolicy } from "./failure.js";
import type { Hot } from "./hot.js";
import { nameOf } from "./key-name.js";
import type { Key, KeySpace } from "./keys.js";
import { checkCallOptions, checkKey } from "./options.js";
import { NO_EXPIRY, Op, WITH_TTL } from "./protocol.js";
import type { Source, SourceEntry } from "./read-through.js";
import { type Entry, freshFor, freshOf, MISSED, type Reading } from "./reading.js";
import type { Shared } from "./shared.js";

type MaybeEntry = Entry | undefined;

/**
 * What is done about entries that cannot be decoded, in calls that read many.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const [a, b] = await cache.getMany(["a", "b"], { onUndecodable: "miss" });
 */
export interface UndecodableOptions {
  /**
   * An entry whose value cannot be read (another program has stored it, with a codec that this one has not, say): the call rejects with a DecodeError, whose `key` it
   * is; or the entry is taken for a miss, and the event `degraded` tells of it. @default "throw"; "miss" in a cache with `onError: "miss"`
   */
  readonly onUndecodable?: "throw" | "miss" | undefined;
}

/**
 * Options of `getMany`.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const [a, b] = await cache.getMany(["a", "b"], { timeout: 100 });
 */
export interface GetManyOptions extends CallOptions, UndecodableOptions {}

export class Reads implements Source {
  readonly #shared: Shared;
  readonly #keys: KeySpace;
  readonly #reading: Reading;

  constructor(shared: Shared, keys: KeySpace, reading: Reading) {
    this.#shared = shared;
    this.#keys = keys;
    this.#reading = reading;
  }

  get(key: Key, options: CallOptions | undefined): Promise<unknown> {
    const { hot } = this.#shared;
    try {
      if (typeof key !== "string" || options !== undefined) checkRead(key, options);
      const wire = this.#keys.wire(key);
      if (hot === null) return this.#ask(0, wire, this.#reading.value, options);
      const name = nameOf(wire);
      const found = hot.near.get(name);
      if (found !== undefined) return this.#settled("get", hot.valueOf(found.held, this.#reading));
      const call = (decode: Decode<unknown>) => this.#ask(WITH_TTL, wire, decode, options);
      return hot.read(name, this.#reading.value, false, call);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `wire`: the keys as the daemon has them; they must not change. */
  getMany(wire: readonly Key[], options: GetManyOptions | undefined): Promise<unknown[]> {
    const { hot } = this.#shared;
    const isMiss = isUndecodableMiss(options, this.#shared.failures);
    const ask = async (keys: readonly Key[]) => {
      let wrong: DecodeError | undefined;
      const unread = (error: unknown, place: number) => {
        try {
          return this.#unread(keys[place]!, place, error, isMiss);
        } catch (error) {
          // Not thrown here: it is no failure that is passed over.
          if (!(error instanceof DecodeError)) throw error;
          if (wrong === undefined || error.index! < wrong.index!) wrong = error;
          return MISSED;
        }
      };
      const values = await this.#askMany(keys, this.#reading.item, unread, options);
      if (wrong !== undefined) throw wrong;
      return this.#reading.items(values);
    };
    if (hot === null) return ask(wire);
    const make = (found: Hot, place: number) => {
      const unread = (error: unknown) => {
        if (error instanceof DecodeError) this.#unread(wire[place]!, place, error, isMiss);
        else this.#shared.failures.excuse("get_many", error);
        return this.#reading.miss();
      };
      try {
        const value = hot.valueOf(found, this.#reading);
        return value instanceof Promise ? value.catch(unread) : value;
      } catch (error) {
        return unread(error);
      }
    };
    return hot.many(wire, make, ask);
  }

  /** MISSED in the place of an item of a batch that cannot be decoded, if that is what is wanted. Throws what is wrong, with the item's name, if not. */
  #unread(wire: Key, place: number | undefined, error: unknown, isMiss: boolean): typeof MISSED {
    if (!(error instanceof DecodeError)) throw error;
    ofKey(error, this.#keys.shown(wire), place);
    if (!isMiss) throw error;
    this.#shared.failures.passOver("get_many", error);
    return MISSED;
  }

  /** A hot value, of which a tag may have to be asked for: the daemon may fail to answer that. */
  #settled(operation: string, value: unknown): Promise<unknown> {
    if (!(value instanceof Promise)) return Promise.resolve(value);
    return this.#shared.failures.guard(operation, value, () => this.#reading.miss());
  }

  // --- as the source of read-through: stale entries are entries, and what is read fills the hot tier

  nameOf(key: Key): string {
    return nameOf(this.#keys.wire(key));
  }

  recordOf(tag: string): string {
    return this.#keys.tagRecord(tag);
  }

  peek(key: Key, threshold: number): SourceEntry | undefined {
    const { hot } = this.#shared;
    if (hot === null) return undefined;
    const found = hot.near.look(this.nameOf(key));
    const entry = found === undefined ? undefined : hot.entryOf(found.held, this.#reading);
    if (entry === undefined || freshFor(entry, Date.now) <= threshold) {
      hot.near.missed();
      return undefined;
    }
    hot.near.used(found!);
    this.#reading.hit();
    return entry;
  }

  passOver(key: Key, error: unknown): void {
    if (!(error instanceof DecodeError)) throw error;
    this.#reading.miss();
    this.#shared.failures.passOver("get", ofKey(error, key));
  }

  getFresh(key: Key, options: CallOptions): Promise<unknown> {
    const { hot } = this.#shared;
    // What fills the hot tier has to know the TTL.
    if (hot !== null) return this.getEntry(key, options).then(freshOf);
    return this.#ask(0, this.#keys.wire(key), this.#reading.fresh, options);
  }

  getEntry(key: Key, options: CallOptions): Promise<MaybeEntry> {
    const { hot } = this.#shared;
    const wire = this.#keys.wire(key);
    const decode = this.#reading.withTtl as Decode<MaybeEntry>;
    if (hot === null) return this.#ask(WITH_TTL, wire, decode, options);
    const call = (filling: Decode<MaybeEntry>) => this.#ask(WITH_TTL, wire, filling, options);
    return hot.read(nameOf(wire), decode, true, call);
  }

  async getEntries(
    keys: readonly Key[],
    withTtl: boolean,
    options: CallOptions,
  ): Promise<readonly (SourceEntry | undefined)[]> {
    if (withTtl) {
      const any = Number.NEGATIVE_INFINITY;
      const entryOf = (key: Key) =>
        this.getEntry(key, options).catch((error): undefined => this.passOver(key, error) as undefined);
      return Promise.all(keys.map(async (key) => this.peek(key, any) ?? entryOf(key)));
    }
    const wire = keys.map((key) => this.#keys.wire(key));
    const ask = async (wire: readonly Key[]) => {
      const unread = (error: unknown, place: number) => {
        this.#unread(wire[place]!, undefined, error, true);
        return this.#reading.miss();
      };
      const entries = await this.#askMany(wire, this.#reading.itemEntry, unread, options);
      for (let i = 0; i < entries.length; i++) if (entries[i] === MISSED) entries[i] = undefined;
      return entries;
    };
    const { hot } = this.#shared;
    const make = (found: Hot) => {
      const entry = hot!.entryOf(found, this.#reading);
      if (entry === undefined) return MISSED;
      this.#reading.hit();
      return entry;
    };
    return (hot === null ? ask(wire) : hot.many(wire, make, ask)) as Promise<MaybeEntry[]>;
  }

  #ask<T>(flags: number, wire: Key, decode: Decode<T>, options: CallOptions | undefined): Promise<T> {
    return this.#shared.call(Op.GET, flags, 0, null, NO_EXPIRY, wire, null, decode, options);
  }

  /** The values of what `read` makes of the items that are there, and MISSED. */
  #askMany(
    wire: readonly Key[],
    read: ReadItem,
    unread: UnreadItem,
    options: CallOptions | undefined,
  ): Promise<unknown[]> {
    const make = (channel: Channel) => getMany(channel, wire, wire, read, unread, MISSED, options);
    return this.#shared.all(Op.GET_MANY, make, () => new Array(wire.length).fill(MISSED));
  }
}

/** Whether entries that cannot be decoded are to be taken for misses. Throws InvalidArgumentError. */
export function isUndecodableMiss(
  options: UndecodableOptions | undefined,
  { isLenient }: FailurePolicy,
): boolean {
  const wanted = options?.onUndecodable;
  if (wanted === undefined) return isLenient;
  if (wanted === "throw" || wanted === "miss") return wanted === "miss";
  throw new InvalidArgumentError(`onUndecodable must be "throw" or "miss", got ${show(wanted)}`);
}

/** Checks the arguments of a call that has a key and no value. Throws the reason of a signal that has aborted. */
export function checkRead(key: unknown, options: CallOptions | undefined): asserts key is Key {
  checkKey(key);
  if (options === undefined) return;
  checkCallOptions(options);
  options.signal?.throwIfAborted();
}
