// What a value becomes on the wire, and back: text, bytes, JSON, V8's structured clone, or a codec of the user's, each under its tag
// (docs/protocol.md, "Value tags"). Pure: no I/O, no clock. What is wrapped around a value (its times, its tags, compression) is
// envelope.ts and compression.ts.
//
// Invariant: what is stored as JSON comes back the same as from a structured clone. Whatever might not is V8's affair.

import { isUtf8 } from "node:buffer";
import { types } from "node:util";
import { deserialize, serialize } from "node:v8";
import { isDetached } from "./detached.js";
import { DecodeError, EncodeError, InvalidArgumentError, show } from "./errors.js";
import { readText, Tag } from "./protocol.js";

/** How a cache turns values into bytes and back, in the place of the built-in ways: MessagePack or protobuf, say. */
export interface Codec<V = unknown> {
  /** What values of this codec are stored under, from 128 to 255: a value with another tag is read in the built-in way. */
  readonly tag: number;
  /**
   * Called within `set`. The bytes are copied, so that the codec may use their memory again for the next value. What it throws is the `cause` of the
   * EncodeError that the call rejects with.
   */
  encode(value: V): Uint8Array;
  /**
   * True = each call of `encode` gives bytes of its own, which nobody changes afterwards: they are sent as they are. Spares a copy, which for small values costs about
   * 50 ns. @default false
   */
  readonly freshBytes?: boolean | undefined;
  /** Gets bytes of its own. What it throws is the `cause` of a DecodeError. It may return a promise. */
  decode(bytes: Buffer): V | Promise<V>;
}

/** A value as it is sent. */
export interface Encoded {
  readonly tag: number;
  readonly body: string | Uint8Array;
}

/** Objects nested deeper than this are not looked at any further: they may well be cyclic. */
const MAX_JSON_DEPTH = 100;
/**
 * From this number of objects on it is noticed if one of them comes twice: JSON would write it twice, and a few dozen objects that each hold
 * the next one twice are more JSON than there is memory.
 */
const MAX_UNTRACKED = 1000;

let untracked = 0;
let tracked: Set<object> | null = null;

/**
 * Whether JSON gives back what a structured clone would: plain objects and arrays of finite numbers, booleans, null and strings. Symbols and
 * what is not enumerable is left out by both; half a surrogate pair is escaped.
 */
export function isJsonSafe(value: unknown): boolean {
  untracked = MAX_UNTRACKED;
  tracked = null;
  const safe = isSafe(value, MAX_JSON_DEPTH);
  tracked = null;
  return safe;
}

function isSafe(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      // Finite, and not -0.
      return value - value === 0 && (value !== 0 || 1 / value > 0);
    case "object":
      return value === null || isSafeObject(value as Record<string, unknown>, depth);
    default:
      return false;
  }
}

function isSafeObject(value: Record<string, unknown>, depth: number): boolean {
  if (depth === 0 || (--untracked < 0 && comesAgain(value)) || value.toJSON !== undefined) return false;
  const prototype = Object.getPrototypeOf(value);
  if (Array.isArray(value)) {
    if (prototype !== Array.prototype) return false;
    // A hole reads as undefined, which is not safe.
    for (let i = 0; i < value.length; i++) if (!isSafe(value[i], depth - 1)) return false;
    // Names beside the indices (those of a RegExp's match, say) are lost in JSON.
    return Object.keys(value).length === value.length;
  }
  // A structured clone gives one without a prototype the usual one, too.
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const name in value) if (!isSafe(value[name], depth - 1)) return false;
  return true;
}

function comesAgain(value: object): boolean {
  tracked ??= new Set();
  const { size } = tracked;
  return tracked.add(value).size === size;
}

/** A value as the wire has it. Throws EncodeError for what no structured clone can hold, and for what the codec refuses. */
export function encodeValue(value: unknown, codec?: Codec): Encoded {
  if (codec !== undefined) return { tag: codec.tag, body: encodeWith(codec, value) };
  switch (typeof value) {
    case "string":
      // Half a surrogate pair has no UTF-8 form; JSON escapes it.
      if (isWellFormed(value)) return { tag: Tag.TEXT, body: value };
      return { tag: Tag.JSON, body: JSON.stringify(value) };
    case "number":
    case "boolean":
    case "object":
      if (!(value instanceof Uint8Array)) return encodeObject(value);
      if (value.length === 0 && isDetached(value.buffer)) throw unstorable("the value", value, undefined);
      return { tag: Tag.BYTES, body: value };
  }
  return { tag: Tag.V8, body: encodeV8(value) };
}

