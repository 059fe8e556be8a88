// Every error that this package throws or rejects with. Each has a `code` that stays the same between releases
// (texts may change) and a text that names the offending value and what to do.
// No other file may construct a bare `Error` for a caller to see.

import { isDetached } from "./detached.js";

/** The `code` of every error of this package. */
export type ErrorCode =
  | "ERR_RUSTCACHE_INVALID_ARG"
  | "ERR_RUSTCACHE_INVALID_TTL"
  | "ERR_RUSTCACHE_KEY_TOO_LONG"
  | "ERR_RUSTCACHE_VALUE_TOO_LONG"
  | "ERR_RUSTCACHE_TOO_LARGE"
  | "ERR_RUSTCACHE_NOT_AN_INTEGER"
  | "ERR_RUSTCACHE_NOT_TEXT"
  | "ERR_RUSTCACHE_ENCODE"
  | "ERR_RUSTCACHE_DECODE"
  | "ERR_RUSTCACHE_NOT_STORED"
  | "ERR_RUSTCACHE_OVERFLOW"
  | "ERR_RUSTCACHE_UNSAFE_INTEGER"
  | "ERR_RUSTCACHE_NO_DIRECTORY"
  | "ERR_RUSTCACHE_DIRECTORY"
  | "ERR_RUSTCACHE_DIRECTORY_IN_USE"
  | "ERR_RUSTCACHE_DISK"
  | "ERR_RUSTCACHE_DAEMON"
  | "ERR_RUSTCACHE_PROTOCOL"
  | "ERR_RUSTCACHE_TIMEOUT"
  | "ERR_RUSTCACHE_CLOSED"
  | "ERR_RUSTCACHE_CONNECTION_LOST"
  | "ERR_RUSTCACHE_START"
  | "ERR_RUSTCACHE_ALREADY_STARTED"
  | "ERR_RUSTCACHE_RESTARTS_EXHAUSTED"
  | "ERR_RUSTCACHE_LOADER_TIMEOUT"
  | "ERR_RUSTCACHE_REENTRANT_LOAD";

/** The base of all errors of this package: `error instanceof RustCacheError` tells them from others. */
export class RustCacheError extends Error {
  /** Stable name of what went wrong. */
  readonly code: ErrorCode;
  /** In a batch: the position of the item that failed. */
  index?: number;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** An argument or option has the wrong type or is out of its range. Nothing was sent. */
export class InvalidArgumentError extends RustCacheError {
  constructor(message: string, code: ErrorCode = "ERR_RUSTCACHE_INVALID_ARG") {
    super(code, message);
  }
}

/** A TTL is negative, NaN, not a number, or too large to be counted. Nothing was sent. */
export class InvalidTtlError extends InvalidArgumentError {
  constructor(message: string) {
    super(message, "ERR_RUSTCACHE_INVALID_TTL");
  }
}

/** The key is longer than the daemon allows. */
export class KeyTooLongError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_KEY_TOO_LONG", message);
  }
}

/** The value is longer than the daemon allows. */
export class ValueTooLongError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_VALUE_TOO_LONG", message);
  }
}

/** The entry is larger than the whole cache may ever be. What the key held before is gone: better a miss than a stale value. */
export class TooLargeError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_TOO_LARGE", message);
  }
}

/** `increment` met a value that is not a decimal integer of 64 bits. The value is unchanged. */
export class NotAnIntegerError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_NOT_AN_INTEGER", message);
  }
}

/** A call that returns text met bytes that are not UTF-8: another client stored them. `Cache` returns them as a Buffer. */
export class NotTextError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_NOT_TEXT", message);
  }
}

/** The value cannot be stored: a function, a symbol, or what the codec refuses. The text names the part of it. Nothing was sent. */
export class EncodeError extends RustCacheError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_RUSTCACHE_ENCODE", message, options);
  }
}

/** The stored value cannot be read: its tag is unknown here, it is damaged, or larger than this cache allows. The entry stays, unless `take` was called. */
export class DecodeError extends RustCacheError {
  /** In a batch, a walk, and the event `degraded`: the key of the entry, to delete it by, say. */
  key?: string | Uint8Array;

