// Bodies of protocol version 2 that hold several items: GET_MANY, SET_MANY, REMOVE_MANY and SCAN, both directions.
// Pure, as protocol.ts. How a batch is cut into frames, and what is made of the results, is the client's affair.

import { ofItem, ProtocolError } from "./errors.js";
import {
  checkKeyLength,
  checkValueLength,
  type Limits,
  NO_EXPIRY,
  readTtl,
  readU32,
  requireWellFormed,
  writeText,
  writeU32,
  writeU64,
} from "./protocol.js";

/** Items per frame at most: one frame must not hold up the calls behind it. */
export const MAX_ITEMS = 4096;
/** A frame of a batch is closed once it holds as many bytes. Far below the frame limit of any daemon, which is at least 2 MiB. */
const MAX_BATCH_BYTES = 512 * 1024;

const SET_ITEM_BYTES = 20;
const SCAN_ITEM_BYTES = 20;

/** One item of a SET_MANY. */
export interface SetItem {
  readonly flags: number;
  readonly tag: number;
  /** Milliseconds, or NO_EXPIRY. */
  readonly expiry: number;
  readonly key: string | Uint8Array;
  readonly value: string | Uint8Array;
}

function roomFor(text: string | Uint8Array): number {
  return typeof text === "string" ? text.length * 3 : text.length;
}

function writeBytes(buf: Buffer, at: number, text: string | Uint8Array, what: "key" | "value"): number {
  if (typeof text === "string") return writeText(buf, at, text, what);
  buf.set(text, at);
  return at + text.length;
}

/**
 * Where a frame ends that begins with item `from` of `total`; `bytes` says what an item takes at most, and Infinity ends the frame
 * before it. One item always fits: the frame limit is above key limit and value limit together.
 */
export function endOfFrame(from: number, total: number, bytes: (i: number) => number): number {
  let to = from;
  let room = 0;
  while (to < total && to - from < MAX_ITEMS) {
    room += bytes(to);
    if (to > from && room > MAX_BATCH_BYTES) break;
    to++;
  }
  return to;
}

/** Bytes that a key takes in a GET_MANY or REMOVE_MANY at most. */
export function keyRoom(key: string | Uint8Array): number {
  return 4 + roomFor(key);
}

/** Bytes that an item takes in a SET_MANY at most. */
export function setRoom(item: SetItem): number {
  return SET_ITEM_BYTES + roomFor(item.key) + roomFor(item.value);
}

/** Encodes `keys[from..to]`: the value part of GET_MANY and REMOVE_MANY. */
export function keysBody(
  keys: readonly (string | Uint8Array)[],
  from: number,
  to: number,
  limits: Limits,
): Buffer {
  let i = from;
  try {
    let room = 0;
    for (; i < to; i++) {
      const key = keys[i]!;
      // Longer in UTF-16 units than allowed in bytes: refuse before any memory is taken for it.
      if (key.length > limits.keyLimit) checkKeyLength(key.length, key, limits);
      room += keyRoom(key);
    }
    const body = Buffer.allocUnsafe(room);
    let pos = 0;
    for (i = from; i < to; i++) {
      const key = keys[i]!;
      const end = writeBytes(body, pos + 4, key, "key");
      checkKeyLength(end - pos - 4, key, limits);
      writeU32(body, pos, end - pos - 4);
      pos = end;
    }
    return body.subarray(0, pos);
  } catch (error) {
    throw ofItem(error, i);
  }
}

/**
 * Encodes `items[from..to]`: the value part of SET_MANY, but for those that the daemon would refuse the whole frame for: `leftOut` is told of each, and
 * what is wrong with it.
 */
export function setBody(
  items: readonly SetItem[],
  from: number,
  to: number,
  limits: Limits,
  leftOut: (index: number, error: unknown) => void,
): Buffer {
  let room = 0;
  for (let i = from; i < to; i++) {
    const item = items[i]!;
    // Longer in UTF-16 units than allowed in bytes: no memory is taken for it.
    if (item.key.length <= limits.keyLimit) room += setRoom(item);
  }
  const body = Buffer.allocUnsafe(room);
  let pos = 0;
  for (let i = from; i < to; i++) {
    const item = items[i]!;
    try {
      if (item.key.length > limits.keyLimit) checkKeyLength(item.key.length, item.key, limits);
      pos = writeSetItem(body, pos, item, limits);
    } catch (error) {
      leftOut(i, error);
    }
  }
  return body.subarray(0, pos);
}

function writeSetItem(body: Buffer, at: number, item: SetItem, limits: Limits): number {
  const keyStart = at + SET_ITEM_BYTES;
  const valueStart = writeBytes(body, keyStart, item.key, "key");
  checkKeyLength(valueStart - keyStart, item.key, limits);
  const end = writeBytes(body, valueStart, item.value, "value");
  checkValueLength(end - valueStart, limits);
  body[at] = item.flags;
  body[at + 1] = item.tag;
  body[at + 2] = 0;
  body[at + 3] = 0;
  writeU32(body, at + 4, valueStart - keyStart);
  writeU32(body, at + 8, end - valueStart);
  writeU64(body, at + 12, item.expiry === NO_EXPIRY ? 0 : item.expiry);
  return end;
}

