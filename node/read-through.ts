// Reading through a cache: when what is stored is good enough, when a loader is called, and what becomes of what it brings. Where entries are
// is behind `Source` (reads.ts has it), who runs and who waits is loads.ts's affair, what the options mean load-options.ts's.

import type { CallOptions } from "./call.js";
import { InvalidArgumentError, NotStoredError, show } from "./errors.js";
import {
  checkLoadOptions,
  type FreshnessOptions,
  type Lifetime,
  type LoadContext,
  type Loader,
  type LoadOptions,
  lifetimeOf,
  type ManyLoader,
  type WrapOptions,
} from "./load-options.js";
import { type Load, type Loads, NotStored, type Run } from "./loads.js";
import { checkNames, FRESHNESS_OPTIONS } from "./option-names.js";
import { checkKey } from "./options.js";
import { type Entry, freshFor, NotFresh } from "./reading.js";

type Key = string | Uint8Array;

/** How often a read is made again because a write has passed it: under a storm of writes nobody knows which keys they were for. */
const MAX_READS = 3;

/** An entry as read-through looks at it. */
export type SourceEntry = Pick<Entry, "value" | "ttl" | "freshUntil">;

/** A loaded value on its way to the source. */
export interface SourceItem extends Lifetime {
  readonly key: Key;
  readonly value: unknown;
  readonly tags: readonly string[] | undefined;
}

/** Where entries are. */
export interface Source {
  /** One name for all that is the same key there, and for nothing else there or in another source with the same loads. */
  nameOf(key: Key): string;
  /** What a tag's invalidations are told by: see Loads. */
  recordOf(tag: string): string;
  /** The entry of a key, if it can be had without waiting and will be fresh for more than `threshold` milliseconds. */
  peek(key: Key, threshold: number): SourceEntry | undefined;
  /** Takes an entry that could not be decoded for a miss; throws all other errors. */
  passOver(key: Key, error: unknown): void;
  /** The value of a fresh entry, or NotFresh. */
  getFresh(key: Key, options: CallOptions): Promise<unknown>;
  getEntry(key: Key, options: CallOptions): Promise<SourceEntry | undefined>;
  /** What cannot be decoded is undefined. `withTtl`: whether the TTL of each is wanted, which costs more; without it it may be said to be Infinity. */
  getEntries(
    keys: readonly Key[],
    withTtl: boolean,
    options: CallOptions,
  ): Promise<readonly (SourceEntry | undefined)[]>;
}

/**
 * Stores what was loaded, each item for itself: its requests are called within this call, or take their turn from then on. Resolves with what has kept each from
 * being stored, in order; undefined = nothing.
 */
export type Store = (items: readonly SourceItem[], options: CallOptions) => Promise<readonly unknown[]>;

/** A function whose results are cached; made by `wrap`. */
export interface Wrapped<A extends unknown[], T> {
  (...args: A): Promise<T>;
  /** The key of a call with these arguments: for `delete`, say. */
  key(...args: A): Key;
}

/** For tests. */
export interface ReadThroughDeps {
  /** Monotonic, in milliseconds. */
  readonly clock?: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

export class ReadThrough {
  readonly #source: Source;
  readonly #keep: Store;
  readonly #loads: Loads;
  readonly #defaultTtl: number | undefined;
  readonly #clock: () => number;
  readonly #wallClock: () => number;
  readonly #random: () => number;

  /** `defaultTtl`: milliseconds, of values that are stored without a TTL; undefined = for ever. */
  constructor(
    source: Source,
    store: Store,
    loads: Loads,
    defaultTtl: number | undefined,
    deps: ReadThroughDeps = {},
  ) {
    this.#source = source;
    this.#keep = store;
    this.#loads = loads;
    this.#defaultTtl = defaultTtl;
    this.#clock = deps.clock ?? (() => performance.now());
    this.#wallClock = deps.wallClock ?? Date.now;
    this.#random = deps.random ?? Math.random;
  }

  getOrSet<T>(key: Key, loader: Loader<T>, options: LoadOptions<T> = {}): Promise<T> {
    try {
      checkKey(key);
      checkLoader(loader);
      checkLoadOptions(options as LoadOptions<never>);
    } catch (error) {
      return Promise.reject(error);
    }
    const name = this.#source.nameOf(key);
    const current = this.#loads.current(name);
    if (current !== undefined && !current.isBackground && !options.signal?.aborted) {
      this.#loads.counts.load_joins++;
      return this.#wait(current, options);
    }
    const near = this.#source.peek(key, options.refreshThreshold ?? 0);
    if (near !== undefined) return Promise.resolve(near.value as T);
    return this.#read(key, name, loader, options, 1);
  }

