// What a reply means: from status, tag and body to the value that a call resolves with, or the error that it rejects with.
// Pure functions, one per kind of result; each is a `Decode` of channel.ts. Statuses from 0x80 on never reach them. Values of entries are
// reading.ts's affair.

import { isWrapped } from "./envelope.js";
import {
  DaemonError,
  DiskError,
  KeyTooLongError,
  NoDirectoryError,
  NotAnIntegerError,
  NotTextError,
  OverflowError,
  ProtocolError,
  type RustCacheError,
  show,
  TooLargeError,
  UnsafeIntegerError,
  ValueTooLongError,
} from "./errors.js";
import { type Handshake, readHello, readText, readTtl, readU64, Status } from "./protocol.js";
import { isAltered } from "./values.js";

const STATUS_NAMES = new Map<number, string>(Object.entries(Status).map(([name, status]) => [status, name]));

/** The error for a status from 0x80 on; `text` is the daemon's own. */
export function statusError(status: number, text: string): RustCacheError {
  switch (status) {
    case Status.KEY_TOO_LONG:
      return new KeyTooLongError(text);
    case Status.VALUE_TOO_LONG:
      return new ValueTooLongError(text);
    case Status.TOO_LARGE:
      return new TooLargeError(text);
    case Status.NOT_AN_INTEGER:
      return new NotAnIntegerError(text);
    case Status.OVERFLOW:
      return new OverflowError(text);
    case Status.NO_DIRECTORY:
      return new NoDirectoryError(text);
    case Status.DISK_FAILED:
      return new DiskError(text, false);
    case Status.NOT_DURABLE:
      return new DiskError(text, true);
    default:
      return new DaemonError(`${STATUS_NAMES.get(status) ?? `status 0x${status.toString(16)}`}: ${text}`);
  }
}

/** The error of an error frame. */
export function replyError(status: number, buf: Buffer, start: number, end: number): RustCacheError {
  return statusError(status, readText(buf, start, end));
}

/** A status that the op cannot have. */
export function unexpected(status: number): ProtocolError {
  const name = STATUS_NAMES.get(status) ?? `0x${status.toString(16)}`;
  return new ProtocolError(`the daemon answered with the status ${name}, which this call cannot have`);
}

/** Throws for a body that is shorter than its fields. */
export function requireBody(start: number, end: number, bytes: number): void {
  if (end - start >= bytes) return;
  throw new ProtocolError(`the daemon's reply has ${end - start} bytes where ${bytes} are due`);
}

export function decodeHandshake(
  status: number,
  _tag: number,
  buf: Buffer,
  start: number,
  end: number,
): Handshake {
  if (status !== Status.OK) throw unexpected(status);
  return readHello(buf, start, end);
}

/** GET for `RustCache`: text, and "" for a miss. */
export function decodeTextOrEmpty(
  status: number,
  tag: number,
  buf: Buffer,
  start: number,
  end: number,
): string {
  if (status === Status.OK) {
    const text = readText(buf, start, end);
    if (isWrapped(tag) || isAltered(text, buf, start, end)) {
      throw new NotTextError(
        `the value ${show(buf.subarray(start, end))} is not UTF-8 text, so another client stored it: read it with a Cache, which returns a Buffer`,
      );
    }
    return text;
  }
  if (status === Status.MISS) return "";
  throw unexpected(status);
}

/** SET: whether the value was stored. */
export function decodeStored(status: number): boolean {
  if (status === Status.OK) return true;
  if (status === Status.NOT_STORED) return false;
  throw unexpected(status);
}

/** CAS: another value and no value are both "no". */
export function decodeSwapped(status: number): boolean {
  if (status === Status.OK) return true;
  if (status === Status.NOT_STORED || status === Status.MISS) return false;
  throw unexpected(status);
}

/** REMOVE, CONTAINS and TOUCH: whether the key was there. */
export function decodeFound(status: number): boolean {
  if (status === Status.OK) return true;
  if (status === Status.MISS) return false;
  throw unexpected(status);
}

/** SET for `RustCache`. */
export function decodeInserted(status: number): "I" {
  if (status === Status.OK) return "I";
  throw unexpected(status);
}

/** REMOVE for `RustCache`: found or not. */
export function decodeRemoved(status: number): "R" {
  if (status === Status.OK || status === Status.MISS) return "R";
  throw unexpected(status);
}

/** TTL: milliseconds, Infinity = never, undefined = not there. */
export function decodeTtl(
  status: number,
  _tag: number,
  buf: Buffer,
  start: number,
  end: number,
): number | undefined {
  if (status === Status.MISS) return undefined;
  if (status !== Status.OK) throw unexpected(status);
  requireBody(start, end, 8);
  return readTtl(buf, start);
}

/** INCR. */
export function decodeBigInt(status: number, _tag: number, buf: Buffer, start: number, end: number): bigint {
  if (status !== Status.OK) throw unexpected(status);
  requireBody(start, end, 8);
  return buf.readBigInt64LE(start);
}

/** INCR, when the number fits into a JavaScript number. */
export function decodeNumber(status: number, tag: number, buf: Buffer, start: number, end: number): number {
  const value = decodeBigInt(status, tag, buf, start, end);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new UnsafeIntegerError(value);
  return number;
}

/** CLEAR: how many entries were removed. */
export function decodeCount(status: number, _tag: number, buf: Buffer, start: number, end: number): number {
  if (status !== Status.OK) throw unexpected(status);
  requireBody(start, end, 8);
  return readU64(buf, start);
}

/** STATS: a JSON object of numbers. */
export function decodeJson(status: number, _tag: number, buf: Buffer, start: number, end: number): unknown {
  if (status !== Status.OK) throw unexpected(status);
  const text = readText(buf, start, end);
  try {
    return JSON.parse(text);
  } catch {
    throw new ProtocolError(`the daemon's statistics are not JSON: ${text.slice(0, 80)}`);
  }
}

/** PING, SNAPSHOT: done. */
export function decodeDone(status: number): void {
  if (status !== Status.OK) throw unexpected(status);
}
