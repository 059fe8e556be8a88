// Calls in flight when a daemon dies that keeps its entries on disk: those that may be done twice go to the next daemon, in their order and before
// all others; those that may not reject. Each settles once. Over a wire of the tests' own.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { randomNumbers } from "../scripts/lib/statistics.js";
import { ClosedError, ConnectionLostError, StartError, TimeoutError } from "./errors.js";
import { Condition, Expiry, NO_EXPIRY, Op, Status } from "./protocol.js";
import { connected, frame, get, lost, reconnect, request, set, tick, watch } from "./testdata/wire.js";

const kept = { sendsAgain: true };

describe("what is sent again", () => {
  const repeatable: [string, number, number][] = [
    ["get", Op.GET, 0],
    ["getEntry", Op.GET, 1],
    ["has", Op.CONTAINS, 0],
    ["ttl", Op.TTL, 0],
    ["ping", Op.PING, 0],
    ["stats", Op.STATS, 0],
    ["scan", Op.SCAN, 0],
    ["getMany", Op.GET_MANY, 0],
    ["remove", Op.REMOVE, 0],
    ["deleteMany", Op.REMOVE_MANY, 0],
    ["setMany", Op.SET_MANY, 0],
    ["set", Op.SET, Condition.ALWAYS],
    ["set that never expires", Op.SET, Expiry.NEVER],
    ["set with a deadline", Op.SET, Expiry.DEADLINE],
    ["set that keeps the deadline", Op.SET, Expiry.KEEP],
  ];
  for (const [name, op, flags] of repeatable) {
    test(`${name} is`, async () => {
      const { channel, wire } = await connected(kept);
      const call = watch(request(channel, op, flags, "k"));
      await tick();
      const [first] = wire.frames();
      channel.disconnect(lost);
      const next = await reconnect(channel);
      const [again] = next.frames();
      assert.deepEqual({ ...again, id: 0 }, { ...first, id: 0 });
      assert.equal(call.settled, 0);
      channel.receive(frame(again!.id, Status.OK, "done"));
      await tick();
      assert.deepEqual(call, { settled: 1, value: "done", error: undefined });
      assert.equal(channel.pending, 0);
    });
  }

  const others: [string, number, number, boolean][] = [
    ["set if absent", Op.SET, Condition.IF_ABSENT, true],
    ["set if present", Op.SET, Condition.IF_PRESENT | Expiry.NEVER, true],
    ["set with a TTL that counts from arrival", Op.SET, Expiry.TTL, true],
    ["take", Op.TAKE, 0, true],
    ["touch", Op.TOUCH, Expiry.NEVER, true],
    ["increment", Op.INCR, 0, true],
    ["compareAndSet", Op.CAS, 0, true],
    ["clear", Op.CLEAR, 0, true],
    ["snapshot", Op.SNAPSHOT, 0, false],
  ];
  for (const [name, op, flags, writes] of others) {
    test(`${name} is not: it rejects and says whether it may have been done`, async () => {
      const { channel } = await connected(kept);
      const call = watch(request(channel, op, flags, "k"));
      await tick();
      channel.disconnect(lost);
      await tick();
      assert.equal(call.settled, 1);
      assert.ok(call.error instanceof ConnectionLostError, String(call.error));
      assert.equal(call.error.maybeApplied, writes);
      assert.deepEqual((await reconnect(channel)).frames(), []);
    });
  }

  test("one that its maker calls unrepeatable is not", async () => {
    const { channel } = await connected(kept);
    const call = channel.call(
      Op.SET_MANY,
      0,
      0,
      null,
      NO_EXPIRY,
      null,
      () => Buffer.from("items"),
      () => 1,
      {},
      true,
    );
    await tick();
    channel.disconnect(lost);
    await assert.rejects(call, { code: "ERR_RUSTCACHE_CONNECTION_LOST", maybeApplied: true });
  });

  test("without a directory nothing is", async () => {
    const { channel } = await connected();
    const calls = [get(channel, "k"), set(channel, "k", "v")];
    await tick();
    channel.disconnect(lost);
    await assert.rejects(calls[0]!, { code: "ERR_RUSTCACHE_CONNECTION_LOST", maybeApplied: false });
    await assert.rejects(calls[1]!, { code: "ERR_RUSTCACHE_CONNECTION_LOST", maybeApplied: true });
  });

  test("a call that was answered or given up is not", async () => {
    const { channel, wire } = await connected(kept);
    const controller = new AbortController();
    const answered = get(channel, "answered");
    const aborted = get(channel, "aborted", { signal: controller.signal });
    const open = watch(get(channel, "open"));
    await tick();
    channel.receive(frame(wire.frames()[0]!.id, Status.OK, "yes"));
    controller.abort(new Error("enough"));
    await assert.rejects(aborted, /enough/);
    assert.equal(await answered, "yes");
    channel.disconnect(lost);
    const next = await reconnect(channel);
    const keys = next.frames().map(({ key }) => key);
    assert.deepEqual(keys, ["open"]);
    assert.equal(open.settled, 0);
  });

  test("a body that is made when it is sent is made again", async () => {
    const { channel } = await connected(kept);
    let made = 0;
    const body = () => Buffer.from(`body ${++made}`);
    const call = watch(channel.call(Op.SET_MANY, 0, 0, null, NO_EXPIRY, null, body, () => 1));
    await tick();
    channel.disconnect(lost);
    const next = await reconnect(channel);
    const [again] = next.frames();
    assert.equal(again?.value, "body 2");
    channel.receive(frame(again!.id, Status.OK));
    await tick();
    assert.equal(call.value, 1);
  });
});

