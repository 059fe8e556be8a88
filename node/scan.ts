// Walking over the entries of a cache: pages of SCAN, and the iterators made of them. The bytes of a page are items.ts's affair.
// A cursor is the daemon's: nothing here looks into it. To another daemon it means nothing, so it goes with the number of the connection
// that it came by: `connection << 64 | cursor`.

import type { CallOptions } from "./call.js";
import { ConnectionLostError, DecodeError, InvalidArgumentError, ofKey, show } from "./errors.js";
import { type Match, matcherOf } from "./glob.js";
import { readScanPage, type ScanItem, scanFields } from "./items.js";
import type { KeySpace } from "./keys.js";
import { CALL_OPTIONS, checkNames } from "./option-names.js";
import { checkCall, prefixOf } from "./options.js";
import { NO_EXPIRY, Op, WITH_VALUES } from "./protocol.js";
import { MISSED, type Reading } from "./reading.js";
import { isUndecodableMiss, type UndecodableOptions } from "./reads.js";
import { decodeDone } from "./replies.js";
import type { Shared } from "./shared.js";

const MAX_PAGE = 10_000;
const SCAN_OPTIONS = [...CALL_OPTIONS, "prefix", "pageSize", "onUndecodable"];
const CURSOR_BITS = 64n;
/** How often a walk begins anew when its daemon has died. */
const MAX_RESTARTS = 3;
const NOTHING = new Uint8Array(0);

/**
 * Options of `scan`. `timeout` is for each page.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * for await (const [key, value] of cache) console.log(key, value);
 * for await (const { key, ttl } of cache.entries({ prefix: "user:", pageSize: 100 })) console.log(key, ttl);
 * for await (const value of cache.values({ onUndecodable: "miss" })) console.log(value);
 */
export interface ScanOptions extends CallOptions, UndecodableOptions {
  /** Only keys that begin with it. @default all */
  readonly prefix?: string | Uint8Array | undefined;
  /** Entries asked for at a time, from 1 to 10,000; a page may hold fewer. @default 1000 */
  readonly pageSize?: number | undefined;
}

/**
 * Options of `keys`, `values` and `entries`.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * for await (const key of cache.keys({ match: "user:*:name", limit: 100 })) console.log(key);
 */
export interface WalkOptions extends ScanOptions {
  /**
   * Only keys that this matches: a pattern in which `*` stands for any text, `?` for one character and `\` takes the next as it is; or a
   * RegExp, which looks at each key from its beginning (with the flag `y` it has to match there). Keys that are not UTF-8 never match. All keys are looked at, unless `prefix` says where. @default all
   */
  readonly match?: Match | undefined;
  /** Ends the walk after as many, from 0 on. @default all */
  readonly limit?: number | undefined;
}

/** One entry of a scan. */
export interface ScannedEntry<V = unknown> {
  /** A string, or a Buffer for a key that is not UTF-8. */
  readonly key: string | Buffer;
  /** What it is stored under; from 64 to 71 when something is wrapped around the value (docs/protocol.md). */
  readonly tag: number;
  /** Bytes of the value on the wire. */
  readonly size: number;
  /** Only with `withValues`. */
  readonly value: V | undefined;
  /** Milliseconds left; Infinity = never expires. */
  readonly ttl: number;
}

/** One page of a scan. */
export interface ScannedPage<V = unknown> {
  /** Where the next page begins; 0n = this was the last. It holds as long as the daemon lives: a later page of another rejects with ConnectionLostError. */
  readonly cursor: bigint;
  readonly entries: ScannedEntry<V>[];
}

type MaybeEntry = ScannedEntry | undefined;

export class Scans {
  readonly #shared: Shared;
  readonly #keys: KeySpace;
  readonly #reading: Reading;

  constructor(shared: Shared, keys: KeySpace, reading: Reading) {
    this.#shared = shared;
    this.#keys = keys;
    this.#reading = reading;
  }

