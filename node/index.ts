// The public face of the package: what is exported here is the API, and nothing else is. Names that are not exported may change
// with every release. No logic lives here but the choice between the two faces.

import { Cache } from "./client.js";
import { InvalidArgumentError, show } from "./errors.js";
import type { CacheOptions } from "./options.js";
import { createRustCache, type RustCache as RustCacheFace } from "./rustcache.js";

export type { CallOptions } from "./call.js";
export { Cache, type CacheEvents, type Stats } from "./client.js";
export type { CompressOptions } from "./compression.js";
export {
  AlreadyStartedError,
  ClosedError,
  ConnectionLostError,
  DaemonError,
  DecodeError,
  DirectoryError,
  DirectoryInUseError,
  DiskError,
  EncodeError,
  type ErrorCode,
  InvalidArgumentError,
  InvalidTtlError,
  KeyTooLongError,
  LoaderTimeoutError,
  NoDirectoryError,
  NotAnIntegerError,
  NotStoredError,
  NotTextError,
  OverflowError,
  ProtocolError,
  ReentrantLoadError,
  RestartsExhaustedError,
  RustCacheError,
  StartError,
  TimeoutError,
  TooLargeError,
  UncertainError,
  UnsafeIntegerError,
  ValueTooLongError,
} from "./errors.js";
export type { Evictions } from "./evictions.js";
export type { Degradation } from "./failure.js";
export type { Match } from "./glob.js";
export type { NearOptions } from "./hot.js";
export type { Key } from "./keys.js";
export type { RestartPolicy } from "./life.js";
export type {
  FreshnessOptions,
  LoadContext,
  Loader,
  LoadManyContext,
  LoadOptions,
  ManyLoaded,
  ManyLoader,
  WrapOptions,
} from "./load-options.js";
export type { LoadCounts } from "./loads.js";
export type {
  CacheOptions,
  DirectoryOptions,
  ExpiryOptions,
  SetOptions,
  TagOptions,
  ValueOptions,
} from "./options.js";
export { type Handshake, Tag } from "./protocol.js";
export type { Wrapped } from "./read-through.js";
export type { Counts, Entry } from "./reading.js";
export type { GetManyOptions, UndecodableOptions } from "./reads.js";
export {
  type BatchInsertItem,
  RustCache,
  type RustCacheEvents,
  type RustCacheOptions,
} from "./rustcache.js";
export type { ScannedEntry, ScannedPage, ScanOptions, WalkOptions } from "./scan.js";
export type { LoadTrace, RequestTrace } from "./tracing.js";
export type { Codec } from "./values.js";
export { CacheView, Namespace, type NamespaceOptions, type Storable } from "./view.js";
export type { SetItemOptions } from "./writes.js";

/**
 * Makes a cache with a daemon of its own, which the first call starts.
 * Given a path (of the daemon's binary), it is a `RustCache`: strings only, and `debug` forwards the daemon's log to stderr.
 * A program that called the `createCache()` of old without arguments, for a cache with `insert`, now calls `RustCache.createCache()`.
 */
export function createCache<V = unknown>(options?: CacheOptions): Cache<V>;
export function createCache(path: string | undefined, debug: boolean): RustCacheFace;
export function createCache(path: string): RustCacheFace;
export function createCache(first?: CacheOptions | string, debug?: boolean): Cache | RustCacheFace {
  if (typeof first === "string" || (first === undefined && debug !== undefined)) {
    return createRustCache(first, debug);
  }
  if (debug !== undefined) {
    throw new InvalidArgumentError(`debug goes with a path, got ${show(first)}: use the option onLog`);
  }
  return new Cache(first);
}