  constructor(message: string, options?: ErrorOptions) {
    super("ERR_RUSTCACHE_DECODE", message, options);
  }
}

/** `increment` would have left the 64-bit range. The value is unchanged. */
export class OverflowError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_OVERFLOW", message);
  }
}

/** `increment` was done, but a JavaScript number cannot hold the result exactly. Use `incrementBigInt`. */
export class UnsafeIntegerError extends RustCacheError {
  /** The number that the entry now holds. */
  readonly value: bigint;

  constructor(value: bigint) {
    super(
      "ERR_RUSTCACHE_UNSAFE_INTEGER",
      `the counter is now ${value}, which a JavaScript number cannot hold exactly: use incrementBigInt()`,
    );
    this.value = value;
  }
}

/** A snapshot was asked of a daemon that keeps nothing on disk. */
export class NoDirectoryError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_NO_DIRECTORY", message);
  }
}

/** The daemon refused a request for a reason of its own; the text says which. A bug: please report it. */
export class DaemonError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_DAEMON", message);
  }
}

/** The other side sent bytes that are not protocol version 2. */
export class ProtocolError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_PROTOCOL", message);
  }
}

/** An error after which a write may or may not have happened. */
export class UncertainError extends RustCacheError {
  /** True when the call writes and its request had left for the daemon: the write may or may not have happened. */
  readonly maybeApplied: boolean;

  constructor(code: ErrorCode, message: string, maybeApplied: boolean, options?: ErrorOptions) {
    super(code, message, options);
    this.maybeApplied = maybeApplied;
  }
}

function uncertain(message: string, maybeApplied: boolean): string {
  return maybeApplied ? `${message}; this write may or may not have happened` : message;
}

/**
 * The disk has failed. With `maybeApplied` false the write was refused and nothing changed, or a snapshot could not be written; with true it was done
 * in memory and is lost when the daemon ends. See the option `onDiskError`; `snapshot()` ends this state once the disk has room again.
 */
export class DiskError extends UncertainError {
  constructor(message: string, maybeApplied: boolean) {
    super("ERR_RUSTCACHE_DISK", message, maybeApplied);
  }
}

/** No reply within the call's timeout. */
export class TimeoutError extends UncertainError {
  constructor(timeout: number, maybeApplied: boolean, what = "no reply") {
    super(
      "ERR_RUSTCACHE_TIMEOUT",
      uncertain(
        `${what} within ${timeout} ms: raise the timeout option, or see whether the machine is overloaded`,
        maybeApplied,
      ),
      maybeApplied,
    );
  }
}

/** The cache was closed before the call was answered, or before it was made. `start()` opens it again. */
export class ClosedError extends UncertainError {
  constructor(maybeApplied = false) {
    super(
      "ERR_RUSTCACHE_CLOSED",
      uncertain("the cache is closed: call start() before using it again", maybeApplied),
      maybeApplied,
    );
  }
}

/** The daemon died, or the pipe to it broke, while the call was in flight. The next call starts a new daemon. */
export class ConnectionLostError extends UncertainError {
  constructor(reason: string, maybeApplied: boolean, options?: ErrorOptions) {
    super(
      "ERR_RUSTCACHE_CONNECTION_LOST",
      uncertain(`the connection to the daemon was lost: ${reason}`, maybeApplied),
      maybeApplied,
      options,
    );
  }
}

/** The daemon could not be started: not found, not executable, or it did not answer the handshake. */
export class StartError extends RustCacheError {
  constructor(message: string, options?: ErrorOptions, code: ErrorCode = "ERR_RUSTCACHE_START") {
    super(code, message, options);
  }
}

/** The directory of the cache cannot be used: it is no directory, not writable, or damaged with `recover: "strict"`. `start()` tries again. */
export class DirectoryError extends StartError {
  constructor(message: string) {
    super(message, undefined, "ERR_RUSTCACHE_DIRECTORY");
  }
}

/** Another process keeps its cache in this directory. `start()` tries again. */
export class DirectoryInUseError extends StartError {
  /** The process that has it, if that is known. */
  readonly pid: number | undefined;

