// The options of a cache and of its calls: what they mean, and the checks that turn them into what the layers below take.
// Nothing unchecked passes from a user to the daemon's command line or to the wire by another way.

import { isUtf8 } from "node:buffer";
import { resolve } from "node:path";
import type { CallOptions } from "./call.js";
import type { CompressOptions } from "./compression.js";
import { isDetached } from "./detached.js";
import { DIRECTORY_VARIABLE } from "./directory.js";
import { fitsTags, MAX_TAG_BYTES } from "./envelope.js";
import { InvalidArgumentError, InvalidTtlError, show } from "./errors.js";
import type { NearOptions } from "./hot.js";
import type { DaemonOptions, RestartPolicy } from "./life.js";
import { checkCallNames, checkNames } from "./option-names.js";
import { Condition, Expiry, NO_EXPIRY, requireWellFormed, Tag } from "./protocol.js";
import { checkSize } from "./sizes.js";
import type { Codec } from "./values.js";

/**
 * How a cache is kept in its directory (docs/persistence.md). Only with `dir`.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({
 *   dir: "cache",
 *   sync: "everysec",
 *   recover: "valid",
 *   onDiskError: "refuse",
 *   snapshotAfter: "256mb",
 *   snapshotEvery: 3_600_000,
 * });
 */
export interface DirectoryOptions {
  /** When what is acknowledged is synced to the disk: before that, within a second, or when the system likes. The death of the daemon loses nothing in any case. @default "everysec" */
  sync?: "always" | "everysec" | "never" | undefined;
  /** What to do about damage in the directory: keep what is valid, or refuse to start (DirectoryError). @default "valid" */
  recover?: "valid" | "strict" | undefined;
  /** What becomes of writes once the disk has failed: they are refused (DiskError), done in memory alone, or the daemon ends. @default "refuse" */
  onDiskError?: "refuse" | "memory" | "exit" | undefined;
  /** A snapshot is written when the journals are larger than this, and than the last snapshot: bytes, or a text such as "64mb". @default "64mib" */
  snapshotAfter?: number | string | undefined;
  /** Milliseconds after which a snapshot is written, too. @default only when the journals are large */
  snapshotEvery?: number | undefined;
}

/**
 * Options of `createCache`. All are optional.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({
 *   maxItems: 1_000_000,
 *   maxBytes: "512mb",
 *   policy: "lru",
 *   defaultTtl: 3_600_000,
 *   dir: "cache",
 *   near: { maxItems: 1_000 },
 *   onError: "miss",
 *   timeout: 250,
 *   maxKeyBytes: 1_024,
 *   maxValueBytes: 16 << 20,
 *   maxQueuedBytes: 16 << 20,
 *   startTimeout: 60_000,
 *   closeTimeout: 5_000,
 *   restart: { limit: 5 },
 *   binary: "/opt/rustcache/bin/rustcache",
 *   args: ["--max-pending-replies", "8mb"],
 *   env: { TZ: "UTC" },
 *   logLevel: "info",
 *   onLog: (line) => console.error(line),
 * });
 */
