// What may be wrapped around a value: its times, its tags with their generations, and compression. Pure: where the bytes are. The layout is
// in docs/protocol.md, "Wrapped values"; what is inside is values.ts's affair.
//
// Invariant: a value that needs none of this is never wrapped, so that other languages read it as it is.

import { DecodeError } from "./errors.js";
import { readU32, readU64, Tag, writeU32, writeU64 } from "./protocol.js";

/** What a wrapped value has, as flags of its tag. */
const FLAGS = 0x07;
const ENVELOPE = 1;

/** How a value is compressed, where the tag carries it. */
export const Method = { NONE: 0 << 1, BROTLI: 1 << 1, ZSTD: 2 << 1 } as const;
const METHOD = 3 << 1;

const NEVER = 2 ** 53 - 1;
/** `storedAt` and `freshUntil`. */
const TIMES_BYTES = 16;
const GENERATION_BYTES = 8;
const MAX_TAGS = 255;
/** The longest name of a tag, in bytes: it has to fit into a key. */
export const MAX_TAG_BYTES = 1024;

/** A tag as an entry carries it. */
export interface TagStamp {
  readonly name: string;
  /** What the tag's generation was when the value was stored: 8 bytes, as Latin-1 text. */
  readonly generation: string;
}

/** What an entry says of itself. */
export interface Envelope {
  /** Milliseconds since 1970. */
  readonly storedAt: number;
  /** Milliseconds since 1970, from which on the entry is stale; Infinity = never. */
  readonly freshUntil: number;
  readonly tags: readonly TagStamp[];
}

/** A value that has been unwrapped: its bytes begin at `start`. */
export interface Unwrapped {
  /** Of the value itself. */
  readonly tag: number;
  readonly envelope: Envelope | null;
  readonly method: number;
  /** Bytes of the value once it is decompressed. */
  readonly length: number;
  readonly start: number;
}

export function isWrapped(tag: number): boolean {
  return (tag & ~FLAGS) === Tag.WRAPPED;
}

/** Whether an entry may have as many tags. */
export function fitsTags(count: number): boolean {
  return count <= MAX_TAGS;
}

/** Wraps a value. `length`: its bytes before it was compressed. */
export function wrap(
  tag: number,
  envelope: Envelope | null,
  method: number,
  length: number,
  body: string | Uint8Array,
): { tag: number; body: Buffer } {
  const bodyBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  let room = 1 + (method === Method.NONE ? 0 : 4) + bodyBytes;
  if (envelope !== null) {
    room += TIMES_BYTES + 1;
    for (const { name } of envelope.tags) room += 2 + Buffer.byteLength(name) + GENERATION_BYTES;
  }
  const bytes = Buffer.allocUnsafe(room);
  bytes[0] = tag;
  let pos = 1;
  if (envelope !== null) {
    writeU64(bytes, pos, envelope.storedAt);
    writeU64(bytes, pos + 8, Math.min(envelope.freshUntil, NEVER));
    pos += TIMES_BYTES;
    bytes[pos++] = envelope.tags.length;
    for (const { name, generation } of envelope.tags) {
      const length = bytes.write(name, pos + 2);
      bytes.writeUInt16LE(length, pos);
      pos += 2 + length;
      pos += bytes.write(generation, pos, "latin1");
    }
  }
  if (method !== Method.NONE) {
    writeU32(bytes, pos, length);
    pos += 4;
  }
  if (typeof body === "string") bytes.write(body, pos);
  else bytes.set(body, pos);
  return { tag: Tag.WRAPPED | method | (envelope === null ? 0 : ENVELOPE), body: bytes };
}

/** Reads what is wrapped around the value in `buf[start..end]`. Throws DecodeError when it is damaged, or of a kind that is unknown here. */
export function unwrap(tag: number, buf: Buffer, start: number, end: number): Unwrapped {
  const method = tag & METHOD;
  if (method === METHOD || (tag & FLAGS) === 0) {
    throw new DecodeError(
      `the value has the tag ${tag}, which this version of rustcache does not know: a newer one has stored it, so read it with that`,
    );
  }
  let pos = start;
  const take = (bytes: number): number => {
    const at = pos;
    pos += bytes;
    if (pos > end) {
      throw new DecodeError(
        `the value has the tag ${tag} and ${end - start} bytes, which end within what is wrapped around it: whoever stored it did not follow docs/protocol.md`,
      );
    }
    return at;
  };
  const inner = buf[take(1)]!;
  let envelope: Envelope | null = null;
  if ((tag & ENVELOPE) !== 0) {
    const storedAt = readU64(buf, take(8));
    const fresh = readU64(buf, take(8));
    const tags: TagStamp[] = [];
    for (let count = buf[take(1)]!; count > 0; count--) {
      const bytes = buf.readUInt16LE(take(2));
      const name = take(bytes);
      const generation = take(GENERATION_BYTES);
      tags.push({
        name: buf.toString("utf8", name, name + bytes),
        generation: buf.toString("latin1", generation, generation + GENERATION_BYTES),
      });
    }
    envelope = { storedAt, freshUntil: fresh >= NEVER ? Number.POSITIVE_INFINITY : fresh, tags };
  }
  const length = method === Method.NONE ? end - pos : readU32(buf, take(4));
  return { tag: inner, envelope, method, length, start: pos };
}
