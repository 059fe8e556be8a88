// `RustCache`, the plain face: strings in, strings out, TTLs in seconds, ready at import. It is kept as it is for the programs that
// use it; what is new belongs into `Cache` (client.ts). Both stand on the same daemon.ts and channel.ts. Where it keeps its data is decided
// when its daemon starts, not at import: RustCacheOptions, then RUSTCACHE_DIR, then `.rustcache`.

import type { ChildProcess } from "node:child_process";
import { resolve } from "node:path";
import { setMany } from "./batches.js";
import { Daemon } from "./daemon.js";
import { DEFAULT_DIRECTORY, DIRECTORY_VARIABLE } from "./directory.js";
import { AlreadyStartedError, atItem, InvalidArgumentError, InvalidTtlError, show } from "./errors.js";
import { Events } from "./events.js";
import type { SetItem } from "./items.js";
import type { DaemonOptions } from "./life.js";
import { type CacheOptions, checkCacheOptions, type WireExpiry } from "./options.js";
import { Expiry, NO_EXPIRY, Op, Tag } from "./protocol.js";
import { decodeInserted, decodeRemoved, decodeTextOrEmpty } from "./replies.js";

/** What a `RustCache` tells. */
export interface RustCacheEvents extends Record<string, (...args: never[]) => void> {
  /** A daemon has started and answered. */
  connected: () => void;
  /** The daemon is gone: it died, or `close` was called. */
  disconnected: () => void;
  /** The daemon died, or could not be started. The calls concerned reject as well; nobody need listen. */
  error: (error: Error) => void;
}

/** One item of `batchInsert`. */
export interface BatchInsertItem {
  readonly key: string;
  readonly value: string;
  /** Seconds; 0 = never expires. @default 0 */
  readonly expire_duration?: number | undefined;
}

/**
 * What `configure` takes.
 *
 * @example
 * import { RustCache } from "rustcache";
 *
 * RustCache.configure({ dir: "cache", sync: "always", maxItems: 100_000, maxBytes: "64mb" });
 */
export interface RustCacheOptions extends Pick<CacheOptions, "sync" | "maxItems" | "maxBytes"> {
  /**
   * The directory that the entries are kept in; it is made if it is not there. null = in memory only.
   * @default RUSTCACHE_DIR (empty = in memory only), then `.rustcache` in the working directory; without either for those of `createCache`
   */
  dir?: string | null | undefined;
}

/** A cache of strings in a daemon of its own. */
export interface RustCache {
  /** The running daemon, or null. */
  readonly process: ChildProcess | null;
  /**
   * Sets options, each until it is set again (undefined = the default). They hold from the start of the daemon on, so this must come before it, or after
   * close(): else it throws AlreadyStartedError.
   */
  configure(options: RustCacheOptions): RustCache;
  /** Starts the daemon; resolves when it has answered. Idempotent, and not needed: the first call starts it too. */
  start(): Promise<void>;
  /**
   * Stores a string; resolves with "I". `ttlSeconds` may have fractions (of a millisecond at least); 0 = never expires.
   * An empty or blank key rejects.
   */
  insert(key: string, value: string, ttlSeconds?: number): Promise<"I">;
  /**
   * Resolves with the value, or with "" when the key is missing, expired or empty. Rejects with NotTextError when another client
   * has stored bytes there that are no text.
   */
  get(key: string): Promise<string>;
  /** Removes an entry; resolves with "R", found or not. */
  remove(key: string): Promise<"R">;
  /** Stores many strings at once; resolves with an "I" for each. Calls made after it, even at once, see what it stored. */
  batchInsert(items: readonly BatchInsertItem[]): Promise<"I"[]>;
  /** Ends the daemon; what was called before is answered first. The next `start`, or the next call, starts a new one, even at once. */
  close(): void;
  on<E extends keyof RustCacheEvents & string>(event: E, listener: RustCacheEvents[E]): RustCache;
  once<E extends keyof RustCacheEvents & string>(event: E, listener: RustCacheEvents[E]): RustCache;
  off<E extends keyof RustCacheEvents & string>(event: E, listener: RustCacheEvents[E]): RustCache;
  /**
   * Another cache of this kind with a daemon of its own, in memory only unless `configure` gives it a directory. `path`: its binary. `debug`: forward
   * its log to stderr.
   */
  createCache(path?: string, debug?: boolean): RustCache;
}