  constructor(message: string, pid: number | undefined) {
    super(message, undefined, "ERR_RUSTCACHE_DIRECTORY_IN_USE");
    this.pid = pid;
  }
}

/** What was to be changed is settled once the daemon is started: `close()` first. */
export class AlreadyStartedError extends RustCacheError {
  constructor(message: string) {
    super("ERR_RUSTCACHE_ALREADY_STARTED", message);
  }
}

/** The daemon died so often that it is not started again for a while. */
export class RestartsExhaustedError extends RustCacheError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_RUSTCACHE_RESTARTS_EXHAUSTED", message, options);
  }
}

/** A loader of `getOrSet` has not come to an end within `loaderTimeout`. Its signal has aborted, and what it still brings is dropped. */
export class LoaderTimeoutError extends RustCacheError {
  constructor(what: string, timeout: number) {
    super(
      "ERR_RUSTCACHE_LOADER_TIMEOUT",
      `the loader of ${what} has brought nothing within ${timeout} ms: raise loaderTimeout, or have the loader give up by its signal`,
    );
  }
}

/**
 * `getOrSetMany` has values that could not be stored: one that cannot be encoded, or that the daemon refused. Those that could be are stored. `index` is the
 * position of the first, and `cause` what is wrong with it.
 */
export class NotStoredError extends RustCacheError {
  /** What the call would have resolved with: the values in the order of the keys, those that are not stored included. */
  readonly values: readonly unknown[];
  /** By position: why a value is not stored. */
  readonly errors: ReadonlyMap<number, unknown>;

  constructor(values: readonly unknown[], errors: ReadonlyMap<number, unknown>, keys: readonly unknown[]) {
    const [index, cause] = [...errors].sort(([a], [b]) => a - b)[0]!;
    const why = cause instanceof Error ? cause.message : String(cause);
    const more = errors.size === 1 ? "" : `, nor can ${errors.size - 1} more (see errors)`;
    super(
      "ERR_RUSTCACHE_NOT_STORED",
      `item ${index} (key ${show(keys[index])}) was loaded and cannot be stored (${why})${more}; values has all that was loaded`,
      { cause },
    );
    this.index = index;
    this.values = values;
    this.errors = errors;
  }
}

/** A loader of `getOrSet` asks for what is being loaded by itself, or by one that waits for it: without this error, both would wait for ever. */
export class ReentrantLoadError extends RustCacheError {
  constructor(what: string) {
    super(
      "ERR_RUSTCACHE_REENTRANT_LOAD",
      `the loader of ${what} waits for its own result, by getOrSet() of the same key within it: call what it loads from directly, or use another key`,
    );
  }
}

/** Runs a check of one item of a batch; what it throws says which item is at fault. */
export function atItem<T>(index: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw ofItem(error, index);
  }
}

/** What was thrown for one item of a batch; says which one, if it is an error of this package. */
export function ofItem(error: unknown, index: number): unknown {
  if (error instanceof RustCacheError) {
    error.index = index;
    error.message = `item ${index}: ${error.message}`;
  }
  return error;
}

/** What is wrong with the value of a key; says which one. `index`: its place in a batch. */
export function ofKey(error: DecodeError, key: string | Uint8Array, index?: number): DecodeError {
  if (error.key !== undefined) return error;
  error.key = key;
  const place = index === undefined ? "the entry" : `item ${index}`;
  if (index !== undefined) error.index = index;
  error.message = `${place} (key ${show(key)}): ${error.message}`;
  return error;
}

/** For error texts: a key, value or option as one short, printable piece. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    // Cut by code points, so that the text of an error is never ill-formed itself.
    return value.length <= 60
      ? JSON.stringify(value)
      : `${JSON.stringify(Array.from(value.slice(0, 60)).slice(0, 40).join(""))}… (${value.length} characters)`;
  }
  if (value instanceof Uint8Array) {
    if (isDetached(value.buffer)) return "bytes that were transferred";
    const head = Buffer.from(value.buffer, value.byteOffset, Math.min(value.byteLength, 16)).toString("hex");
    return `<${head}${value.byteLength > 16 ? "…" : ""}> (${value.byteLength} bytes)`;
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
