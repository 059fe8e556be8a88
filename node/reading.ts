// What the replies to reads mean to one cache or namespace: unwraps values, tells which of them are misses although the daemon has them (stale, or
// with a tag that was invalidated), and counts. The bytes of values are format.ts's affair.

import type { ReadItem } from "./batches.js";
import type { Decode } from "./call.js";
import { type Envelope, isWrapped, type TagStamp, type Unwrapped, unwrap } from "./envelope.js";
import type { ValueFormat } from "./format.js";
import type { Generations } from "./generations.js";
import { readTtl, Status } from "./protocol.js";
import { requireBody, unexpected } from "./replies.js";

/** A value with what is known of it. */
export interface Entry<V = unknown> {
  readonly value: V;
  /** What the value is stored as: 0 bytes, 1 text, 2 JSON, 3 V8-serialized, 4 pickle, 5 MessagePack, 128–255 a codec's. */
  readonly tag: number;
  /** Milliseconds until it is gone, the time that it is stale included; Infinity = never expires. */
  readonly ttl: number;
  /** Bytes of the value on the wire: compressed, and with its envelope, if so. */
  readonly size: number;
  /** Whether its TTL is over and only its `staleTtl` is left. */
  readonly stale: boolean;
  /** When it is stale, or became so, in milliseconds since 1970; undefined when it was stored without `staleTtl`. */
  readonly freshUntil: number | undefined;
  /** Milliseconds since it was stored, by this machine's clock; undefined when it was stored without `staleTtl` and `tags`. */
  readonly age: number | undefined;
  /** The tags that it was stored with. */
  readonly tags: readonly string[];
}

/** What a client has counted for one cache or namespace, since it was made. */
export interface Counts {
  /** Reads that found a value. */
  hits: number;
  /** Reads that did not. */
  misses: number;
  /** Values stored by `set`, `setMany` and `compareAndSet`. */
  sets: number;
  /** Entries removed by `delete`, `remove` and `deleteMany`. */
  deletes: number;
}

/** In the place of a value that is not fresh. */
export class NotFresh {
  /** The stale entry; undefined when there is none. */
  readonly entry: Entry | undefined;

  constructor(entry: Entry | undefined) {
    this.entry = entry;
  }
}

/** There is no entry at all. */
const NOTHING = new NotFresh(undefined);

/** In the place of a value that is a miss. */
export const MISSED = Symbol("missed");

const NO_TAGS: readonly string[] = [];
const NO_STAMPS: readonly TagStamp[] = [];

export class Reading {
  readonly #format: ValueFormat;
  readonly #generations: Generations;
  readonly #recordOf: (tag: string) => string;
  readonly #counts: Counts;

  constructor(
    format: ValueFormat,
    generations: Generations,
    recordOf: (tag: string) => string,
    counts: Counts,
  ) {
    this.#format = format;
    this.#generations = generations;
    this.#recordOf = recordOf;
    this.#counts = counts;
  }

