// What can be done with the entries of a cache, or of one of its namespaces: the methods that applications call. Turns them into requests;
// what they mean is checked in options.ts, encoded by writing.ts and read by reading.ts. The daemon's life is the cache's affair (client.ts).
// Methods without `async` are so on purpose: a get is one request and one promise.

import { deleteMany } from "./batches.js";
import type { CallOptions, Decode } from "./call.js";
import type { Channel } from "./channel.js";
import { type CompressOptions, checkCompress } from "./compression.js";
import { atItem, InvalidArgumentError, show } from "./errors.js";
import { ValueFormat } from "./format.js";
import { casBody } from "./items.js";
import type { Key, KeySpace } from "./keys.js";
import type { Loader, LoadOptions, ManyLoader, WrapOptions } from "./load-options.js";
import { CALL_OPTIONS, checkNames, EXPIRY_OPTIONS } from "./option-names.js";
import {
  checkCall,
  checkCallOptions,
  checkKey,
  checkValue,
  defaultTtl,
  type ExpiryOptions,
  expiryOf,
  prefixOf,
  type SetOptions,
  type TagOptions,
  tagName,
  tagOf,
  ttlExpiry,
  type WireExpiry,
} from "./options.js";
import { NO_EXPIRY, Op, WITH_TTL, writeU32 } from "./protocol.js";
import { ReadThrough, type Store, type Wrapped } from "./read-through.js";
import { type Counts, type Entry, Reading } from "./reading.js";
import { checkRead, type GetManyOptions, Reads } from "./reads.js";
import { decodeBigInt, decodeCount, decodeFound, decodeNumber, decodeSwapped, decodeTtl } from "./replies.js";
import { type ScannedEntry, type ScannedPage, type ScanOptions, Scans, type WalkOptions } from "./scan.js";
import type { Shared } from "./shared.js";
import { type Codec, checkCodec } from "./values.js";
import { type SetItemOptions, Writes } from "./writes.js";
import { Writing } from "./writing.js";

/** What `increment` and `compareAndSet` compare and store as it is. */
export type Storable = string | Uint8Array;

/**
 * Options of `namespace`. What is not given is as in the cache, or the namespace, that it is made from.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({ compress: { above: 4_096 } });
 * const users = cache.namespace("users", { defaultTtl: 60_000, codec: null, compress: null });
 */
export interface NamespaceOptions {
  /** Turns values into bytes and back; null = the built-in ways. @default that of where it is made */
  codec?: Codec | null | undefined;
  /** Compresses values from a size on; null = no compression. @default that of where it is made */
  compress?: CompressOptions | null | undefined;
  /** Milliseconds that an entry lives when it is stored without a TTL, from 1; Infinity = for ever. @default that of where it is made */
  defaultTtl?: number | undefined;
}

/** How a view keeps its entries; those of a namespace begin as those of where it is made. */
interface Settings {
  readonly keys: KeySpace;
  readonly format: ValueFormat;
  readonly defaultTtl: number | undefined;
}

const CLEAR_OPTIONS = ["prefix", ...CALL_OPTIONS];
const INCREMENT_OPTIONS = [...EXPIRY_OPTIONS, ...CALL_OPTIONS];
const SWAP_OPTIONS = [...INCREMENT_OPTIONS, "tag"];
const GET_MANY_OPTIONS = [...CALL_OPTIONS, "onUndecodable"];
const NAMESPACE_OPTIONS = ["defaultTtl", "codec", "compress"];

/** The entries of a cache, or of a namespace of it. */
export class CacheView<V = unknown> {
  readonly #shared: Shared;
  readonly #settings: Settings;
  readonly #keys: KeySpace;
  readonly #reading: Reading;
  readonly #writing: Writing;
  readonly #writes: Writes;
  readonly #scans: Scans;
  readonly #reads: Reads;
  readonly #through: ReadThrough;
  readonly #counts: Counts = { hits: 0, misses: 0, sets: 0, deletes: 0 };

