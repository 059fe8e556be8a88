// Protocol version 2, the Node side: constants, writing requests, reading reply frames. Twin of src/protocol/framed.rs;
// docs/protocol.md is the contract of both. Bodies that hold several items (batches, scans) are in items.ts.
// Pure: bytes in, bytes out. No streams, no promises, no process.

import { isAscii } from "node:buffer";
import { InvalidArgumentError, KeyTooLongError, ProtocolError, show, ValueTooLongError } from "./errors.js";

/** What both sides send before their first frame. */
export const PREFACE = Buffer.from([0xf5, 0x52, 0x43, 0xf5]);
/** The one protocol version that this client speaks. */
export const VERSION = 2;
/** Bytes of a frame before its fields. */
export const HEADER_BYTES = 16;
/** What the length field of a frame without fields, key and value says. */
export const MIN_LENGTH = 12;
/** Half of the "never" of replies, which is all ones. */
const U32_MAX = 0xffffffff;

export const Op = {
  HELLO: 0x01,
  PING: 0x02,
  STATS: 0x03,
  GET: 0x10,
  SET: 0x11,
  REMOVE: 0x12,
  TAKE: 0x13,
  CONTAINS: 0x14,
  TOUCH: 0x15,
  TTL: 0x16,
  INCR: 0x17,
  CAS: 0x18,
  CLEAR: 0x19,
  SCAN: 0x1a,
  SNAPSHOT: 0x1b,
  GET_MANY: 0x20,
  SET_MANY: 0x21,
  REMOVE_MANY: 0x22,
} as const;

export const Status = {
  OK: 0x00,
  MISS: 0x01,
  NOT_STORED: 0x02,
  DEFERRED: 0x03,
  BAD_FRAME: 0x80,
  UNKNOWN_OP: 0x81,
  KEY_TOO_LONG: 0x82,
  VALUE_TOO_LONG: 0x83,
  TOO_LARGE: 0x84,
  NOT_AN_INTEGER: 0x85,
  OVERFLOW: 0x86,
  UNSUPPORTED_VERSION: 0x87,
  HANDSHAKE_REQUIRED: 0x88,
  FRAME_TOO_LONG: 0x89,
  NO_DIRECTORY: 0x8a,
  INTERNAL: 0x8b,
  DISK_FAILED: 0x8c,
  NOT_DURABLE: 0x8d,
} as const;

/** What a value is. The daemon keeps the tag and never looks at it. */
export const Tag = {
  BYTES: 0,
  TEXT: 1,
  JSON: 2,
  V8: 3,
  PICKLE: 4,
  MESSAGEPACK: 5,
  /** Bytes with a media type in front of them, as HTTP has stored them. */
  TYPED: 6,
  /** The first of eight for values that have something wrapped around them: envelope.ts. */
  WRAPPED: 64,
  /** The first of those that are free for the user. */
  USER: 128,
} as const;

/** Expiry kinds, already where flags carry them (bits 2–4). */
export const Expiry = {
  DEFAULT: 0 << 2,
  NEVER: 1 << 2,
  TTL: 2 << 2,
  DEADLINE: 3 << 2,
  KEEP: 4 << 2,
} as const;

/** Conditions of a SET, where flags carry them (bits 0–1). */
export const Condition = { ALWAYS: 0, IF_ABSENT: 1, IF_PRESENT: 2 } as const;

/** A flag of GET and TAKE. */
export const WITH_TTL = 1;
/** A flag of SCAN. */
export const WITH_VALUES = 1;

/** In the place of an expiry in milliseconds: the frame has no such field. */
export const NO_EXPIRY = -1;

/** What the daemon's HELLO says. Lengths in bytes. */
export interface Handshake {
  readonly version: number;
  readonly features: number;
  readonly keyLimit: number;
  readonly valueLimit: number;
  readonly frameLimit: number;
  /** The daemon's name and version, for people. */
  readonly name: string;
}

/** What the lengths of a request are checked against before it is sent. */
export type Limits = Pick<Handshake, "keyLimit" | "valueLimit" | "frameLimit">;

// Buffer's own string functions without their argument checks, where this Node has them; they are worth 5 % of a get.
interface FastBuffer extends Buffer {
  utf8Write?(text: string, offset: number): number;
  utf8Slice?(start: number, end: number): string;
}
const hasFast =
  typeof (Buffer.prototype as FastBuffer).utf8Write === "function" &&
  typeof (Buffer.prototype as FastBuffer).utf8Slice === "function";
