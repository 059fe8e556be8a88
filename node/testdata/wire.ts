// A channel for the tests, over a wire of their own: every byte, every death and every order is theirs to choose.

import type { Decode } from "../call.js";
import { Channel, type ChannelHooks, type ChannelOptions } from "../channel.js";
import { ConnectionLostError } from "../errors.js";
import type { Wire } from "../outbox.js";
import { Expiry, NO_EXPIRY, Op, PREFACE, readText, Status } from "../protocol.js";

export interface Frame {
  id: number;
  op: number;
  key: string;
  value: string;
}

/** A wire that keeps what is written. `auto`: every write is done in the next tick; else when the test says so. */
export class FakeWire implements Wire {
  /** The chunks themselves: those of the write buffer change once they are done. */
  chunks: Uint8Array[] = [];
  readonly #copies: Buffer[] = [];
  writes = 0;
  writableLength = 0;
  auto = true;
  /** False: what is written is forgotten. */
  keeps = true;
  readonly #undone: { size: number; done: (error?: Error | null) => void }[] = [];
  #corked = 0;
  #taken = 0;

  write(chunk: Uint8Array, done: (error?: Error | null) => void): boolean {
    if (this.#corked === 0) this.writes++;
    if (this.keeps) {
      this.chunks.push(chunk);
      this.#copies.push(Buffer.from(chunk));
    }
    this.writableLength += chunk.length;
    this.#undone.push({ size: chunk.length, done });
    if (this.auto) process.nextTick(() => this.finish(1));
    return true;
  }

  cork(): void {
    this.#corked++;
    this.writes++;
  }

  uncork(): void {
    this.#corked--;
  }

  /** The first `count` writes leave. */
  finish(count = Number.POSITIVE_INFINITY, error?: Error): void {
    for (let i = 0; i < count && this.#undone.length > 0; i++) {
      const { size, done } = this.#undone.shift()!;
      this.writableLength -= size;
      done(error ?? null);
    }
  }

  /** The requests written since the last call, without preface and HELLO. */
  frames(): Frame[] {
    const bytes = Buffer.concat(this.#copies);
    const frames: Frame[] = [];
    let pos = PREFACE.length;
    while (pos < bytes.length) {
      const length = bytes.readUInt32LE(pos);
      const op = bytes[pos + 8]!;
      const keyStart = pos + 16;
      const keyEnd = keyStart + bytes.readUInt32LE(pos + 12);
      const next = pos + 4 + length;
      const [key, value] = [bytes.toString("utf8", keyStart, keyEnd), bytes.toString("utf8", keyEnd, next)];
      if (op !== Op.HELLO) frames.push({ id: bytes.readUInt32LE(pos + 4), op, key, value });
      pos = next;
    }
    const fresh = frames.slice(this.#taken);
    this.#taken = frames.length;
    return fresh;
  }
}

export function frame(id: number, status: number, body: string | Buffer = "", tag = 1): Buffer {
  const bytes = Buffer.from(body as string);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(12 + bytes.length, 0);
  header.writeUInt32LE(id, 4);
  header[8] = status;
  header[10] = tag;
  return Buffer.concat([header, bytes]);
}

export function hello(id: number, limits = { key: 65_536, value: 1 << 26, frame: 67_239_936 }): Buffer {
  const fields = Buffer.alloc(24);
  fields.writeUInt16LE(2, 0);
  fields.writeUInt16LE(2, 2);
  fields.writeUInt16LE(2, 4);
  fields.writeUInt32LE(limits.key, 12);
  fields.writeUInt32LE(limits.value, 16);
  fields.writeUInt32LE(limits.frame, 20);
  return Buffer.concat([PREFACE, frame(id, Status.OK, fields)]);
}

/** A channel with everything that it told its owner. */
export function make(options: Partial<ChannelOptions> = {}) {
  const told: string[] = [];
  const hooks: ChannelHooks = {
    busy: () => told.push("busy"),
    idle: () => told.push("idle"),
    wanted: () => told.push("wanted"),
    broken: () => told.push("broken"),
  };
  const channel = new Channel({ timeout: 0, maxQueuedBytes: 1 << 20, ...options }, hooks);
  return { channel, told };
}

export async function connected(options: Partial<ChannelOptions> = {}) {
  const { channel, told } = make(options);
  const wire = new FakeWire();
  const handshake = channel.connect(wire);
  channel.receive(hello(options.firstId ?? 1));
  await handshake;
  // The handshake has left the queue.
  await tick();
  return { channel, told, wire };
}

/** The next connection of a channel. */
export async function reconnect(channel: Channel) {
  const wire = new FakeWire();
  const handshake = channel.connect(wire);
  const id = Buffer.concat(wire.chunks).readUInt32LE(PREFACE.length + 4);
  channel.receive(hello(id));
  await handshake;
  await tick();
  return wire;
}

const text: Decode<string> = (status, _tag, buf, start, end) =>
  status === Status.OK ? readText(buf, start, end) : "";

export function get(channel: Channel, key: string, options = {}): Promise<string> {
  return channel.call(Op.GET, 0, 0, null, NO_EXPIRY, key, null, text, options);
}

export function set(
  channel: Channel,
  key: string,
  value: string | Uint8Array,
  options = {},
): Promise<string> {
  return channel.call(Op.SET, 0, 1, null, NO_EXPIRY, key, value, text, options);
}

/** Any op, with a key. */
export function request(channel: Channel, op: number, flags: number, key: string, options = {}) {
  const kind = flags & (7 << 2);
  const expiry = kind === Expiry.TTL || kind === Expiry.DEADLINE ? 1000 : NO_EXPIRY;
  return channel.call(op, flags, 0, null, expiry, key, null, text, options);
}

/** How a promise ends, and how often. */
export function watch<T>(promise: Promise<T>) {
  const seen = { settled: 0, value: undefined as T | undefined, error: undefined as Error | undefined };
  promise.then(
    (value) => {
      seen.settled++;
      seen.value = value;
    },
    (error: Error) => {
      seen.settled++;
      seen.error = error;
    },
  );
  return seen;
}

export const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
export const lost = (maybeApplied: boolean) => new ConnectionLostError("the test says so", maybeApplied);
