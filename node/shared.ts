// What a cache shares with its namespaces: the daemon, the order of calls, what is known of tags, the hot tier, the loads that are under way, and
// what becomes of failures. Every call of theirs leaves through here.

import type { CallOptions, Decode, MakeBody } from "./call.js";
import type { Channel } from "./channel.js";
import type { Daemon } from "./daemon.js";
import { KeyTooLongError } from "./errors.js";
import type { FailurePolicy } from "./failure.js";
import { Generations } from "./generations.js";
import type { HotTier } from "./hot.js";
import { mayHavePrefix, nameOf } from "./key-name.js";
import { Loads } from "./loads.js";
import { Owed } from "./owed.js";
import { Condition, Op, Status } from "./protocol.js";
import { OP_NAMES, traceRequest, tracesRequests } from "./tracing.js";
import { Turns } from "./turns.js";

type Bytes = string | Uint8Array;

/** What a cache has of its own, and its namespaces of it. */
export interface SharedParts {
  readonly daemon: Daemon;
  /** Null when there is none. */
  readonly hot: HotTier | null;
  readonly failures: FailurePolicy;
  /** Whether entries are kept in a directory: what is sent may be sent again then. */
  readonly isKept: boolean;
  /** Milliseconds, for entries that are stored without a TTL; undefined = for ever. */
  readonly defaultTtl: number | undefined;
  /** The longest value, before it is compressed. */
  readonly maxValueBytes: number;
}

/** By op: whether it changes the entry of its key. */
const WRITES = new Uint8Array(256);
for (const op of [Op.SET, Op.REMOVE, Op.TAKE, Op.TOUCH, Op.INCR, Op.CAS]) WRITES[op] = 1;

/** By op: the status of an empty cache's answer. Other ops have no answer that harms nobody: INCR would have to make up a number. */
const EMPTY_ANSWERS = new Map<number, number>([
  [Op.GET, Status.MISS],
  [Op.TAKE, Status.MISS],
  [Op.TTL, Status.MISS],
  [Op.CONTAINS, Status.MISS],
  [Op.REMOVE, Status.MISS],
  [Op.TOUCH, Status.MISS],
  [Op.CAS, Status.MISS],
  [Op.SET, Status.NOT_STORED],
]);
const NO_BODY = Buffer.alloc(0);
/** The flags of SET that say its condition. */
const CONDITION = 0b11;

/** Whether a SET with these flags may take the place of a value. */
export function mayReplace(flags: number): boolean {
  return (flags & CONDITION) !== Condition.IF_ABSENT;
}

export class Shared implements SharedParts {
  readonly daemon: Daemon;
  readonly hot: HotTier | null;
  readonly failures: FailurePolicy;
  readonly isKept: boolean;
  readonly defaultTtl: number | undefined;
  readonly maxValueBytes: number;
  readonly generations: Generations;
  readonly loads = new Loads();
  readonly #turns = new Turns();
  readonly #owed: Owed;

  constructor(parts: SharedParts) {
    this.daemon = parts.daemon;
    this.hot = parts.hot;
    this.failures = parts.failures;
    this.isKept = parts.isKept;
    this.defaultTtl = parts.defaultTtl;
    this.maxValueBytes = parts.maxValueBytes;
    this.generations = new Generations(parts.daemon);
    this.#owed = new Owed(this.generations);
  }

