// Batches: many keys or items in few frames. Cuts a batch into frames that do not hold up the calls behind them, and puts
// their results together again. The frames' bodies are items.ts's affair.

import type { CallOptions, Decode } from "./call.js";
import type { Channel } from "./channel.js";
import { atItem, InvalidArgumentError, ProtocolError, type RustCacheError, show } from "./errors.js";
import {
  batchBytes,
  countField,
  keysBatch,
  MAX_ITEMS,
  readGetMany,
  readStatuses,
  type SetItem,
  setBatch,
} from "./items.js";
import {
  checkCallOptions,
  checkKey,
  checkValue,
  conditionOf,
  type ExpiryOptions,
  expiryOf,
  type SetOptions,
  type TagOptions,
  tagOf,
} from "./options.js";
import { OWN_CHUNK_BYTES } from "./outbox.js";
import { checkValueLength, type Limits, Op, requireWellFormed, Status } from "./protocol.js";
import { type CacheValue, decodeDone, readValue, statusError } from "./replies.js";

type Bytes = string | Uint8Array;

/** One item of `setMany`: a key, a value, and what `set` takes for one entry. */
export interface SetItemOptions extends ExpiryOptions, TagOptions, Pick<SetOptions, "condition"> {
  readonly key: Bytes;
  readonly value: Bytes;
}

/** Sends one frame of a batch. */
export type BatchCall = <T>(
  op: number,
  fields: Uint8Array | null,
  value: Uint8Array | null,
  decode: Decode<T>,
  options: CallOptions | undefined,
) => Promise<T>;

/** Sends one item by itself. */
export type SetCall = (key: Bytes, value: Bytes, options: SetOptions) => Promise<boolean>;

const TEXTS = new Map<number, string>([
  [Status.KEY_TOO_LONG, "the key is longer than the daemon allows: shorten it or raise maxKeyBytes"],
  [
    Status.VALUE_TOO_LONG,
    "the value is longer than the daemon allows: store it in parts or raise maxValueBytes",
  ],
  [
    Status.TOO_LARGE,
    "the entry is larger than the cache may ever be, and what the key held is removed: raise maxBytes",
  ],
]);

function itemError(status: number, index: number, key: Bytes): RustCacheError {
  const text = TEXTS.get(status) ?? "the daemon refused this item";
  const error = statusError(status, `item ${index} (key ${show(key)}): ${text}`);
  error.index = index;
  return error;
}

export class Batches {
  readonly #channel: Channel;
  readonly #call: BatchCall;
  readonly #set: SetCall;

  constructor(channel: Channel, call: BatchCall, set: SetCall) {
    this.#channel = channel;
    this.#call = call;
    this.#set = set;
  }

  async getMany(
    keys: readonly Bytes[],
    options: CallOptions | undefined,
  ): Promise<(CacheValue | undefined)[]> {
    this.#checkKeys(keys, options);
    const results: (CacheValue | undefined)[] = new Array(keys.length).fill(undefined);
    let wanted = keys;
    /** Where the results of `wanted` go; null = to their own places. */
    let places: number[] | null = null;
    while (wanted.length > 0) {
      const deferred = await this.#getRound(wanted, places, results, options);
      // The first value of a frame always fits, so that a round in which nothing came is the daemon's fault.
      if (deferred.length === wanted.length) {
        throw new ProtocolError(`the daemon deferred all ${wanted.length} values of a batch`);
      }
      places = deferred;
      wanted = deferred.map((place) => keys[place]!);
    }
    return results;
  }

