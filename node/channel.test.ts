// The channel over a wire of this file's own: no process, every byte and every death under the test's control.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Decode } from "./call.js";
import { Channel, type ChannelHooks, type ChannelOptions } from "./channel.js";
import { ConnectionLostError } from "./errors.js";
import { OWN_CHUNK_BYTES, type Wire } from "./outbox.js";
import { NO_EXPIRY, Op, PREFACE, readText, Status } from "./protocol.js";

interface Frame {
  id: number;
  op: number;
  key: string;
  value: string;
}

/** A wire that keeps what is written. `auto`: every write is done in the next tick; else when the test says so. */
class FakeWire implements Wire {
  /** The chunks themselves: those of the write buffer change once they are done. */
  chunks: Uint8Array[] = [];
  readonly #copies: Buffer[] = [];
  writes = 0;
  writableLength = 0;
  auto = true;
  readonly #undone: { size: number; done: (error?: Error | null) => void }[] = [];
  #corked = 0;
  #taken = 0;

  write(chunk: Uint8Array, done: (error?: Error | null) => void): boolean {
    if (this.#corked === 0) this.writes++;
    this.chunks.push(chunk);
    this.#copies.push(Buffer.from(chunk));
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

function frame(id: number, status: number, body: string | Buffer = "", tag = 1): Buffer {
  const bytes = Buffer.from(body as string);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(12 + bytes.length, 0);
  header.writeUInt32LE(id, 4);
  header[8] = status;
  header[10] = tag;
  return Buffer.concat([header, bytes]);
}

function hello(id: number, limits = { key: 65_536, value: 1 << 26, frame: 67_239_936 }): Buffer {
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
function make(options: Partial<ChannelOptions> = {}) {
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

async function connected(options: Partial<ChannelOptions> = {}) {
  const { channel, told } = make(options);
  const wire = new FakeWire();
  const handshake = channel.connect(wire);
  channel.receive(hello(options.firstId ?? 1));
  await handshake;
  // The handshake has left the queue.
  await tick();
  return { channel, told, wire };
}

const text: Decode<string> = (status, _tag, buf, start, end) =>
  status === Status.OK ? readText(buf, start, end) : "";

function get(channel: Channel, key: string, options = {}): Promise<string> {
  return channel.call(Op.GET, 0, 0, null, NO_EXPIRY, key, null, text, options);
}

function set(channel: Channel, key: string, value: string | Uint8Array, options = {}): Promise<string> {
  return channel.call(Op.SET, 0, 1, null, NO_EXPIRY, key, value, text, options);
}

/** How a promise ends, and how often. */
function watch<T>(promise: Promise<T>) {
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

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
const lost = (maybeApplied: boolean) => new ConnectionLostError("the test says so", maybeApplied);

describe("replies find their calls", () => {
  test("in any order, and each call settles once", async () => {
    const { channel, wire } = await connected();
    const calls = Array.from({ length: 500 }, (_, i) => get(channel, `key ${i}`));
    await tick();
    const frames = wire.frames();
    assert.deepEqual(
      frames.map((each) => each.key),
      Array.from({ length: 500 }, (_, i) => `key ${i}`),
    );
    const shuffled = frames.map((each, i) => ({ each, at: (i * 7919) % 500 })).sort((a, b) => a.at - b.at);
    channel.receive(
      Buffer.concat(shuffled.map(({ each }) => frame(each.id, Status.OK, `value of ${each.key}`))),
    );
    assert.deepEqual(
      await Promise.all(calls),
      Array.from({ length: 500 }, (_, i) => `value of key ${i}`),
    );
    assert.equal(channel.pending, 0);
  });

  test("all calls of a tick leave in one write", async () => {
    const { channel, wire } = await connected();
    const before = wire.writes;
    const calls = [1, 2, 3].map((i) => set(channel, `k${i}`, "v"));
    await tick();
    assert.equal(wire.writes, before + 1);
    for (const { id } of wire.frames()) channel.receive(frame(id, Status.OK));
    await Promise.all(calls);
  });

  test("a reply twice, and one that nobody asked for, are dropped", async () => {
    const { channel, wire } = await connected();
    const call = watch(get(channel, "k"));
    await tick();
    const [{ id }] = wire.frames() as [Frame];
    channel.receive(Buffer.concat([frame(id + 1, Status.OK, "stray"), frame(id, Status.OK, "mine")]));
    channel.receive(Buffer.concat([frame(id, Status.OK, "again"), frame(0, Status.OK, "stray")]));
    await tick();
    assert.deepEqual(call, { settled: 1, value: "mine", error: undefined });
    assert.equal(channel.pending, 0);
  });

  test("an error frame rejects its call alone, with the type of its status", async () => {
    const { channel, wire } = await connected();
    const [bad, good] = [set(channel, "k", "v"), set(channel, "l", "v")];
    await tick();
    const [first, second] = wire.frames() as [Frame, Frame];
    channel.receive(
      Buffer.concat([
        frame(first.id, Status.TOO_LARGE, "it can never fit"),
        frame(second.id, Status.OK, "done"),
      ]),
    );
    await assert.rejects(bad, { code: "ERR_RUSTCACHE_TOO_LARGE", message: "it can never fit" });
    assert.equal(await good, "done");
  });

  test("a decoder that throws rejects its call alone", async () => {
    const { channel, wire } = await connected();
    const fault = new Error("decoder");
    const bad = channel.call(Op.PING, 0, 0, null, NO_EXPIRY, null, null, () => {
      throw fault;
    });
    const good = get(channel, "k");
    await tick();
    const [first, second] = wire.frames() as [Frame, Frame];
    channel.receive(Buffer.concat([frame(first.id, Status.OK), frame(second.id, Status.OK, "fine")]));
    await assert.rejects(bad, fault);
    assert.equal(await good, "fine");
  });

  test("ids wrap around, and skip those still in use", async () => {
    const firstId = 0x7fffffff - 600;
    const { channel, wire } = await connected({ firstId });
    const slow = [get(channel, "slow 1"), get(channel, "slow 2")];
    await tick();
    const slowIds = wire.frames().map((each) => each.id);
    const seen = new Set(slowIds);
    // 1024 slots: after as many calls the ring comes round to the slow ones.
    for (let round = 0; round < 30; round++) {
      const calls = Array.from({ length: 100 }, (_, i) => get(channel, `${round} ${i}`));
      await tick();
      for (const { id, key } of wire.frames()) {
        assert.ok(id > 0 && id <= 0x7fffffff, `id ${id}`);
        assert.ok(!slowIds.includes(id), `id ${id} is in use`);
        seen.add(id);
        channel.receive(frame(id, Status.OK, key));
      }
      assert.deepEqual(
        await Promise.all(calls),
        Array.from({ length: 100 }, (_, i) => `${round} ${i}`),
      );
    }
    assert.ok(seen.has(0x7fffffff) && seen.has(1), "the ids did not wrap");
    slowIds.forEach((id, i) => {
      channel.receive(frame(id, Status.OK, `at last ${i}`));
    });
    assert.deepEqual(await Promise.all(slow), ["at last 0", "at last 1"]);
  });

  test("more calls than the ring has room for make it grow", async () => {
    const { channel, wire } = await connected({ maxQueuedBytes: 1 << 30, firstId: 900 });
    const calls = Array.from({ length: 20_000 }, (_, i) => get(channel, `${i}`));
    await tick();
    const frames = wire.frames();
    assert.equal(new Set(frames.map((each) => each.id)).size, 20_000);
    channel.receive(Buffer.concat(frames.reverse().map((each) => frame(each.id, Status.OK, each.key))));
    const values = await Promise.all(calls);
    assert.ok(values.every((value, i) => value === `${i}`));
  });
});

describe("every call settles exactly once, whatever dies", () => {
  /** One call of each sort: answered, a read and a write in flight, one that waits. */
  async function various() {
    const made = await connected({ maxQueuedBytes: 100 });
    made.wire.auto = false;
    const answered = watch(get(made.channel, "answered"));
    const read = watch(get(made.channel, "r".repeat(50)));
    const write = watch(set(made.channel, "w".repeat(50), "v"));
    const waiting = watch(set(made.channel, "waiting", "v"));
    await tick();
    const frames = made.wire.frames();
    assert.equal(frames.length, 3, "the fourth call was to wait");
    const replies = Buffer.concat(frames.map((each) => frame(each.id, Status.OK, "late")));
    made.channel.receive(frame(frames[0]!.id, Status.OK, "yes"));
    return { ...made, answered, read, write, waiting, replies };
  }

  test("the connection ends: what was sent rejects and says whether it may have happened; what waits goes on", async () => {
    const { channel, told, answered, read, write, waiting, replies } = await various();
    channel.disconnect(lost);
    channel.disconnect(lost);
    channel.receive(replies);
    await tick();
    assert.deepEqual(answered, { settled: 1, value: "yes", error: undefined });
    for (const [call, maybeApplied] of [
      [read, false],
      [write, true],
    ] as const) {
      assert.equal(call.settled, 1);
      assert.ok(call.error instanceof ConnectionLostError);
      assert.equal(call.error.maybeApplied, maybeApplied);
    }
    assert.equal(waiting.settled, 0);
    assert.equal(told.at(-1), "wanted");
    const next = new FakeWire();
    const handshake = channel.connect(next);
    const id = Buffer.concat(next.chunks).readUInt32LE(PREFACE.length + 4);
    channel.receive(hello(id));
    await handshake;
    await tick();
    const [sent] = next.frames() as [Frame];
    assert.equal(sent.key, "waiting");
    channel.receive(frame(sent.id, Status.OK, "done"));
    await tick();
    assert.deepEqual(waiting, { settled: 1, value: "done", error: undefined });
    assert.equal(channel.pending, 0);
    assert.equal(told.at(-1), "idle");
  });

  test("close: all that was called before is sent, calls afterwards reject", async () => {
    const { channel, wire, read, write, waiting } = await various();
    channel.close();
    await assert.rejects(get(channel, "k"), { code: "ERR_RUSTCACHE_CLOSED", maybeApplied: false });
    const frames = wire.frames();
    assert.deepEqual(
      frames.map((each) => each.key),
      ["waiting"],
    );
    channel.receive(frame(frames[0]!.id, Status.OK, "still answered"));
    channel.disconnect(lost);
    await tick();
    assert.equal(waiting.value, "still answered");
    assert.deepEqual([read.settled, write.settled, waiting.settled], [1, 1, 1]);
    assert.equal(channel.pending, 0);
  });

  test("nonsense on the stream: the owner is told, nothing after it is believed, and no call is sent into it", async () => {
    const { channel, told, read, write, replies } = await various();
    channel.receive(Buffer.alloc(64, 0xff));
    assert.equal(told.at(-1), "broken");
    channel.receive(replies);
    const later = watch(get(channel, "later"));
    await tick();
    assert.deepEqual([read.settled, write.settled, later.settled], [0, 0, 0]);
    channel.disconnect(lost);
    await tick();
    assert.deepEqual([read.settled, write.settled, later.settled], [1, 1, 0]);
  });

  test("there will be no connection: what waits rejects", async () => {
    const { channel, told } = make();
    const calls = [watch(get(channel, "a")), watch(get(channel, "b"))];
    assert.deepEqual(told, ["busy", "wanted", "wanted"]);
    const error = new Error("no");
    channel.refuseWaiting(error);
    channel.refuseWaiting(new Error("other"));
    await tick();
    for (const call of calls) assert.deepEqual(call, { settled: 1, value: undefined, error });
    assert.equal(told.at(-1), "idle");
  });

  test("a write that fails does nothing by itself: the owner sees the pipe break and disconnects", async () => {
    const { channel, wire } = await connected();
    wire.auto = false;
    const call = watch(get(channel, "k"));
    await tick();
    wire.finish(Number.POSITIVE_INFINITY, new Error("EPIPE"));
    channel.disconnect(lost);
    wire.finish();
    await tick();
    assert.equal(call.settled, 1);
    assert.ok(call.error instanceof ConnectionLostError);
  });

  test("a connection that ends before the handshake rejects it, and calls go on waiting", async () => {
    const { channel } = make();
    const call = watch(get(channel, "k"));
    const handshake = channel.connect(new FakeWire());
    channel.disconnect(lost);
    await assert.rejects(handshake, ConnectionLostError);
    assert.equal(call.settled, 0);
  });

  test("a refused handshake rejects", async () => {
    const { channel } = make();
    const handshake = channel.connect(new FakeWire());
    channel.receive(Buffer.concat([PREFACE, frame(1, Status.UNSUPPORTED_VERSION, "9 to 9 only")]));
    await assert.rejects(handshake, /UNSUPPORTED_VERSION: 9 to 9 only/);
  });

  test("replies right behind the handshake, in its chunk, are read by the limits that it names", async () => {
    const { channel, wire } = await connected();
    assert.equal(wire.chunks.length, 2);
    assert.equal(channel.limits?.frameLimit, 67_239_936);
    const call = get(channel, "k");
    await tick();
    const [{ id }] = wire.frames() as [Frame];
    const big = frame(id, Status.OK, "x".repeat(200_000));
    channel.receive(big.subarray(0, 1000));
    channel.receive(big.subarray(1000));
    assert.equal((await call).length, 200_000);
  });
});

describe("giving up", () => {
  test("a timeout rejects; the late reply is dropped, and its id is not used before", async () => {
    const { channel, wire, told } = await connected();
    const call = watch(set(channel, "slow", "v", { timeout: 5 }));
    while (call.settled === 0) await tick();
    assert.equal((call.error as NodeJS.ErrnoException).code, "ERR_RUSTCACHE_TIMEOUT");
    assert.match(call.error!.message, /within 5 ms.*may or may not have happened/);
    assert.equal(channel.pending, 0);
    assert.equal(told.at(-1), "idle");
    const [{ id }] = wire.frames() as [Frame];
    // Once round the ring, and the slot of the slow call is still taken.
    for (let i = 0; i < 1100; i++) {
      const next = get(channel, `${i}`);
      channel.flush();
      const [sent] = wire.frames() as [Frame];
      assert.notEqual(sent.id & 1023, id & 1023);
      channel.receive(frame(sent.id, Status.OK, `${i}`));
      assert.equal(await next, `${i}`);
    }
    channel.receive(frame(id, Status.OK, "too late"));
    await tick();
    assert.equal(call.settled, 1);
  });

  test("a call without a timeout of its own has the channel's, one with 0 has none", async () => {
    const { channel } = await connected({ timeout: 5 });
    const [short, none] = [watch(get(channel, "a")), watch(get(channel, "b", { timeout: 0 }))];
    while (short.settled === 0) await tick();
    assert.equal((short.error as NodeJS.ErrnoException).code, "ERR_RUSTCACHE_TIMEOUT");
    assert.equal(none.settled, 0);
    channel.disconnect(lost);
  });

  test("a waiting call times out as well, and is never sent", async () => {
    const { channel } = make();
    const call = watch(set(channel, "k", "v", { timeout: 5 }));
    while (call.settled === 0) await tick();
    assert.doesNotMatch(call.error!.message, /may or may not/);
    const wire = new FakeWire();
    const handshake = channel.connect(wire);
    channel.receive(hello(1));
    await handshake;
    await tick();
    assert.deepEqual(wire.frames(), []);
  });

  test("time in which the event loop is blocked does not count", async () => {
    const { channel, wire } = await connected();
    const call = watch(get(channel, "k", { timeout: 50 }));
    const until = performance.now() + 200;
    while (performance.now() < until);
    await tick();
    assert.equal(call.settled, 0, "timed out although nobody could have read the reply");
    const [{ id }] = wire.frames() as [Frame];
    channel.receive(frame(id, Status.OK, "v"));
    await tick();
    assert.equal(call.value, "v");
  });

  test("an aborted signal: nothing is sent", async () => {
    const { channel, wire } = await connected();
    const reason = new Error("enough");
    await assert.rejects(get(channel, "k", { signal: AbortSignal.abort(reason) }), reason);
    await tick();
    assert.deepEqual(wire.frames(), []);
    assert.equal(channel.pending, 0);
  });

  test("abort while it waits: it is never sent; abort after it was sent: the late reply is dropped", async () => {
    const { channel, wire } = await connected({ maxQueuedBytes: 10 });
    wire.auto = false;
    const controller = new AbortController();
    const { signal } = controller;
    const [sent, waiting] = [
      watch(get(channel, "sent", { signal })),
      watch(get(channel, "waits", { signal })),
    ];
    await tick();
    const reason = new Error("enough");
    controller.abort(reason);
    await tick();
    assert.deepEqual(sent, { settled: 1, value: undefined, error: reason });
    assert.deepEqual(waiting, { settled: 1, value: undefined, error: reason });
    const [{ id }] = wire.frames() as [Frame];
    channel.receive(frame(id, Status.OK, "late"));
    wire.finish();
    await tick();
    assert.deepEqual(wire.frames(), []);
    assert.equal(sent.settled, 1);
  });

  test("a signal keeps no listener of a settled call", async () => {
    const { channel, wire } = await connected();
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const call = get(channel, "k", { signal });
    await tick();
    assert.equal(listeners, 1);
    const [{ id }] = wire.frames() as [Frame];
    channel.receive(frame(id, Status.OK, "v"));
    await call;
    assert.equal(listeners, 0);
    controller.abort();
    assert.equal(channel.pending, 0);
  });

  test("a daemon that hangs does not make the queue of waiting calls grow for ever", async () => {
    const { channel, wire } = await connected({ maxQueuedBytes: 10 });
    wire.auto = false;
    const held = watch(get(channel, "held"));
    await tick();
    for (let i = 0; i < 10_000; i++) {
      const controller = new AbortController();
      const call = get(channel, "k", { signal: controller.signal });
      controller.abort();
      await assert.rejects(call);
    }
    assert.equal(channel.pending, 1);
    wire.finish();
    await channel.drained();
    const frames = wire.frames();
    assert.equal(frames.length, 1, "a call that was given up was sent");
    channel.receive(frame(frames[0]!.id, Status.OK));
    await tick();
    assert.equal(held.settled, 1);
  });
});

describe("the write side", () => {
  test("no more than the bound is queued; the rest waits, goes in order, and drained() tells", async () => {
    const bound = 10_000;
    const { channel, wire } = await connected({ maxQueuedBytes: bound });
    wire.auto = false;
    const calls = Array.from({ length: 1000 }, (_, i) => watch(set(channel, `key ${i}`, "v".repeat(100))));
    await tick();
    assert.ok(
      channel.queuedBytes > bound && channel.queuedBytes < bound + 200,
      `${channel.queuedBytes} queued`,
    );
    assert.equal(channel.pending, 1000);
    const drained = watch(channel.drained());
    let most = 0;
    const keys: string[] = [];
    while (keys.length < 1000) {
      keys.push(...wire.frames().map((each) => each.key));
      most = Math.max(most, wire.writableLength);
      if (keys.length < 1000) assert.equal(drained.settled, 0);
      wire.finish();
      await tick();
    }
    assert.ok(most < bound + 200, `${most} bytes were on the wire`);
    assert.deepEqual(
      keys,
      Array.from({ length: 1000 }, (_, i) => `key ${i}`),
    );
    wire.finish();
    await tick();
    assert.equal(drained.settled, 1);
    channel.disconnect(lost);
    await tick();
    assert.ok(calls.every((call) => call.settled === 1));
  });

  test("large values are not copied, and stay in their place", async () => {
    const { channel, wire } = await connected();
    const large = Buffer.alloc(OWN_CHUNK_BYTES, "L");
    const view = new Uint8Array(new ArrayBuffer(OWN_CHUNK_BYTES * 2), 5, OWN_CHUNK_BYTES + 1).fill(65);
    const calls = [
      set(channel, "a", "1"),
      set(channel, "b", large),
      set(channel, "c", view),
      set(channel, "d", "x".repeat(OWN_CHUNK_BYTES)),
      set(channel, "e", "2"),
    ];
    const before = wire.writes;
    await tick();
    assert.equal(wire.writes, before + 1, "one system call");
    assert.ok(wire.chunks.includes(large), "the Buffer was copied");
    assert.ok(wire.chunks.includes(view), "the Uint8Array was copied");
    const frames = wire.frames();
    assert.deepEqual(
      frames.map(({ key, value }) => [key, value.length, value[0]]),
      [
        ["a", 1, "1"],
        ["b", large.length, "L"],
        ["c", view.length, "A"],
        ["d", OWN_CHUNK_BYTES, "x"],
        ["e", 1, "2"],
      ],
    );
    for (const { id } of frames) channel.receive(frame(id, Status.OK));
    await Promise.all(calls);
  });

  test("what is written is not overwritten while it is on its way", async () => {
    const { channel, wire } = await connected({ maxQueuedBytes: 1 << 30 });
    wire.auto = false;
    const copies = wire.chunks.map((chunk) => Buffer.from(chunk));
    let checked = copies.length;
    const calls: Promise<string>[] = [];
    for (let i = 0; i < 400; i++) {
      for (let j = 0; j < 10; j++) calls.push(set(channel, `key ${i} ${j}`, "v".repeat((i * 13) % 3000)));
      await tick();
      while (copies.length < wire.chunks.length) copies.push(Buffer.from(wire.chunks[copies.length]!));
      // Half of the writes stay on their way for long.
      if (i % 2 === 0) {
        assert.ok(copies[checked]!.equals(wire.chunks[checked]!));
        wire.finish(1);
        checked++;
      }
      for (let at = checked; at < copies.length; at++) {
        assert.ok(copies[at]!.equals(wire.chunks[at]!), `chunk ${at} changed while it was on its way`);
      }
    }
    for (const { id } of wire.frames()) channel.receive(frame(id, Status.OK));
    await Promise.all(calls);
  });

  test("memory of the write buffer is used again", async () => {
    const { channel, wire } = await connected();
    const memory = new Set<ArrayBufferLike>();
    for (let i = 0; i < 2000; i++) {
      const call = set(channel, `key ${i}`, "v".repeat(500));
      await tick();
      for (const chunk of wire.chunks) memory.add(chunk.buffer);
      channel.receive(frame(Buffer.from(wire.chunks.at(-1)!).readUInt32LE(4), Status.OK));
      wire.chunks = [];
      await call;
    }
    // The handshake's pieces, and the one buffer for all two thousand.
    assert.ok(memory.size <= 3, `${memory.size} buffers`);
  });

  test("a bad key or value rejects its call alone, and leaves no trace in the stream", async () => {
    const { channel, wire } = await connected();
    const limits = channel.limits!;
    const first = set(channel, "first", "1");
    for (const [key, value, code] of [
      ["k".repeat(limits.keyLimit + 1), "v", "ERR_RUSTCACHE_KEY_TOO_LONG"],
      ["é".repeat(limits.keyLimit / 2 + 1), "v", "ERR_RUSTCACHE_KEY_TOO_LONG"],
      ["k", Buffer.alloc(limits.valueLimit + 1), "ERR_RUSTCACHE_VALUE_TOO_LONG"],
      ["k", "v".repeat(limits.valueLimit + 1), "ERR_RUSTCACHE_VALUE_TOO_LONG"],
      ["k", "é".repeat(limits.valueLimit / 2 + 1), "ERR_RUSTCACHE_VALUE_TOO_LONG"],
      ["\ud800", "v", "ERR_RUSTCACHE_INVALID_ARG"],
      ["k", `${"x".repeat(OWN_CHUNK_BYTES)}\ud800`, "ERR_RUSTCACHE_INVALID_ARG"],
    ] as const) {
      await assert.rejects(set(channel, key, value), { code });
    }
    const last = set(channel, "last", "2");
    await tick();
    const frames = wire.frames();
    assert.deepEqual(
      frames.map((each) => [each.key, each.value]),
      [
        ["first", "1"],
        ["last", "2"],
      ],
    );
    for (const { id } of frames) channel.receive(frame(id, Status.OK));
    await Promise.all([first, last]);
    assert.equal(channel.pending, 0);
  });

  test("the owner is told when there is something to wait for, and when there is not", async () => {
    const { channel, told, wire } = await connected();
    assert.deepEqual(told, ["busy", "idle"]);
    const calls = [get(channel, "a"), get(channel, "b")];
    await tick();
    const [a, b] = wire.frames() as [Frame, Frame];
    channel.receive(frame(b.id, Status.OK));
    assert.deepEqual(told, ["busy", "idle", "busy"]);
    channel.receive(frame(a.id, Status.OK));
    assert.deepEqual(told, ["busy", "idle", "busy", "idle"]);
    await Promise.all(calls);
  });
});
