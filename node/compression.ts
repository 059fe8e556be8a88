// Compression of values by node:zlib, with whichever method the running Node has. Small values at once; large ones in a thread of Node's
// pool, so that the event loop goes on. Knows nothing of tags and envelopes but the number of the method.

import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { Method } from "./envelope.js";
import { DecodeError, InvalidArgumentError, show } from "./errors.js";
import { checkNames } from "./option-names.js";

/**
 * Option `compress` of a cache.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({ compress: { above: 4_096, method: "brotli" } });
 */
export interface CompressOptions {
  /** Values of at least as many bytes are compressed, if that makes them smaller; from 1. */
  readonly above: number;
  /** @default "zstd" where this Node has it (from 22.15 on), else "brotli" */
  readonly method?: "zstd" | "brotli" | undefined;
}

/** From this size on, before compression, a thread of the pool does it: below, that costs more than it spares. */
const ASYNC_BYTES = 64 * 1024;
/** The default, 11, takes a second for a mebibyte. */
const BROTLI_QUALITY = 4;

type Sync = (bytes: Uint8Array, options: object) => Buffer;
type Async = (bytes: Uint8Array, options: object) => Promise<Buffer>;
interface Codec {
  readonly compressSync: Sync;
  readonly compress: Async;
  readonly expandSync: Sync;
  readonly expand: Async;
}

// Unknown to the types of the oldest Node that this package runs on.
const all = zlib as unknown as Record<string, never>;

function codec(compress: string, expand: string): Codec | undefined {
  if (all[compress] === undefined) return undefined;
  return {
    compressSync: all[`${compress}Sync`]!,
    compress: promisify(all[compress]!) as unknown as Async,
    expandSync: all[`${expand}Sync`]!,
    expand: promisify(all[expand]!) as unknown as Async,
  };
}

const CODECS: Readonly<Record<number, { readonly name: string; readonly codec: Codec | undefined }>> = {
  [Method.BROTLI]: { name: "brotli", codec: codec("brotliCompress", "brotliDecompress") },
  [Method.ZSTD]: { name: "zstd", codec: codec("zstdCompress", "zstdDecompress") },
};

function compressOptions(method: number, bytes: number): object {
  if (method !== Method.BROTLI) return {};
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
  return { params: { [BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, [BROTLI_PARAM_SIZE_HINT]: bytes } };
}

/** The number of the method that an option names; throws InvalidArgumentError for one that this Node has not. */
export function methodOf(name: unknown): number {
  const hasZstd = CODECS[Method.ZSTD]!.codec !== undefined;
  if (name === undefined) return hasZstd ? Method.ZSTD : Method.BROTLI;
  const found = Object.entries(CODECS).find(([, each]) => each.name === name);
  if (found === undefined) {
    throw new InvalidArgumentError(`compress.method must be "zstd" or "brotli", got ${show(name)}`);
  }
  if (found[1].codec === undefined) {
    throw new InvalidArgumentError(
      `compress.method is ${show(name)}, which Node ${process.version} has not: use Node 22.15 or newer, or "brotli"`,
    );
  }
  return Number(found[0]);
}

/** Compresses bytes: at once if they are few. */
export function compress(method: number, bytes: Uint8Array): Buffer | Promise<Buffer> {
  const { compressSync, compress } = CODECS[method]!.codec!;
  const options = compressOptions(method, bytes.length);
  return bytes.length < ASYNC_BYTES ? compressSync(bytes, options) : compress(bytes, options);
}

/**
 * Decompresses what is `length` bytes when it is; no more memory than that is taken. Large values in a thread of the pool. Throws, or rejects with,
 * DecodeError.
 */
export function expand(
  method: number,
  bytes: Uint8Array,
  length: number,
  limit: number,
): Buffer | Promise<Buffer> {
  const { name, codec } = CODECS[method]!;
  if (codec === undefined) {
    throw new DecodeError(
      `the value is compressed with ${name}, which Node ${process.version} has not: read it with Node 22.15 or newer`,
    );
  }
  if (length > limit) {
    throw new DecodeError(
      `the value is ${length} bytes when decompressed, the limit is ${limit}: raise maxValueBytes`,
    );
  }
  const failed = (error: unknown) =>
    new DecodeError(`the value, compressed with ${name}, is damaged: ${(error as Error).message}`, {
      cause: error,
    });
  const whole = (expanded: Buffer): Buffer => {
    if (expanded.length === length) return expanded;
    throw failed(new Error(`it has ${expanded.length} bytes where ${length} are due`));
  };
  // 0 would be refused as a bound, and less than 64 as a size: both are what is allocated for the result, too.
  const options = { maxOutputLength: Math.max(1, length), chunkSize: Math.max(64, length) };
  if (length >= ASYNC_BYTES) {
    return codec.expand(bytes, options).then(whole, (error: unknown) => {
      throw failed(error);
    });
  }
  let expanded: Buffer;
  try {
    expanded = codec.expandSync(bytes, options);
  } catch (error) {
    throw failed(error);
  }
  return whole(expanded);
}

/** Checks the option `compress`; null = none. */
export function checkCompress(compress: unknown): { above: number; method: number } | undefined {
  if (compress === undefined || compress === null) return undefined;
  if (typeof compress !== "object") {
    throw new InvalidArgumentError(
      `compress must be an object such as { above: 4096 }, got ${show(compress)}`,
    );
  }
  checkNames("compress", compress, ["above", "method"]);
  const { above, method } = compress as Partial<CompressOptions>;
  if (typeof above !== "number" || !Number.isSafeInteger(above) || above < 1) {
    throw new InvalidArgumentError(
      `compress.above must be an integer of bytes from 1 on, got ${show(above)}`,
    );
  }
  return { above, method: methodOf(method) };
}
