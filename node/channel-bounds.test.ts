// The channel over a wire of the tests' own: timeouts, aborts, the bound on what is queued, and what is done with memory.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { OWN_CHUNK_BYTES } from "./outbox.js";
import { Status } from "./protocol.js";
import {
  connected,
  FakeWire,
  type Frame,
  frame,
  get,
  hello,
  lost,
  make,
  set,
  tick,
  watch,
} from "./testdata/wire.js";

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

test("a daemon that reads and never answers is given up before its calls fill the memory", async () => {
  const { channel, told, wire } = await connected({ maxQueuedBytes: 1 << 30 });
  wire.keeps = false;
  for (let i = 0; i <= 100_000; i++) get(channel, "k", { timeout: 1 }).catch(() => {});
  while (channel.pending > 0) await tick();
  assert.equal(told.at(-1), "broken");
  channel.disconnect(lost);
  assert.equal(channel.pending, 0);
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
