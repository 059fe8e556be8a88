// Batches: many keys or items in few frames. Cuts a batch into frames that do not hold up the calls behind them, and puts
// their results together again. The frames' bodies are items.ts's affair; what a value means is that of whoever asks.
//
// Invariant: all frames are handed to the channel within the call itself, so that a batch keeps its place among other calls and
// before a close(). The channel has their bodies made when it sends them. Only getMany may have more to ask later: an errand.

import { type CallOptions, type Decode, isRepeatable } from "./call.js";
import type { Channel } from "./channel.js";
import { ofItem, ProtocolError, type RustCacheError, show } from "./errors.js";
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
import { OWN_CHUNK_BYTES } from "./outbox.js";
import { type Limits, NO_EXPIRY, Op, Status, writeU32 } from "./protocol.js";
import { decodeDone, decodeStored, statusError } from "./replies.js";

type Bytes = string | Uint8Array;

/** Makes the value of one item of a reply, or a promise of it, from bytes that are valid during the call only. */
export type ReadItem = (tag: number, buf: Buffer, start: number, end: number, owned: boolean) => unknown;

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

/** Why an item of a batch was not stored. */
export class Refused {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** Whether an item was stored, or why it could not be. */
export type SetOutcome = boolean | Refused;

/** `index`: null when the caller does not know the item by its place. */
function itemError(status: number, index: number | null, key: Bytes): RustCacheError {
  const text = TEXTS.get(status) ?? "the daemon refused this item";
  const item = index === null ? `key ${show(key)}` : `item ${index} (key ${show(key)})`;
  const error = statusError(status, `${item}: ${text}`);
  if (index !== null) error.index = index;
  return error;
}

/** Makes what stands in the place of an item that could not be read, or throws. */
export type UnreadItem = (error: unknown, place: number) => unknown;

/**
 * Reads many values; the result has the order of the keys, with `missing` for what is not there. `keys` must not change until it is settled,
 * and `names` are what error texts call them.
 */
export async function getMany<M>(
  channel: Channel,
  keys: readonly Bytes[],
  names: readonly Bytes[],
  read: ReadItem,
  unread: UnreadItem,
  missing: M,
  options: CallOptions | undefined,
): Promise<unknown[]> {
  const results: unknown[] = new Array(keys.length).fill(missing);
  const later: Promise<void>[] = [];
  // Later rounds belong to this call as well: they stay with the daemon that it began with, also after a close().
  channel.beginErrand();
  try {
    let wanted = keys;
    /** Where the results of `wanted` go; null = to their own places. */
    let places: number[] | null = null;
    while (wanted.length > 0) {
      const into: GetRound = { names, places, results, later, deferred: [] };
      await getRound(channel, wanted, into, read, unread, options);
      const { deferred } = into;
      // The first value of a frame always fits, so that a round in which nothing came is the daemon's fault.
      if (deferred.length === wanted.length) {
        throw new ProtocolError(`the daemon deferred all ${wanted.length} values of a batch`);
      }
      places = deferred;
      wanted = deferred.map((place) => keys[place]!);
    }
  } finally {
    channel.endErrand();
  }
  if (later.length > 0) await Promise.all(later);
  return results;
}

interface GetRound {
  readonly names: readonly Bytes[];
  readonly places: readonly number[] | null;
  readonly results: unknown[];
  /** Values that are not there yet although their bytes are. */
  readonly later: Promise<void>[];
  /** The places of those that were deferred. */
  readonly deferred: number[];
}

/** Asks once for `keys`. */
function getRound(
  channel: Channel,
  keys: readonly Bytes[],
  { names, places, results, later, deferred }: GetRound,
  read: ReadItem,
  unread: UnreadItem,
  options: CallOptions | undefined,
): Promise<void> {
  return sendKeys(channel, Op.GET_MANY, keys, options, (from, count) => (status, _tag, buf, start, end) => {
    decodeDone(status);
    readGetMany(buf, start, end, count, (i, itemStatus, tag, valueStart, valueEnd) => {
      const place = places === null ? from + i : places[from + i]!;
      if (itemStatus === Status.OK) {
        let value: unknown;
        try {
          value = read(tag, buf, valueStart, valueEnd, false);
        } catch (error) {
          value = unread(error, place);
        }
        results[place] = value;
        if (value instanceof Promise) {
          const settled = value
            .catch((error) => unread(error, place))
            .then((each) => {
              results[place] = each;
            });
          later.push(watched(settled));
        }
      } else if (itemStatus === Status.DEFERRED) deferred.push(place);
      else if (itemStatus !== Status.MISS) throw itemError(itemStatus, place, names[place]!);
    });
  });
}

/** Removes many entries; resolves with whether each was there. */
export async function deleteMany(
  channel: Channel,
  keys: readonly Bytes[],
  names: readonly Bytes[],
  options: CallOptions | undefined,
): Promise<boolean[]> {
  const results: boolean[] = new Array(keys.length).fill(false);
  await sendKeys(channel, Op.REMOVE_MANY, keys, options, (from, count) => (status, _tag, buf, start, end) => {
    decodeDone(status);
    const statuses = readStatuses(buf, start, end, count);
    for (let i = 0; i < count; i++) {
      if (statuses[i] === Status.OK) results[from + i] = true;
      else if (statuses[i] !== Status.MISS) throw itemError(statuses[i]!, from + i, names[from + i]!);
    }
  });
  return results;
}

/** Stores many values; resolves with whether each was stored. Rejects with what is wrong with the first that is refused; the others are done. */
export async function setMany(
  channel: Channel,
  items: readonly SetItem[],
  names: readonly Bytes[],
  options: CallOptions | undefined,
): Promise<boolean[]> {
  const outcomes = await setEach(channel, items, names, options, true);
  return outcomes.map((outcome) => {
    if (outcome instanceof Refused) throw outcome.error;
    return outcome;
  });
}

/** Stores many values, each for itself: whatever is wrong with one is its own outcome. `isNumbered`: whether errors name items by their place. */
export async function setEach(
  channel: Channel,
  items: readonly SetItem[],
  names: readonly Bytes[],
  options: CallOptions | undefined,
  isNumbered: boolean,
): Promise<SetOutcome[]> {
  const outcomes: SetOutcome[] = new Array(items.length).fill(false);
  const sent: Promise<void>[] = [];
  let from = 0;
  while (from < items.length) {
    const item = items[from]!;
    if (isLarge(item)) {
      const place = from++;
      const call = setAlone(channel, item, options).then(
        (stored) => {
          outcomes[place] = stored;
        },
        (error: RustCacheError) => {
          if (isNumbered) error.index ??= place;
          outcomes[place] = new Refused(error);
        },
      );
      sent.push(call);
      continue;
    }
    const to = endOfFrame(from, items.length, (i) =>
      isLarge(items[i]!) ? Number.POSITIVE_INFINITY : setRoom(items[i]!),
    );
    const start = from;
    const call = sendSets(channel, items, from, to, names, outcomes, options, isNumbered).catch((error) => {
      outcomes.fill(new Refused(error), start, to);
    });
    sent.push(call);
    from = to;
  }
  await Promise.all(sent);
  return outcomes;
}

function sendSets(
  channel: Channel,
  items: readonly SetItem[],
  from: number,
  to: number,
  names: readonly Bytes[],
  outcomes: SetOutcome[],
  options: CallOptions | undefined,
  isNumbered: boolean,
): Promise<void> {
  /** Those of the items that are not in the frame which was sent last. */
  const leftOut = new Set<number>();
  const decode: Decode<void> = (status, _tag, buf, start, end) => {
    decodeDone(status);
    const statuses = readStatuses(buf, start, end, to - from - leftOut.size);
    let n = 0;
    for (let place = from; place < to; place++) {
      if (leftOut.size > 0 && leftOut.has(place)) continue;
      const itemStatus = statuses[n++]!;
      if (itemStatus === Status.OK) outcomes[place] = true;
      else if (itemStatus !== Status.NOT_STORED) {
        outcomes[place] = new Refused(itemError(itemStatus, isNumbered ? place : null, names[place]!));
      }
    }
  };
  const field = countField(to - from);
  const body = (limits: Limits) => {
    leftOut.clear();
    const bytes = setBody(items, from, to, limits, (place, error) => {
      leftOut.add(place);
      outcomes[place] = new Refused(isNumbered ? ofItem(error, place) : error);
    });
    // The fields are written after the body is made.
    writeU32(field, 0, to - from - leftOut.size);
    return bytes;
  };
  // One that must not be done twice keeps its whole frame from being sent again.
  let once = false;
  for (let i = from; i < to; i++) if (!isRepeatable(Op.SET, items[i]!.flags)) once = true;
  return channel.call(Op.SET_MANY, 0, 0, field, NO_EXPIRY, null, body, decode, options, once);
}

function setAlone(
  channel: Channel,
  { flags, tag, expiry, key, value }: SetItem,
  options: CallOptions | undefined,
): Promise<boolean> {
  return channel.call(Op.SET, flags, tag, null, expiry, key, value, decodeStored, options);
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

/** What is awaited later must not count as unhandled meanwhile. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Large values go by themselves: a batch copies what is in it. */
function isLarge(item: SetItem): boolean {
  return item.value.length >= OWN_CHUNK_BYTES;
}
