// Batches: many keys or items in few frames. Cuts a batch into frames that do not hold up the calls behind them, and puts
// their results together again. The frames' bodies are items.ts's affair.
//
// Invariant: all frames are handed to the channel within the call itself, so that a batch keeps its place among other calls and
// before a close(). The channel has their bodies made when it sends them. Only getMany may have more to ask later: an errand.

import { type CallOptions, type Decode, isRepeatable } from "./call.js";
import type { Channel } from "./channel.js";
import type { Daemon } from "./daemon.js";
import { atItem, InvalidArgumentError, ProtocolError, type RustCacheError, show } from "./errors.js";
import {
  countField,
  endOfFrame,
  keyRoom,
  keysBody,
  readGetMany,
  readStatuses,
  type SetItem,
  setBody,
  setRoom,
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
import { checkValueLength, type Limits, NO_EXPIRY, Op, requireWellFormed, Status } from "./protocol.js";
import { type CacheValue, decodeDone, decodeStored, readValue, statusError } from "./replies.js";

type Bytes = string | Uint8Array;

/** One item of `setMany`: a key, a value, and what `set` takes for one entry. */
export interface SetItemOptions extends ExpiryOptions, TagOptions, Pick<SetOptions, "condition"> {
  readonly key: Bytes;
  readonly value: Bytes;
}

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
  [Status.DISK_FAILED, "the disk has failed before, so this was refused (see the option onDiskError)"],
  [Status.NOT_DURABLE, "this was done in memory and could not be written to the disk"],
]);

function itemError(status: number, index: number, key: Bytes): RustCacheError {
  const text = TEXTS.get(status) ?? "the daemon refused this item";
  const error = statusError(status, `item ${index} (key ${show(key)}): ${text}`);
  error.index = index;
  return error;
}

export class Batches {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  async getMany(
    keys: readonly Bytes[],
    options: CallOptions | undefined,
  ): Promise<(CacheValue | undefined)[]> {
    const all = checkedKeys(keys, options);
    const results: (CacheValue | undefined)[] = new Array(all.length).fill(undefined);
    // Later rounds belong to this call as well: they stay with the daemon that it began with, also after a close().
    const { channel } = this.#daemon;
    channel.beginErrand();
    try {
      await this.#getRounds(channel, all, results, options);
    } finally {
      channel.endErrand();
    }
    return results;
  }

