// `Cache`: what a Node developer expects of a cache. Turns method calls into requests and hands them to the channel; the wire is
// in protocol.ts and items.ts, the checks are in options.ts, the meaning of replies in replies.ts. Batches are in batches.ts,
// scans in scan.ts. Methods without `async` are so on purpose: a get is one request and one promise.

import { Batches, type SetItemOptions } from "./batches.js";
import type { CallOptions, Decode } from "./call.js";
import { Daemon } from "./daemon.js";
import { InvalidArgumentError, show } from "./errors.js";
import { Events } from "./events.js";
import {
  type CacheOptions,
  checkCacheOptions,
  checkCallOptions,
  checkKey,
  checkValue,
  conditionOf,
  type ExpiryOptions,
  expiryOf,
  prefixOf,
  type SetOptions,
  type TagOptions,
  tagOf,
  ttlExpiry,
  type WireExpiry,
} from "./options.js";
import { type Handshake, NO_EXPIRY, Op, Tag, WITH_TTL, writeU32 } from "./protocol.js";
import {
  type CacheValue,
  decodeBigInt,
  decodeCount,
  decodeDone,
  decodeEntry,
  decodeFound,
  decodeJson,
  decodeNumber,
  decodeStored,
  decodeSwapped,
  decodeTtl,
  decodeValue,
  type Entry,
} from "./replies.js";
import { type ScannedEntry, type ScannedPage, type ScanOptions, Scans } from "./scan.js";

/** A key: text, or bytes. A text and its UTF-8 bytes are the same key. */
export type Key = string | Uint8Array;
/** What can be stored. */
export type Storable = string | Uint8Array;

/** What the daemon counts. Further numbers may come with newer daemons. Those of the disk are 0 without a directory. */
export interface Stats {
  /** Entries held now, expired ones that are not reclaimed yet included. */
  readonly items: number;
  /** Bytes charged for them: keys, values and overhead. */
  readonly bytes: number;
  /** Reads that found an entry, since the daemon started. */
  readonly hits: number;
  /** Reads that did not. */
  readonly misses: number;
  /** 1 when the cache is kept in a directory. */
  readonly persistent: number;
  /** Changes written to the journal since the daemon started, and their bytes. */
  readonly journal_records: number;
  readonly journal_bytes: number;
  /** What a start would have to replay. */
  readonly journal_bytes_since_snapshot: number;
  /** Syncs of the journal, how long they took in all, and the longest of them; microseconds. */
  readonly journal_syncs: number;
  readonly journal_sync_us: number;
  readonly journal_longest_sync_us: number;
  /** Snapshots written since the daemon started. */
  readonly snapshots: number;
  /** When the last one was done, in milliseconds since 1970; how long it took, what it takes on disk, how many entries it has. */
  readonly last_snapshot_at_ms: number;
  readonly last_snapshot_ms: number;
  readonly last_snapshot_bytes: number;
  readonly last_snapshot_entries: number;
  /** Of the one under way: 1 if there is one, entries written so far, entries that there were when it began, bytes written so far. */
  readonly snapshot_under_way: number;
  readonly snapshot_progress: number;
  readonly snapshot_entries: number;
  readonly snapshot_bytes: number;
  /** 1 while the directory is loaded: `stats` and `ping` are answered then, all other calls wait. The counters of the cache are 0. */
  readonly loading: number;
  /** Bytes read of the files in the directory, and how many there are to read; entries and changes applied. They stay when it is loaded. */
  readonly loaded_bytes: number;
  readonly load_bytes: number;
  readonly loaded_entries: number;
  /** Entries and changes that were applied at the start, those that were damaged, and how long it took. */
  readonly recovered: number;
  readonly dropped_records: number;
  readonly recovery_ms: number;
  /** 1 when the disk has failed: nothing is kept until a snapshot succeeds. */
  readonly disk_failed: number;
  readonly [name: string]: number;
}

/** What a cache tells; `on` takes these names. */
export interface CacheEvents extends Record<string, (...args: never[]) => void> {
  /** A daemon has started and answered, and has loaded its directory. */
  ready: (daemon: Handshake) => void;
  /** A daemon is started in the place of one that died. `attempt` counts within the restart window, from 1. */
  restart: (info: { readonly attempt: number; readonly reason: Error }) => void;
  /** The daemon died, or could not be started. The calls concerned reject as well; nobody need listen. */
  error: (error: Error) => void;
  /** `close` is done: the daemon is gone. Once for each daemon, and for a `close` that found none. */
  close: () => void;
}

/** A cache in a daemon of its own. Made by `createCache`. */
export class Cache {
  readonly #daemon: Daemon;
  readonly #events = new Events<CacheEvents>(["ready", "restart", "error", "close"]);
  readonly #batches: Batches;
  readonly #scans: Scans;
  /** Whether a set without options needs no deadline. */
  readonly #hasPlainSets: boolean;