  async page(options: ScanOptions & { cursor?: bigint; withValues?: boolean }): Promise<ScannedPage> {
    checkCall(options);
    checkNames("scan", options, [...SCAN_OPTIONS, "cursor", "withValues"]);
    const { cursor = 0n, pageSize = 1000, withValues = false } = options;
    const prefix = this.#keys.wirePrefix(prefixOf(options.prefix));
    const isMiss = isUndecodableMiss(options, this.#shared.failures);
    if (typeof cursor !== "bigint" || cursor < 0n) {
      throw new InvalidArgumentError(`cursor must be the bigint of a former page, got ${show(cursor)}`);
    }
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > MAX_PAGE) {
      throw new InvalidArgumentError(
        `pageSize must be an integer from 1 to ${MAX_PAGE}, got ${show(pageSize)}`,
      );
    }
    const flags = withValues ? WITH_VALUES : 0;
    const fields = scanFields(BigInt.asUintN(64, cursor), pageSize);
    const { channel } = this.#shared;
    let connection = 0n;
    // Asked for when the request is about to leave, each time that it does.
    const body = () => {
      connection = BigInt(channel.connection);
      if (cursor !== 0n && cursor >> CURSOR_BITS !== connection) throw new StaleCursorError();
      return NOTHING;
    };
    const page = await this.#shared.call(
      Op.SCAN,
      flags,
      0,
      fields,
      NO_EXPIRY,
      prefix,
      body,
      (status, _tag, buf, start, end) => {
        decodeDone(status);
        return readScanPage(buf, start, end, withValues);
      },
      options,
      true,
    );
    let entries = page.items.map((item) => this.#entry(item, withValues, isMiss));
    if (entries.some((entry) => entry instanceof Promise)) entries = await Promise.all(entries);
    return {
      cursor: page.cursor === 0n ? 0n : (connection << CURSOR_BITS) | page.cursor,
      entries: (entries as MaybeEntry[]).filter((entry) => entry !== undefined),
    };
  }

  /** Undefined for what is another namespace's, and for a value that is a miss. `isMiss`: whether one that cannot be decoded is. */
  #entry(item: ScanItem, withValues: boolean, isMiss: boolean): MaybeEntry | Promise<MaybeEntry> {
    const key = this.#keys.read(item.key);
    if (key === undefined) return undefined;
    const { tag, valueLength: size, ttl } = item;
    const entry = (value: unknown): MaybeEntry =>
      value === MISSED ? undefined : { key, tag, size, value, ttl };
    if (!withValues) return entry(undefined);
    const unread = (error: unknown): undefined => {
      if (!(error instanceof DecodeError)) throw error;
      ofKey(error, key);
      if (!isMiss) throw error;
      this.#shared.failures.passOver("scan", error);
    };
    try {
      const value = this.#reading.item(tag, item.value, 0, size, false);
      return value instanceof Promise ? value.then(entry, unread) : entry(value);
    } catch (error) {
      return unread(error);
    }
  }

  /** Walks over all entries, page by page. */
  async *walk(options: WalkOptions, withValues: boolean): AsyncGenerator<ScannedEntry, void, undefined> {
    checkCall(options);
    checkNames("a walk", options, [...SCAN_OPTIONS, "match", "limit"]);
    const { match, limit = Number.POSITIVE_INFINITY, ...scan } = options;
    if (typeof limit !== "number" || !(limit >= 0)) {
      throw new InvalidArgumentError(`limit must be a number from 0 on, got ${show(limit)}`);
    }
    const matches = match === undefined ? undefined : matcherOf(match);
    let left = limit;
    if (left < 1) return;
    for await (const entry of this.#pages(scan, withValues)) {
      if (matches !== undefined && !(typeof entry.key === "string" && matches(entry.key))) continue;
      yield entry;
      if (--left < 1) return;
    }
  }

  async *#pages(options: ScanOptions, withValues: boolean): AsyncGenerator<ScannedEntry, void, undefined> {
    let cursor = 0n;
    let restarts = 0;
    for (;;) {
      let page: ScannedPage;
      try {
        page = await this.page({ ...options, cursor, withValues });
      } catch (error) {
        if (!(error instanceof StaleCursorError) || ++restarts > MAX_RESTARTS) throw error;
        // Some entries may come twice, and none is missed that the next daemon holds.
        cursor = 0n;
        continue;
      }
      yield* page.entries;
      cursor = page.cursor;
      if (cursor === 0n) return;
    }
  }
}

class StaleCursorError extends ConnectionLostError {
  constructor() {
    super("the daemon that this cursor is from is gone: begin again without one", false);
    this.name = "ConnectionLostError";
  }
}
