// The write side of one connection: requests are encoded into a reused buffer and leave in one write per tick.
// Large values are not copied: they are chunks of their own between pieces of the buffer. Pure; knows nothing of calls
// and replies. One Outbox lives as long as its connection.

import {
  checkKeyLength,
  checkValueLength,
  encodeText,
  type Limits,
  roomForRequest,
  writeRequest,
} from "./protocol.js";

/** Values from this size on are written as a chunk of their own instead of being copied into the write buffer. */
export const OWN_CHUNK_BYTES = 16 * 1024;
const SLAB_BYTES = 64 * 1024;
/** Emptied slabs that are kept for the next burst. */
const SPARE_SLABS = 8;

/** Where a connection's bytes go: a Writable is one. */
export interface Wire {
  write(chunk: Uint8Array, done: (error?: Error | null) => void): unknown;
  cork(): void;
  uncork(): void;
  /** Bytes taken by `write` that have not left yet. */
  readonly writableLength: number;
}

type Done = (error?: Error | null) => void;

/** A piece of the buffer's memory. It is filled again once nothing written from it is on its way. */
class Slab {
  readonly bytes: Buffer;
  onWay = 0;
  readonly done: Done;

  constructor(size: number, written: (slab: Slab) => void) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.done = () => {
      this.onWay--;
      written(this);
    };
  }
}

export class Outbox {
  readonly #wire: Wire;
  readonly #onWritten: () => void;
  #stopped = false;

  // `#start..#pos` of `#slab` is encoded and in no chunk yet; `#chunks` come before it, in order.
  #slab: Slab;
  #start = 0;
  #pos = 0;
  readonly #spare: Slab[] = [];
  #chunks: Uint8Array[] = [];
  #chunkDone: Done[] = [];
  #unflushed = 0;
  #onWay = 0;
  #flushDue = false;

  /** `onWritten` is called when something has left. */
  constructor(wire: Wire, onWritten: () => void) {
    this.#wire = wire;
    this.#onWritten = onWritten;
    this.#slab = new Slab(SLAB_BYTES, this.#slabDone);
  }

  /** Bytes that have not left this process. */
  get queued(): number {
    return this.#unflushed + this.#onWay;
  }

  /** True when something was added in this tick. */
  get flushDue(): boolean {
    return this.#flushDue;
  }

  /**
   * Adds one request. Throws, with nothing added, when the key or the value passes a limit or is not well-formed text. A value of
   * `OWN_CHUNK_BYTES` or more that is bytes must not be changed by its owner until the call is settled.
   */
  request(
    id: number,
    op: number,
    flags: number,
    tag: number,
    fields: Uint8Array | null,
    expiry: number,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    limits: Limits,
  ): void {
    let room = roomForRequest(fields, key, value);
    let apart: Uint8Array | null = null;
    if (room > OWN_CHUNK_BYTES) {
      apart = this.#setApart(key, value, limits);
      if (apart !== null) room = roomForRequest(fields, key, null);
    }
    if (this.#pos + room > this.#slab.bytes.length) this.#nextSlab(room);
    const pos = this.#pos;
    const inline = apart === null ? value : null;
    const tail = apart === null ? 0 : apart.length;
    const bytes = this.#slab.bytes;
    const end = writeRequest(bytes, pos, id, op, flags, tag, fields, expiry, key, inline, tail, limits);
    this.#pos = end;
    this.#unflushed += end - pos + tail;
    if (!this.#flushDue) {
      this.#flushDue = true;
      process.nextTick(this.#flushTick);
    }
    if (apart !== null && tail > 0) {
      this.#seal();
      this.#chunks.push(apart);
      this.#chunkDone.push(this.#chunkLeft);
    }
  }

  /** Bytes that go first, before any request. */
  raw(bytes: Uint8Array): void {
    this.#wire.write(bytes, this.#chunkLeft);
    this.#onWay = this.#wire.writableLength;
  }

  /** Writes what was added, without waiting for the end of the tick. */
  flush(): void {
    if (this.#stopped || this.#unflushed === 0) return;
    const wire = this.#wire;
    if (this.#chunks.length === 0) {
      const slab = this.#slab;
      slab.onWay++;
      const bytes = slab.bytes.subarray(this.#start, this.#pos);
      this.#start = this.#pos;
      this.#unflushed = 0;
      wire.write(bytes, slab.done);
    } else {
      this.#seal();
      const chunks = this.#chunks;
      const done = this.#chunkDone;
      this.#chunks = [];
      this.#chunkDone = [];
      this.#unflushed = 0;
      // Corked, the chunks leave in one system call.
      wire.cork();
      for (let i = 0; i < chunks.length; i++) wire.write(chunks[i]!, done[i]!);
      wire.uncork();
    }
    this.#onWay = wire.writableLength;
  }

  /** The connection is over: nothing more is written, and nothing reported. */
  stop(): void {
    this.#stopped = true;
    this.#chunks = [];
    this.#chunkDone = [];
    this.#unflushed = 0;
    this.#onWay = 0;
  }

  readonly #flushTick = (): void => {
    this.#flushDue = false;
    this.flush();
  };

  /** The value as a chunk of its own when it is large; null when it is the key that is large, or neither. */
  #setApart(
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    limits: Limits,
  ): Uint8Array | null {
    // Longer in UTF-16 units than allowed in bytes: refuse before any memory is taken for it.
    if (key !== null && key.length > limits.keyLimit) checkKeyLength(key.length, key, limits);
    if (value === null || value.length * 3 < OWN_CHUNK_BYTES) return null;
    if (typeof value !== "string") return value.length < OWN_CHUNK_BYTES ? null : value;
    if (value.length > limits.frameLimit) checkValueLength(value.length, limits);
    return encodeText(value, "value");
  }

  /** Closes the piece that is being filled and makes it a chunk. */
  #seal(): void {
    if (this.#pos === this.#start) return;
    this.#slab.onWay++;
    this.#chunks.push(this.#slab.bytes.subarray(this.#start, this.#pos));
    this.#chunkDone.push(this.#slab.done);
    this.#start = this.#pos;
  }

  /** The slab is full. What is in it leaves now, so that the daemon has work while we encode. */
  #nextSlab(room: number): void {
    this.flush();
    const old = this.#slab;
    const spare = room <= SLAB_BYTES ? this.#spare.pop() : undefined;
    this.#slab = spare ?? new Slab(Math.max(room, SLAB_BYTES), this.#slabDone);
    this.#start = 0;
    this.#pos = 0;
    this.#keepSpare(old);
  }

  #keepSpare(slab: Slab): void {
    if (slab.onWay > 0 || slab.bytes.length !== SLAB_BYTES || this.#spare.length >= SPARE_SLABS) return;
    this.#spare.push(slab);
  }

  readonly #slabDone = (slab: Slab): void => {
    if (this.#stopped) return;
    if (slab.onWay === 0) {
      if (slab !== this.#slab) {
        this.#keepSpare(slab);
      } else if (this.#start === this.#pos) {
        this.#start = 0;
        this.#pos = 0;
      }
    }
    this.#left();
  };

  readonly #chunkLeft: Done = () => {
    if (!this.#stopped) this.#left();
  };

  #left(): void {
    this.#onWay = this.#wire.writableLength;
    this.#onWritten();
  }
}