  /** Checks the options; starts nothing. */
  constructor(options: CacheOptions = {}) {
    const events = this.#events;
    const checked = checkCacheOptions(options);
    const onLog = options.onLog;
    this.#daemon = new Daemon(checked, {
      ready: (handshake) => events.emit("ready", handshake),
      restart: (attempt, reason) => events.emit("restart", { attempt, reason }),
      lost: (error) => events.emit("error", error),
      failed: (error) => events.emit("error", error),
      closed: () => events.emit("close"),
      log: (line) => onLog?.(line),
    });
    this.#batches = new Batches(this.#daemon);
    this.#hasPlainSets = checked.dir === null || checked.defaultTtl === undefined;
    this.#scans = new Scans(this.#daemon);
  }

  /**
   * Starts the daemon; resolves when it has answered. Not needed: the first call starts it too. Opens a closed cache again, and
   * tries at once when former starts have failed too often.
   */
  start(): Promise<void> {
    return this.#daemon.start();
  }

  /** True while calls leave for the daemon at once. */
  get ready(): boolean {
    return this.#daemon.isUp;
  }

  /** Process id of the daemon while one runs. */
  get pid(): number | undefined {
    return this.#daemon.process?.pid;
  }

  /** Calls that have not settled. */
  get pending(): number {
    return this.#daemon.pending;
  }

  /** Bytes of requests that have not left this process. */
  get queuedBytes(): number {
    return this.#daemon.queuedBytes;
  }

  /**
   * Resolves when no call waits for its turn and at most half of `maxQueuedBytes` is queued: await it between large bursts.
   * Rejects when that is not so within `timeout`, or when `signal` aborts.
   */
  async drained(options?: CallOptions): Promise<void> {
    if (options !== undefined) checkCallOptions(options);
    await this.#daemon.drained(options);
  }

  /**
   * Ends the daemon; what was called before is answered first, even if that takes the end of its start. Resolves when it is gone;
   * never rejects. Calls made afterwards reject with ClosedError until `start`, which may be called at once.
   */
  close(): Promise<void> {
    return this.#daemon.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Adds a listener. */
  on<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.on(event, listener);
    return this;
  }

  /** Adds a listener for one time. */
  once<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.once(event, listener);
    return this;
  }

  /** Removes a listener. */
  off<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.off(event, listener);
    return this;
  }

  /** Reads a value: a string if it was stored as text or JSON, else a Buffer; undefined if it is not there. */
  get(key: Key, options?: CallOptions): Promise<CacheValue | undefined> {
    return this.#keyed(Op.GET, 0, key, decodeValue, options);
  }

  /** Reads a value with its tag and the time that it has left. */
  getEntry(key: Key, options?: CallOptions): Promise<Entry | undefined> {
    return this.#keyed(Op.GET, WITH_TTL, key, decodeEntry, options);
  }

  /** Reads a value and removes it. */
  take(key: Key, options?: CallOptions): Promise<CacheValue | undefined> {
    return this.#keyed(Op.TAKE, 0, key, decodeValue, options);
  }

  /**
   * Stores a value; resolves with false when the condition did not hold. Do not change bytes before the call has settled: those of
   * 16 KiB or more are sent without a copy, and a cache with a directory may send any a second time.
   */
  set(key: Key, value: Storable, options?: SetOptions): Promise<boolean> {
    if (options === undefined && this.#hasPlainSets) {
      if (typeof value === "string" && typeof key === "string") {
        return this.#daemon.channel.call(Op.SET, 0, Tag.TEXT, null, NO_EXPIRY, key, value, decodeStored);
      }
    }
    try {
      checkKey(key);
      checkValue(value);
      const set = options ?? {};
      checkCallOptions(set);
      const { kind, ms } = this.#daemon.expiry(expiryOf(set));
      const flags = kind | conditionOf(set.condition);
      const tag = tagOf(set.tag, value);
      return this.#daemon.channel.call(Op.SET, flags, tag, null, ms, key, value, decodeStored, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Removes an entry; resolves with whether it was there. In a cache with a directory, with false also when a daemon removed it and died
   * before it could say so.
   */
  remove(key: Key, options?: CallOptions): Promise<boolean> {
    return this.#keyed(Op.REMOVE, 0, key, decodeFound, options);
  }

  /** The same as `remove`. */
  delete(key: Key, options?: CallOptions): Promise<boolean> {
    return this.remove(key, options);
  }

  /** Whether the key is there; neither refreshes the entry nor counts as a hit or miss. */
  has(key: Key, options?: CallOptions): Promise<boolean> {
    return this.#keyed(Op.CONTAINS, 0, key, decodeFound, options);
  }

  /**
   * Gives an entry a new TTL in milliseconds (0 = at once, Infinity = never, undefined = the cache's default); resolves with
   * whether it was there.
   */
  touch(key: Key, ttl?: number, options?: CallOptions): Promise<boolean> {
    try {
      return this.#expiring(Op.TOUCH, null, ttlExpiry(ttl), key, decodeFound, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Lets an entry live for ever; resolves with whether it was there. */
  persist(key: Key, options?: CallOptions): Promise<boolean> {
    return this.touch(key, Number.POSITIVE_INFINITY, options);
  }

  /** Milliseconds left; Infinity = never expires, undefined = not there. Does not refresh the entry. */
  ttl(key: Key, options?: CallOptions): Promise<number | undefined> {
    return this.#keyed(Op.TTL, 0, key, decodeTtl, options);
  }

  /**
   * Adds to a number that is kept as decimal text; an absent key counts as 0 and gets the expiry of `options`, an existing
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
   * compute and compareAndSet never lose each other's change.
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
      checkCallOptions(cas);
      const { kind, ms } = expiryOf(cas);
      const { body, expectedLength } = this.#batches.casBody(expected, value);
      const fields = new Uint8Array(4);
      writeU32(fields, 0, expectedLength);
      return this.#daemon.channel.call(
        Op.CAS,
        kind,
        tagOf(cas.tag, value),
        fields,
        ms,
        key,
        body,
        decodeSwapped,
        options,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Removes everything, or everything under a prefix; resolves with how many entries that were. */
  clear(options?: CallOptions & { readonly prefix?: Key | undefined }): Promise<number> {
    try {
      const prefix = prefixOf(options?.prefix);
      if (options !== undefined) checkCallOptions(options);
      return this.#daemon.channel.call(Op.CLEAR, 0, 0, null, NO_EXPIRY, prefix, null, decodeCount, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Reads many values at once; the result has the order of the keys, with undefined for what is not there. */
  getMany(keys: readonly Key[], options?: CallOptions): Promise<(CacheValue | undefined)[]> {
    return this.#batches.getMany(keys, options);
  }

  /**
   * Stores many values at once; resolves with whether each was stored, in order. Not atomic: when the daemon refuses
   * one item, the call rejects with its error (see `index`), and the others are done all the same. An item that can be told to be wrong
   * here (a key too long, say) rejects the call and may keep others from being sent.
   */
  setMany(items: readonly SetItemOptions[], options?: CallOptions): Promise<boolean[]> {
    return this.#batches.setMany(items, options);
  }

  /** Removes many entries at once; resolves with whether each was there, in order. */
  deleteMany(keys: readonly Key[], options?: CallOptions): Promise<boolean[]> {
    return this.#batches.deleteMany(keys, options);
  }

  /**
   * One page of a scan. Begin without a cursor, go on with that of the page before until it is 0n. An entry that is there
   * throughout is in at least one page, and may be in two.
   */
  scan(
    options?: ScanOptions & { readonly cursor?: bigint; readonly withValues?: boolean },
  ): Promise<ScannedPage> {
    return this.#scans.page(options ?? {});
  }

  /** All keys, or those under a prefix: strings, or Buffers for keys that are not UTF-8. One may come twice (see `scan`). */
  keys(options?: ScanOptions): AsyncGenerator<string | Buffer, void, undefined> {
    return this.#scans.keys(options ?? {});
  }

  /** All entries, or those under a prefix. One may come twice (see `scan`). */
  entries(
    options?: ScanOptions,
  ): AsyncGenerator<ScannedEntry & { readonly value: CacheValue }, void, undefined> {
    return this.#scans.entries(options ?? {});
  }

  /** Asks the daemon for a sign of life. */
  ping(options?: CallOptions): Promise<void> {
    return this.#plain(Op.PING, decodeDone, options);
  }

  /** What the daemon holds and has counted. Answered also while it loads its directory, when `start` has not resolved. */
  stats(options?: CallOptions): Promise<Stats> {
    return this.#plain(Op.STATS, decodeJson as Decode<Stats>, options);
  }

  /** Has the daemon write a snapshot to its directory; resolves once it is durable. Rejects with NoDirectoryError if it has none. */
  snapshot(options?: CallOptions): Promise<void> {
    return this.#plain(Op.SNAPSHOT, decodeDone, options);
  }

  #plain<T>(op: number, decode: Decode<T>, options: CallOptions | undefined): Promise<T> {
    try {
      if (options !== undefined) checkCallOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#daemon.channel.call(op, 0, 0, null, NO_EXPIRY, null, null, decode, options);
  }

  #keyed<T>(
    op: number,
    flags: number,
    key: Key,
    decode: Decode<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    if (typeof key !== "string" || options !== undefined) {
      try {
        checkKey(key);
        if (options !== undefined) checkCallOptions(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#daemon.channel.call(op, flags, 0, null, NO_EXPIRY, key, null, decode, options);
  }

  #expiring<T>(
    op: number,
    fields: Uint8Array | null,
    { kind, ms }: WireExpiry,
    key: Key,
    decode: Decode<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    checkKey(key);
    if (options !== undefined) checkCallOptions(options);
    return this.#daemon.channel.call(op, kind, 0, fields, ms, key, null, decode, options);
  }

  #increment<T>(
    key: Key,
    delta: bigint,
    decode: Decode<T>,
    options: (CallOptions & ExpiryOptions) | undefined,
  ): Promise<T> {
    try {
      const fields = Buffer.alloc(8);
      fields.writeBigInt64LE(delta);
      return this.#expiring(Op.INCR, fields, expiryOf(options ?? {}), key, decode, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