  async #getRounds(
    channel: Channel,
    keys: readonly Bytes[],
    results: (CacheValue | undefined)[],
    options: CallOptions | undefined,
  ): Promise<void> {
    let wanted = keys;
    /** Where the results of `wanted` go; null = to their own places. */
    let places: number[] | null = null;
    while (wanted.length > 0) {
      const deferred = await this.#getRound(channel, wanted, places, results, options);
      // The first value of a frame always fits, so that a round in which nothing came is the daemon's fault.
      if (deferred.length === wanted.length) {
        throw new ProtocolError(`the daemon deferred all ${wanted.length} values of a batch`);
      }
      places = deferred;
      wanted = deferred.map((place) => keys[place]!);
    }
  }

  /** Asks once for `keys` and returns the places of those that were deferred. */
  async #getRound(
    channel: Channel,
    keys: readonly Bytes[],
    places: readonly number[] | null,
    results: (CacheValue | undefined)[],
    options: CallOptions | undefined,
  ): Promise<number[]> {
    const deferred: number[] = [];
    await sendKeys(channel, Op.GET_MANY, keys, options, (from, count) => (status, _tag, buf, start, end) => {
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
    const all = checkedKeys(keys, options);
    const results: boolean[] = new Array(keys.length).fill(false);
    await sendKeys(
      this.#daemon.channel,
      Op.REMOVE_MANY,
      all,
      options,
      (from, count) => (status, _tag, buf, start, end) => {
        decodeDone(status);
        const statuses = readStatuses(buf, start, end, count);
        for (let i = 0; i < count; i++) {
          if (statuses[i] === Status.OK) results[from + i] = true;
          else if (statuses[i] !== Status.MISS) throw itemError(statuses[i]!, from + i, all[from + i]!);
        }
      },
    );
    return results;
  }

  async setMany(items: readonly SetItemOptions[], options: CallOptions | undefined): Promise<boolean[]> {
    if (!Array.isArray(items)) throw new InvalidArgumentError(`items must be an array, got ${show(items)}`);
    if (options !== undefined) checkCallOptions(options);
    // All of them first: a batch with a wrong argument in it is not half done.
    const checked = Array.from(items, (item, index) => this.#checkItem(item, index));
    const results: boolean[] = new Array(items.length).fill(false);
    const sent: Promise<unknown>[] = [];
    let from = 0;
    while (from < checked.length) {
      const item = checked[from]!;
      if (isLarge(item)) {
        const place = from++;
        const call = this.#setAlone(item, options).then(
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
      const to = endOfFrame(from, checked.length, (i) =>
        isLarge(checked[i]!) ? Number.POSITIVE_INFINITY : setRoom(checked[i]!),
      );
      sent.push(watched(this.#sendSets(checked, from, to, results, options)));
      from = to;
    }
    await Promise.all(sent);
    return results;
  }

  #sendSets(
    items: readonly SetItem[],
    from: number,
    to: number,
    results: boolean[],
    options: CallOptions | undefined,
  ): Promise<void> {
    const count = to - from;
    const decode: Decode<void> = (status, _tag, buf, start, end) => {
      decodeDone(status);
      const statuses = readStatuses(buf, start, end, count);
      for (let i = 0; i < count; i++) {
        if (statuses[i] === Status.OK) results[from + i] = true;
        else if (statuses[i] !== Status.NOT_STORED)
          throw itemError(statuses[i]!, from + i, items[from + i]!.key);
      }
    };
    const body = (limits: Limits) => setBody(items, from, to, limits);
    // One that must not be done twice keeps its whole frame from being sent again.
    let once = false;
    for (let i = from; i < to; i++) if (!isRepeatable(Op.SET, items[i]!.flags)) once = true;
    const { channel } = this.#daemon;
    const field = countField(count);
    return channel.call(Op.SET_MANY, 0, 0, field, NO_EXPIRY, null, body, decode, options, once);
  }

  #setAlone({ flags, tag, expiry, key, value }: SetItem, options: CallOptions | undefined): Promise<boolean> {
    const { channel } = this.#daemon;
    return channel.call(Op.SET, flags, tag, null, expiry, key, value, decodeStored, options);
  }

  #checkItem(item: SetItemOptions, index: number): SetItem {
    return atItem(index, () => {
      if (typeof item !== "object" || item === null) {
        throw new InvalidArgumentError(`an item must be an object with key and value, got ${show(item)}`);
      }
      const { key, value } = item;
      checkKey(key);
      checkValue(value);
      const { kind, ms } = this.#daemon.expiry(expiryOf(item));
      return {
        flags: kind | conditionOf(item.condition),
        tag: tagOf(item.tag, value),
        expiry: ms,
        key,
        value,
      };
    });
  }

  /** The value part of a CAS: the expected bytes, then the new ones. */
  casBody(expected: Bytes, value: Bytes): { body: Buffer; expectedLength: number } {
    const [old, next] = [expected, value].map((bytes) => {
      if (typeof bytes !== "string") return bytes;
      requireWellFormed(bytes, "value");
      return Buffer.from(bytes);
    }) as [Uint8Array, Uint8Array];
    const limits = this.#daemon.channel.limits;
    if (limits !== null) {
      checkValueLength(old.length, limits);
      checkValueLength(next.length, limits);
    }
    return { body: Buffer.concat([old, next]), expectedLength: old.length };
  }
}

/** Sends keys in as many frames as it takes. `decoder` makes the decoder of the frame that holds `count` keys from `from` on. */
async function sendKeys(
  channel: Channel,
  op: number,
  keys: readonly Bytes[],
  options: CallOptions | undefined,
  decoder: (from: number, count: number) => Decode<void>,
): Promise<void> {
  const sent: Promise<void>[] = [];
  for (let from = 0; from < keys.length; ) {
    const [start, end] = [from, endOfFrame(from, keys.length, (i) => keyRoom(keys[i]!))];
    const count = end - start;
    const body = (limits: Limits) => keysBody(keys, start, end, limits);
    const decode = decoder(start, count);
    sent.push(watched(channel.call(op, 0, 0, countField(count), NO_EXPIRY, null, body, decode, options)));
    from = end;
  }
  await Promise.all(sent);
}

/** The keys, in an array of our own: frames may be encoded after the caller has gone on to change his. */
function checkedKeys(keys: readonly Bytes[], options: CallOptions | undefined): readonly Bytes[] {
  if (!Array.isArray(keys)) throw new InvalidArgumentError(`keys must be an array, got ${show(keys)}`);
  if (options !== undefined) checkCallOptions(options);
  // By position: forEach passes over holes.
  for (let index = 0; index < keys.length; index++) atItem(index, () => checkKey(keys[index]));
  return [...keys];
}

/** What is awaited later must not count as unhandled meanwhile. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Large values go by themselves: a batch copies what is in it. */
function isLarge(item: SetItem): boolean {
  return item.value.length >= OWN_CHUNK_BYTES;
}