describe("the order", () => {
  for (const firstId of [1, 0x7fffffff - 20]) {
    test(`of what is sent again is that of the calls, before those that wait and those that are new (first id ${firstId})`, async () => {
      const { channel, wire } = await connected({ ...kept, firstId, maxQueuedBytes: 5000 });
      wire.auto = false;
      const keys = Array.from({ length: 60 }, (_, i) => `${i}`.padStart(100, "x"));
      const calls = keys.map((key) => watch(set(channel, key, "v")));
      await tick();
      const sent = wire.frames();
      assert.ok(sent.length > 20 && sent.length < 60, `${sent.length} of 60 were sent`);
      // Some in the middle are answered.
      for (const at of [3, 4, 11]) channel.receive(frame(sent[at]!.id, Status.OK, "early"));
      channel.disconnect(lost);
      const newer = watch(get(channel, "newer"));
      const next = await reconnect(channel);
      await tick();
      const frames = next.frames();
      const expected = keys.filter((_, i) => ![3, 4, 11].includes(i));
      assert.deepEqual(
        frames.map(({ key }) => key),
        [...expected, "newer"],
      );
      for (const { id } of frames) channel.receive(frame(id, Status.OK, "done"));
      await tick();
      for (const call of [...calls, newer]) assert.equal(call.settled, 1);
      assert.equal(channel.pending, 0);
    });
  }
});

describe("while they wait for the next daemon", () => {
  async function waiting(options = {}) {
    const { channel, told } = await connected(kept);
    const read = watch(get(channel, "read", options));
    const write = watch(set(channel, "write", "v", options));
    await tick();
    channel.disconnect(lost);
    assert.equal(told.at(-1), "wanted");
    return { channel, told, read, write };
  }

  test("a timeout ends them, and a write says that it may have been done", async () => {
    const { channel, read, write } = await waiting({ timeout: 10 });
    const alive = setInterval(() => {}, 1000);
    while (write.settled === 0 || read.settled === 0) await tick();
    clearInterval(alive);
    assert.ok(read.error instanceof TimeoutError && write.error instanceof TimeoutError, String(write.error));
    assert.deepEqual([read.error.maybeApplied, write.error.maybeApplied], [false, true]);
    assert.deepEqual((await reconnect(channel)).frames(), []);
    assert.equal(channel.pending, 0);
  });

  test("a signal ends them", async () => {
    const controller = new AbortController();
    const { channel, told, read, write } = await waiting({ signal: controller.signal });
    const reason = new Error("enough");
    controller.abort(reason);
    let drained = 0;
    channel.drained().then(() => drained++);
    await tick();
    assert.deepEqual([read.error, write.error], [reason, reason]);
    assert.equal(drained, 1, "nothing waits any more");
    assert.deepEqual((await reconnect(channel)).frames(), []);
    assert.equal(told.at(-1), "idle");
  });

  test("no other daemon comes: those that were sent tell of a lost connection and why, those that were not get the reason", async () => {
    const { channel, read, write } = await waiting();
    const never = watch(set(channel, "never sent", "v"));
    const reason = new StartError("no more");
    channel.refuseWaiting(reason);
    await tick();
    for (const [call, maybeApplied] of [
      [read, false],
      [write, true],
    ] as const) {
      assert.equal(call.settled, 1);
      assert.ok(call.error instanceof ConnectionLostError, String(call.error));
      assert.equal(call.error.cause, reason);
      assert.equal(call.error.maybeApplied, maybeApplied);
      assert.match(call.error.message, /no more/);
    }
    assert.equal(never.error, reason);
  });

  test("close() refuses them, and a write says that it may have been done", async () => {
    const { channel, read, write } = await waiting();
    channel.close();
    await tick();
    assert.ok(read.error instanceof ClosedError && write.error instanceof ClosedError, String(write.error));
    assert.deepEqual([read.error.maybeApplied, write.error.maybeApplied], [false, true]);
  });

  test("finish() waits until they are sent, and answered they are", async () => {
    const { channel, read } = await waiting();
    let finished = 0;
    channel.finish(() => finished++);
    assert.equal(finished, 0);
    const next = await reconnect(channel);
    assert.equal(finished, 1);
    for (const { id, key } of next.frames()) channel.receive(frame(id, Status.OK, key));
    await tick();
    assert.equal(read.value, "read");
  });

  test("a deadline still holds after they were sent again", async () => {
    const { channel, read, write } = await waiting({ timeout: 50 });
    const next = await reconnect(channel);
    assert.equal(next.frames().length, 2);
    const alive = setInterval(() => {}, 1000);
    while (write.settled === 0 || read.settled === 0) await tick();
    clearInterval(alive);
    assert.ok(read.error instanceof TimeoutError && write.error instanceof TimeoutError, String(write.error));
  });
});