  #read<T>(key: Key, name: string, loader: Loader<T>, options: LoadOptions<T>, attempt: number): Promise<T> {
    const { moment } = this.#loads;
    const threshold = options.refreshThreshold ?? 0;
    if (threshold > 0) {
      return this.#source.getEntry(key, options).then(
        (entry): T | Promise<T> => {
          if (entry !== undefined && this.#freshFor(entry) > threshold) return entry.value as T;
          return this.#resume(key, name, loader, options, attempt, moment, entry);
        },
        (error) => this.#without(error, key, name, loader, options, attempt, moment),
      );
    }
    return this.#source.getFresh(key, options).then(
      (found): T | Promise<T> => {
        if (!(found instanceof NotFresh)) return found as T;
        return this.#resume(key, name, loader, options, attempt, moment, found.entry);
      },
      (error) => this.#without(error, key, name, loader, options, attempt, moment),
    );
  }

  /** Goes on without what cannot be decoded: whoever wants a value has a way to get one. */
  #without<T>(
    error: unknown,
    key: Key,
    name: string,
    loader: Loader<T>,
    options: LoadOptions<T>,
    attempt: number,
    moment: number,
  ): T | Promise<T> {
    this.#source.passOver(key, error);
    return this.#resume(key, name, loader, options, attempt, moment, undefined);
  }

  /** Goes on with what a read, called at this moment, has brought, unless a write has passed it: a loaded value would overwrite that. */
  #resume<T>(
    key: Key,
    name: string,
    loader: Loader<T>,
    options: LoadOptions<T>,
    attempt: number,
    moment: number,
    entry: SourceEntry | undefined,
  ): T | Promise<T> {
    const isOld = this.#loads.wasWritten(name, moment) && this.#loads.current(name) === undefined;
    if (isOld && attempt < MAX_READS) return this.#read(key, name, loader, options, attempt + 1);
    return this.#load(key, name, entry, loader, options);
  }

  #freshFor(entry: SourceEntry): number {
    return freshFor(entry, this.#wallClock);
  }

  /** What to do about an entry that is missing, stale, or about to be. */
  #load<T>(
    key: Key,
    name: string,
    entry: SourceEntry | undefined,
    loader: Loader<T>,
    options: LoadOptions<T>,
  ): T | Promise<T> {
    const freshFor = entry === undefined ? 0 : this.#freshFor(entry);
    const staleSince = this.#clock() + freshFor;
    const begin = (isBackground: boolean): Load => {
      const load = (run: Run) => loader(contextOf<T>(key, run, entry?.value as T | undefined));
      const store = (loads: readonly Load[], brought: unknown) =>
        this.#store([key], loads, [brought as T], options, [entry !== undefined]);
      return this.#loads.begin([name], { load, store, ...this.#taskOf(options, isBackground) })[0]!;
    };
    const current = this.#loads.current(name);
    if (entry !== undefined && isServed(freshFor, options.staleWhileRevalidate)) {
      if (freshFor <= 0) this.#loads.counts.stale_hits++;
      if (this.#loads.mayRefresh(name)) this.#inBackground(() => begin(true));
      return entry.value as T;
    }
    if (current !== undefined) this.#loads.counts.load_joins++;
    const loaded = this.#wait(current ?? begin(false), options);
    const staleIfError = options.staleIfError ?? 0;
    if (entry === undefined || staleIfError === 0) return loaded;
    return loaded.catch((error): T => {
      if (options.signal?.aborted || this.#clock() - staleSince > staleIfError) throw error;
      this.#loads.counts.stale_hits++;
      return entry.value as T;
    });
  }

  /** What a load has brought, once it is stored. */
  #wait<T>(load: Load, { signal }: LoadOptions<T>): Promise<T> {
    return this.#loads.wait(load, signal).then((brought) => {
      if (brought instanceof NotStored) throw brought.error;
      return brought as T;
    });
  }

  async getOrSetMany<K extends Key, T>(
    keys: readonly K[],
    loadMany: ManyLoader<K, T>,
    options: LoadOptions<T> = {},
  ): Promise<(T | undefined)[]> {
    if (!Array.isArray(keys)) throw new InvalidArgumentError(`keys must be an array, got ${show(keys)}`);
    for (let i = 0; i < keys.length; i++) checkKey(keys[i]);
    checkLoader(loadMany);
    checkLoadOptions(options as LoadOptions<never>);
    const all = [...keys];
    const names = all.map((key) => this.#source.nameOf(key));
    const entries = await this.#readMany(all, names, options as LoadOptions<never>);
    const fresh = entries.map((entry) => (entry === undefined ? 0 : this.#freshFor(entry)));
    const readAt = this.#clock();
    const results: unknown[] = new Array(all.length);
    const missing = new Map<string, K>();
    const fading = new Map<string, K>();
    const joined = new Map<string, Load>();
    /** The places of the keys whose loads are to be waited for. */
    const waiting: number[] = [];
    for (let i = 0; i < all.length; i++) {
      const entry = entries[i];
      const name = names[i]!;
      const load = this.#loads.current(name);
      if (entry === undefined || !isServed(fresh[i]!, options.staleWhileRevalidate)) {
        waiting.push(i);
        if (load === undefined) {
          missing.set(name, all[i]!);
        } else {
          joined.set(name, load);
          this.#loads.counts.load_joins++;
        }
        continue;
      }
      results[i] = entry.value;
      if (fresh[i]! <= 0) this.#loads.counts.stale_hits++;
      const isFading = fresh[i]! <= (options.refreshThreshold ?? 0);
      if (isFading && this.#loads.mayRefresh(name)) fading.set(name, all[i]!);
    }
    const held = new Set(names.filter((_, i) => entries[i] !== undefined));
    if (missing.size > 0) {
      for (const load of this.#beginMany(missing, held, loadMany, options, false))
        joined.set(load.name, load);
    }
    if (fading.size > 0) this.#inBackground(() => this.#beginMany(fading, held, loadMany, options, true));
    const mayBeStale = (i: number) =>
      entries[i] !== undefined &&
      !options.signal?.aborted &&
      this.#clock() - readAt - fresh[i]! <= (options.staleIfError ?? 0);
    const errors = new Map<number, unknown>();
    await Promise.all(
      waiting.map(async (i) => {
        try {
          const brought = await this.#loads.wait(joined.get(names[i]!)!, options.signal);
          if (!(brought instanceof NotStored)) {
            results[i] = brought;
            return;
          }
          results[i] = brought.value;
          if (!mayBeStale(i)) {
            errors.set(i, brought.error);
            return;
          }
        } catch (error) {
          if (!mayBeStale(i)) throw error;
        }
        this.#loads.counts.stale_hits++;
        results[i] = entries[i]!.value;
      }),
    );
    if (errors.size > 0) throw new NotStoredError(results, errors, all);
    return results as (T | undefined)[];
  }

  /** The entries of many keys. Those that are to be loaded are read again if a write has passed. */
  async #readMany(
    keys: readonly Key[],
    names: readonly string[],
    options: LoadOptions<never>,
  ): Promise<(SourceEntry | undefined)[]> {
    const withTtl = (options.refreshThreshold ?? 0) > 0;
    let { moment } = this.#loads;
    const entries = [...(await this.#source.getEntries(keys, withTtl, options))];
    for (let attempt = 1; attempt < MAX_READS; attempt++) {
      const old: number[] = [];
      for (let i = 0; i < names.length; i++) {
        const entry = entries[i];
        if (entry !== undefined && this.#freshFor(entry) > (options.refreshThreshold ?? 0)) continue;
        if (!this.#loads.wasWritten(names[i]!, moment) || this.#loads.current(names[i]!) !== undefined)
          continue;
        old.push(i);
      }
      if (old.length === 0) break;
      moment = this.#loads.moment;
      const newer = await this.#source.getEntries(
        old.map((i) => keys[i]!),
        withTtl,
        options,
      );
      for (let n = 0; n < old.length; n++) entries[old[n]!] = newer[n];
    }
    return entries;
  }

  #beginMany<K extends Key, T>(
    wanted: ReadonlyMap<string, K>,
    held: ReadonlySet<string>,
    loadMany: ManyLoader<K, T>,
    options: LoadOptions<T>,
    isBackground: boolean,
  ): Load[] {
    const keys = [...wanted.values()];
    const load = (run: Run) =>
      loadMany(keys, {
        get signal() {
          return run.signal;
        },
      });
    const store = async (loads: readonly Load[], brought: unknown) => {
      const isHeld = [...wanted.keys()].map((name) => held.has(name));
      return this.#store(keys, loads, valuesOf(keys, brought), options as LoadOptions<unknown>, isHeld);
    };
    return this.#loads.begin([...wanted.keys()], {
      load,
      store,
      ...this.#taskOf(options, isBackground),
    });
  }

  wrap<F extends (...args: never[]) => unknown>(
    fn: F,
    options: WrapOptions<Parameters<F>, Awaited<ReturnType<F>>>,
  ): Wrapped<Parameters<F>, Awaited<ReturnType<F>>> {
    if (typeof fn !== "function") {
      throw new InvalidArgumentError(`wrap takes a function, got ${show(fn)}`);
    }
    if (typeof options?.key !== "function") {
      throw new InvalidArgumentError(
        `the option key of wrap must be a function that makes a key of the arguments, got ${show(options?.key)}`,
      );
    }
    checkNames("wrap", options, ["key", ...FRESHNESS_OPTIONS, "timeout"]);
    const { key: makeKey, ...rest } = options;
    checkLoadOptions(rest as LoadOptions<never>);
    const wrapped = (readThrough: ReadThrough) =>
      async function (this: unknown, ...args: Parameters<F>): Promise<Awaited<ReturnType<F>>> {
        const loader = () => fn.apply(this, args) as Awaited<ReturnType<F>>;
        return readThrough.getOrSet(makeKey(...args), loader, rest);
      };
    return Object.assign(wrapped(this), { key: (...args: Parameters<F>) => makeKey(...args) });
  }

  /** The caller has his value already: what goes wrong is counted, and found by those who come when it is stale no longer but gone. */
  #inBackground(begin: () => unknown): void {
    try {
      begin();
    } catch {
      // Within the loader of this very key, which brings a newer value anyway.
    }
  }

  #taskOf<T>({ loaderTimeout, tags }: FreshnessOptions<T>, isBackground: boolean) {
    const records = typeof tags === "function" ? null : (tags ?? []).map((tag) => this.#source.recordOf(tag));
    return { timeout: loaderTimeout ?? 0, isBackground, records };
  }

  /**
   * Keeps what was brought for the loads that are not overtaken; resolves with the values, and NotStored for those that cannot be kept. The write is called
   * before anybody can come between.
   */
  async #store<T>(
    keys: readonly Key[],
    loads: readonly Load[],
    values: readonly T[],
    options: LoadOptions<T>,
    isHeld: readonly boolean[],
  ): Promise<readonly unknown[]> {
    const results: unknown[] = [...values];
    const items: SourceItem[] = [];
    const places: number[] = [];
    for (let i = 0; i < keys.length; i++) {
      try {
        const item = this.#itemOf(keys[i]!, values[i]!, loads[i]!, options, isHeld[i]!);
        if (item === undefined) continue;
        items.push(item);
        places.push(i);
      } catch (error) {
        results[i] = new NotStored(values[i], error);
      }
    }
    if (items.length === 0) return results;
    // Without the caller's signal: others wait for it as well.
    const errors = await this.#loads.asOwnWrite(() => this.#keep(items, { timeout: options.timeout }));
    for (let n = 0; n < places.length; n++) {
      const place = places[n]!;
      if (errors[n] !== undefined) results[place] = new NotStored(values[place], errors[n]);
    }
    return results;
  }

  /** What is to be written for a value that was brought; undefined = nothing. Throws what the user's functions throw, and what is wrong with what they return. */
  #itemOf<T>(
    key: Key,
    value: T,
    { isOvertaken, invalidated }: Load,
    options: LoadOptions<T>,
    isHeld: boolean,
  ): SourceItem | undefined {
    const lifetime = lifetimeOf(value, key, options as FreshnessOptions<T>, this.#defaultTtl, this.#random);
    if (isOvertaken) return undefined;
    // What the loader does not know any more is not to be served as stale: to expire at once removes it.
    if (lifetime.ttl === 0)
      return isHeld ? { key, value: null, tags: undefined, ttl: 0, staleTtl: 0 } : undefined;
    const tags = typeof options.tags === "function" ? options.tags(value, key) : options.tags;
    const isInvalid =
      invalidated.size > 0 && tags?.some((tag) => invalidated.has(this.#source.recordOf(tag)));
    return isInvalid ? undefined : { key, value, tags, ...lifetime };
  }
}

/** Whether an entry is good enough to be given out before any loader has come to an end. */
function isServed(freshFor: number, staleWhileRevalidate = 0): boolean {
  return freshFor > 0 || -freshFor < staleWhileRevalidate;
}

function contextOf<T>(key: Key, run: Run, stale: T | undefined): LoadContext<T> {
  return {
    key,
    stale,
    get signal() {
      return run.signal;
    },
  };
}

function checkLoader(loader: unknown): void {
  if (typeof loader !== "function") {
    throw new InvalidArgumentError(`the loader must be a function, got ${show(loader)}`);
  }
}

/** What a loader of many brought, in the order of the keys. */
function valuesOf(keys: readonly Key[], brought: unknown): readonly unknown[] {
  if (brought instanceof Map) return keys.map((key) => brought.get(key));
  if (Array.isArray(brought) && brought.length === keys.length) return brought;
  const got = Array.isArray(brought) ? `an array of ${brought.length}` : show(brought);
  throw new InvalidArgumentError(
    `loadMany must bring a Map by key, or an array of ${keys.length} values in the order of the keys, got ${got}`,
  );
}