const utf8Write: (buf: Buffer, text: string, at: number) => number = hasFast
  ? (buf, text, at) => (buf as Required<FastBuffer>).utf8Write(text, at)
  : (buf, text, at) => buf.write(text, at);

const utf8Slice: (buf: Buffer, start: number, end: number) => string = hasFast
  ? (buf, start, end) => (buf as Required<FastBuffer>).utf8Slice(start, end)
  : (buf, start, end) => buf.toString("utf8", start, end);

// From this length on it pays to look whether bytes are ASCII first (measured: 16 times faster at 1 MiB, less at 4 KiB).
const ASCII_CHECK_BYTES = 16 * 1024;

/** UTF-8 bytes as a string. */
export function readText(buf: Buffer, start: number, end: number): string {
  if (end - start >= ASCII_CHECK_BYTES && isAscii(buf.subarray(start, end)))
    return buf.toString("latin1", start, end);
  return utf8Slice(buf, start, end);
}

const encoder = new TextEncoder();

/** Long text as UTF-8 in memory of its own. */
export function encodeText(text: string, what: "key" | "value"): Buffer {
  const length = Buffer.byteLength(text);
  if (length !== text.length) requireWellFormed(text, what);
  const bytes = Buffer.allocUnsafeSlow(length);
  // Three times as fast as Buffer.from for a mebibyte.
  encoder.encodeInto(text, bytes);
  return bytes;
}

// Below this length a loop beats the call into C++ (measured: 16 on node 20, level up to about 32).
const LOOP_LIMIT = 24;

/**
 * Writes `text` as UTF-8 and returns the position after it. The caller has made room for 3 bytes per UTF-16 unit.
 * Lone surrogates have no UTF-8 form; they are refused, since every stand-in would alter the text in silence.
 */
export function writeText(buf: Buffer, at: number, text: string, what: "key" | "value"): number {
  const length = text.length;
  if (length <= LOOP_LIMIT) {
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) break;
      buf[at + i] = unit;
    }
    if (i === length) return at + length;
  }
  const written = utf8Write(buf, text, at);
  // As many bytes as units: all ASCII, so there is no surrogate to look for.
  if (written !== length) requireWellFormed(text, what);
  return at + written;
}

/** Throws for text with a lone surrogate. */
export function requireWellFormed(text: string, what: "key" | "value"): void {
  // In every Node that this package runs on; TypeScript's ES2023 library does not know it yet.
  if ((text as unknown as { isWellFormed(): boolean }).isWellFormed()) return;
  throw new InvalidArgumentError(
    `the ${what} ${show(text)} holds a lone surrogate, which UTF-8 cannot carry: use toWellFormed() or pass bytes`,
  );
}

export function checkKeyLength(bytes: number, key: string | Uint8Array, limits: Limits): void {
  if (bytes <= limits.keyLimit) return;
  throw new KeyTooLongError(
    `the key ${show(key)} takes ${bytes} bytes, the limit is ${limits.keyLimit}: shorten it (a hash of it will do) or raise maxKeyBytes`,
  );
}

export function checkValueLength(bytes: number, limits: Limits): void {
  if (bytes <= limits.valueLimit) return;
  throw new ValueTooLongError(
    `the value takes ${bytes} bytes, the limit is ${limits.valueLimit}: store it in parts or raise maxValueBytes`,
  );
}

export function writeU32(buf: Uint8Array, at: number, value: number): void {
  buf[at] = value;
  buf[at + 1] = value >>> 8;
  buf[at + 2] = value >>> 16;
  buf[at + 3] = value >>> 24;
}

/** `value`: an integer from 0 to 2^53 - 1. */
export function writeU64(buf: Uint8Array, at: number, value: number): void {
  writeU32(buf, at, value >>> 0);
  writeU32(buf, at + 4, Math.floor(value / 0x1_0000_0000));
}

export function readU32(buf: Uint8Array, at: number): number {
  return (buf[at]! | (buf[at + 1]! << 8) | (buf[at + 2]! << 16) | (buf[at + 3]! << 24)) >>> 0;
}