  /** Asks once for `keys` and returns the places of those that were deferred. */
  async #getRound(
    keys: readonly Bytes[],
    places: readonly number[] | null,
    results: (CacheValue | undefined)[],
    options: CallOptions | undefined,
  ): Promise<number[]> {
    const deferred: number[] = [];
    await this.#pages(Op.GET_MANY, keys, options, (from, count) => (status, _tag, buf, start, end) => {
      decodeDone(status);
      readGetMany(buf, start, end, count, (i, itemStatus, tag, valueStart, valueEnd) => {
        const place = places === null ? from + i : places[from + i]!;
        if (itemStatus === Status.OK) results[place] = readValue(tag, buf, valueStart, valueEnd, false);
        else if (itemStatus === Status.DEFERRED) deferred.push(place);
        else if (itemStatus !== Status.MISS) throw itemError(itemStatus, place, keys[from + i]!);
      });
    });
    return deferred;
  }

  async deleteMany(keys: readonly Bytes[], options: CallOptions | undefined): Promise<boolean[]> {
    this.#checkKeys(keys, options);
    const results: boolean[] = new Array(keys.length).fill(false);
    await this.#pages(Op.REMOVE_MANY, keys, options, (from, count) => (status, _tag, buf, start, end) => {
      decodeDone(status);
      const statuses = readStatuses(buf, start, end, count);
      for (let i = 0; i < count; i++) {
        if (statuses[i] === Status.OK) results[from + i] = true;
        else if (statuses[i] !== Status.MISS) throw itemError(statuses[i]!, from + i, keys[from + i]!);
      }
    });
    return results;
  }

  async setMany(items: readonly SetItemOptions[], options: CallOptions | undefined): Promise<boolean[]> {
    if (!Array.isArray(items)) throw new InvalidArgumentError(`items must be an array, got ${show(items)}`);
    if (options !== undefined) checkCallOptions(options);
    // All of them first: a batch with a wrong argument in it is not half done.
    const checked = items.map(checkItem);
    const results: boolean[] = new Array(items.length).fill(false);
    const sent: Promise<unknown>[] = [];
    let from = 0;
    while (from < items.length) {
      const limits = await this.#roomAndLimits(options);
      const item = checked[from]!;
      if (isLarge(item)) {
        const place = from++;
        const call = this.#set(item.key, item.value, { ...items[place]!, ...options }).then(
          (stored) => {
            results[place] = stored;
          },
          (error: RustCacheError) => {
            error.index ??= place;
            throw error;
          },
        );
        sent.push(watched(call));
        continue;
      }
      const to = endOfSetBatch(checked, from, limits);
      sent.push(watched(this.#sendSets(checked, from, to, limits, results, options)));
      from = to;
    }
    await Promise.all(sent);
    return results;
  }

  #sendSets(
    items: readonly SetItem[],
    from: number,
    to: number,
    limits: Limits,
    results: boolean[],
    options: CallOptions | undefined,
  ): Promise<void> {
    const { count, body } = setBatch(items, from, to, limits);
    const decode: Decode<void> = (status, _tag, buf, start, end) => {
      decodeDone(status);
      const statuses = readStatuses(buf, start, end, count);
      for (let i = 0; i < count; i++) {
        if (statuses[i] === Status.OK) results[from + i] = true;
        else if (statuses[i] !== Status.NOT_STORED)
          throw itemError(statuses[i]!, from + i, items[from + i]!.key);
      }
    };
    return this.#call(Op.SET_MANY, countField(count), body, decode, options);
  }

  /** The value part of a CAS: the expected bytes, then the new ones. */
  casBody(expected: Bytes, value: Bytes): { body: Buffer; expectedLength: number } {
    const [old, next] = [expected, value].map((bytes) => {
      if (typeof bytes !== "string") return bytes;
      requireWellFormed(bytes, "value");
      return Buffer.from(bytes);
    }) as [Uint8Array, Uint8Array];
    const limits = this.#channel.limits;
    if (limits !== null) {
      checkValueLength(old.length, limits);
      checkValueLength(next.length, limits);
    }
    return { body: Buffer.concat([old, next]), expectedLength: old.length };
  }

  /** Sends keys in as many frames as it takes. `decoder` makes the decoder of the frame that holds `count` keys from `from` on. */
  async #pages(
    op: number,
    keys: readonly Bytes[],
    options: CallOptions | undefined,
    decoder: (from: number, count: number) => Decode<void>,
  ): Promise<void> {
    const sent: Promise<void>[] = [];
    for (let from = 0; from < keys.length; ) {
      const limits = await this.#roomAndLimits(options);
      const { count, body } = keysBatch(keys, from, limits);
      sent.push(watched(this.#call(op, countField(count), body, decoder(from, count), options)));
      from += count;
    }
    await Promise.all(sent);
  }

  /** The daemon's limits, once there is room to send more: a huge batch must not be encoded all at once. */
  async #roomAndLimits(options: CallOptions | undefined): Promise<Limits> {
    await this.#channel.drained();
    for (;;) {
      const limits = this.#channel.limits;
      if (limits !== null) return limits;
      // Starts the daemon if need be, under the same timeout and signal as the batch.
      await this.#call(Op.PING, null, null, decodeDone, options);
    }
  }

  #checkKeys(keys: readonly Bytes[], options: CallOptions | undefined): void {
    if (!Array.isArray(keys)) throw new InvalidArgumentError(`keys must be an array, got ${show(keys)}`);
    if (options !== undefined) checkCallOptions(options);
    keys.forEach((key, index) => {
      atItem(index, () => checkKey(key));
    });
  }
}

/** What is awaited later must not count as unhandled meanwhile. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function checkItem(item: SetItemOptions, index: number): SetItem {
  return atItem(index, () => {
    if (typeof item !== "object" || item === null) {
      throw new InvalidArgumentError(`an item must be an object with key and value, got ${show(item)}`);
    }
    checkKey(item.key);
    checkValue(item.value);
    const { kind, ms } = expiryOf(item);
    const flags = kind | conditionOf(item.condition);
    return { flags, tag: tagOf(item.tag, item.value), expiry: ms, key: item.key, value: item.value };
  });
}

/** Large values go by themselves: a batch copies what is in it. */
function isLarge(item: SetItem): boolean {
  return item.value.length >= OWN_CHUNK_BYTES;
}

function endOfSetBatch(items: readonly SetItem[], from: number, limits: Limits): number {
  // Counted as UTF-8 at its longest. One item always fits: the frame limit is above key and value limit together.
  const most = batchBytes(limits);
  let room = 0;
  let to = from;
  while (to < items.length && to - from < MAX_ITEMS) {
    const item = items[to]!;
    room += 20 + 3 * (item.key.length + item.value.length);
    if (to > from && (room > most || isLarge(item))) break;
    to++;
  }
  return to;
}