/** Whether UTF-8 can carry it: no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  // In every Node that this package runs on; TypeScript's ES2023 library does not know it yet.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

function encodeObject(value: unknown): Encoded {
  try {
    if (isJsonSafe(value)) return { tag: Tag.JSON, body: JSON.stringify(value) };
  } catch (error) {
    // A getter of the value threw, or it is more text than a string can hold.
    throw new EncodeError(`the value ${show(value)} cannot be stored (${messageOf(error)})`, {
      cause: error,
    });
  }
  return { tag: Tag.V8, body: encodeV8(value) };
}

function encodeWith(codec: Codec, value: unknown): Uint8Array {
  let bytes: unknown;
  try {
    bytes = codec.encode(value);
  } catch (error) {
    throw new EncodeError(
      `the codec with tag ${codec.tag} cannot encode ${show(value)}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  if (bytes instanceof Uint8Array) {
    if (codec.freshBytes === true) return bytes;
    // It may be sent much later. Half as long as Buffer.from takes for what is small.
    const own = Buffer.allocUnsafe(bytes.length);
    own.set(bytes);
    return own;
  }
  throw new EncodeError(
    `the codec with tag ${codec.tag} must encode to a Buffer or a Uint8Array, and made ${show(bytes)} of ${show(value)}`,
  );
}

function encodeV8(value: unknown): Buffer {
  try {
    return serialize(value);
  } catch (error) {
    const { path, part } = findUncloneable(value);
    throw unstorable(path === "" ? "the value" : `the value's ${path}`, part, error);
  }
}

/** The error for what no structured clone can hold outside of the process that it is in. */
function unstorable(where: string, part: unknown, cause: unknown): EncodeError {
  const known = knownUnstorable(part);
  if (known !== undefined) {
    return new EncodeError(`${where} is ${known.what}, which cannot be stored: ${known.instead}`, { cause });
  }
  // Of native objects it has all that can be seen of them, in many lines.
  const why = messageOf(cause).split("\n", 1)[0];
  return new EncodeError(
    `${where} is ${show(part)}, which cannot be stored (${why}): leave it out, or give the cache a codec that can`,
    { cause },
  );
}

/** Those that look as if they could be stored, and what to do about them. */
function knownUnstorable(part: unknown): { what: string; instead: string } | undefined {
  if (part instanceof Blob) {
    return { what: "a Blob", instead: "store its bytes, Buffer.from(await blob.arrayBuffer())" };
  }
  if (types.isKeyObject(part)) return { what: "a KeyObject", instead: "store what its export() gives" };
  if (types.isCryptoKey(part)) {
    return { what: "a CryptoKey", instead: "store what crypto.subtle.exportKey() gives" };
  }
  const memory = ArrayBuffer.isView(part) ? part.buffer : part;
  if (!types.isAnyArrayBuffer(memory)) return undefined;
  const instead = "store it before it is transferred, or a copy of it";
  if (isDetached(memory)) return { what: "memory that was transferred to another thread", instead };
  return types.isSharedArrayBuffer(part)
    ? {
        what: "a SharedArrayBuffer",
        instead: "store a copy of its bytes, Buffer.from(new Uint8Array(shared))",
      }
    : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isCloneable(value: unknown): boolean {
  try {
    serialize(value);
    return true;
  } catch {
    return false;
  }
}

/** Which part of a value cannot be cloned, and how it is reached: `.users[3].name`. Only called when one is known to be there. */
function findUncloneable(value: unknown): { path: string; part: unknown } {
  const seen = new Set<unknown>();
  let path = "";
  let part = value;
  // One that is nested deeper may fail for that alone, and would be looked for for long.
  for (let depth = 0; depth < MAX_JSON_DEPTH; depth++) {
    seen.add(part);
    // Of an object in a cycle each part fails that leads back to it: one that was seen is no culprit.
    const next = partsOf(part).find((each) => !seen.has(each.part) && !isCloneable(each.part));
    if (next === undefined) return { path, part };
    path += next.path;
    part = next.part;
  }
  return { path: "", part: value };
}

function partsOf(value: unknown): { path: string; part: unknown }[] {
  if (typeof value !== "object" || value === null) return [];
  if (value instanceof Map) {
    return [...value].flatMap(([key, part]) => [
      { path: `.get(${show(key)})`, part },
      { path: `'s key ${show(key)}`, part: key },
    ]);
  }
  if (value instanceof Set) return [...value].map((part) => ({ path: `'s member ${show(part)}`, part }));
  if (ArrayBuffer.isView(value)) return [];
  return Object.keys(value).map((name) => ({
    path: Array.isArray(value)
      ? `[${name}]`
      : /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)
        ? `.${name}`
        : `[${show(name)}]`,
    part: (value as Record<string, unknown>)[name],
  }));
}

/** Whether `text` stands for bytes that are not UTF-8: reading puts U+FFFD in their place, which may also have been stored as such. */
export function isAltered(text: string, buf: Buffer, start: number, end: number): boolean {
  return text.includes("\ufffd") && !isUtf8(buf.subarray(start, end));
}