  /** The channel for a call that is made now. What is owed has been sent. */
  get channel(): Channel {
    const { channel } = this.daemon;
    if (!this.#owed.isEmpty) this.settle(channel);
    return channel;
  }

  /**
   * Makes one call, after those for its key that could not be made yet; `key` null or `many` = after all of them. Resolves with what an empty cache would
   * answer when failures are misses.
   */
  call<T>(
    op: number,
    flags: number,
    tag: number,
    fields: Uint8Array | null,
    expiry: number,
    key: Bytes | null,
    value: Bytes | MakeBody | null,
    decode: Decode<T>,
    options?: CallOptions,
    many = false,
  ): Promise<T> {
    const { channel } = this;
    if (WRITES[op] === 1) this.written(key!);
    const isIdle = this.#turns.isIdle;
    let answer: Promise<T>;
    if (isIdle && !tracesRequests()) {
      answer = channel.call(op, flags, tag, fields, expiry, key, value, decode, options);
    } else {
      const make = () => channel.call(op, flags, tag, fields, expiry, key, value, decode, options);
      const call = tracesRequests() ? () => traceRequest(op, key, make) : make;
      const keys = key === null || many ? null : [key];
      answer = isIdle ? call() : this.#after(channel, keys, undefined, call);
    }
    if (!this.failures.isLenient) return answer;
    const status = EMPTY_ANSWERS.get(op);
    if (status === undefined) return answer;
    return this.failures.guard(OP_NAMES.get(op)!, answer, (error) => {
      if (op === Op.REMOVE || (op === Op.SET && mayReplace(flags))) this.owe([key!], error);
      return decode(status, 0, NO_BODY, 0, 0, true);
    });
  }

  /** True when no call waits for its turn: those that are made now are sent at once. */
  get isIdle(): boolean {
    return this.#turns.isIdle;
  }

  /** Makes the calls of a batch, after those that could not be made yet. `instead`: its result when failures are misses. */
  all<T>(op: number, make: (channel: Channel) => Promise<T>, instead: (error: unknown) => T): Promise<T> {
    const { channel } = this;
    const call = () => (tracesRequests() ? traceRequest(op, null, () => make(channel)) : make(channel));
    const answer = this.#turns.isIdle ? call() : this.#after(channel, null, undefined, call);
    return this.failures.guard(OP_NAMES.get(op)!, answer, instead);
  }

  /**
   * Makes a write to these keys once what it needs is `ready`; calls for the same keys that come later wait for it. `instead`: its result when failures
   * are misses.
   */
  when<P, T>(
    op: number,
    keys: readonly Bytes[],
    channel: Channel,
    ready: Promise<P>,
    make: (prepared: P) => Promise<T>,
    instead: (error: unknown) => T,
  ): Promise<T> {
    this.writtenAll(keys);
    const key = keys.length === 1 ? keys[0]! : null;
    const call = (prepared: P) =>
      tracesRequests() ? traceRequest(op, key, () => make(prepared)) : make(prepared);
    const answer = this.#after(channel, keys, ready, call);
    return this.failures.guard(OP_NAMES.get(op)!, answer, instead);
  }

  // --- what could not be done and was passed over

  /** These keys hold what is out of date, since a write has failed: an empty cache would not have them. */
  owe(keys: readonly Bytes[], error: unknown): void {
    // Nothing can be there.
    if (error instanceof KeyTooLongError) return;
    if (this.#isLasting) this.#owed.remove(keys);
  }

  /** So do all keys with this prefix; null = all. */
  oweUnder(prefix: Bytes | null): void {
    if (this.#isLasting) this.#owed.removeUnder(prefix);
  }

  /** So do all that have this tag. */
  oweInvalidation(record: string): void {
    if (this.#isLasting) this.#owed.invalidate(record);
  }

  /** Sends what is owed, if there is a daemon that may have what it concerns. */
  settle(channel: Channel): void {
    if (this.#owed.isEmpty) return;
    if (this.#isLasting) this.#owed.settle(channel, this.daemon.isUp);
    else this.#owed.forget();
  }

  /** Whether what the daemon holds, or held, may still be read later. */
  get #isLasting(): boolean {
    return this.isKept || this.daemon.isUp;
  }

  // --- what is known here of entries that are being written

  /** A write to this key is called. What this client knows of it from before is not true any more once the next call is made. */
  written(key: Bytes): void {
    if (this.hot === null && !this.loads.isUsed) return;
    const name = nameOf(key);
    this.hot?.near.written(name);
    this.loads.written(name);
  }

  writtenAll(keys: readonly Bytes[]): void {
    if (this.hot === null && !this.loads.isUsed) return;
    for (const key of keys) this.written(key);
  }

  /** A write to all keys with this prefix is called; null = to all. */
  writtenUnder(prefix: Bytes | null): void {
    if (this.hot === null && !this.loads.isUsed) return;
    const matches = prefix === null ? () => true : mayHavePrefix(prefix);
    if (prefix === null) this.hot?.near.clear();
    else this.hot?.near.writtenWhere(matches);
    this.loads.writtenWhere(matches);
  }

  /** An errand: a close() that comes meanwhile leaves it the time to be sent. */
  #after<P, T>(
    channel: Channel,
    keys: readonly Bytes[] | null,
    ready: P | Promise<P>,
    make: (prepared: P) => Promise<T>,
  ): Promise<T> {
    channel.beginErrand();
    let isMade = false;
    const end = () => {
      if (isMade) return;
      isMade = true;
      channel.endErrand();
    };
    const answer = this.#turns.run(keys, ready, (prepared) => {
      try {
        this.settle(channel);
        return make(prepared);
      } finally {
        end();
      }
    });
    // What it needs may never be ready.
    answer.catch(end);
    return answer;
  }
}
