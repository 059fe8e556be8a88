// The codec against tests/golden.json, which was made by hand from docs/protocol.md, and against hostile streams.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { ProtocolError } from "./errors.js";
import {
  countField,
  keysBody,
  readGetMany,
  readScanPage,
  readStatuses,
  scanFields,
  setBody,
} from "./items.js";
import {
  Condition,
  Expiry,
  helloFields,
  type Limits,
  NO_EXPIRY,
  Op,
  PREFACE,
  ReplyReader,
  readHello,
  readTtl,
  readU64,
  roomForRequest,
  Status,
  writeRequest,
} from "./protocol.js";

interface GoldenExpiry {
  kind: keyof typeof Expiry;
  ms?: string;
}

interface GoldenItem {
  status: keyof typeof Status;
  tag: number;
  flags: number;
  expiry: GoldenExpiry;
  key_hex: string;
  value_hex?: string;
  value_length: number;
  ttl_ms: string;
}

interface Vector {
  name: string;
  protocol: 1 | 2;
  kind: "request" | "reply";
  hex: string;
  error?: string;
  id: number;
  op: keyof typeof Op;
  op_code: number;
  op_flags: number;
  flags: number;
  tag: number;
  key_hex: string;
  value_hex: string;
  status: keyof typeof Status;
  status_code: number;
  expiry?: GoldenExpiry;
  condition?: keyof typeof Condition;
  with_ttl?: boolean;
  with_values?: boolean;
  delta: string;
  expected_hex: string;
  cursor: string;
  limit: number;
  lowest: number;
  highest: number;
  features: number;
  count: number;
  items?: GoldenItem[];
  ttl_ms?: string;
  number?: string;
  removed?: string;
  next_cursor: string;
  chosen: number;
  key_limit: number;
  value_limit: number;
  frame_limit: number;
}

const golden = JSON.parse(readFileSync(new URL("../tests/golden.json", import.meta.url), "utf8")) as {
  preface_hex: string;
  vectors: Vector[];
};
const version2 = golden.vectors.filter((vector) => vector.protocol === 2);
const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
const LIMITS: Limits = { keyLimit: 65_536, valueLimit: 67_108_864, frameLimit: 67_239_936 };
const U64_MAX = 2n ** 64n - 1n;