export interface CacheOptions extends DirectoryOptions, ValueOptions {
  /**
   * A hot tier in this process, in front of the daemon, for the entries that are read most: kept right by every write through this cache, and empty
   * when the daemon died. See docs/node-read-through.md. @default none
   */
  near?: NearOptions | undefined;
  /**
   * What becomes of a call that the daemon cannot do (it died and cannot be started, is too slow, has no room): it rejects, or it is answered as an empty cache would
   * answer it, counted as `degraded` in `stats()`, and told by the event `degraded`. Wrong arguments always reject, and so do calls without a harmless
   * answer: `increment`, `stats`, `ping`, `snapshot`, `start`, `drained` and iteration. @default "throw"
   */
  onError?: "throw" | "miss" | undefined;
  /** Path of the daemon's binary. @default RUSTCACHE_BINARY, then the package for this platform, then a local build */
  binary?: string | undefined;
  /** Further arguments for the daemon, none of those that are made of these options; they come before them. @default [] */
  args?: readonly string[] | undefined;
  /** Environment variables for the daemon, over those of this process. @default {} */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * The directory that the entries are kept in; it is made if it is not there. Relative to the working directory of this moment. One
   * daemon at a time can have it: a second gets a DirectoryInUseError. null = in memory only. @default null
   */
  dir?: string | null | undefined;
  /** Entries held at most, from 1. @default no limit */
  maxItems?: number | undefined;
  /** Memory for entries, everything counted: bytes, or a text such as "512mb". @default no limit */
  maxBytes?: number | string | undefined;
  /**
   * What goes when room is needed and nothing has expired: the least recently used ("lru"), by S3-FIFO ("s3-fifo"), by W-TinyLFU ("tinylfu"), or by
   * whichever of them suits what is asked for ("adaptive"); see docs/policies.md. @default "lru"
   */
  policy?: "lru" | "s3-fifo" | "tinylfu" | "adaptive" | undefined;
  /** Milliseconds that an entry lives when it is stored without a TTL; from 1. @default for ever */
  defaultTtl?: number | undefined;
  /** Longest key in bytes. @default 65_536 */
  maxKeyBytes?: number | undefined;
  /** Longest value in bytes, at most 1 GiB. @default 67_108_864 */
  maxValueBytes?: number | undefined;
  /** Milliseconds that a call waits for its reply, also when it has to wait for a start; 0 = for ever. @default 30_000 */
  timeout?: number | undefined;
  /** Bytes queued for the daemon above which further calls wait their turn (see `drained`). @default 16_777_216 */
  maxQueuedBytes?: number | undefined;
  /**
   * Milliseconds that the daemon has to answer when it is started. With `dir` it then loads what is there, which may take as long as it
   * likes: this is how long it may do so without coming any further. @default 10_000; with `dir` 60_000, since a slow disk may need that to
   * sync what a crash has left
   */
  startTimeout?: number | undefined;
  /** Milliseconds that the daemon has to end by itself on `close`. @default 5_000 */
  closeTimeout?: number | undefined;
  /** When a daemon that died is started again; false = never. @default { limit: 5, window: 180_000, pause: 100 } */
  restart?: Partial<RestartPolicy> | false | undefined;
  /** How much the daemon logs. @default "warn" */
  logLevel?: "off" | "error" | "warn" | "info" | "debug" | "trace" | undefined;
  /** Receives each line that the daemon logs. @default none; the last lines are quoted in error texts */
  onLog?: ((line: string) => void) | undefined;
}

/**
 * How values are stored. For a cache, and for a namespace of it.
 *
 * @example
 * import { deserialize, serialize } from "node:v8";
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({
 *   codec: { tag: 200, encode: (value) => serialize(value), decode: (bytes) => deserialize(bytes) },
 *   compress: { above: 4_096 },
 * });
 */
export interface ValueOptions {
  /** Turns values into bytes and back in the place of the built-in ways. @default text, bytes, JSON or V8's structured clone, as the value is */
  codec?: Codec | undefined;
  /** Compresses values from a size on. What is compressed is read by other languages only with docs/protocol.md at hand. @default no compression */
  compress?: CompressOptions | undefined;
}

/**
 * When an entry ends. At most one of these may be given.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * await cache.set("for a minute", 1, { ttl: 60_000 });
 * await cache.set("to the end of the year", 2, { expiresAt: new Date("2030-12-31T23:59:59Z") });
 * await cache.set("for a minute", 3, { keepTtl: true });
 */
export interface ExpiryOptions {
  /** Milliseconds from now, fractions rounded up; 0 = at once, Infinity = never. @default the cache's defaultTtl */
  ttl?: number | undefined;
  /** The moment: a Date, or milliseconds since 1970. One that is past = at once, also one before 1970. @default as `ttl` says */
  expiresAt?: Date | number | undefined;
  /** Keep the deadline that the entry has; a new entry gets the default. @default false */
  keepTtl?: boolean | undefined;
}

/**
 * What a stored value is.
 *
 * @example
 * import { createCache, Tag } from "rustcache";
 *
 * const cache = createCache();
 * await cache.set("encoded already", '{"a":1}', { tag: Tag.JSON });
 */
export interface TagOptions {
  /**
   * For a value that is encoded already, as text or bytes, which is then stored as it is: 0 bytes, 1 text, 2 JSON, 3 V8-serialized, 4 pickle,
   * 5 MessagePack, 128–255 yours. Bytes with 1 or 2 must be UTF-8. @default by the value: see docs/node.md
   */
  tag?: number | undefined;
}

