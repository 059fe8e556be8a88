// What one cache, or one namespace, does to its values on their way out and in: its codec, its compression, and the envelope around those that
// need one. Composes values.ts, compression.ts and envelope.ts; knows nothing of calls. A result is a promise only when a thread of Node's
// pool works on it, or when a codec says so.

import { compress, expand } from "./compression.js";
import { type Envelope, Method, type Unwrapped, wrap } from "./envelope.js";
import { ValueTooLongError } from "./errors.js";
import { type Codec, decodeValue, type Encoded, encodeValue } from "./values.js";

/** Bytes above which values are compressed, and the number of the method. */
export interface Compression {
  readonly above: number;
  readonly method: number;
}

export class ValueFormat {
  readonly codec: Codec | undefined;
  readonly compression: Compression | undefined;
  readonly #maxBytes: number;

  /** `maxBytes`: the longest value, before it is compressed. */
  constructor(codec: Codec | undefined, compression: Compression | undefined, maxBytes: number) {
    this.codec = codec;
    this.compression = compression;
    this.#maxBytes = maxBytes;
  }

  /** Whether well-formed text goes as it is. */
  get isPlain(): boolean {
    return this.codec === undefined && this.compression === undefined;
  }

  /** Encodes a value. Throws EncodeError. */
  encode(value: unknown): Encoded {
    return encodeValue(value, this.codec);
  }

  /** Compresses what is worth it, and wraps what needs it. */
  pack(value: Encoded, envelope: Envelope | null): Encoded | Promise<Encoded> {
    const { compression } = this;
    if (compression !== undefined && isLong(value.body, compression.above)) {
      return this.#compress(value, envelope, compression.method);
    }
    return envelope === null ? value : wrap(value.tag, envelope, Method.NONE, 0, value.body);
  }

  #compress(value: Encoded, envelope: Envelope | null, method: number): Encoded | Promise<Encoded> {
    const bytes = typeof value.body === "string" ? Buffer.from(value.body) : value.body;
    if (bytes.length > this.#maxBytes) {
      throw new ValueTooLongError(
        `the value takes ${bytes.length} bytes before it is compressed, the limit is ${this.#maxBytes}: store it in parts or raise maxValueBytes`,
      );
    }
    const wrapped = (compressed: Buffer): Encoded => {
      if (compressed.length < bytes.length)
        return wrap(value.tag, envelope, method, bytes.length, compressed);
      return envelope === null ? value : wrap(value.tag, envelope, Method.NONE, 0, bytes);
    };
    const compressed = compress(method, bytes);
    return compressed instanceof Promise ? compressed.then(wrapped) : wrapped(compressed);
  }

  /** The value of a reply, of a tag that says that nothing is wrapped around it. Throws DecodeError. */
  decode(tag: number, buf: Buffer, start: number, end: number, owned: boolean): unknown {
    return decodeValue(tag, buf, start, end, owned, this.codec);
  }

  /** The value that `unwrap` found in `buf`. Throws, or rejects with, DecodeError. */
  unpack(value: Unwrapped, buf: Buffer, end: number, owned: boolean): unknown {
    const { tag, method, length, start } = value;
    if (method === Method.NONE) return this.decode(tag, buf, start, end, owned);
    const bytes = buf.subarray(start, end);
    const expanded = expand(method, owned ? bytes : Buffer.from(bytes), length, this.#maxBytes);
    const decoded = (plain: Buffer) => this.decode(tag, plain, 0, plain.length, true);
    return expanded instanceof Promise ? expanded.then(decoded) : decoded(expanded);
  }
}

/** Whether a value has at least so many bytes. */
function isLong(body: string | Uint8Array, bytes: number): boolean {
  if (typeof body !== "string") return body.length >= bytes;
  // A UTF-16 unit takes one to three bytes of UTF-8.
  return body.length >= bytes || (body.length * 3 >= bytes && Buffer.byteLength(body) >= bytes);
}