/** A u64 as a number; exact up to 2^53, which milliseconds and counts never pass. */
export function readU64(buf: Uint8Array, at: number): number {
  return readU32(buf, at + 4) * 0x1_0000_0000 + readU32(buf, at);
}

/** Milliseconds left; all ones are "never" and read as Infinity. */
export function readTtl(buf: Uint8Array, at: number): number {
  const high = readU32(buf, at + 4);
  const low = readU32(buf, at);
  return high === U32_MAX && low === U32_MAX ? Number.POSITIVE_INFINITY : high * 0x1_0000_0000 + low;
}

/** Room that `writeRequest` may need; `value` null when the caller sends it as a chunk of its own. */
export function roomForRequest(
  fields: Uint8Array | null,
  key: string | Uint8Array | null,
  value: string | Uint8Array | null,
): number {
  let room = HEADER_BYTES + 8;
  if (fields !== null) room += fields.length;
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (key !== null) room += typeof key === "string" ? key.length * 3 : key.length;
  if (value !== null) room += typeof value === "string" ? value.length * 3 : value.length;
  return room;
}

/**
 * Writes one request at `at` and returns the position after it. There is room (see `roomForRequest`). `tail` bytes of
 * value, sent by the caller right after these, are counted in the frame's length. Throws before anything is valid in
 * `buf` when the key or the value passes a limit: the caller simply does not advance.
 */
export function writeRequest(
  buf: Buffer,
  at: number,
  id: number,
  op: number,
  flags: number,
  tag: number,
  fields: Uint8Array | null,
  expiry: number,
  key: string | Uint8Array | null,
  value: string | Uint8Array | null,
  tail: number,
  limits: Limits,
): number {
  let pos = at + HEADER_BYTES;
  if (fields !== null) {
    buf.set(fields, pos);
    pos += fields.length;
  }
  if (expiry !== NO_EXPIRY) {
    writeU64(buf, pos, expiry);
    pos += 8;
  }
  const keyStart = pos;
  if (key !== null) {
    if (typeof key === "string") {
      pos = writeText(buf, pos, key, "key");
    } else {
      buf.set(key, pos);
      pos += key.length;
    }
    if (pos - keyStart > limits.keyLimit) checkKeyLength(pos - keyStart, key, limits);
  }
  const valueStart = pos;
  if (value !== null) {
    if (typeof value === "string") {
      pos = writeText(buf, pos, value, "value");
    } else {
      buf.set(value, pos);
      pos += value.length;
    }
  }
  const length = pos - at - 4 + tail;
  // Batches are cut to the frame limit by those who make them, and hold more than one value may.
  if (length > limits.frameLimit || (op < Op.GET_MANY && pos - valueStart + tail > limits.valueLimit)) {
    if (op !== Op.CAS) checkValueLength(pos - valueStart + tail, limits);
    if (length > limits.frameLimit) checkValueLength(length, { ...limits, valueLimit: limits.frameLimit });
  }
  writeU32(buf, at, length);
  writeU32(buf, at + 4, id);
  buf[at + 8] = op;
  buf[at + 9] = flags;
  buf[at + 10] = tag;
  buf[at + 11] = 0;
  writeU32(buf, at + 12, valueStart - keyStart);
  return pos;
}

/** The fields of a HELLO: the range of versions that we speak, and no features. */
export function helloFields(lowest: number, highest: number): Uint8Array {
  const fields = new Uint8Array(8);
  fields[0] = lowest;
  fields[1] = lowest >>> 8;
  fields[2] = highest;
  fields[3] = highest >>> 8;
  return fields;
}

/** The body of a HELLO reply. */
export function readHello(buf: Buffer, start: number, end: number): Handshake {
  if (end - start < 24)
    throw new ProtocolError(`a HELLO reply of ${end - start} bytes is too short to be one`);
  return {
    version: buf[start + 4]! | (buf[start + 5]! << 8),
    features: readU32(buf, start + 8),
    keyLimit: readU32(buf, start + 12),
    valueLimit: readU32(buf, start + 16),
    frameLimit: readU32(buf, start + 20),
    name: readText(buf, start + 24, end),
  };
}

/**
 * Receives one reply. The body (fields and value) is `buf[start..end]`. It is only valid during the call, except when
 * `owned`: then `buf` was made for this one reply, and may be kept.
 */
export type ReplySink = (
  id: number,
  status: number,
  flags: number,
  tag: number,
  buf: Buffer,
  start: number,
  end: number,
  owned: boolean,
) => void;