/** Makes a cache of strings. Starts nothing. */
export function createRustCache(path?: string, debug = false): RustCache {
  return makeRustCache(path, debug, false);
}

/** `ownDirectory`: whether it is kept on disk when nothing is said about that. */
function makeRustCache(path: string | undefined, debug: boolean, ownDirectory: boolean): RustCache {
  const options: CacheOptions = { binary: path };
  if (debug) options.logLevel = "debug";
  let configured: RustCacheOptions = {};
  let isFresh = true;

  const daemonOptions = (byDefault: boolean): DaemonOptions => {
    let { dir } = configured;
    const variable = process.env[DIRECTORY_VARIABLE];
    if (dir === undefined && byDefault) dir = variable === undefined ? DEFAULT_DIRECTORY : variable || null;
    // Who turns the disk off from outside need not know how the program would have it written.
    const sync = configured.dir === undefined && byDefault && dir === null ? undefined : configured.sync;
    return { ...checkCacheOptions({ ...options, ...configured, dir, sync }), makesDir: true };
  };
  const events = new Events<RustCacheEvents>(["connected", "disconnected", "error"]);
  let connected = false;
  const disconnected = () => {
    if (connected) events.emit("disconnected");
    connected = false;
  };
  const daemon = new Daemon(
    { ...daemonOptions(false), reopens: true },
    {
      ready: () => {
        connected = true;
        events.emit("connected");
      },
      restart: () => {},
      lost: (error) => {
        disconnected();
        events.emit("error", error);
      },
      failed: (error) => events.emit("error", error),
      closed: disconnected,
      log: (line) => {
        if (debug) process.stderr.write(`${line}\n`);
      },
    },
  );

  /** Without a TTL an entry never expires, whatever the daemon's default. */
  const expiryIn = (seconds: number): WireExpiry =>
    seconds === 0 ? NEVER : daemon.expiry({ kind: Expiry.TTL, ms: milliseconds(seconds) });

  /** Before the first call, and the first after a close(): the options are read now. Returns what is wrong with them. */
  const prepare = (): Error | null => {
    try {
      daemon.configure({ ...daemonOptions(ownDirectory), reopens: true });
      isFresh = false;
      return null;
    } catch (error) {
      return error as Error;
    }
  };

  const cache: RustCache = {
    get process() {
      return daemon.process;
    },
    configure(changes) {
      checkChanges(changes);
      if (!isFresh && !daemon.isUnstarted) {
        throw new AlreadyStartedError(
          "configure() comes before the first call, or after close(): the daemon has been started with other options",
        );
      }
      const former = configured;
      configured = { ...former, ...changes };
      // Relative to the working directory of now.
      if (typeof changes.dir === "string" && changes.dir !== "") configured.dir = resolve(changes.dir);
      try {
        daemonOptions(ownDirectory);
      } catch (error) {
        configured = former;
        throw error;
      }
      isFresh = true;
      return cache;
    },
    start() {
      const wrong = isFresh || daemon.isUnstarted ? prepare() : null;
      return wrong === null ? daemon.start() : Promise.reject(wrong);
    },
    insert(key, value, ttlSeconds = 0) {
      try {
        checkInsert(key, value, ttlSeconds);
      } catch (error) {
        return Promise.reject(error);
      }
      const wrong = isFresh ? prepare() : null;
      if (wrong !== null) return Promise.reject(wrong);
      const { kind, ms } = expiryIn(ttlSeconds);
      return daemon.channel.call(Op.SET, kind, Tag.TEXT, null, ms, key, value, decodeInserted);
    },
    get(key) {
      const wrong = typeof key !== "string" ? notText("key", key) : isFresh ? prepare() : null;
      if (wrong !== null) return Promise.reject(wrong);
      return daemon.channel.call(Op.GET, 0, 0, null, NO_EXPIRY, key, null, decodeTextOrEmpty);
    },
    remove(key) {
      const wrong = typeof key !== "string" ? notText("key", key) : isFresh ? prepare() : null;
      if (wrong !== null) return Promise.reject(wrong);
      return daemon.channel.call(Op.REMOVE, 0, 0, null, NO_EXPIRY, key, null, decodeRemoved);
    },
    async batchInsert(items) {
      if (!Array.isArray(items)) throw new InvalidArgumentError(`items must be an array, got ${show(items)}`);
      const sets = Array.from(items, (item: BatchInsertItem, index) =>
        atItem(index, () => {
          if (typeof item !== "object" || item === null) {
            throw new InvalidArgumentError(`an item must be an object with key and value, got ${show(item)}`);
          }
          const { key, value, expire_duration: seconds = 0 } = item;
          checkInsert(key, value, seconds);
          return { key, value, seconds };
        }),
      );
      const wrong = isFresh ? prepare() : null;
      if (wrong !== null) throw wrong;
      const inserts = sets.map(({ key, value, seconds }): SetItem => {
        const { kind, ms } = expiryIn(seconds);
        return { flags: kind, tag: Tag.TEXT, expiry: ms, key, value };
      });
      const keys = inserts.map(({ key }) => key);
      await setMany(daemon.channel, inserts, keys, undefined);
      return inserts.map(() => "I");
    },
    close() {
      isFresh = true;
      void daemon.close();
    },
    on(event, listener) {
      events.on(event, listener);
      return cache;
    },
    once(event, listener) {
      events.once(event, listener);
      return cache;
    },
    off(event, listener) {
      events.off(event, listener);
      return cache;
    },
    createCache: createRustCache,
  };
  return cache;
}