/** The value part of a CAS: the expected bytes, then the new ones. `limits` null = not known yet. */
export function casBody(
  expected: string | Uint8Array,
  value: string | Uint8Array,
  limits: Limits | null,
): { body: Buffer; expectedLength: number } {
  const [old, next] = [expected, value].map((bytes) => {
    if (typeof bytes !== "string") return bytes;
    requireWellFormed(bytes, "value");
    return Buffer.from(bytes);
  }) as [Uint8Array, Uint8Array];
  if (limits !== null) {
    checkValueLength(old.length, limits);
    checkValueLength(next.length, limits);
  }
  return { body: Buffer.concat([old, next]), expectedLength: old.length };
}

/** The u32 that GET_MANY, SET_MANY and REMOVE_MANY carry as their field. */
export function countField(count: number): Uint8Array {
  const field = new Uint8Array(4);
  writeU32(field, 0, count);
  return field;
}

/** The fields of a SCAN. The cursor is the daemon's own affair: it goes back as it came. */
export function scanFields(cursor: bigint, limit: number): Uint8Array {
  const fields = Buffer.alloc(12);
  fields.writeBigUInt64LE(cursor, 0);
  fields.writeUInt32LE(limit, 8);
  return fields;
}

function readCount(buf: Buffer, start: number, end: number, expected: number): void {
  const count = end - start < 4 ? 0 : readU32(buf, start);
  if (end - start < 4 || count !== expected) {
    throw new ProtocolError(`a batch of ${expected} items was answered with ${count}`);
  }
}

/** Calls `each` for every item of a GET_MANY reply; `valueStart..valueEnd` lies in `buf`. */
export function readGetMany(
  buf: Buffer,
  start: number,
  end: number,
  expected: number,
  each: (index: number, status: number, tag: number, valueStart: number, valueEnd: number) => void,
): void {
  readCount(buf, start, end, expected);
  let pos = start + 4;
  for (let i = 0; i < expected; i++) {
    const valueStart = pos + 8;
    const next = valueStart <= end ? valueStart + readU32(buf, pos + 4) : end + 1;
    if (next > end)
      throw new ProtocolError(`item ${i} of a GET_MANY reply reaches past the end of its frame`);
    each(i, buf[pos]!, buf[pos + 1]!, valueStart, next);
    pos = next;
  }
  if (pos !== end) throw new ProtocolError(`a GET_MANY reply has ${end - pos} bytes too many`);
}

/** The statuses of a SET_MANY or REMOVE_MANY reply. */
export function readStatuses(buf: Buffer, start: number, end: number, expected: number): Uint8Array {
  readCount(buf, start, end, expected);
  if (end - start - 4 !== expected) {
    throw new ProtocolError(`a batch of ${expected} items was answered with ${end - start - 4} statuses`);
  }
  return Uint8Array.prototype.slice.call(buf, start + 4, end);
}

/** One entry of a SCAN page, copied out of the frame. */
export interface ScanItem {
  readonly key: Buffer;
  readonly tag: number;
  /** Bytes of the value. */
  readonly valueLength: number;
  /** Empty without WITH_VALUES. */
  readonly value: Buffer;
  /** Milliseconds left; Infinity = never expires. */
  readonly ttl: number;
}

/** One page of a SCAN. */
export interface ScanPage {
  /** 0n = the end. */
  readonly cursor: bigint;
  readonly items: ScanItem[];
}

/** The body of a SCAN reply. */
export function readScanPage(buf: Buffer, start: number, end: number, withValues: boolean): ScanPage {
  if (end - start < 12)
    throw new ProtocolError(`a SCAN reply of ${end - start} bytes is too short to be one`);
  const cursor = buf.readBigUInt64LE(start);
  const count = readU32(buf, start + 8);
  // One copy for the whole page: its items are read together and let go together.
  const page = Buffer.from(buf.subarray(start + 12, end));
  const items: ScanItem[] = [];
  let pos = 0;
  for (let i = 0; i < count; i++) {
    if (pos + SCAN_ITEM_BYTES > page.length)
      throw new ProtocolError(`a SCAN reply ends within item ${i} of ${count}`);
    const keyStart = pos + SCAN_ITEM_BYTES;
    const keyEnd = keyStart + readU32(page, pos + 4);
    const valueLength = readU32(page, pos + 8);
    const next = withValues ? keyEnd + valueLength : keyEnd;
    if (next > page.length)
      throw new ProtocolError(`item ${i} of a SCAN reply reaches past the end of its frame`);
    items.push({
      key: page.subarray(keyStart, keyEnd),
      tag: page[pos + 1]!,
      valueLength,
      value: page.subarray(keyEnd, next),
      ttl: readTtl(page, pos + 12),
    });
    pos = next;
  }
  if (pos !== page.length) throw new ProtocolError(`a SCAN reply has ${page.length - pos} bytes too many`);
  return { cursor, items };
}
