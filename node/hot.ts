// The hot tier of a cache: what near.ts keeps for an entry, made of the daemon's reply to a read, and made a value of again. A value that nobody can
// change is kept and given to every reader; of any other the bytes are kept, and each reader gets a value of his own.

import type { Decode } from "./call.js";
import { isWrapped, Method, unwrap } from "./envelope.js";
import { DecodeError, InvalidArgumentError, RustCacheError, show } from "./errors.js";
import { nameOf } from "./key-name.js";
import type { Key } from "./keys.js";
import { type Fill, Near } from "./near.js";
import { checkNames } from "./option-names.js";
import { readTtl, Status, Tag } from "./protocol.js";
import { type Entry, MISSED, type Reading } from "./reading.js";
import { bytesOf, checkSize } from "./sizes.js";

/**
 * The option `near`: a hot tier in this process, for the entries that are read most.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({ near: { maxItems: 1_000, maxBytes: "4mb", ttl: 60_000, freeze: true } });
 */
export interface NearOptions {
  /** Entries held at most, from 1. @default 10_000 */
  readonly maxItems?: number | undefined;
  /** Memory of this process for them, about, overhead included: bytes, from 1, or a text such as "4mb". @default 16_777_216 */
  readonly maxBytes?: number | string | undefined;
  /**
   * Milliseconds, from 1 to Infinity, for which an entry is served from here before the daemon is asked again; never beyond the entry's own TTL. A daemon that is never
   * asked for an entry takes it for unused. @default as long as it lives
   */
  readonly ttl?: number | undefined;
  /**
   * Whether plain data (what is stored as JSON) is parsed once, frozen through and through, and the same object given to every reader. Without
   * it, each reader gets an object of his own, for the price of parsing it. @default false
   */
  readonly freeze?: boolean | undefined;
}

/** What a Buffer of its own takes beside its bytes. Measured on node 20: 190. */
const BUFFER_BYTES = 190;

const NAMES = ["maxItems", "maxBytes", "ttl", "freeze"];

/** What is kept for an entry. */
export interface Hot {
  /** Only when `isShared`. */
  readonly value: unknown;
  /** Whether every reader gets `value` itself. */
  readonly isShared: boolean;
  /** From when on `value` is stale, in milliseconds since 1970; Infinity = never. Of other values, the bytes say so. */
  readonly freshUntil: number;
  /** As the daemon has it. Null when `isShared`. */
  readonly tag: number;
  readonly bytes: Buffer | null;
  /** When it ends in the daemon, by the clock of `near`; Infinity = never. */
  readonly endsAt: number;
}

export class HotTier {
  readonly near: Near<Hot>;
  readonly #freezes: boolean;

  /** Checks the options. Throws InvalidArgumentError. */
  constructor(options: NearOptions) {
    if (typeof options !== "object" || options === null) {
      throw new InvalidArgumentError(`near must be an object, got ${show(options)}`);
    }
    checkNames("near", options, NAMES);
    const { freeze = false } = options;
    if (typeof freeze !== "boolean") {
      throw new InvalidArgumentError(`near.freeze must be true or false, got ${show(freeze)}`);
    }
    this.#freezes = freeze;
    this.near = new Near<Hot>({
      maxItems: atLeastOne(options.maxItems, "maxItems") ?? 10_000,
      maxBytes: bytesOf(checkSize(options.maxBytes, "near.maxBytes") ?? 16 * 2 ** 20),
      ttl:
        options.ttl === Number.POSITIVE_INFINITY
          ? options.ttl
          : (atLeastOne(options.ttl, "ttl") ?? Number.POSITIVE_INFINITY),
    });
  }

  /** The value of an entry, undefined when it is stale or invalidated by a tag, or a promise of either. Counts as any read does. */
  valueOf(hot: Hot, reading: Reading): unknown {
    if (hot.isShared) {
      if (hot.freshUntil !== Number.POSITIVE_INFINITY && hot.freshUntil <= Date.now()) return reading.miss();
      reading.hit();
      return hot.value;
    }
    return reading.value(Status.OK, hot.tag, hot.bytes!, 0, hot.bytes!.length, false);
  }

