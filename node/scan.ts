// Walking over the entries of a cache: pages of SCAN, and the iterators made of them. The bytes of a page are items.ts's affair.
// A cursor is the daemon's: nothing here looks into it. To another daemon it means nothing, so it goes with the number of the connection
// that it came by: `connection << 64 | cursor`.

import { isUtf8 } from "node:buffer";
import type { CallOptions } from "./call.js";
import type { Daemon } from "./daemon.js";
import { ConnectionLostError, InvalidArgumentError, show } from "./errors.js";
import { readScanPage, scanFields } from "./items.js";
import { checkCallOptions, prefixOf } from "./options.js";
import { NO_EXPIRY, Op, WITH_VALUES } from "./protocol.js";
import { type CacheValue, decodeDone, readValue } from "./replies.js";

const MAX_PAGE = 10_000;
const CURSOR_BITS = 64n;
/** How often a walk begins anew when its daemon has died. */
const MAX_RESTARTS = 3;
const NOTHING = new Uint8Array(0);

/** Options of `keys`, `entries` and `scan`. `timeout` is for each page. */
export interface ScanOptions extends CallOptions {
  /** Only keys that begin with it. @default all */
  readonly prefix?: string | Uint8Array | undefined;
  /** Entries asked for at a time, from 1 to 10,000; a page may hold fewer. @default 1000 */
  readonly pageSize?: number | undefined;
}

/** One entry of a scan. */
export interface ScannedEntry {
  /** A string, or a Buffer for a key that is not UTF-8. */
  readonly key: string | Buffer;
  readonly tag: number;
  /** Bytes of the value. */
  readonly size: number;
  /** Only with `withValues`. */
  readonly value: CacheValue | undefined;
  /** Milliseconds left; Infinity = never expires. */
  readonly ttl: number;
}

/** One page of a scan. */
export interface ScannedPage {
  /** Where the next page begins; 0n = this was the last. It holds as long as the daemon lives: a later page of another rejects with ConnectionLostError. */
  readonly cursor: bigint;
  readonly entries: ScannedEntry[];
}

export class Scans {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  async page(options: ScanOptions & { cursor?: bigint; withValues?: boolean }): Promise<ScannedPage> {
    checkCallOptions(options);
    const { cursor = 0n, pageSize = 1000, withValues = false } = options;
    const prefix = prefixOf(options.prefix);
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
    const { channel } = this.#daemon;
    let connection = 0n;
    // Asked for when the request is about to leave, each time that it does.
    const body = () => {
      connection = BigInt(channel.connection);
      if (cursor !== 0n && cursor >> CURSOR_BITS !== connection) throw new StaleCursorError();
      return NOTHING;
    };
    const page = await channel.call(
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
    );
    return {
      cursor: page.cursor === 0n ? 0n : (connection << CURSOR_BITS) | page.cursor,
      entries: page.items.map((item) => ({
        key: isUtf8(item.key) ? item.key.toString() : Buffer.from(item.key),
        tag: item.tag,
        size: item.valueLength,
        value: withValues ? readValue(item.tag, item.value, 0, item.value.length, false) : undefined,
        ttl: item.ttl,
      })),
    };
  }

  async *keys(options: ScanOptions): AsyncGenerator<string | Buffer, void, undefined> {
    for await (const entry of this.#walk(options, false)) yield entry.key;
  }

  async *entries(
    options: ScanOptions,
  ): AsyncGenerator<ScannedEntry & { readonly value: CacheValue }, void, undefined> {
    for await (const entry of this.#walk(options, true)) yield entry as ScannedEntry & { value: CacheValue };
  }

  async *#walk(options: ScanOptions, withValues: boolean): AsyncGenerator<ScannedEntry, void, undefined> {
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
