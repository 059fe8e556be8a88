// Reads of the entries of one cache or namespace: answered by the hot tier or sent to the daemon. What a reply means is reading.ts's affair, what the
// hot tier keeps hot.ts's.

import { getMany, type ReadItem } from "./batches.js";
import type { CallOptions, Decode } from "./call.js";
import type { Channel } from "./channel.js";
import type { Hot } from "./hot.js";
import { nameOf } from "./key-name.js";
import type { Key, KeySpace } from "./keys.js";
import { checkCallOptions, checkKey } from "./options.js";
import { NO_EXPIRY, Op, WITH_TTL } from "./protocol.js";
import type { Source, SourceEntry } from "./read-through.js";
import { type Entry, freshFor, freshOf, MISSED, type Reading } from "./reading.js";
import type { Shared } from "./shared.js";

type MaybeEntry = Entry | undefined;

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
  getMany(wire: readonly Key[], options: CallOptions | undefined): Promise<unknown[]> {
    const { hot } = this.#shared;
    const ask = async (keys: readonly Key[]) =>
      this.#reading.items(await this.#askMany(keys, this.#reading.item, MISSED, options));
    if (hot === null) return ask(wire);
    const make = (found: Hot) => {
      const value = hot.valueOf(found, this.#reading);
      return value instanceof Promise ? this.#settled("get_many", value) : value;
    };
    return hot.many(wire, make, ask);
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
      return Promise.all(keys.map(async (key) => this.peek(key, any) ?? this.getEntry(key, options)));
    }
    const wire = keys.map((key) => this.#keys.wire(key));
    const ask = (keys: readonly Key[]) => this.#askMany(keys, this.#reading.itemEntry, undefined, options);
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

  #askMany(
    wire: readonly Key[],
    read: ReadItem,
    missing: unknown,
    options: CallOptions | undefined,
  ): Promise<unknown[]> {
    const make = (channel: Channel) => getMany(channel, wire, wire, read, missing, options);
    return this.#shared.all(Op.GET_MANY, make, () => new Array(wire.length).fill(missing));
  }
}

/** Checks the arguments of a call that has a key and no value. Throws the reason of a signal that has aborted. */
export function checkRead(key: unknown, options: CallOptions | undefined): asserts key is Key {
  checkKey(key);
  if (options === undefined) return;
  checkCallOptions(options);
  options.signal?.throwIfAborted();
}