  /** @internal */
  constructor(shared: Shared, settings: Settings) {
    const { keys, format } = settings;
    const recordOf = (tag: string) => keys.tagRecord(tag);
    this.#shared = shared;
    this.#settings = settings;
    this.#keys = keys;
    this.#reading = new Reading(format, shared.generations, recordOf, this.#counts);
    this.#writing = new Writing(shared, format, recordOf, settings.defaultTtl);
    this.#scans = new Scans(shared, keys, this.#reading);
    this.#reads = new Reads(shared, keys, this.#reading);
    this.#writes = new Writes(shared, keys, this.#writing, this.#counts);
    const store: Store = (items, options) => this.#writes.keep(items, options);
    this.#through = new ReadThrough(
      this.#reads,
      store,
      shared.loads,
      settings.defaultTtl ?? shared.defaultTtl,
    );
  }

  /**
   * A part of this cache with keys of its own: the same key in two namespaces is two entries. Costs no daemon and next to no memory, so it may
   * be made when it is needed. Its tags and counts are its own, too. `name`: 1 to 255 characters without control characters.
   */
  namespace<T = V>(name: string, options: NamespaceOptions = {}): Namespace<T> {
    if (typeof options !== "object" || options === null) {
      throw new InvalidArgumentError(`options must be an object, got ${show(options)}`);
    }
    checkNames("a namespace", options, NAMESPACE_OPTIONS);
    const { keys, format, defaultTtl: inherited } = this.#settings;
    const { codec, compress, defaultTtl: ttl } = options;
    const { maxValueBytes } = this.#shared;
    return new Namespace<T>(name, this.#shared, {
      keys: keys.inner(name),
      format: new ValueFormat(
        codec === undefined ? format.codec : checkCodec(codec),
        compress === undefined ? format.compression : checkCompress(compress),
        maxValueBytes,
      ),
      defaultTtl: ttl === undefined ? inherited : (defaultTtl(ttl) ?? Number.POSITIVE_INFINITY),
    });
  }

  /** What was counted here, by this client, since this object was made. */
  get counts(): Readonly<Counts> {
    return { ...this.#counts };
  }

  /**
   * Reads a value: equal to the one that was stored, and of its type; undefined if it is not there. Stored bytes are a Buffer, as are values that only
   * another language understands. A stored undefined looks like a miss: `getEntry` tells them apart. Rejects with DecodeError for what
   * cannot be read.
   */
  get<T = V>(key: Key, options?: CallOptions): Promise<T | undefined> {
    return this.#reads.get(key, options) as Promise<T | undefined>;
  }

  /** Reads a value with what is known of it, also one that is stale; undefined if it is not there. */
  getEntry<T = V>(key: Key, options?: CallOptions): Promise<Entry<T> | undefined> {
    const decode = this.#reading.withTtl as Decode<Entry<T> | undefined>;
    return this.#keyed(Op.GET, WITH_TTL, key, decode, options);
  }

  /**
   * Reads a value, or has `loader` bring it and stores what it brings. However many ask for a key at the same time, in this process, its loader runs once for
   * all of them: what it throws or rejects with reaches each of them and is not stored. Resolves once the value is stored; those who have waited
   * share one object. A write to the key that is called meanwhile wins: what is loaded is not stored then. What is stored and cannot be decoded is loaded anew, which the event
   * `degraded` tells of. See docs/node-read-through.md.
   *
   * Rejects with what the loader rejects with, LoaderTimeoutError, ReentrantLoadError, the reason of `signal`, and as `get` and `set` do.
   */
  getOrSet<T = V>(key: Key, loader: Loader<T>, options?: LoadOptions<T>): Promise<T> {
    return this.#through.getOrSet(key, loader, options);
  }

  /**
   * `getOrSet` for many keys: what is missing is loaded in one call of `loadMany`, but for what is being loaded already. The result has the order of the keys,
   * with undefined for what `loadMany` has no value for. `refreshThreshold` makes it ask for each key by itself.
   *
   * Rejects as `getOrSet` does, and with NotStoredError when some of what was loaded cannot be stored: the rest is stored then, and the error has all values.
   */
  getOrSetMany<T = V, K extends Key = Key>(
    keys: readonly K[],
    loadMany: ManyLoader<K, T>,
    options?: LoadOptions<T>,
  ): Promise<(T | undefined)[]> {
    return this.#through.getOrSetMany(keys, loadMany, options);
  }

  /**
   * A function that does what `fn` does, and keeps its results here, each by the key that `options.key` makes of the arguments. It always returns a promise. A function
   * that returns undefined is called each time, unless `negativeTtl` says otherwise.
   */
  wrap<F extends (...args: never[]) => unknown>(
    fn: F,
    options: WrapOptions<Parameters<F>, Awaited<ReturnType<F>>>,
  ): Wrapped<Parameters<F>, Awaited<ReturnType<F>>> {
    return this.#through.wrap(fn, options);
  }

  /** Reads a value and removes it. */
  take<T = V>(key: Key, options?: CallOptions): Promise<T | undefined> {
    return this.#keyed(Op.TAKE, 0, key, this.#reading.value as Decode<T | undefined>, options);
  }

  /**
   * Stores anything that can be structured-cloned, or what the codec takes; resolves with false when the condition did not hold. Rejects with EncodeError for what
   * cannot. Do not change bytes before the call has settled: those of 16 KiB or more are sent without a copy, and a cache with a directory may send any
   * a second time. Other values are encoded within the call.
   */
  set(key: Key, value: V, options?: SetOptions): Promise<boolean> {
    return this.#writes.set(key, value, options);
  }

  /**
   * Makes every entry a miss that was stored with this tag in this namespace, whatever their number: one small write, and no value moves. Those whose
   * `set` has begun before are concerned, those after are not. `has`, `keys`, `ttl` and conditions do not look into values: for
   * them such an entry is there until it expires or is evicted.
   */
  async invalidateTag(tag: string, options?: CallOptions): Promise<void> {
    const record = this.#keys.tagRecord(tagName(tag));
    if (options !== undefined) checkCallOptions(options);
    this.#shared.loads.tagInvalidated(record);
    const invalidated = this.#shared.generations.invalidate(record, options);
    await this.#shared.failures.guard("invalidateTag", invalidated, () =>
      this.#shared.oweInvalidation(record),
    );
  }

  /**
   * Removes an entry; resolves with whether it was there. In a cache with a directory, with false also when a daemon removed it and died
   * before it could say so.
   */
  remove(key: Key, options?: CallOptions): Promise<boolean> {
    return this.#keyed(Op.REMOVE, 0, key, this.#decodeRemoved, options);
  }

  /** The same as `remove`. */
  delete(key: Key, options?: CallOptions): Promise<boolean> {
    return this.remove(key, options);
  }

  /** Whether the key is there; neither refreshes the entry nor counts as a hit or miss. True for a stale one, too. */
  has(key: Key, options?: CallOptions): Promise<boolean> {
    return this.#keyed(Op.CONTAINS, 0, key, decodeFound, options);
  }

  /**
   * Gives an entry a new TTL in milliseconds (0 = at once, Infinity = never, undefined = the default here); resolves with
   * whether it was there. An entry that was stored with `staleTtl` becomes stale when it would have: that stands in its value, which this does not write.
   */
  touch(key: Key, ttl?: number, options?: CallOptions): Promise<boolean> {
    try {
      if (options !== undefined) checkCallOptions(options);
      return this.#expiring(Op.TOUCH, null, ttlExpiry(ttl), key, decodeFound, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Lets an entry live for ever; resolves with whether it was there. One that was stored with `staleTtl` becomes stale all the same: see `touch`. */
  persist(key: Key, options?: CallOptions): Promise<boolean> {
    return this.touch(key, Number.POSITIVE_INFINITY, options);
  }

  /** Milliseconds left; Infinity = never expires, undefined = not there. Does not refresh the entry. */
  ttl(key: Key, options?: CallOptions): Promise<number | undefined> {
    return this.#keyed(Op.TTL, 0, key, decodeTtl, options);
  }

  /**
   * Adds to a number that is kept as decimal text, or was stored as an integer; an absent key counts as 0 and gets the expiry of `options`, an existing
   * entry keeps its own. Rejects with UnsafeIntegerError when a JavaScript number cannot hold the result: the addition is done.
   */
  increment(key: Key, delta = 1, options?: CallOptions & ExpiryOptions): Promise<number> {
    if (!Number.isSafeInteger(delta)) {
      return Promise.reject(
        new InvalidArgumentError(
          `delta must be a safe integer, got ${show(delta)}: incrementBigInt takes larger ones`,
        ),
      );
    }
    return this.#increment(key, BigInt(delta), decodeNumber, options);
  }

  /** `increment` over the whole range of 64 bits. */
  incrementBigInt(key: Key, delta = 1n, options?: CallOptions & ExpiryOptions): Promise<bigint> {
    if (typeof delta !== "bigint" || BigInt.asIntN(64, delta) !== delta) {
      return Promise.reject(
        new InvalidArgumentError(`delta must be a bigint of 64 bits, got ${show(delta)}`),
      );
    }
    return this.#increment(key, delta, decodeBigInt, options);
  }

  /**
   * Stores `value` if the entry holds exactly the bytes of `expected`; resolves with whether it did. Two writers that read,
   * compute and compareAndSet never lose each other's change. For text and bytes: both are taken as they are, without codec and compression.
   */
  compareAndSet(
    key: Key,
    expected: Storable,
    value: Storable,
    options?: CallOptions & ExpiryOptions & TagOptions,
  ): Promise<boolean> {
    try {
      checkKey(key);
      checkValue(expected);
      checkValue(value);
      const cas = options ?? {};
      checkCall(cas);
      checkNames("compareAndSet", cas, SWAP_OPTIONS);
      const { kind, ms } = this.#writing.byDefault(expiryOf(cas));
      const { body, expectedLength } = casBody(expected, value, this.#shared.channel.limits);
      const fields = new Uint8Array(4);
      writeU32(fields, 0, expectedLength);
      const tag = tagOf(cas.tag, value);
      const wire = this.#keys.wire(key);
      const decode = this.#decodeSwapped;
      return this.#shared.call(Op.CAS, kind, tag, fields, ms, wire, body, decode, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Removes everything here, namespaces of this one included, or only what of this one begins with a prefix; resolves with how many entries that
   * were, for a whole cache the records of its tags included (see docs/node.md).
   */
  async clear(options?: CallOptions & { readonly prefix?: Key | undefined }): Promise<number> {
    const prefix = prefixOf(options?.prefix);
    if (options !== undefined) {
      checkCall(options);
      // One that is not understood must not be taken for none: everything would go.
      checkNames("clear", options, CLEAR_OPTIONS);
    }
    const wire = this.#keys.wirePrefix(prefix);
    const clear = (channel: Channel, start: Key | null) =>
      channel.call(Op.CLEAR, 0, 0, null, NO_EXPIRY, start, null, decodeCount, options);
    const hasInner = wire !== null && (prefix === null || prefix.length === 0);
    this.#shared.writtenUnder(wire);
    if (hasInner) this.#shared.writtenUnder(this.#keys.innerPrefix);
    const make = async (channel: Channel) => {
      if (wire === null) this.#shared.generations.cleared();
      if (!hasInner) return clear(channel, wire);
      const removed = await Promise.all([clear(channel, wire), clear(channel, this.#keys.innerPrefix)]);
      return removed[0] + removed[1];
    };
    return this.#shared.all(Op.CLEAR, make, () => {
      this.#shared.oweUnder(wire);
      if (hasInner) this.#shared.oweUnder(this.#keys.innerPrefix);
      return 0;
    });
  }

  /**
   * Reads many values at once; the result has the order of the keys, with undefined for what is not there. Rejects with DecodeError, whose `index` and `key` say which one
   * it is, for what cannot be read, unless `onUndecodable` has it taken for a miss.
   */
  async getMany<T = V>(keys: readonly Key[], options?: GetManyOptions): Promise<(T | undefined)[]> {
    if (options !== undefined) {
      checkCall(options);
      checkNames("getMany", options, GET_MANY_OPTIONS);
    }
    const wire = this.#wireKeys(keys, undefined);
    return this.#reads.getMany(wire, options) as Promise<(T | undefined)[]>;
  }

  /** Whether many keys are there, in order; see `has`. */
  async hasMany(keys: readonly Key[], options?: CallOptions): Promise<boolean[]> {
    this.#wireKeys(keys, options);
    return Promise.all(keys.map((key) => this.has(key, options)));
  }

  /**
   * Stores many values at once; resolves with whether each was stored, in order. Not atomic: when the daemon refuses
   * one item, the call rejects with its error (see `index`), and the others are done all the same. An item that is told to be wrong
   * here (a TTL below 0, a value that cannot be encoded) rejects the call, and nothing is sent.
   */
  async setMany(items: readonly SetItemOptions<V>[], options?: CallOptions): Promise<boolean[]> {
    return this.#writes.setMany(items, options);
  }

  /** Removes many entries at once; resolves with whether each was there, in order. */
  async deleteMany(keys: readonly Key[], options?: CallOptions): Promise<boolean[]> {
    const wire = this.#wireKeys(keys, options);
    const names = [...keys];
    this.#shared.writtenAll(wire);
    const removed = await this.#shared.all(
      Op.REMOVE_MANY,
      (channel) => deleteMany(channel, wire, names, options),
      (error) => {
        this.#shared.owe(wire, error);
        return new Array<boolean>(names.length).fill(false);
      },
    );
    for (const each of removed) if (each) this.#counts.deletes++;
    return removed;
  }

  /**
   * One page of a scan. Begin without a cursor, go on with that of the page before until it is 0n. An entry that is there
   * throughout is in at least one page, and may be in two.
   */
  scan<T = V>(
    options?: ScanOptions & { readonly cursor?: bigint; readonly withValues?: boolean },
  ): Promise<ScannedPage<T>> {
    return this.#scans.page(options ?? {}) as Promise<ScannedPage<T>>;
  }

  /**
   * All keys, or those under a prefix or that match: strings, or Buffers for keys that are not UTF-8. Those in namespaces of this one are not
   * among them. One may come twice (see `scan`).
   */
  async *keys(options?: WalkOptions): AsyncGenerator<string | Buffer, void, undefined> {
    for await (const { key } of this.#scans.walk(options ?? {}, false)) yield key;
  }

  /**
   * All values, as `keys`. Those that are misses for `get` are left out; nothing is counted as a hit. One that cannot be read ends the walk with a DecodeError, whose
   * `key` says which one it is, unless `onUndecodable` has it left out.
   */
  async *values<T = V>(options?: WalkOptions): AsyncGenerator<T, void, undefined> {
    for await (const { value } of this.#scans.walk(options ?? {}, true)) yield value as T;
  }

  /** All entries, as `values`. */
  entries<T = V>(
    options?: WalkOptions,
  ): AsyncGenerator<ScannedEntry<T> & { readonly value: T }, void, undefined> {
    type Entries = AsyncGenerator<ScannedEntry<T> & { readonly value: T }, void, undefined>;
    return this.#scans.walk(options ?? {}, true) as Entries;
  }

  /** All keys and values, in pairs. */
  async *[Symbol.asyncIterator](): AsyncGenerator<[key: string | Buffer, value: V], void, undefined> {
    for await (const { key, value } of this.#scans.walk({}, true)) yield [key, value as V];
  }

  readonly #decodeSwapped = (status: number): boolean => {
    const swapped = decodeSwapped(status);
    if (swapped) this.#counts.sets++;
    return swapped;
  };

  readonly #decodeRemoved = (status: number): boolean => {
    const removed = decodeFound(status);
    if (removed) this.#counts.deletes++;
    return removed;
  };

  #keyed<T>(
    op: number,
    flags: number,
    key: Key,
    decode: Decode<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    if (typeof key !== "string" || options !== undefined) {
      try {
        checkRead(key, options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const wire = this.#keys.wire(key);
    return this.#shared.call(op, flags, 0, null, NO_EXPIRY, wire, null, decode, options);
  }

  #expiring<T>(
    op: number,
    fields: Uint8Array | null,
    expiry: WireExpiry,
    key: Key,
    decode: Decode<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    checkKey(key);
    const { kind, ms } = this.#writing.byDefault(expiry);
    const wire = this.#keys.wire(key);
    return this.#shared.call(op, kind, 0, fields, ms, wire, null, decode, options);
  }

  #increment<T>(
    key: Key,
    delta: bigint,
    decode: Decode<T>,
    options: (CallOptions & ExpiryOptions) | undefined,
  ): Promise<T> {
    try {
      if (options !== undefined) {
        checkCall(options);
        checkNames("increment", options, INCREMENT_OPTIONS);
      }
      const fields = Buffer.alloc(8);
      fields.writeBigInt64LE(delta);
      return this.#expiring(Op.INCR, fields, expiryOf(options ?? {}), key, decode, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The keys as the daemon has them, in an array of our own: frames may be encoded after the caller has gone on to change his. */
  #wireKeys(keys: readonly Key[], options: CallOptions | undefined): Key[] {
    if (!Array.isArray(keys)) throw new InvalidArgumentError(`keys must be an array, got ${show(keys)}`);
    if (options !== undefined) checkCallOptions(options);
    const wire: Key[] = new Array(keys.length);
    // By position: forEach passes over holes.
    for (let i = 0; i < keys.length; i++) {
      const key: unknown = keys[i];
      if (typeof key !== "string") atItem(i, () => checkKey(key));
      wire[i] = this.#keys.wire(key as Key);
    }
    return wire;
  }
}

/** A part of a cache with keys, tags, counts and defaults of its own. Made by `namespace`; it lives as long as its cache. */
export class Namespace<V = unknown> extends CacheView<V> {
  /** As it was given. */
  readonly name: string;

  /** @internal */
  constructor(name: string, shared: Shared, settings: Settings) {
    super(shared, settings);
    this.name = name;
  }
}
