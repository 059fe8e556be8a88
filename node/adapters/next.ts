// `rustcache/next`: the `cacheHandler` of Next.js 15 and 16: pages, route handlers and fetches, with their tags, Buffers and Maps. Next makes an
// object of the class for a request and loads its module several times in one process; they all share one cache.
//
// A tag has a record with the moments from which entries that are older are stale, or not to be served at all. It is read with each entry that has
// the tag, so that by exact LRU (the default policy) an entry goes before the record that speaks of it.

import { type AdapterCache, type CacheSource, type OpenedCache, openCache } from "./cache.js";

/**
 * Options of `createCacheHandler`.
 *
 * @example
 * import { createCacheHandler } from "rustcache/next";
 *
 * const CacheHandler = createCacheHandler({
 *   cache: { maxBytes: "512mb", dir: ".rustcache" },
 *   prefix: "shop:",
 *   onError: (error) => console.error(error),
 * });
 */
export interface NextOptions {
  /**
   * A cache, or the options of one. With `dir`, pages outlive the server; one process at a time can have it, and `next build`, which has several,
   * goes without. Keep the policy "lru". @default a cache in memory
   */
  readonly cache?: CacheSource | undefined;
  /** What the keys begin with. @default "next:" */
  readonly prefix?: string | undefined;
  /** Told of a read that failed and is taken for a miss. @default process.emitWarning */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** What Next stores: of the kinds "APP_PAGE", "APP_ROUTE", "PAGES", "FETCH" and so on. */
export interface NextValue {
  readonly kind: string;
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** How long a page may be served, in seconds. */
export interface NextCacheControl {
  readonly revalidate: number | false;
  readonly expire?: number | undefined;
}

/** What Next gives along with `get`. */
export interface NextGetContext {
  readonly kind: string;
  readonly tags?: readonly string[] | undefined;
  readonly softTags?: readonly string[] | undefined;
}

/** What Next gives along with `set`. */
export interface NextSetContext {
  readonly fetchCache?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly cacheControl?: NextCacheControl | undefined;
}

/** What `get` gives to Next. */
export interface NextEntry {
  /** Milliseconds since 1970; -1 = to be made anew before it is served. */
  lastModified: number;
  // biome-ignore lint/suspicious/noExplicitAny: Next's own types of it differ between its versions
  value: any;
  cacheControl?: NextCacheControl;
}

/** What Next takes for a cache handler. */
export interface NextCacheHandler {
  get(key: string, context: NextGetContext): Promise<NextEntry | null>;
  set(key: string, value: NextValue | null, context: NextSetContext): Promise<void>;
  /** `durations.expire`: seconds in which what is stale may still be served; without durations nothing is. */
  revalidateTag(tags: string | readonly string[], durations?: { expire?: number }): Promise<void>;
  resetRequestCache(): void;
}

/** The class that Next makes its handlers of. */
export type NextCacheHandlerClass = new (context?: {
  readonly revalidatedTags?: readonly string[];
}) => NextCacheHandler;

interface Stored {
  readonly lastModified: number;
  readonly value: NextValue;
  readonly tags: readonly string[];
  readonly cacheControl: NextCacheControl | undefined;
}

/** What has been said of a tag. Moments in milliseconds since 1970; 0 = never. */
interface TagRecord {
  /** Entries stored until then are not served. */
  readonly expired: number;
  /** Those stored until then are stale, and are not served either from `until` on; 0 = they always may be. */
  readonly stale: number;
  readonly until: number;
}

const FRESH: TagRecord = { expired: 0, stale: 0, until: 0 };
const TAGS_HEADER = "x-next-cache-tags";
/** Next makes a page of this age anew before it serves it. */
const BLOCKING = -1;
/** Next serves a fetch of this age, and makes it anew meanwhile. */
const LONG_AGO = 1;

/**
 * The class for the module that `cacheHandler` in next.config names: `export default createCacheHandler({ cache: { maxBytes: "512mb" } })`. Set
 * `cacheMaxMemorySize: 0` beside it, so that Next keeps no second copy in its own heap.
 */
export function createCacheHandler(options: NextOptions = {}): NextCacheHandlerClass {
  const prefix = options.prefix ?? "next:";
  const onError = options.onError ?? ((error: Error) => process.emitWarning(error));
  let revalidations = Promise.resolve();
  return class RustcacheHandler implements NextCacheHandler {
    readonly #cache: AdapterCache = shared(options.cache).cache;
    readonly #revalidated: ReadonlySet<string>;

    constructor(context?: { readonly revalidatedTags?: readonly string[] }) {
      this.#revalidated = new Set(context?.revalidatedTags ?? []);
    }

    async get(key: string, context: NextGetContext): Promise<NextEntry | null> {
      try {
        return await this.#get(key, context);
      } catch (error) {
        // Next would answer the request with an error.
        onError(error as Error);
        return null;
      }
    }

    async #get(key: string, context: NextGetContext): Promise<NextEntry | null> {
      const asked = [...new Set([...(context.tags ?? []), ...(context.softTags ?? [])])];
      const [entry, ...records] = await this.#cache.getMany([entryKey(key), ...asked.map(tagKey)]);
      if (entry === undefined) return null;
      const { lastModified, value, tags, cacheControl } = entry as Stored;
      // The entry's own tags are known only now.
      const others = tags.filter((tag) => !asked.includes(tag));
      if (others.length > 0) records.push(...(await this.#cache.getMany(others.map(tagKey))));
      if ([...asked, ...others].some((tag) => this.#revalidated.has(tag))) return null;

      const now = Date.now();
      let isStale = false;
      for (const record of records as (TagRecord | undefined)[]) {
        const { expired, stale } = settled(record ?? FRESH, now);
        // Of the same millisecond counts as older: better made twice than served when it must not be.
        if (expired >= lastModified) return null;
        if (stale >= lastModified) isStale = true;
      }
      const control = cacheControl === undefined ? {} : { cacheControl };
      if (!isStale) return { lastModified, value, ...control };
      return { lastModified: value.kind === "FETCH" ? LONG_AGO : BLOCKING, value, ...control };
    }

    async set(key: string, value: NextValue | null, context: NextSetContext): Promise<void> {
      if (value === null) {
        await this.#cache.delete(entryKey(key));
        return;
      }
      const { cacheControl } = context;
      const stored: Stored = { lastModified: Date.now(), value, tags: tagsOf(value, context), cacheControl };
      const expire = cacheControl?.expire;
      await this.#cache.set(entryKey(key), stored, {
        ttl: expire === undefined || !Number.isFinite(expire) ? undefined : expire * 1000,
      });
    }

    revalidateTag(tags: string | readonly string[], durations?: { expire?: number }): Promise<void> {
      const all = [...new Set(typeof tags === "string" ? [tags] : tags)];
      // One after the other: each adds to what the one before has said.
      const done = revalidations.then(() => this.#revalidate(all, durations));
      revalidations = done.catch(() => {});
      return done;
    }

    async #revalidate(tags: readonly string[], durations: { expire?: number } | undefined): Promise<void> {
      if (tags.length === 0) return;
      const former = (await this.#cache.getMany(tags.map(tagKey))) as (TagRecord | undefined)[];
      const now = Date.now();
      const items = tags.map((tag, index) => ({
        key: tagKey(tag),
        value: revalidated(settled(former[index] ?? FRESH, now), now, durations),
        // Entries without a TTL are under it.
        ttl: Number.POSITIVE_INFINITY,
      }));
      const stored = await this.#cache.setMany(items);
      const failed = stored.indexOf(false);
      if (failed === -1) return;
      // So answers a cache whose failures are misses: the page would be served as before.
      throw new Error(
        `the tag ${JSON.stringify(tags[failed])} is not revalidated: the cache did not take its record, so try again when it is back`,
      );
    }

    /** Nothing is kept for one request. */
    resetRequestCache(): void {}
  };

  function entryKey(key: string): string {
    return `${prefix}entry:${key}`;
  }

  function tagKey(tag: string): string {
    return `${prefix}tag:${tag}`;
  }
}

/** What a record says at a moment: what was stale until then has expired. */
function settled(record: TagRecord, now: number): TagRecord {
  if (record.until === 0 || record.until > now) return record;
  return { expired: Math.max(record.expired, record.stale), stale: 0, until: 0 };
}

/** Adds to what a settled record says, and takes nothing back: of two ends, the earlier holds. */
function revalidated(record: TagRecord, now: number, durations: { expire?: number } | undefined): TagRecord {
  if (durations === undefined) return { ...FRESH, expired: now };
  const ends = [record.until, durations.expire === undefined ? 0 : now + durations.expire * 1000];
  const until = Math.min(...ends.filter((end) => end !== 0));
  return { ...record, stale: now, until: Number.isFinite(until) ? until : 0 };
}

/** Of a fetch, those that it was made with; of a page, those that it was rendered with. */
function tagsOf(value: NextValue, context: NextSetContext): readonly string[] {
  const header = value.headers?.[TAGS_HEADER];
  const rendered = typeof header === "string" && header !== "" ? header.split(",") : [];
  return [...new Set([...(context.tags ?? []), ...(value.tags ?? []), ...rendered])];
}

const SHARED = Symbol.for("rustcache.next");

/** The cache of this process: that of the first handler, since one directory has room for one. */
function shared(source: CacheSource | undefined): OpenedCache {
  const holder = globalThis as { [SHARED]?: OpenedCache };
  holder[SHARED] ??= openCache(forPhase(source));
  return holder[SHARED];
}

/** `next build` renders in several processes at once, of which only one could have the directory. */
function forPhase(source: CacheSource | undefined): CacheSource | undefined {
  if (process.env.NEXT_PHASE !== "phase-production-build") return source;
  return source !== undefined && "dir" in source ? { ...source, dir: null } : source;
}