/**
 * Cuts a stream of chunks into reply frames. Frames that are whole within a chunk are handed on in place; one that is
 * not is put together in a buffer of its own size, never of more than `maxLength`.
 */
export class ReplyReader {
  /** The longest frame that will be believed; until the handshake names one, an error text must fit. */
  maxLength = 64 * 1024;
  readonly #sink: ReplySink;
  #prefaceSeen = 0;
  /** The first bytes of a header that was cut by the end of a chunk. */
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerFilled = 0;
  /** The body that is being put together, or null. */
  #body: Buffer | null = null;
  #bodyFilled = 0;

  constructor(sink: ReplySink) {
    this.#sink = sink;
  }

  /** True when the stream may end here without cutting a frame. */
  get atBoundary(): boolean {
    return this.#body === null && this.#headerFilled === 0;
  }

  /** Throws a ProtocolError when the bytes are not replies; the reader is of no use after that. */
  push(chunk: Buffer): void {
    const end = chunk.length;
    let pos = 0;
    if (this.#prefaceSeen < 4) pos = this.#preface(chunk);
    while (pos < end) {
      if (this.#body !== null) {
        pos = this.#fillBody(chunk, pos);
      } else if (this.#headerFilled > 0 || end - pos < HEADER_BYTES) {
        pos = this.#fillHeader(chunk, pos);
      } else {
        const length = readU32(chunk, pos);
        if (length < MIN_LENGTH || length > this.maxLength) this.#badLength(length);
        const next = pos + 4 + length;
        if (next > end) {
          pos = this.#fillHeader(chunk, pos);
          continue;
        }
        const keyLength = readU32(chunk, pos + 12);
        if (keyLength !== 0) this.#badKeyLength(keyLength);
        this.#sink(
          readU32(chunk, pos + 4),
          chunk[pos + 8]!,
          chunk[pos + 9]!,
          chunk[pos + 10]!,
          chunk,
          pos + HEADER_BYTES,
          next,
          false,
        );
        pos = next;
      }
    }
  }

  #preface(chunk: Buffer): number {
    let pos = 0;
    while (this.#prefaceSeen < 4 && pos < chunk.length) {
      if (chunk[pos] !== PREFACE[this.#prefaceSeen]) {
        const head = chunk.subarray(0, 40);
        throw new ProtocolError(
          `the daemon's first bytes are ${show(head)} (as text: ${show(head.toString("latin1"))}) where protocol version 2 begins with f55243f5: is this binary rustcache?`,
        );
      }
      this.#prefaceSeen++;
      pos++;
    }
    return pos;
  }

  #fillHeader(chunk: Buffer, from: number): number {
    const taken = Math.min(HEADER_BYTES - this.#headerFilled, chunk.length - from);
    chunk.copy(this.#header, this.#headerFilled, from, from + taken);
    this.#headerFilled += taken;
    if (this.#headerFilled < HEADER_BYTES) return from + taken;
    const length = readU32(this.#header, 0);
    if (length < MIN_LENGTH || length > this.maxLength) this.#badLength(length);
    const keyLength = readU32(this.#header, 12);
    if (keyLength !== 0) this.#badKeyLength(keyLength);
    this.#body = Buffer.allocUnsafeSlow(length - MIN_LENGTH);
    this.#bodyFilled = 0;
    return this.#fillBody(chunk, from + taken);
  }

  #fillBody(chunk: Buffer, from: number): number {
    const body = this.#body!;
    const taken = Math.min(body.length - this.#bodyFilled, chunk.length - from);
    chunk.copy(body, this.#bodyFilled, from, from + taken);
    this.#bodyFilled += taken;
    if (this.#bodyFilled === body.length) {
      const header = this.#header;
      this.#body = null;
      this.#headerFilled = 0;
      this.#sink(readU32(header, 4), header[8]!, header[9]!, header[10]!, body, 0, body.length, true);
    }
    return from + taken;
  }

  #badLength(length: number): never {
    throw new ProtocolError(
      `the daemon sent a frame of length ${length}, outside ${MIN_LENGTH} to ${this.maxLength}: the stream is damaged`,
    );
  }

  #badKeyLength(length: number): never {
    throw new ProtocolError(`the daemon sent a reply with a key of ${length} bytes; replies have none`);
  }
}