/**
 * Options of `set`.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * await cache.set("page:/", "<h1>news</h1>", { ttl: 60_000, staleTtl: 600_000, tags: ["news"] });
 * const isMine = await cache.set("lock", "mine", { ttl: 5_000, condition: "ifAbsent" });
 */
export interface SetOptions extends CallOptions, ExpiryOptions, TagOptions {
  /**
   * Milliseconds from 0 on, fractions rounded up, Infinity = for ever, that the entry is kept beyond its TTL: stale, a miss for `get`, but not for `getEntry`. Of no
   * effect on an entry that never expires. Not with `keepTtl`. @default 0
   */
  staleTtl?: number | undefined;
  /**
   * Names by which `invalidateTag` makes the entry a miss: at most 255, each of 1 to 1024 bytes of text. They belong to the namespace
   * (docs/node.md has their limits). @default []
   */
  tags?: readonly string[] | undefined;
  /** Store only if the key is absent, or only if it is there. @default "always" */
  condition?: "always" | "ifAbsent" | "ifPresent" | undefined;
}

const CACHE_OPTIONS = [
  "binary",
  "args",
  "env",
  "dir",
  "sync",
  "recover",
  "onDiskError",
  "snapshotAfter",
  "snapshotEvery",
  "maxItems",
  "maxBytes",
  "policy",
  "defaultTtl",
  "maxKeyBytes",
  "maxValueBytes",
  "timeout",
  "maxQueuedBytes",
  "startTimeout",
  "closeTimeout",
  "restart",
  "logLevel",
  "onLog",
  "codec",
  "compress",
  "near",
  "onError",
];
/** The arguments that these options become. */
const FLAGS = {
  maxItems: "--max-items",
  maxBytes: "--max-bytes",
  policy: "--policy",
  defaultTtl: "--default-ttl",
  maxKeyBytes: "--max-key",
  maxValueBytes: "--max-value",
  logLevel: "--log-level",
  dir: "--dir",
  sync: "--sync",
  recover: "--recover",
  onDiskError: "--on-disk-error",
  snapshotAfter: "--snapshot-after",
  snapshotEvery: "--snapshot-every",
} as const satisfies Partial<Record<keyof CacheOptions, string>>;
const POLICIES = ["lru", "s3-fifo", "tinylfu", "adaptive"];
const SYNC = ["always", "everysec", "never"];
const RECOVER = ["valid", "strict"];
const ON_DISK_ERROR = ["refuse", "memory", "exit"];
const ON_ERROR = ["throw", "miss"];
const LOG_LEVELS = ["off", "error", "warn", "info", "debug", "trace"];
/** The longest that a timer of Node takes. */
export const MAX_TIMER = 2 ** 31 - 1;
const MAX_VALUE = 2 ** 30;
/** The longest value in bytes, if nothing is said. The daemon's default as well. */
export const DEFAULT_VALUE_BYTES = 64 * 2 ** 20;