  /** The decoder of GET and TAKE without WITH_TTL: the value, undefined for a miss, or a promise of either. */
  readonly value: Decode<unknown> = (status, tag, buf, start, end, owned) => {
    if (status === Status.OK) {
      const value = this.item(tag, buf, start, end, owned);
      return value instanceof Promise ? value.then(this.#one) : this.#one(value);
    }
    return this.#missed(status);
  };

  /** The decoder of GET with WITH_TTL. */
  readonly withTtl: Decode<Entry | undefined | Promise<Entry | undefined>> = (
    status,
    tag,
    buf,
    start,
    end,
    owned,
  ) => {
    if (status !== Status.OK) return this.#missed(status);
    requireBody(start, end, 8);
    return this.counted(readTtl(buf, start), tag, buf, start + 8, end, owned);
  };

  /** As `entry`, and counts it. */
  counted(
    ttl: number,
    tag: number,
    buf: Buffer,
    start: number,
    end: number,
    owned: boolean,
  ): Entry | undefined | Promise<Entry | undefined> {
    const entry = this.entry(ttl, tag, buf, start, end, owned);
    return entry instanceof Promise ? entry.then(this.#count) : this.#count(entry);
  }

  /** The entry whose value is `buf[start..end]`, with `ttl` milliseconds left; undefined when one of its tags was invalidated. Counts nothing. */
  entry(
    ttl: number,
    tag: number,
    buf: Buffer,
    start: number,
    end: number,
    owned: boolean,
  ): Entry | undefined | Promise<Entry | undefined> {
    const size = end - start;
    if (!isWrapped(tag)) {
      const value = this.#format.decode(tag, buf, start, end, owned);
      const entry = (value: unknown) => entryOf(value, tag, ttl, size, null);
      return value instanceof Promise ? value.then(entry) : entry(value);
    }
    const unwrapped = unwrap(tag, buf, start, end);
    const { envelope } = unwrapped;
    const entry = (value: unknown) =>
      value === MISSED ? undefined : entryOf(value, unwrapped.tag, ttl, size, envelope);
    const value = this.#unpack(unwrapped, buf, end, owned);
    return value instanceof Promise ? value.then(entry) : entry(value);
  }

  /** The decoder of GET without WITH_TTL for those who load what is missing: a fresh value, or NotFresh, or a promise of either. */
  readonly fresh: Decode<unknown> = (status, tag, buf, start, end, owned) => {
    if (status !== Status.OK) {
      this.#missed(status);
      return NOTHING;
    }
    if (!isWrapped(tag)) {
      const value = this.#format.decode(tag, buf, start, end, owned);
      if (value instanceof Promise) return value.then(this.#one);
      this.#counts.hits++;
      return value;
    }
    const entry = this.counted(Number.POSITIVE_INFINITY, tag, buf, start, end, owned);
    return entry instanceof Promise ? entry.then(freshOf) : freshOf(entry);
  };

  /** As `counted`, for one item of a batch: of its TTL a batch says nothing. */
  readonly itemEntry: ReadItem = (tag, buf, start, end, owned) =>
    this.counted(Number.POSITIVE_INFINITY, tag, buf, start, end, owned);

  /** Counts a read that found a value without asking here. */
  hit(): void {
    this.#counts.hits++;
  }

  /** Counts one that found none. */
  miss(): undefined {
    this.#counts.misses++;
  }

  /** The value of one item of a batch or a scan, or MISSED, or a promise of either. Counts nothing. */
  readonly item: ReadItem = (tag, buf, start, end, owned) => {
    if (!isWrapped(tag)) return this.#format.decode(tag, buf, start, end, owned);
    const unwrapped = unwrap(tag, buf, start, end);
    const { envelope } = unwrapped;
    if (envelope !== null && envelope.freshUntil <= Date.now()) return MISSED;
    return this.#unpack(unwrapped, buf, end, owned);
  };

  /** The values of a batch, in place, with undefined for those that are MISSED. Counts them. */
  items(values: unknown[]): unknown[] {
    let misses = 0;
    for (let i = 0; i < values.length; i++) {
      if (values[i] !== MISSED) continue;
      values[i] = undefined;
      misses++;
    }
    this.#counts.misses += misses;
    this.#counts.hits += values.length - misses;
    return values;
  }

  /** The value, or MISSED when one of its tags was invalidated. */
  #unpack(value: Unwrapped, buf: Buffer, end: number, owned: boolean): unknown {
    const tags = value.envelope?.tags ?? NO_STAMPS;
    const holds = tags.length === 0 || this.#generations.hold(tags, this.#recordOf);
    if (holds === false) return MISSED;
    if (holds === true) return this.#format.unpack(value, buf, end, owned);
    // The buffer is valid during this call only.
    const bytes = Uint8Array.prototype.slice.call(buf, value.start, end) as Buffer;
    return holds.then((still) =>
      still ? this.#format.unpack({ ...value, start: 0 }, bytes, bytes.length, true) : MISSED,
    );
  }

  #missed(status: number): undefined {
    if (status !== Status.MISS) throw unexpected(status);
    this.#counts.misses++;
  }

  readonly #count = (entry: Entry | undefined): Entry | undefined => {
    if (entry === undefined) this.#counts.misses++;
    else this.#counts.hits++;
    return entry;
  };

  readonly #one = (value: unknown): unknown => {
    if (value === MISSED) return this.#missed(Status.MISS);
    this.#counts.hits++;
    return value;
  };
}

/** Milliseconds that an entry is still fresh; from 0 down: since when it has been stale. Infinity = for ever. `now`: milliseconds since 1970. */
export function freshFor({ freshUntil, ttl }: Pick<Entry, "freshUntil" | "ttl">, now: () => number): number {
  return freshUntil === undefined ? ttl : freshUntil - now();
}

/** The value of an entry if it is fresh, else NotFresh. */
export function freshOf(entry: Entry | undefined): unknown {
  if (entry === undefined) return NOTHING;
  return entry.stale ? new NotFresh(entry) : entry.value;
}

function entryOf(value: unknown, tag: number, ttl: number, size: number, envelope: Envelope | null): Entry {
  if (envelope === null) {
    return { value, tag, ttl, size, stale: false, freshUntil: undefined, age: undefined, tags: NO_TAGS };
  }
  const { storedAt, freshUntil, tags } = envelope;
  const now = Date.now();
  return {
    value,
    tag,
    ttl,
    size,
    stale: freshUntil <= now,
    freshUntil: freshUntil === Number.POSITIVE_INFINITY ? undefined : freshUntil,
    // A clock that was set back makes nothing younger than new.
    age: Math.max(0, now - storedAt),
    tags: tags.map(({ name }) => name),
  };
}
