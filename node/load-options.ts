// The options of `getOrSet`, `getOrSetMany` and `wrap`: what they mean, their checks, and how long what was loaded lives. Pure.

import type { CallOptions } from "./call.js";
import { InvalidArgumentError, InvalidTtlError, show } from "./errors.js";
import { checkLoadNames } from "./option-names.js";
import { checkCall, isSpan, MAX_TIMER, tagsOf } from "./options.js";

/** What a loader is told. */
export interface LoadContext<T> {
  /** The key that is to be loaded. */
  readonly key: string | Uint8Array;
  /** Aborts when nobody waits for the result any more, or `loaderTimeout` has passed; what the loader brings after that is dropped. */
  readonly signal: AbortSignal;
  /** The value that is stored, past its TTL or about to be; undefined when there is none. For conditional requests, say. */
  readonly stale: T | undefined;
}

/** Brings the value of one key. What it throws or rejects with reaches every caller that waits, and is not kept. */
export type Loader<T> = (context: LoadContext<T>) => T | PromiseLike<T>;

/** What a loader of many keys is told. */
export interface LoadManyContext {
  /** As for one key; it aborts when nobody waits for any of the keys any more. */
  readonly signal: AbortSignal;
}

/**
 * Brings the values of many keys: an array in the order of `keys`, or a Map by key. undefined, and a key that is not in the Map, mean that there is none
 * (see `negativeTtl`).
 */
export type ManyLoader<K, T> = (
  keys: readonly K[],
  context: LoadManyContext,
) => ManyLoaded<K, T> | PromiseLike<ManyLoaded<K, T>>;

/** What a loader of many keys brings. */
export type ManyLoaded<K, T> = readonly (T | undefined)[] | ReadonlyMap<K, T | undefined>;

/**
 * How what is loaded is kept, and when it is loaded again. Times are in milliseconds.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const page = await cache.getOrSet("page:/", () => "<h1>news</h1>", {
 *   ttl: (value) => (value.length > 1_000 ? 60_000 : 10_000),
 *   staleWhileRevalidate: 60_000,
 *   staleIfError: 3_600_000,
 *   refreshThreshold: 2_000,
 *   ttlJitter: 0.1,
 *   negativeTtl: 1_000,
 *   tags: ["news"],
 *   loaderTimeout: 5_000,
 * });
 */
export interface FreshnessOptions<T> {
  /**
   * How long a loaded value is fresh, or a function that says so of each; from 0 (it is not stored) to Infinity (for ever). @default the cache's
   * `defaultTtl`
   */
  readonly ttl?: number | ((value: T, key: string | Uint8Array) => number | undefined) | undefined;
  /** For as long after its TTL, a value is served at once while one loader refreshes it in the background. From 0 to Infinity. @default 0 */
  readonly staleWhileRevalidate?: number | undefined;
  /** For as long after its TTL, a value is served when the loader fails. From 0 to Infinity. @default 0 */
  readonly staleIfError?: number | undefined;
  /** A hit with less than this of its TTL left is served, and refreshed in the background. From 0 to Infinity, which refreshes with each hit. @default 0 */
  readonly refreshThreshold?: number | undefined;
  /** The part of a TTL, from 0 to 1, of which a random share is taken off: 0.1 = each lives 90 % to 100 % of it, so that they do not all end at once. @default 0 */
  readonly ttlJitter?: number | undefined;
  /** The TTL of `undefined`, when a loader brings that: within it, callers get undefined without a loader. From 0 to Infinity. @default 0, it is not stored */
  readonly negativeTtl?: number | undefined;
  /** Tags that loaded values are stored with, or a function that says so of each; see `invalidateTag`. @default [] */
  readonly tags?:
    | readonly string[]
    | ((value: T, key: string | Uint8Array) => readonly string[] | undefined)
    | undefined;
  /** How long a loader may take; then its callers get a LoaderTimeoutError and its signal aborts. 0 = for ever. @default 0 */
  readonly loaderTimeout?: number | undefined;
}

/**
 * Options of `getOrSet` and `getOrSetMany`. `timeout` is for the calls to the daemon, `loaderTimeout` for the loader. `signal` gives up this caller alone: a
 * loader goes on as long as anybody waits for it.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const options = { ttl: 60_000, timeout: 100, signal: AbortSignal.timeout(1_000) };
 * const page = await cache.getOrSet("page:/", () => "<h1>news</h1>", options);
 */