/** The fields of an op before its expiry, from the decoded side of a vector. */
function fieldsOf(vector: Vector): Uint8Array | null {
  switch (vector.op) {
    case "HELLO":
      return Buffer.concat([helloFields(vector.lowest, vector.highest).subarray(0, 4), u32(vector.features)]);
    case "INCR": {
      const delta = Buffer.alloc(8);
      delta.writeBigInt64LE(BigInt(vector.delta));
      return delta;
    }
    case "CAS":
      return u32(vector.expected_hex.length / 2);
    case "SCAN":
      return scanFields(BigInt(vector.cursor), vector.limit);
    case "GET_MANY":
    case "SET_MANY":
    case "REMOVE_MANY":
      return countField(vector.count);
    default:
      return null;
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function encode(vector: Vector, key: string | Uint8Array, value: string | Uint8Array): Buffer {
  const fields = fieldsOf(vector);
  const ms = vector.expiry?.ms === undefined ? NO_EXPIRY : Number(vector.expiry.ms);
  const buf = Buffer.alloc(roomForRequest(fields, key, value) + 3, 0xee);
  const { id, op, flags, tag } = vector;
  const end = writeRequest(buf, 3, id, Op[op], flags, tag, fields, ms, key, value, 0, LIMITS);
  assert.equal(buf.toString("hex", 0, 3), "eeeeee", "bytes before the request were touched");
  return buf.subarray(3, end);
}

describe("requests", () => {
  const requests = version2.filter((vector) => vector.kind === "request" && vector.error === undefined);

  test("every op has a golden request", () => {
    assert.deepEqual(new Set(requests.map((vector) => vector.op)), new Set(Object.keys(Op)));
    for (const vector of requests) assert.equal(Op[vector.op], vector.op_code, vector.name);
  });

  for (const vector of requests) {
    // The encoder counts in milliseconds that a number can hold.
    if (vector.expiry?.ms === String(U64_MAX)) continue;
    test(vector.name, () => {
      const key = bytesOf(vector.key_hex);
      const value = bytesOf(vector.value_hex);
      const expected = bytesOf(vector.hex).toString("hex");
      assert.equal(encode(vector, key, value).toString("hex"), expected);
      // As text, where it is text: the other way through the encoder.
      if (Buffer.from(key.toString()).equals(key) && Buffer.from(value.toString()).equals(value)) {
        assert.equal(encode(vector, key.toString(), value.toString()).toString("hex"), expected);
      }
    });
  }

  test("flags are made of the expiry kinds and conditions that the document names", () => {
    for (const { flags, expiry, condition, op } of requests) {
      if (expiry === undefined) continue;
      const conditionBits = op === "SET" ? Condition[condition!] : 0;
      assert.equal(flags, Expiry[expiry.kind] | conditionBits);
    }
  });

  test("the bodies of batches", () => {
    for (const vector of requests) {
      if (vector.items === undefined) continue;
      const items = vector.items.map((item) => ({
        flags: item.flags,
        tag: item.tag,
        expiry: item.expiry?.ms === undefined ? NO_EXPIRY : Number(item.expiry.ms),
        key: bytesOf(item.key_hex),
        value: bytesOf(item.value_hex ?? ""),
      }));
      const keys = items.map((item) => item.key);
      const body =
        vector.op === "SET_MANY"
          ? setBody(items, 0, items.length, LIMITS, () => assert.fail("none is left out"))
          : keysBody(keys, 0, keys.length, LIMITS);
      assert.equal(body.toString("hex"), vector.value_hex, vector.name);
    }
  });

  test("a value that is sent apart is counted in the length", () => {
    const buf = Buffer.alloc(100);
    const end = writeRequest(buf, 0, 7, Op.SET, 0, 0, null, NO_EXPIRY, "key", null, 50_000, LIMITS);
    assert.equal(end, 19);
    assert.equal(buf.readUInt32LE(0), 19 - 4 + 50_000);
  });

  test("text of any length and kind is UTF-8, byte for byte", () => {
    const buf = Buffer.alloc(4096);
    for (const unit of ["a", "é", "中", "🔑", "\0", "\uffff", "\u{10ffff}"]) {
      for (let length = 0; length < 70; length++) {
        for (const text of [unit.repeat(length), "x".repeat(length) + unit, unit + "x".repeat(length)]) {
          const end = writeRequest(buf, 0, 1, Op.SET, 0, 1, null, NO_EXPIRY, text, text, 0, LIMITS);
          const bytes = Buffer.from(text);
          assert.equal(buf.readUInt32LE(12), bytes.length);
          assert.equal(buf.subarray(16, end).toString("hex"), Buffer.concat([bytes, bytes]).toString("hex"));
        }
      }
    }
  });

  test("half a surrogate pair is refused, wherever it stands", () => {
    const buf = Buffer.alloc(4096);
    for (const half of ["\ud800", "\udfff", "\udc00\ud800"]) {
      for (const text of [half, `${"x".repeat(60)}${half}`, `${half}${"é".repeat(60)}`]) {
        for (const [key, value] of [
          [text, "v"],
          ["k", text],
        ] as const) {
          assert.throws(() => writeRequest(buf, 0, 1, Op.SET, 0, 1, null, NO_EXPIRY, key, value, 0, LIMITS), {
            code: "ERR_RUSTCACHE_INVALID_ARG",
            message: /lone surrogate/,
          });
        }
      }
    }
  });

  test("keys and values past the limits are refused by their bytes", () => {
    const limits: Limits = { keyLimit: 10, valueLimit: 20, frameLimit: 30 + 65_536 };
    const buf = Buffer.alloc(4096);
    const write = (key: string, value: string) =>
      writeRequest(buf, 0, 1, Op.SET, 0, 1, null, NO_EXPIRY, key, value, 0, limits);
    write("k".repeat(10), "v".repeat(20));
    assert.throws(() => write("k".repeat(11), ""), {
      code: "ERR_RUSTCACHE_KEY_TOO_LONG",
      message: /11 bytes.*10/,
    });
    assert.throws(() => write("ééééé!", ""), { code: "ERR_RUSTCACHE_KEY_TOO_LONG" });
    assert.throws(() => write("k", "v".repeat(21)), {
      code: "ERR_RUSTCACHE_VALUE_TOO_LONG",
      message: /21 bytes.*20/,
    });
  });
});

interface Seen {
  id: number;
  status: number;
  flags: number;
  tag: number;
  body: string;
}

function reader(seen: Seen[]): ReplyReader {
  const made = new ReplyReader((id, status, flags, tag, buf, start, end) => {
    seen.push({ id, status, flags, tag, body: buf.toString("hex", start, end) });
  });
  made.maxLength = LIMITS.frameLimit;
  return made;
}

describe("replies", () => {
  const replies = version2.filter((vector) => vector.kind === "reply");
  const stream = Buffer.concat([PREFACE, ...replies.map((vector) => bytesOf(vector.hex))]);
  const expected = replies.map((vector) => {
    const bytes = bytesOf(vector.hex);
    return {
      id: vector.id,
      status: vector.status_code,
      flags: vector.flags,
      tag: vector.tag,
      body: bytes.toString("hex", 16),
    };
  });

  test("the preface and every status are the document's", () => {
    assert.equal(PREFACE.toString("hex"), golden.preface_hex);
    for (const vector of replies) assert.equal(Status[vector.status], vector.status_code, vector.name);
    const item = replies.flatMap((vector) => vector.items ?? []).map((each) => each.status);
    const named = new Set([...replies.map((vector) => vector.status), ...item.filter(Boolean)]);
    assert.deepEqual(named, new Set(Object.keys(Status)));
  });

  test("a stream in one chunk", () => {
    const seen: Seen[] = [];
    const made = reader(seen);
    made.push(stream);
    assert.deepEqual(seen, expected);
    assert.ok(made.atBoundary);
  });

  test("a stream split in two at every position", () => {
    for (let at = 0; at <= stream.length; at++) {
      const seen: Seen[] = [];
      const made = reader(seen);
      made.push(Buffer.from(stream.subarray(0, at)));
      made.push(Buffer.from(stream.subarray(at)));
      assert.deepEqual(seen, expected, `split at ${at}`);
    }
  });

  test("a stream byte by byte, every chunk overwritten after use", () => {
    const seen: Seen[] = [];
    const made = reader(seen);
    const chunk = Buffer.alloc(1);
    for (const byte of stream) {
      chunk[0] = byte;
      made.push(chunk);
    }
    assert.deepEqual(seen, expected);
  });

  test("random streams in random chunks", () => {
    // A small generator with a known seed: a failure can be had again.
    let state = 12345;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return state % below;
    };
    for (let round = 0; round < 200; round++) {
      const frames: Buffer[] = [PREFACE];
      const wanted: Seen[] = [];
      for (let i = random(40); i >= 0; i--) {
        const body = Buffer.alloc(random(8) === 0 ? random(5000) : random(40), random(256));
        const header = Buffer.alloc(16);
        header.writeUInt32LE(12 + body.length, 0);
        header.writeUInt32LE(random(0x7fffffff), 4);
        header[8] = random(4);
        header[10] = random(256);
        frames.push(header, body);
        const [status, tag] = [header[8]!, header[10]!];
        wanted.push({ id: header.readUInt32LE(4), status, flags: 0, tag, body: body.toString("hex") });
      }
      const whole = Buffer.concat(frames);
      const seen: Seen[] = [];
      const made = reader(seen);
      for (let at = 0; at < whole.length; ) {
        const size = 1 + random(random(3) === 0 ? 3000 : 30);
        made.push(Buffer.from(whole.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(seen, wanted);
      assert.ok(made.atBoundary);
    }
  });

  test("a body is the reply's own exactly when it was put together", () => {
    const frame = Buffer.concat([PREFACE, u32(16), u32(1), Buffer.alloc(8), Buffer.from("body")]);
    for (const [cut, owned] of [
      [frame.length, false],
      [22, true],
      [10, true],
    ] as const) {
      let count = 0;
      const made = new ReplyReader((_id, _status, _flags, _tag, buf, start, end, isOwned) => {
        count++;
        assert.equal(isOwned, owned);
        assert.equal(buf.toString("latin1", start, end), "body");
      });
      made.push(frame.subarray(0, cut));
      made.push(frame.subarray(cut));
      assert.equal(count, 1);
    }
  });

  test("a length outside the limits is refused before memory is taken for it", () => {
    for (const length of [0, 11, LIMITS.frameLimit + 1, 0xffffffff]) {
      const head = Buffer.concat([PREFACE, u32(length), Buffer.alloc(12)]);
      assert.throws(() => reader([]).push(head), ProtocolError);
      const slow = reader([]);
      assert.throws(() => {
        for (let i = 0; i < head.length; i++) slow.push(head.subarray(i, i + 1));
      }, ProtocolError);
    }
    // Before the handshake not even a legal length is believed.
    const early = new ReplyReader(() => {});
    assert.throws(() => early.push(Buffer.concat([PREFACE, u32(1_000_000), Buffer.alloc(12)])), /outside/);
  });

  test("a reply with a key, and bytes that are no preface, are refused", () => {
    const keyed = Buffer.concat([PREFACE, u32(13), u32(1), u32(0), u32(1), Buffer.from("k")]);
    assert.throws(() => reader([]).push(keyed), /replies have none/);
    assert.throws(
      () => reader([]).push(Buffer.from("thread 'main' panicked")),
      /thread 'main' panicked.*rustcache\?/,
    );
    assert.throws(() => reader([]).push(Buffer.from([0xf5, 0x52, 0x43, 0x00])), ProtocolError);
  });

  test("what is in the bodies", () => {
    for (const vector of replies) {
      const buf = Buffer.concat([Buffer.from("pad"), bytesOf(vector.hex).subarray(16)]);
      const [start, end] = [3, buf.length];
      const text = vector.name;
      if (vector.status !== "OK") continue;
      if (vector.op === "HELLO") {
        assert.deepEqual(readHello(buf, start, end), {
          version: vector.chosen,
          features: vector.features,
          keyLimit: vector.key_limit,
          valueLimit: vector.value_limit,
          frameLimit: vector.frame_limit,
          name: "rustcache 0.1.0",
        });
      }
      if (vector.ttl_ms !== undefined) {
        const never = BigInt(vector.ttl_ms) === U64_MAX;
        assert.equal(readTtl(buf, start), never ? Number.POSITIVE_INFINITY : Number(vector.ttl_ms), text);
      }
      if (vector.number !== undefined) assert.equal(buf.readBigInt64LE(start), BigInt(vector.number), text);
      if (vector.removed !== undefined) assert.equal(readU64(buf, start), Number(vector.removed), text);
      if (vector.op === "SCAN") checkScan(vector, buf, start, end);
      if (vector.op === "GET_MANY") checkGetMany(vector, buf, start, end);
      if (vector.op === "SET_MANY" || vector.op === "REMOVE_MANY") {
        const statuses = readStatuses(buf, start, end, vector.count);
        assert.deepEqual(
          [...statuses],
          vector.items!.map((item) => Status[item.status]),
        );
      }
    }
  });

  test("bodies that lie about their lengths are refused, at every length", () => {
    for (const vector of replies) {
      if (vector.items === undefined || vector.count === 0) continue;
      const body = bytesOf(vector.hex).subarray(16);
      const read = (buf: Buffer, end: number) => {
        if (vector.op === "SCAN") readScanPage(buf, 0, end, (vector.op_flags & 1) === 1);
        else if (vector.op === "GET_MANY") readGetMany(buf, 0, end, vector.count, () => {});
        else readStatuses(buf, 0, end, vector.count);
      };
      for (let end = 0; end < body.length; end++) {
        assert.throws(() => read(body, end), ProtocolError, `${vector.name} cut at ${end}`);
      }
      assert.throws(() => read(Buffer.concat([body, Buffer.from([0])]), body.length + 1), ProtocolError);
    }
  });
});

function checkScan(vector: Vector, buf: Buffer, start: number, end: number): void {
  const withValues = (vector.op_flags & 1) === 1;
  const page = readScanPage(buf, start, end, withValues);
  assert.equal(page.cursor, BigInt(vector.next_cursor));
  assert.deepEqual(
    page.items.map((item) => ({
      tag: item.tag,
      key_hex: item.key.toString("hex"),
      value_length: item.valueLength,
      ...(withValues ? { value_hex: item.value.toString("hex") } : {}),
      ttl_ms: item.ttl === Number.POSITIVE_INFINITY ? String(U64_MAX) : String(item.ttl),
    })),
    vector.items,
  );
}

function checkGetMany(vector: Vector, buf: Buffer, start: number, end: number): void {
  const items: unknown[] = [];
  readGetMany(buf, start, end, vector.count, (_index, status, tag, from, to) => {
    const name = Object.entries(Status).find(([, code]) => code === status)?.[0];
    items.push({ status: name, tag, value_hex: buf.toString("hex", from, to) });
  });
  assert.deepEqual(items, vector.items);
}