  /**
   * As `valueOf`, with what is known of it, and also when it is stale; undefined when it is invalidated, and when that takes another call to know. Counts
   * nothing.
   */
  entryOf(hot: Hot, reading: Reading): Pick<Entry, "value" | "ttl" | "freshUntil"> | undefined {
    const ttl = hot.endsAt === Number.POSITIVE_INFINITY ? hot.endsAt : hot.endsAt - this.near.now();
    if (hot.isShared) {
      const { value, freshUntil } = hot;
      return { value, ttl, freshUntil: freshUntil === Number.POSITIVE_INFINITY ? undefined : freshUntil };
    }
    // Who makes that call hears of what is wrong.
    try {
      const entry = reading.entry(ttl, hot.tag, hot.bytes!, 0, hot.bytes!.length, false);
      if (!(entry instanceof Promise)) return entry;
      entry.catch(() => {});
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
    return undefined;
  }

  /**
   * Makes a read that fills the tier. `call` sends a GET with WITH_TTL and this decoder, which hands on what `read` makes of the value: a decoder of GET
   * without it (or with it, if `isEntry`).
   */
  read<T>(
    name: string,
    read: Decode<T>,
    isEntry: boolean,
    call: (decode: Decode<T>) => Promise<T>,
  ): Promise<T> {
    const { near } = this;
    const fill = near.begin(name);
    const begun = near.now();
    let isSettled = false;
    const settle = () => {
      if (!isSettled) near.settle(fill);
      isSettled = true;
    };
    const answer = call((status, tag, buf, start, end, owned) => {
      try {
        // Its fields are looked at by whoever reads it.
        if (status !== Status.OK || end - start < 8) return read(status, tag, buf, start, end, owned);
        const value = read(status, tag, buf, isEntry ? start : start + 8, end, owned);
        const held = isEntry ? (value as { value: unknown } | undefined)?.value : value;
        if (fill.valid) this.#keep(fill, begun, readTtl(buf, start), tag, buf, start + 8, end, held);
        return value;
      } finally {
        settle();
      }
    });
    // Given up, or failed, be that passed over or not: its decoder is never called.
    answer.then(settle, settle);
    return answer;
  }

  /**
   * Reads many: those that are here by `make`, which gets their place, too, and by `ask` the rest, and those that `make` says MISSED to. That fills nothing, since a batch does not say
   * how long its entries live. `ask` rejects with errors that name items by their place.
   */
  async many(
    keys: readonly Key[],
    make: (hot: Hot, place: number) => unknown,
    ask: (keys: readonly Key[]) => Promise<unknown[]>,
  ): Promise<unknown[]> {
    const results: unknown[] = new Array(keys.length);
    const rest: number[] = [];
    for (let i = 0; i < keys.length; i++) {
      const found = this.near.look(nameOf(keys[i]!));
      const value = found === undefined ? MISSED : make(found.held, i);
      results[i] = value;
      if (value === MISSED) {
        this.near.missed();
        rest.push(i);
        continue;
      }
      this.near.used(found!);
      // The rest may fail before this one is awaited.
      if (value instanceof Promise) value.catch(() => {});
    }
    if (rest.length === keys.length) return ask(keys);
    if (rest.length > 0) {
      const asked = await ask(rest.map((i) => keys[i]!)).catch((error) => {
        // With the rest alone, the item at fault has another place.
        if (error instanceof RustCacheError && error.index !== undefined) return ask(keys);
        throw error;
      });
      for (let i = 0; i < rest.length; i++) results[rest[i]!] = asked[i];
    }
    return results.some((value) => value instanceof Promise) ? Promise.all(results) : results;
  }

  #keep(
    fill: Fill,
    begun: number,
    ttl: number,
    tag: number,
    buf: Buffer,
    start: number,
    end: number,
    value: unknown,
  ): void {
    const endsAt = begun + ttl;
    const freshUntil = this.#shares(tag, buf, start, end, value);
    const isShared = freshUntil !== undefined;
    const hot: Hot = isShared
      ? { value, isShared, freshUntil, tag, bytes: null, endsAt }
      : {
          value: undefined,
          isShared,
          freshUntil: Number.POSITIVE_INFINITY,
          tag,
          bytes: copyOf(buf, start, end),
          endsAt,
        };
    // Frozen data takes about twice the bytes of its JSON.
    const size = isShared ? (end - start) * (typeof value === "object" ? 2 : 1) : end - start + BUFFER_BYTES;
    this.near.fill(fill, hot, begun, ttl, size);
  }

  /** From when on the value is stale, if every reader may have it itself; undefined if not. */
  #shares(tag: number, buf: Buffer, start: number, end: number, value: unknown): number | undefined {
    const plain = plainly(tag, buf, start, end);
    // What a codec makes of bytes is between it and its own readers.
    if (plain === undefined || plain.tag >= Tag.USER) return undefined;
    if (isImmutable(value)) return plain.freshUntil;
    // A stale value is undefined here.
    if (!this.#freezes || plain.tag !== Tag.JSON || value === undefined) return undefined;
    freeze(value);
    return plain.freshUntil;
  }
}

/** What is wrapped around a value, if it has no tags (which may be invalidated) and is not compressed; undefined if so. */
function plainly(
  tag: number,
  buf: Buffer,
  start: number,
  end: number,
): { tag: number; freshUntil: number } | undefined {
  if (!isWrapped(tag)) return { tag, freshUntil: Number.POSITIVE_INFINITY };
  const { tag: inner, envelope, method } = unwrap(tag, buf, start, end);
  if (method !== Method.NONE || (envelope !== null && envelope.tags.length > 0)) return undefined;
  return { tag: inner, freshUntil: envelope?.freshUntil ?? Number.POSITIVE_INFINITY };
}

function atLeastOne(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError(`near.${name} must be an integer from 1 on, got ${show(value)}`);
}

function isImmutable(value: unknown): boolean {
  return value === null || (typeof value !== "object" && typeof value !== "undefined");
}

/** Freezes plain data through and through. */
function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const each of Object.values(value)) freeze(each);
  Object.freeze(value);
}

/** In memory of its own, not of a pool: one entry must not keep others alive. */
function copyOf(buf: Buffer, start: number, end: number): Buffer {
  return Uint8Array.prototype.slice.call(buf, start, end) as Buffer;
}