/** Checks the options of a cache. Throws InvalidArgumentError or InvalidTtlError. */
export function checkCacheOptions(options: CacheOptions): DaemonOptions {
  if (typeof options !== "object" || options === null) {
    throw new InvalidArgumentError(`options must be an object, got ${show(options)}`);
  }
  checkNames("a cache", options, CACHE_OPTIONS);
  const { binary, args = [], env = {}, logLevel, onLog } = options;
  if (binary !== undefined && (typeof binary !== "string" || binary === "")) {
    throw new InvalidArgumentError(`binary must be the path of the daemon, got ${show(binary)}`);
  }
  if (!Array.isArray(args) || args.some((arg) => typeof arg !== "string")) {
    throw new InvalidArgumentError(`args must be an array of strings, got ${show(args)}`);
  }
  for (const [option, name] of Object.entries(FLAGS)) {
    // What the daemon is told must be known here as well: whether it keeps a directory, above all.
    const given = args.find((arg) => arg === name || arg.startsWith(`${name}=`));
    if (given !== undefined) {
      throw new InvalidArgumentError(
        `args must not have what is an option here, got ${show(given)}: use the option ${option} instead`,
      );
    }
  }
  if (typeof env !== "object" || env === null) {
    throw new InvalidArgumentError(`env must be an object of strings, got ${show(env)}`);
  }
  if (onLog !== undefined && typeof onLog !== "function") {
    throw new InvalidArgumentError(`onLog must be a function, got ${show(onLog)}`);
  }
  oneOf(options.onError, "onError", ON_ERROR);
  const dir = directory(options.dir);
  const flags: string[] = [];
  const flag = (option: keyof typeof FLAGS, value: string | number | undefined) => {
    if (value !== undefined) flags.push(FLAGS[option], String(value));
  };
  flag("maxItems", integer(options.maxItems, "maxItems", 1, Number.MAX_SAFE_INTEGER));
  flag("maxBytes", checkSize(options.maxBytes, "maxBytes"));
  flag("policy", oneOf(options.policy, "policy", POLICIES));
  const ttl = defaultTtl(options.defaultTtl);
  flag("defaultTtl", ttl === undefined ? undefined : `${ttl}ms`);
  flag("maxKeyBytes", integer(options.maxKeyBytes, "maxKeyBytes", 1, MAX_VALUE));
  flag("maxValueBytes", integer(options.maxValueBytes, "maxValueBytes", 1, MAX_VALUE));
  flag("logLevel", oneOf(logLevel, "logLevel", LOG_LEVELS));
  const every = integer(options.snapshotEvery, "snapshotEvery", 1, Number.MAX_SAFE_INTEGER);
  flag("dir", dir ?? undefined);
  flag("sync", oneOf(options.sync, "sync", SYNC));
  flag("recover", oneOf(options.recover, "recover", RECOVER));
  flag("onDiskError", oneOf(options.onDiskError, "onDiskError", ON_DISK_ERROR));
  flag("snapshotAfter", checkSize(options.snapshotAfter, "snapshotAfter"));
  flag("snapshotEvery", every === undefined ? undefined : `${every}ms`);
  if (dir === null) {
    for (const name of ["sync", "recover", "onDiskError", "snapshotAfter", "snapshotEvery"] as const) {
      if (options[name] !== undefined) {
        throw new InvalidArgumentError(
          `${name} ${show(options[name])} is for a cache that is kept on disk, and this one has no directory: give dir too, or leave ${name} out`,
        );
      }
    }
  }
  return {
    binary,
    args: [...args, ...flags],
    // A variable that is meant for one cache must not have a second share its directory.
    env: { ...process.env, ...env, [DIRECTORY_VARIABLE]: undefined },
    dir,
    makesDir: false,
    defaultTtl: ttl,
    timeout: integer(options.timeout, "timeout", 0, MAX_TIMER) ?? 30_000,
    maxQueuedBytes:
      integer(options.maxQueuedBytes, "maxQueuedBytes", 1, Number.MAX_SAFE_INTEGER) ?? 16 * 2 ** 20,
    startTimeout:
      integer(options.startTimeout, "startTimeout", 1, MAX_TIMER) ?? (dir === null ? 10_000 : 60_000),
    closeTimeout: integer(options.closeTimeout, "closeTimeout", 1, MAX_TIMER) ?? 5_000,
    restart: restartPolicy(options.restart),
    reopens: false,
  };
}

function integer(value: unknown, name: string, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new InvalidArgumentError(`${name} must be an integer from ${min} to ${max}, got ${show(value)}`);
}

/** An absolute path, or null. */
function directory(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "string" && value !== "") return resolve(value);
  throw new InvalidArgumentError(
    `dir must be the path of a directory, or null to keep nothing on disk, got ${show(value)}`,
  );
}

function oneOf(value: unknown, name: string, allowed: readonly string[]): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && allowed.includes(value)) return value;
  throw new InvalidArgumentError(`${name} must be one of ${allowed.join(", ")}, got ${show(value)}`);
}

/** A default TTL in milliseconds; undefined = for ever. */
export function defaultTtl(value: unknown): number | undefined {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return undefined;
  if (typeof value === "number" && value > 0 && value <= Number.MAX_SAFE_INTEGER) return Math.ceil(value);
  throw new InvalidTtlError(`defaultTtl must be milliseconds above 0, got ${show(value)}`);
}

