// `Cache`: a daemon of its own and what it holds. What can be done with entries is view.ts's affair, which its namespaces have in common with it;
// here are the daemon's life, its events and its figures.

import type { CallOptions, Decode } from "./call.js";
import { checkCompress } from "./compression.js";
import { Daemon } from "./daemon.js";
import { ClosedError } from "./errors.js";
import { Events } from "./events.js";
import { EvictionSampler, type Evictions } from "./evictions.js";
import { type Degradation, FailurePolicy } from "./failure.js";
import { ValueFormat } from "./format.js";
import { HotTier } from "./hot.js";
import { KeySpace } from "./keys.js";
import type { LoadCounts } from "./loads.js";
import { type CacheOptions, checkCacheOptions, checkCallOptions, DEFAULT_VALUE_BYTES } from "./options.js";
import { type Handshake, NO_EXPIRY, Op } from "./protocol.js";
import { decodeDone, decodeJson } from "./replies.js";
import { Shared } from "./shared.js";
import { checkCodec } from "./values.js";
import { CacheView } from "./view.js";

/**
 * What the daemon counts, and what this client does (from `near_hits` on, since the cache was made). Further numbers may come with newer daemons. Those of the
 * disk are 0 without a directory.
 */
export interface Stats extends Readonly<LoadCounts> {
  /** Entries held now, expired ones that are not reclaimed yet included. */
  readonly items: number;
  /** Bytes charged for them: keys, values and overhead. */
  readonly bytes: number;
  /** Reads that found an entry, since the daemon started; those that the hot tier has answered included. */
  readonly hits: number;
  /** Reads that did not. */
  readonly misses: number;
  /** Entries that had to go to make room, because of `maxItems` and of `maxBytes`. */
  readonly evictions_by_items: number;
  readonly evictions_by_bytes: number;
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
  /** Reads that the hot tier has answered and those that it has not; entries and bytes in it. 0 without one. */
  readonly near_hits: number;
  readonly near_misses: number;
  readonly near_items: number;
  readonly near_bytes: number;
  /** Calls that were answered without the cache, because of `onError: "miss"`, and entries that could not be decoded and were taken for misses. */
  readonly degraded: number;
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
  /**
   * Calls failed and were answered without the cache (`onError: "miss"`), or entries that could not be decoded were taken for misses: at the first one, and then once in a
   * second at most.
   */
  degraded: (what: Degradation) => void;
  /** Entries had to go to make room: how many, once in a second at most. While somebody listens, the daemon is asked every second. */
  evict: (evictions: Evictions) => void;
  /** `close` is done: the daemon is gone. Once for each daemon, and for a `close` that found none. */
  close: () => void;
}

/** A cache in a daemon of its own, of values of type `V`. Made by `createCache`. */
export class Cache<V = unknown> extends CacheView<V> {
  readonly #shared: Shared;
  readonly #daemon: Daemon;
  readonly #events: Events<CacheEvents>;
  readonly #evictions: EvictionSampler;
  /** Hits of the hot tier before this daemon had started. */
  #hitsBefore = 0;

  /** Checks the options; starts nothing. */
  constructor(options: CacheOptions = {}) {
    const events = new Events<CacheEvents>(["ready", "restart", "error", "degraded", "evict", "close"]);
    const checked = checkCacheOptions(options);
    const { onLog, maxValueBytes = DEFAULT_VALUE_BYTES, onError = "throw" } = options;
    const hot = options.near === undefined ? null : new HotTier(options.near);
    const failures = new FailurePolicy(onError, (what) => events.emit("degraded", what));
    const daemon = new Daemon(checked, {
      ready: (handshake) => {
        this.#hitsBefore = hot?.near.stats.hits ?? 0;
        // A close() has ended it.
        if (events.count("evict") > 0) this.#evictions.start();
        this.#evictions.restarted();
        events.emit("ready", handshake);
      },
      restart: (attempt, reason) => events.emit("restart", { attempt, reason }),
      lost: (error) => {
        // Without a directory all is gone, and with one the last changes may be.
        hot?.near.clear();
        events.emit("error", error);
      },
      failed: (error) => events.emit("error", error),
      closed: () => events.emit("close"),
      log: (line) => onLog?.(line),
    });
    const isKept = checked.dir !== null;
    const shared = new Shared({
      daemon,
      hot,
      failures,
      isKept,
      defaultTtl: checked.defaultTtl,
      maxValueBytes,
    });
    super(shared, {
      keys: new KeySpace(),
      format: new ValueFormat(checkCodec(options.codec), checkCompress(options.compress), maxValueBytes),
      defaultTtl: undefined,
    });
    this.#shared = shared;
    this.#daemon = daemon;
    this.#events = events;
    this.#evictions = new EvictionSampler({
      ask: () => (daemon.isUp ? this.#daemonStats(undefined) : undefined),
      isWanted: () => events.count("evict") > 0,
      evicted: (evictions) => events.emit("evict", evictions),
    });
  }

  /**
   * Starts the daemon; resolves when it has answered. Not needed: the first call starts it too. Opens a closed cache again, and
   * tries at once when former starts have failed too often.
   */
  start(): Promise<void> {
    return this.#daemon.start();
  }

  /**
   * Resolves when a daemon has answered, which is started if need be; rejects when it cannot be. It is `start()` that opens no closed cache: that
   * makes it reject with ClosedError.
   */
  get ready(): Promise<void> {
    return this.#daemon.isClosed ? Promise.reject(new ClosedError()) : this.#daemon.start();
  }

  /** True while calls leave for the daemon at once. */
  get isReady(): boolean {
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
    this.#shared.hot?.near.clear();
    this.#evictions.stop();
    // The last chance for what is owed to this daemon.
    if (this.#daemon.isUp) this.#shared.settle(this.#daemon.channel);
    return this.#daemon.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Adds a listener. */
  on<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.on(event, listener);
    if (event === "evict") this.#evictions.start();
    return this;
  }

  /** Adds a listener for one time. */
  once<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.once(event, listener);
    if (event === "evict") this.#evictions.start();
    return this;
  }

  /** Removes a listener. */
  off<E extends keyof CacheEvents & string>(event: E, listener: CacheEvents[E]): this {
    this.#events.off(event, listener);
    return this;
  }

  /** Asks the daemon for a sign of life. */
  ping(options?: CallOptions): Promise<void> {
    return this.#plain(Op.PING, decodeDone, options);
  }

  /**
   * What the daemon holds and has counted, and what this client has. Answered also while it loads its directory, when `start` has not resolved.
   */
  async stats(options?: CallOptions): Promise<Stats> {
    const counted = await this.#daemonStats(options);
    const { hot, loads, failures } = this.#shared;
    const near = hot?.near.stats ?? { hits: 0, misses: 0, items: 0, bytes: 0 };
    return {
      ...counted,
      hits: counted.hits + near.hits - this.#hitsBefore,
      near_hits: near.hits,
      near_misses: near.misses,
      near_items: near.items,
      near_bytes: near.bytes,
      ...loads.counts,
      degraded: failures.count,
    };
  }

  #daemonStats(options: CallOptions | undefined): Promise<Stats> {
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
}