test("the last connection's end rejects all that was sent on it", async () => {
  const { channel } = await connected(kept);
  const call = watch(get(channel, "k"));
  await tick();
  channel.disconnect((maybeApplied) => new ClosedError(maybeApplied), true);
  await tick();
  assert.ok(call.error instanceof ClosedError, String(call.error));
});

test("a call that daemons die of is sent four times, and rejects", async () => {
  const { channel, wire } = await connected(kept);
  const call = watch(set(channel, "poison", "v"));
  await tick();
  let sends = wire.frames().length;
  while (call.settled === 0) {
    channel.disconnect(lost);
    await tick();
    if (call.settled === 0) sends += (await reconnect(channel)).frames().length;
  }
  assert.equal(sends, 4);
  assert.ok(call.error instanceof ConnectionLostError && call.error.maybeApplied, String(call.error));
  assert.equal(channel.pending, 0);
});

test("whatever dies when, every call settles once, and answered calls have their own answers", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = randomNumbers(seed);
    const pick = (below: number) => Math.floor(random() * below);
    const { channel, told, ...first } = await connected({ ...kept, maxQueuedBytes: 300 });
    let { wire } = first;
    const calls: { key: string; seen: ReturnType<typeof watch<string>> }[] = [];
    const controllers: AbortController[] = [];
    for (let step = 0; step < 60; step++) {
      for (let i = pick(12); i > 0; i--) {
        const key = `${seed} ${step} ${i} ${"x".repeat(pick(40))}`;
        const op = [Op.GET, Op.REMOVE, Op.INCR, Op.SET][pick(4)]!;
        const controller = new AbortController();
        const options = pick(3) === 0 ? { signal: controller.signal } : {};
        if ("signal" in options) controllers.push(controller);
        calls.push({ key, seen: watch(request(channel, op, 0, key, options)) });
      }
      await tick();
      const frames = wire.frames();
      for (const { id, key } of frames) if (pick(3) > 0) channel.receive(frame(id, Status.OK, key));
      if (pick(4) === 0) controllers.splice(pick(controllers.length), 1)[0]?.abort(new Error("enough"));
      if (pick(6) === 0) {
        channel.disconnect(lost);
        if (pick(2) === 0) await tick();
        wire = await reconnect(channel);
      }
    }
    channel.disconnect(lost);
    wire = await reconnect(channel);
    do {
      for (const { id, key } of wire.frames()) channel.receive(frame(id, Status.OK, key));
      await tick();
    } while (channel.pending > 0);
    for (const { key, seen } of calls) {
      assert.equal(seen.settled, 1, `seed ${seed}: ${key}`);
      if (seen.error === undefined) assert.equal(seen.value, key, `seed ${seed}`);
      else assert.ok(/enough|the test says so/.test(seen.error.message), String(seen.error));
    }
    assert.equal(told.at(-1), "idle");
  }
});