function restartPolicy(value: Partial<RestartPolicy> | false | undefined): RestartPolicy {
  const policy = value === false ? { limit: 0 } : (value ?? {});
  if (typeof policy !== "object" || policy === null) {
    throw new InvalidArgumentError(`restart must be an object or false, got ${show(value)}`);
  }
  checkNames("restart", policy, ["limit", "window", "pause"]);
  return {
    limit: integer(policy.limit, "restart.limit", 0, 1_000_000) ?? 5,
    window: integer(policy.window, "restart.window", 1, MAX_TIMER) ?? 180_000,
    pause: integer(policy.pause, "restart.pause", 0, MAX_TIMER) ?? 100,
  };
}

/** Checks a key. The empty key is one. */
export function checkKey(key: unknown): asserts key is string | Uint8Array {
  if (typeof key === "string" || (key instanceof Uint8Array && !isDetached(key.buffer))) return;
  throw new InvalidArgumentError(`the key must be a string, a Buffer or a Uint8Array, got ${show(key)}`);
}

/** Checks a value that has to be text or bytes. */
export function checkValue(value: unknown): asserts value is string | Uint8Array {
  if (typeof value === "string" || (value instanceof Uint8Array && !isDetached(value.buffer))) return;
  throw new InvalidArgumentError(
    `the value must be a string, a Buffer or a Uint8Array here, got ${show(value)}: set() without tag takes any`,
  );
}

/** Checks the options of a call that takes no others. */
export function checkCallOptions(options: CallOptions): void {
  checkCall(options);
  checkCallNames(options);
}

/** Checks what every call may be given, whatever else there is. */
export function checkCall(options: CallOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new InvalidArgumentError(`options must be an object, got ${show(options)}`);
  }
  integer(options.timeout, "timeout", 0, MAX_TIMER);
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw new InvalidArgumentError(`signal must be an AbortSignal, got ${show(options.signal)}`);
  }
}

/** An expiry as the wire has it. */
export interface WireExpiry {
  /** The kind, where flags carry it. */
  readonly kind: number;
  /** Milliseconds, or NO_EXPIRY. */
  readonly ms: number;
}

const BY_DEFAULT: WireExpiry = { kind: Expiry.DEFAULT, ms: NO_EXPIRY };
const NEVER: WireExpiry = { kind: Expiry.NEVER, ms: NO_EXPIRY };
const KEEP: WireExpiry = { kind: Expiry.KEEP, ms: NO_EXPIRY };

/** A TTL in milliseconds. Fractions are rounded up: only 0 itself is "at once". */
export function ttlExpiry(ttl: unknown): WireExpiry {
  if (ttl === undefined) return BY_DEFAULT;
  if (ttl === Number.POSITIVE_INFINITY) return NEVER;
  if (typeof ttl === "number" && ttl >= 0 && ttl <= Number.MAX_SAFE_INTEGER) {
    return { kind: Expiry.TTL, ms: Math.ceil(ttl) };
  }
  throw new InvalidTtlError(
    `the TTL must be milliseconds from 0 on (Infinity = never expires), got ${show(ttl)}`,
  );
}

/**
 * The deadline in the place of a TTL, so that doing it twice is the same as doing it once. A TTL of 0 is: it stores nothing. A default that only
 * the daemon knows of stays one, and begins anew with the second time.
 */
export function asDeadline(expiry: WireExpiry, byDefault: number | undefined): WireExpiry {
  const ttl = expiry.kind === Expiry.TTL ? expiry.ms : expiry.kind === Expiry.DEFAULT ? byDefault : undefined;
  if (ttl === undefined || ttl === 0) return expiry;
  return { kind: Expiry.DEADLINE, ms: Math.min(Date.now() + ttl, Number.MAX_SAFE_INTEGER) };
}

/** Whether it is milliseconds from 0 on, Infinity included. */
export function isSpan(ms: unknown): ms is number {
  return (
    typeof ms === "number" && ms >= 0 && (ms <= Number.MAX_SAFE_INTEGER || ms === Number.POSITIVE_INFINITY)
  );
}

