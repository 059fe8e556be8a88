// `rustcache/session`: a store for express-session, of the shape of connect-redis. A session is JSON text under its id, and lives as long as
// its cookie.

import expressSession from "express-session";
import { type AdapterCache, type CacheSource, type OpenedCache, openCache, textKeys } from "./cache.js";

/**
 * Options of `SessionStore`.
 *
 * @example
 * import { SessionStore } from "rustcache/session";
 *
 * const store = new SessionStore({ cache: { dir: "sessions" }, prefix: "shop:", ttl: 3_600_000, disableTouch: true });
 */
export interface SessionStoreOptions {
  /** A cache, which stays its owner's to close, or the options of one that `close` closes. With `dir`, sessions outlive the process. @default a cache in memory */
  readonly cache?: CacheSource | undefined;
  /**
   * What the keys begin with: sessions are told by it from what else is in the cache, so that stores that share one need prefixes of which none begins with another.
   * @default "sess:"
   */
  readonly prefix?: string | undefined;
  /** Milliseconds that a session lives whose cookie does not say when it expires, or a function of the session. @default 86_400_000, a day */
  readonly ttl?: number | ((session: SessionContent) => number) | undefined;
  /** Whether a session that is read and not changed keeps the time that it has left. @default false */
  readonly disableTouch?: boolean | undefined;
}

/** What express-session stores: anything beside a cookie. */
export interface SessionContent {
  readonly cookie?:
    | { readonly expires?: Date | string | null | undefined; readonly [name: string]: unknown }
    | undefined;
  readonly [name: string]: unknown;
}

/** Called with an error, or with null and the result. */
// biome-ignore lint/suspicious/noExplicitAny: as in express-session, whose callbacks name the type of a session
export type SessionCallback<T = any> = (error?: any, result?: T) => void;

const DAY = 86_400_000;

/** A store for express-session: `session({ secret, store: new SessionStore({ cache: { dir: "sessions" } }) })`. */
export class SessionStore extends expressSession.Store {
  readonly prefix: string;
  readonly disableTouch: boolean;
  readonly #ttl: number | ((session: SessionContent) => number);
  readonly #opened: OpenedCache;
  readonly #cache: AdapterCache;

  constructor(options: SessionStoreOptions = {}) {
    super();
    this.#opened = openCache(options.cache);
    this.#cache = this.#opened.cache;
    this.prefix = options.prefix ?? "sess:";
    this.disableTouch = options.disableTouch ?? false;
    this.#ttl = options.ttl ?? DAY;
  }

  get(sid: string, callback: SessionCallback): void {
    answer(callback, this.#read([this.prefix + sid]), ([session]) => session);
  }

  /** A session whose cookie has expired already is removed. */
  set(sid: string, session: object, callback?: SessionCallback): void {
    const stored = async () => {
      const ttl = this.#lifetime(session as SessionContent);
      if (ttl <= 0) return this.#cache.delete(this.prefix + sid);
      return this.#cache.set(this.prefix + sid, JSON.stringify(session), { ttl });
    };
    answer(callback, stored(), nothing);
  }

  /** Gives the session the time that its cookie now says, without writing it. */
  override touch(sid: string, session: object, callback?: SessionCallback): void {
    const touched = async () => {
      if (this.disableTouch) return;
      // A TTL of nothing ends it at once.
      await this.#cache.touch(this.prefix + sid, Math.max(0, this.#lifetime(session as SessionContent)));
    };
    answer(callback, touched(), nothing);
  }

  destroy(sid: string, callback?: SessionCallback): void {
    answer(callback, this.#cache.delete(this.prefix + sid), nothing);
  }

  /** Removes all sessions, and nothing else of the cache. */
  override clear(callback?: SessionCallback): void {
    answer(callback, this.#cache.clear({ prefix: this.prefix }), nothing);
  }

  override length(callback: SessionCallback<number>): void {
    answer(callback, this.#keys(), (keys) => keys.length);
  }

  ids(callback: SessionCallback<string[]>): void {
    answer(callback, this.#keys(), (keys) => keys.map((key) => key.slice(this.prefix.length)));
  }

  /** All sessions, each with its `id`. */
  override all(callback: SessionCallback): void {
    const sessions = async () => {
      const keys = await this.#keys();
      const found = await this.#read(keys);
      return found.flatMap((session, index) =>
        session === undefined ? [] : [{ id: keys[index]!.slice(this.prefix.length), ...session }],
      );
    };
    answer(callback, sessions(), (all) => all);
  }

  /** Closes the cache, if it was made by this store. */
  async close(): Promise<void> {
    await this.#opened.close();
  }

  async #read(keys: readonly string[]): Promise<(SessionContent | undefined)[]> {
    const texts = await this.#cache.getMany(keys);
    return texts.map((text) => (typeof text === "string" ? (JSON.parse(text) as SessionContent) : undefined));
  }

  async #keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of textKeys(this.#cache, this.prefix)) keys.push(key);
    return keys;
  }

  /** Milliseconds. */
  #lifetime(session: SessionContent): number {
    if (typeof this.#ttl === "function") return this.#ttl(session);
    const expires = session.cookie?.expires;
    return expires === undefined || expires === null ? this.#ttl : new Date(expires).getTime() - Date.now();
  }
}

const nothing = () => undefined;

/** Calls back outside of the promise: what a callback throws is not to become a rejection, nor a second call. */
function answer<T, R>(
  callback: SessionCallback<R> | undefined,
  result: Promise<T>,
  of: (result: T) => R | undefined,
): void {
  result.then(
    (value) => callback && process.nextTick(callback, null, of(value)),
    (error: unknown) => callback && process.nextTick(callback, error),
  );
}
