// `rustcache/undici`: a store for the cache interceptor of undici 7 and 8. What may be cached, and when it is stale, undici decides by RFC 9111; this
// keeps responses and finds them.
//
// A URI and a method have one record. It is the response, if that does not vary; else it names the request headers that it varies by, and a
// generation: the responses are then under the generation and the values of those headers. To delete a URI is to delete its records: what no
// record leads to any more is not found again, and ends with its own time.

import { createHash, randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { type AdapterCache, type CacheSource, type OpenedCache, openCache } from "./cache.js";

/**
 * Options of `UndiciStore`.
 *
 * @example
 * import { UndiciStore } from "rustcache/undici";
 *
 * const store = new UndiciStore({ cache: { maxBytes: "256mb" }, prefix: "api:", maxEntrySize: 1 << 20 });
 */
export interface UndiciStoreOptions {
  /** A cache, which stays its owner's to close, or the options of one that `close` closes. @default a cache in memory */
  readonly cache?: CacheSource | undefined;
  /** What the keys begin with. @default "http:" */
  readonly prefix?: string | undefined;
  /** Bytes of a body above which a response is not kept; it is collected in this process until it is complete. @default 5_242_880 */
  readonly maxEntrySize?: number | undefined;
}

/** What undici asks by. */
export interface UndiciCacheKey {
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string | string[]>> | undefined;
}

/** A response without its body. Times are in milliseconds since 1970. */
export interface UndiciCacheValue {
  statusCode: number;
  statusMessage: string;
  headers: Record<string, string | string[]>;
  vary?: Record<string, string | string[] | null>;
  etag?: string;
  cacheControlDirectives?: object;
  cachedAt: number;
  staleAt: number;
  deleteAt: number;
}

/** A response that was found. */
export interface UndiciCacheResult extends UndiciCacheValue {
  cacheControlDirectives: object;
  body: Buffer[];
}

/** A record of a URI whose responses vary: by which headers, in order, each set of them once. */
interface Varying {
  readonly generation: string;
  readonly by: readonly (readonly string[])[];
}

const DEFAULT_ENTRY = 5 * 1024 * 1024;
const METHODS = ["GET", "HEAD", "OPTIONS", "TRACE"];

/** A store for undici: `agent.compose(interceptors.cache({ store: new UndiciStore({ cache: { maxBytes: "256mb" } }) }))`. */
export class UndiciStore {
  readonly #opened: OpenedCache;
  readonly #cache: AdapterCache;
  readonly #prefix: string;
  readonly #maxEntry: number;
  /** By URI: when the last change of its records is done. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(options: UndiciStoreOptions = {}) {
    this.#opened = openCache(options.cache);
    this.#cache = this.#opened.cache;
    this.#prefix = options.prefix ?? "http:";
    this.#maxEntry = options.maxEntrySize ?? DEFAULT_ENTRY;
  }

  async get(key: UndiciCacheKey): Promise<UndiciCacheResult | undefined> {
    const record = await this.#cache.get(this.#record(key, key.method));
    if (record instanceof Uint8Array) return decode(record);
    const varying = asVarying(record);
    if (varying === undefined) return undefined;
    const places = varying.by.map((names) => this.#place(varying.generation, names, key.headers));
    const found = (await this.#cache.getMany(places)).flatMap((bytes) =>
      bytes instanceof Uint8Array ? [decode(bytes)] : [],
    );
    // Where several answer the request, the youngest.
    return found.reduce<UndiciCacheResult | undefined>(
      (best, each) => (best === undefined || each.cachedAt > best.cachedAt ? each : best),
      undefined,
    );
  }

  /** Collects a response, and stores it when it is complete; one that is too large is given up. */
  createWriteStream(key: UndiciCacheKey, value: UndiciCacheValue): Writable {
    const chunks: Buffer[] = [];
    const limit = this.#maxEntry;
    let size = 0;
    return new Writable({
      write(chunk: Buffer | string, encoding, done) {
        const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
        size += bytes.length;
        if (size > limit) {
          chunks.length = 0;
          this.destroy();
        } else chunks.push(bytes);
        done();
      },
      final: (done) => {
        this.#store(key, value, chunks).then(() => done(), done);
      },
    });
  }

  /** Deletes what is kept for a URI: every method, and however it varies. */
  async delete(key: UndiciCacheKey): Promise<void> {
    const methods = METHODS.includes(key.method) ? METHODS : [...METHODS, key.method];
    await this.#inTurn(key, async () => {
      await this.#cache.deleteMany(methods.map((method) => this.#record(key, method)));
    });
  }

  /** Closes the cache, if it was made by this store. */
  async close(): Promise<void> {
    await this.#opened.close();
  }

  async #store(key: UndiciCacheKey, value: UndiciCacheValue, chunks: readonly Buffer[]): Promise<void> {
    const expiry = { expiresAt: value.deleteAt };
    const record = this.#record(key, key.method);
    const bytes = encode(value, chunks);
    const names = Object.keys(value.vary ?? {}).sort();
    if (names.length === 0) {
      await this.#cache.set(record, bytes, expiry);
      return;
    }
    await this.#inTurn(key, () => this.#storeVariant(key, value, names, bytes));
  }

  /** One after the other for a URI: what adds to a record must not bring back what was deleted, nor leave out what was added, meanwhile. */
  async #inTurn({ origin, path }: UndiciCacheKey, change: () => Promise<void>): Promise<void> {
    const uri = `${origin} ${path}`;
    const before = this.#turns.get(uri) ?? Promise.resolve();
    const turn = before.then(change, change);
    this.#turns.set(uri, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(uri) === turn) this.#turns.delete(uri);
    }
  }

  async #storeVariant(
    key: UndiciCacheKey,
    value: UndiciCacheValue,
    names: readonly string[],
    bytes: Buffer,
  ): Promise<void> {
    const expiry = { expiresAt: value.deleteAt };
    const record = this.#record(key, key.method);
    const entry = await this.#cache.getEntry(record);
    const known = asVarying(entry?.value);
    const generation = known?.generation ?? randomBytes(9).toString("base64url");
    await this.#cache.set(this.#place(generation, names, value.vary), bytes, expiry);
    const by = known?.by ?? [];
    const isKnown = by.some((each) => each.join() === names.join());
    // The record lives as long as the last response that it leads to.
    if (isKnown && Date.now() + (entry?.ttl ?? 0) >= value.deleteAt) return;
    const varying: Varying = { generation, by: isKnown ? by : [...by, names] };
    const expiresAt = Math.max(value.deleteAt, known === undefined ? 0 : Date.now() + (entry?.ttl ?? 0));
    await this.#cache.set(record, JSON.stringify(varying), { expiresAt });
  }

  #record({ origin, path }: UndiciCacheKey, method: string): string {
    return `${this.#prefix}${method} ${origin} ${path}`;
  }

  /** Where the response is that goes with these values of these headers. Their length has no bound, so that the key is a hash of them. */
  #place(
    generation: string,
    names: readonly string[],
    headers: Readonly<Record<string, string | string[] | null>> | undefined,
  ): string {
    const values = names.map((name) => [name, headers?.[name] ?? null]);
    const hash = createHash("sha256").update(JSON.stringify(values)).digest("base64url");
    return `${this.#prefix}${generation} ${hash}`;
  }
}

/** Four bytes with the length of the head, the head as JSON, the body: one value, so that no reader sees half of a response. */
function encode(value: UndiciCacheValue, chunks: readonly Buffer[]): Buffer {
  const head = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return Buffer.concat([length, head, ...chunks]);
}

function decode(bytes: Uint8Array): UndiciCacheResult {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 4 + buffer.readUInt32LE();
  const value = JSON.parse(buffer.toString("utf8", 4, end)) as UndiciCacheValue;
  return {
    ...value,
    cacheControlDirectives: value.cacheControlDirectives ?? {},
    body: end === buffer.length ? [] : [buffer.subarray(end)],
  };
}

function asVarying(record: unknown): Varying | undefined {
  return typeof record === "string" ? (JSON.parse(record) as Varying) : undefined;
}
