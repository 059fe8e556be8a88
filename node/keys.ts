// Which keys the daemon sees: those of a cache as they are, those of a namespace under a prefix, and the records that the cache keeps for
// itself. Pure. docs/protocol.md, "Reserved keys", is the contract.
//
// A key of the daemon that begins with U+0001 is one of these, and no two of them are alike, since no name has a control character in it:
//   U+0001 name (U+001F name)* U+0002 key     the key of a namespace
//   U+0001 U+0002 "k" key                     a key of the cache itself that begins with U+0001
//   U+0001 U+0002 "t" names U+0002 tag        the generation of a tag (generations.ts)

import { isUtf8 } from "node:buffer";
import { InvalidArgumentError, show } from "./errors.js";

/** A key: text, or bytes. A text and its UTF-8 bytes are the same key. */
export type Key = string | Uint8Array;

const MARK = 1;
const OPEN = "\u0001";
const CLOSE = "\u0002";
const JOIN = "\u001f";
const ESCAPE = `${OPEN}${CLOSE}k`;
const TAG = `${OPEN}${CLOSE}t`;
const MAX_NAME = 255;

function begins(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, i) => bytes[i] === byte);
}

function join(prefix: string, key: Key): Key {
  return typeof key === "string" ? prefix + key : Buffer.concat([Buffer.from(prefix), key]);
}

/** Text if the bytes are UTF-8, else the bytes, in memory of their own. */
function shown(bytes: Buffer): string | Buffer {
  return isUtf8(bytes) ? bytes.toString() : Buffer.from(bytes);
}

/** The keys of a cache, or of one of its namespaces. */
export class KeySpace {
  /** The names that lead here; "" = the cache itself. */
  readonly path: string;
  readonly #prefix: string;
  readonly #prefixBytes: Buffer;

  constructor(path = "") {
    this.path = path;
    this.#prefix = path === "" ? "" : OPEN + path + CLOSE;
    this.#prefixBytes = Buffer.from(path === "" ? ESCAPE : this.#prefix);
  }

  /** The key space of a namespace in this one. Throws InvalidArgumentError for a name that cannot be one. */
  inner(name: unknown): KeySpace {
    if (
      typeof name !== "string" ||
      name === "" ||
      name.length > MAX_NAME ||
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what keeps the keys of namespaces apart.
      /[\u0000-\u001f\ud800-\udfff]/u.test(name)
    ) {
      throw new InvalidArgumentError(
        `the name of a namespace must be 1 to ${MAX_NAME} characters of text without control characters, got ${show(name)}`,
      );
    }
    return new KeySpace(this.path === "" ? name : this.path + JOIN + name);
  }

  /** A key as the daemon has it. */
  wire(key: Key): Key {
    if (this.#prefix !== "") return join(this.#prefix, key);
    const first = typeof key === "string" ? key.charCodeAt(0) : key[0];
    return first === MARK ? join(ESCAPE, key) : key;
  }

  /** What all keys of this space that begin with `prefix` begin with for the daemon; null = nothing, and other keys may do so, too. */
  wirePrefix(prefix: Key | null): Key | null {
    if (prefix === null || prefix.length === 0) return this.#prefix === "" ? null : this.#prefix;
    return this.wire(prefix);
  }

  /** Prefixes of everything in the namespaces of this one. */
  get innerPrefix(): string {
    return OPEN + this.path + JOIN;
  }

  /** A daemon's key as the user knows it; undefined for one of another space. */
  read(bytes: Buffer): string | Buffer | undefined {
    const isMarked = bytes[0] === MARK;
    if (this.#prefix === "" && !isMarked) return shown(bytes);
    if (!isMarked || !begins(bytes, this.#prefixBytes)) return undefined;
    return shown(bytes.subarray(this.#prefixBytes.length));
  }

  /** As `read`, for a key that `wire` has made. */
  shown(wire: Key): string | Buffer {
    return this.read(Buffer.from(wire as string))!;
  }

  /** Where the generation of a tag of this space is kept. */
  tagRecord(tag: string): string {
    return TAG + this.path + CLOSE + tag;
  }
}