const CONFIGURABLE = ["dir", "sync", "maxItems", "maxBytes"];

function checkChanges(changes: unknown): asserts changes is RustCacheOptions {
  if (typeof changes !== "object" || changes === null) {
    throw new InvalidArgumentError(`options must be an object, got ${show(changes)}`);
  }
  for (const name of Object.keys(changes)) {
    if (CONFIGURABLE.includes(name)) continue;
    throw new InvalidArgumentError(
      `configure() has no option ${show(name)}: it takes ${CONFIGURABLE.join(", ")}; createCache() takes more`,
    );
  }
}

const MAX_SECONDS = Number.MAX_SAFE_INTEGER / 1000;

function checkInsert(key: unknown, value: unknown, ttlSeconds: unknown): void {
  if (typeof key !== "string") throw notText("key", key);
  // Most keys begin with a letter, and are not blank for that.
  if (!(key.charCodeAt(0) > 0x20) || key.charCodeAt(0) > 0x7f) {
    if (key.trim() === "") {
      throw new InvalidArgumentError(
        `the key must not be empty or blank, got ${show(key)}: use one with a letter in it`,
      );
    }
  }
  if (typeof value !== "string") throw notText("value", value);
  if (typeof ttlSeconds !== "number" || !(ttlSeconds >= 0 && ttlSeconds <= MAX_SECONDS)) {
    throw new InvalidTtlError(
      `the TTL must be seconds from 0 (never expires) to ${Math.floor(MAX_SECONDS)}, got ${show(ttlSeconds)}`,
    );
  }
}

const NEVER: WireExpiry = { kind: Expiry.NEVER, ms: NO_EXPIRY };

/** At least one: less than a millisecond is still a TTL, not "never" and not "at once". */
function milliseconds(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000));
}

function notText(what: string, value: unknown): InvalidArgumentError {
  return new InvalidArgumentError(`the ${what} must be a string, got ${show(value)}`);
}

/**
 * The cache that most programs need: one per process, its daemon started by the first call. It keeps its entries in `.rustcache` in the working
 * directory, or where RUSTCACHE_DIR or `configure` say; one process at a time can have a directory.
 */
export const RustCache: RustCache = makeRustCache(undefined, false, true);