/** Bytes that may be kept: the buffer itself when it was made for this one reply, else a copy, since a chunk must not be kept alive by one value. */
export function ownBytes(buf: Buffer, start: number, end: number, owned: boolean): Buffer {
  const bytes = buf.subarray(start, end);
  return owned ? bytes : Buffer.from(bytes);
}

/**
 * The value that `buf[start..end]` holds under a tag. Text that is not UTF-8 comes back as bytes, and so does what only its writer understands:
 * pickle, MessagePack, what has a media type, and tags of the user's without their codec. Throws DecodeError for what should be understood and is not.
 */
export function decodeValue(
  tag: number,
  buf: Buffer,
  start: number,
  end: number,
  owned: boolean,
  codec?: Codec,
): unknown {
  switch (tag) {
    case Tag.TEXT: {
      const text = readText(buf, start, end);
      return isAltered(text, buf, start, end) ? ownBytes(buf, start, end, owned) : text;
    }
    case Tag.JSON:
      return decodeJson(buf, start, end);
    case Tag.BYTES:
    case Tag.PICKLE:
    case Tag.MESSAGEPACK:
      return ownBytes(buf, start, end, owned);
    case Tag.V8:
      return decodeV8(buf, start, end, owned);
    case Tag.TYPED:
      return ownBytes(buf, afterMediaType(buf, start, end), end, owned);
  }
  if (tag < Tag.USER) {
    throw new DecodeError(
      `the value has the tag ${tag}, which this version of rustcache does not know: a newer one has stored it, so read it with that`,
    );
  }
  const bytes = ownBytes(buf, start, end, owned);
  if (codec === undefined || codec.tag !== tag) return bytes;
  const refuse = (cause: unknown): never => {
    throw new DecodeError(`the codec with tag ${tag} cannot decode ${show(bytes)}: ${messageOf(cause)}`, {
      cause,
    });
  };
  try {
    const value: unknown = codec.decode(bytes);
    return value instanceof Promise ? value.catch(refuse) : value;
  } catch (error) {
    return refuse(error);
  }
}

/** Where the bytes begin that have their media type in front: its length, a byte, and its name. */
function afterMediaType(buf: Buffer, start: number, end: number): number {
  const from = start + 1 + (start < end ? buf[start]! : end);
  if (from <= end) return from;
  throw new DecodeError(
    `the value ${show(buf.subarray(start, end))} has the tag ${Tag.TYPED} and no media type in front of it: whoever stored it should store it with another`,
  );
}

function decodeJson(buf: Buffer, start: number, end: number): unknown {
  const text = readText(buf, start, end);
  try {
    if (isAltered(text, buf, start, end)) throw new SyntaxError("it is not UTF-8");
    return JSON.parse(text);
  } catch (error) {
    throw new DecodeError(
      `the value ${show(buf.subarray(start, end))} is stored as JSON and is none (${messageOf(error)}): whoever stored it with tag 2 should store it with another`,
      { cause: error },
    );
  }
}

function decodeV8(buf: Buffer, start: number, end: number, owned: boolean): unknown {
  let bytes = buf.subarray(start, end);
  if (!owned) {
    // Not from Buffer's pool: typed arrays come back as views of this memory.
    bytes = Buffer.allocUnsafeSlow(end - start);
    buf.copy(bytes, 0, start, end);
  }
  try {
    return deserialize(bytes);
  } catch (error) {
    throw new DecodeError(
      `the value ${show(bytes)} is stored as V8-serialized and cannot be read (${messageOf(error)}): another version of Node may have stored it`,
      { cause: error },
    );
  }
}

/** Checks the option `codec`; null = none. */
export function checkCodec(codec: unknown): Codec | undefined {
  if (codec === undefined || codec === null) return undefined;
  if (typeof codec !== "object") {
    throw new InvalidArgumentError(`codec must be an object with tag, encode and decode, got ${show(codec)}`);
  }
  const { tag, encode, decode, freshBytes } = codec as Record<keyof Codec, unknown>;
  if (typeof tag !== "number" || !Number.isInteger(tag) || tag < Tag.USER || tag > 255) {
    throw new InvalidArgumentError(`codec.tag must be an integer from 128 to 255, got ${show(tag)}`);
  }
  if (freshBytes !== undefined && typeof freshBytes !== "boolean") {
    throw new InvalidArgumentError(`codec.freshBytes must be true or false, got ${show(freshBytes)}`);
  }
  for (const [name, part] of Object.entries({ encode, decode })) {
    if (typeof part !== "function") {
      throw new InvalidArgumentError(`codec.${name} must be a function, got ${show(part)}`);
    }
  }
  return codec as Codec;
}