export interface LoadOptions<T> extends CallOptions, FreshnessOptions<T> {}

/**
 * Options of `wrap`.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const square = cache.wrap(async (n: number) => n * n, { key: (n) => `square:${n}`, ttl: 60_000, timeout: 100 });
 * console.log(await square(12));
 */
export interface WrapOptions<A extends unknown[], T> extends FreshnessOptions<T> {
  /** Makes the key of a call of its arguments: different for all that have different results. */
  readonly key: (...args: A) => string | Uint8Array;
  /** Milliseconds for each call to the daemon. @default the cache's `timeout` */
  readonly timeout?: number | undefined;
}

/** Checks the options of a load. Throws InvalidArgumentError or InvalidTtlError. */
export function checkLoadOptions(options: LoadOptions<never>): void {
  checkCall(options);
  checkLoadNames(options);
  const { ttl, ttlJitter, tags } = options;
  if (tags !== undefined && typeof tags !== "function") tagsOf(tags);
  if (ttl !== undefined && typeof ttl !== "function") checkTtl(ttl, "ttl");
  checkSpan(options.staleWhileRevalidate, "staleWhileRevalidate");
  checkSpan(options.staleIfError, "staleIfError");
  checkSpan(options.refreshThreshold, "refreshThreshold");
  checkSpan(options.negativeTtl, "negativeTtl");
  if (ttlJitter !== undefined && !(typeof ttlJitter === "number" && ttlJitter >= 0 && ttlJitter <= 1)) {
    throw new InvalidArgumentError(
      `ttlJitter must be a part of the TTL from 0 to 1 (0.1 = a tenth), got ${show(ttlJitter)}`,
    );
  }
  const { loaderTimeout } = options;
  if (loaderTimeout === undefined) return;
  if (!Number.isInteger(loaderTimeout) || loaderTimeout < 0 || loaderTimeout > MAX_TIMER) {
    throw new InvalidArgumentError(
      `loaderTimeout must be an integer from 0 to ${MAX_TIMER}, got ${show(loaderTimeout)}`,
    );
  }
}

function checkTtl(ttl: unknown, what: string): asserts ttl is number {
  if (typeof ttl === "number" && ttl >= 0) return;
  throw new InvalidTtlError(
    `${what} must be milliseconds from 0 on (Infinity = never expires), got ${show(ttl)}`,
  );
}

function checkSpan(ms: unknown, name: string): void {
  if (ms === undefined || isSpan(ms)) return;
  throw new InvalidArgumentError(
    `${name} must be milliseconds from 0 on (Infinity = for ever), got ${show(ms)}`,
  );
}

/** How long a loaded value lives. */
export interface Lifetime {
  /** Milliseconds that it is fresh; undefined = as the cache has it by default, 0 = not stored. */
  readonly ttl: number | undefined;
  /** Milliseconds that it is kept beyond that. */
  readonly staleTtl: number;
}

/** The lifetime of a value that was loaded. `random`: from 0 to 1. Throws what the user's function throws, and InvalidTtlError for what it returns. */
export function lifetimeOf<T>(
  value: T,
  key: string | Uint8Array,
  options: FreshnessOptions<T>,
  defaultTtl: number | undefined,
  random: () => number,
): Lifetime {
  if (value === undefined) return { ttl: options.negativeTtl ?? 0, staleTtl: 0 };
  let ttl: number | undefined;
  if (typeof options.ttl === "function") {
    const given: unknown = options.ttl(value, key);
    if (given !== undefined) {
      checkTtl(given, "what the ttl function returns");
      ttl = given;
    }
  } else {
    ttl = options.ttl;
  }
  ttl ??= defaultTtl;
  if (ttl === undefined || ttl === Number.POSITIVE_INFINITY) return { ttl, staleTtl: 0 };
  const jitter = options.ttlJitter ?? 0;
  if (jitter > 0 && ttl > 0) ttl = Math.max(1, ttl * (1 - jitter * random()));
  return { ttl, staleTtl: Math.max(options.staleWhileRevalidate ?? 0, options.staleIfError ?? 0) };
}