/** Checks `staleTtl`. */
export function staleTtlOf(staleTtl: unknown): number {
  if (staleTtl === undefined) return 0;
  if (isSpan(staleTtl)) return Math.ceil(staleTtl);
  throw new InvalidTtlError(
    `staleTtl must be milliseconds from 0 on (Infinity = for ever), got ${show(staleTtl)}`,
  );
}

/** Checks the tags of an entry; each comes once in the result. */
export function tagsOf(tags: unknown): readonly string[] {
  if (tags === undefined) return [];
  if (!Array.isArray(tags)) throw new InvalidArgumentError(`tags must be an array, got ${show(tags)}`);
  const names = tags.length === 1 ? [tagName(tags[0])] : [...new Set(Array.from(tags, tagName))];
  if (fitsTags(names.length)) return names;
  throw new InvalidArgumentError(`an entry can have 255 tags, got ${names.length}`);
}

/** Checks the name of a tag. */
export function tagName(tag: unknown): string {
  if (typeof tag === "string" && tag !== "") {
    requireWellFormed(tag, "key");
    if (Buffer.byteLength(tag) <= MAX_TAG_BYTES) return tag;
  }
  throw new InvalidArgumentError(
    `a tag to invalidate by must be text of 1 to ${MAX_TAG_BYTES} bytes, got ${show(tag)}`,
  );
}

/** Checks the three ways to say when an entry ends. */
export function expiryOf(options: ExpiryOptions): WireExpiry {
  const { ttl, expiresAt, keepTtl } = options;
  if (expiresAt === undefined && !keepTtl) return ttlExpiry(ttl);
  if ((ttl !== undefined ? 1 : 0) + (expiresAt !== undefined ? 1 : 0) + (keepTtl ? 1 : 0) > 1) {
    throw new InvalidArgumentError("give only one of ttl, expiresAt and keepTtl");
  }
  if (keepTtl) return KEEP;
  const at = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (at === Number.POSITIVE_INFINITY) return NEVER;
  if (typeof at === "number" && at <= Number.MAX_SAFE_INTEGER) {
    // The wire counts from 1970; all that is before is past in the same way.
    return { kind: Expiry.DEADLINE, ms: at > 0 ? Math.ceil(at) : 0 };
  }
  throw new InvalidTtlError(
    `expiresAt must be a valid Date or milliseconds since 1970, got ${expiresAt instanceof Date ? "an invalid Date" : show(expiresAt)}`,
  );
}

/** The condition of a set, where flags carry it. */
export function conditionOf(condition: unknown): number {
  switch (condition) {
    case undefined:
    case "always":
      return Condition.ALWAYS;
    case "ifAbsent":
      return Condition.IF_ABSENT;
    case "ifPresent":
      return Condition.IF_PRESENT;
    default:
      throw new InvalidArgumentError(
        `condition must be "always", "ifAbsent" or "ifPresent", got ${show(condition)}`,
      );
  }
}

/** The tag of a value. */
export function tagOf(tag: unknown, value: string | Uint8Array): number {
  if (tag === undefined) return typeof value === "string" ? Tag.TEXT : Tag.BYTES;
  if (typeof tag === "number" && Number.isInteger(tag) && tag >= 0 && tag <= 255) {
    if (tag > Tag.MESSAGEPACK && tag < Tag.USER) {
      throw new InvalidArgumentError(`the tag ${tag} is reserved: use one from 128 to 255 for your own`);
    }
    if ((tag === Tag.TEXT || tag === Tag.JSON) && typeof value !== "string" && !isUtf8(value)) {
      throw new InvalidArgumentError(
        `tag ${tag} is for UTF-8 ${tag === Tag.TEXT ? "text" : "JSON"}, and the value ${show(value)} is not UTF-8: use tag 0, or one from 128 on`,
      );
    }
    return tag;
  }
  throw new InvalidArgumentError(`tag must be an integer from 0 to 255, got ${show(tag)}`);
}

/** The prefix of clear and of scans; undefined = everything. */
export function prefixOf(prefix: unknown): string | Uint8Array | null {
  if (prefix === undefined) return null;
  if (typeof prefix === "string" || prefix instanceof Uint8Array) return prefix;
  throw new InvalidArgumentError(`prefix must be a string, a Buffer or a Uint8Array, got ${show(prefix)}`);
}
