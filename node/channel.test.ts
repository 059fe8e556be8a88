// The channel over a wire of the tests' own: replies find their calls, and every call settles once, whatever dies.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { ChannelOptions } from "./channel.js";
import { ConnectionLostError } from "./errors.js";
import { NO_EXPIRY, Op, PREFACE, Status } from "./protocol.js";
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

  test("finish: all that was called before is sent, calls afterwards reject", async () => {
    const { channel, wire, read, write, waiting } = await various();
    let finished = 0;
    channel.finish(() => finished++);
    assert.equal(finished, 0, "a call still waits for its turn");
    wire.finish();
    await tick();
    assert.equal(finished, 1);
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

describe("a daemon that may be loading its directory", () => {
  /** The handshake is answered, and the load is not. */
  async function loading(options: Partial<ChannelOptions> = {}) {
    const { channel, told } = make({ loads: true, sendsAgain: true, ...options });
    const wire = new FakeWire();
    const handshake = watch(channel.connect(wire));
    channel.receive(hello(1));
    await tick();
    const [load] = wire.frames() as [Frame];
    assert.equal(load.op, Op.CONTAINS);
    return { channel, told, wire, handshake, load };
  }

  test("a late reply does not open a connection that is about to end", async () => {
    const { channel, wire, load } = await loading();
    channel.suspend();
    channel.receive(frame(load.id, Status.MISS));
    const call = watch(get(channel, "k"));
    await tick();
    assert.equal(channel.limits, null);
    assert.deepEqual(wire.frames(), []);
    assert.equal(call.settled, 0);
  });

  for (const loads of [true, false]) {
    test(`nor does a late answer to the handshake${loads ? ", with a directory" : ""}`, async () => {
      const { channel } = make({ loads });
      const wire = new FakeWire();
      const handshake = watch(channel.connect(wire));
      const calls = [
        watch(get(channel, "k")),
        watch(channel.call(Op.PING, 0, 0, null, NO_EXPIRY, null, null, () => 1)),
      ];
      channel.suspend();
      channel.receive(hello(1));
      await tick();
      assert.equal(channel.limits, null);
      assert.equal(channel.isLoading, false);
      assert.deepEqual(
        wire.frames().filter(({ op }) => op === Op.GET || op === Op.PING),
        [],
      );
      channel.disconnect(lost);
      await tick();
      assert.equal(handshake.settled, 1);
      assert.deepEqual(
        calls.map(({ settled }) => settled),
        [0, 0],
      );
      assert.equal(channel.pending, 2);
    });
  }

  test("a PING leaves although the queue is full: it would wait for the load", async () => {
    const { channel, wire } = await loading({ maxQueuedBytes: 1 });
    wire.auto = false;
    const ping = () => channel.call(Op.PING, 0, 0, null, NO_EXPIRY, null, null, () => 1);
    const calls = [ping(), ping(), ping()];
    await tick();
    const frames = wire.frames();
    assert.equal(frames.length, 3);
    for (const { id } of frames) channel.receive(frame(id, Status.OK));
    assert.deepEqual(await Promise.all(calls), [1, 1, 1]);
  });

  test("finish waits for the answers to calls, and not for those that only serve the start", async () => {
    const { channel, wire } = await loading();
    const ping = channel.call(Op.PING, 0, 0, null, NO_EXPIRY, null, null, () => 1);
    const stats = watch(channel.askStats(() => 1));
    let isFinished = false;
    channel.finish(() => {
      isFinished = true;
    });
    await tick();
    assert.equal(isFinished, false);
    channel.receive(frame(wire.frames()[0]!.id, Status.OK));
    assert.equal(await ping, 1);
    assert.equal(isFinished, true);
    assert.equal(stats.settled, 0);
    channel.disconnect(lost);
    await tick();
    assert.ok(stats.error instanceof ConnectionLostError);
    assert.equal(channel.pending, 0);
  });
});
