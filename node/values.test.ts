// Values to bytes and back, without a daemon: many random ones, and each kind by hand.

import { strict as assert } from "node:assert";
import { createSecretKey, webcrypto } from "node:crypto";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import { type EncodeError, Tag } from "./index.js";
import { randomFrom } from "./testdata/random.js";
import { type Codec, checkCodec, decodeValue, encodeValue, isJsonSafe } from "./values.js";

const TEXTS = [
  "",
  "a",
  "größer 🧱",
  '\0\n"\\',
  "\ud800",
  "x\udc00y",
  "__proto__",
  "toString",
  "\u2028",
  "é".repeat(40),
];
const LEAVES: (() => unknown)[] = [
  () => null,
  () => true,
  () => 0,
  () => -0,
  () => Number.NaN,
  () => Number.NEGATIVE_INFINITY,
  () => 1.5e300,
  () => 2 ** 53 + 2,
  () => undefined,
  () => 12345678901234567890n,
  () => new Date(1.7e12),
  () => /a\/b/giu,
  () => new Uint16Array([1, 2, 65535]),
  () => new Float64Array([-0, Number.NaN, 1e-300]),
  () => Buffer.from([0, 255]),
  () => new Uint8Array([7]).buffer,
  () => Object(5),
  // biome-ignore lint/suspicious/noSparseArray: a hole is what is meant.
  () => [1, , 2],
];

function randomValue(random: (below: number) => number, depth: number): unknown {
  const kind = random(depth === 0 ? 2 : 7);
  if (kind === 0) return LEAVES[random(LEAVES.length)]!();
  if (kind === 1) return random(2) === 0 ? TEXTS[random(TEXTS.length)] : random(1000) / 8;
  const children = Array.from({ length: random(5) }, () => randomValue(random, depth - 1));
  const named = () => children.map((child): [string, unknown] => [TEXTS[random(TEXTS.length)]!, child]);
  switch (kind) {
    case 2:
    case 3:
      return children;
    case 4:
      return new Map(named());
    case 5:
      return new Set(children);
    default: {
      const object: Record<string, unknown> = {};
      for (const [name, value] of named()) {
        Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
      }
      return object;
    }
  }
}

/** Through the wire's form, at an odd place of a larger buffer. */
function roundTrip(value: unknown, codec?: Codec): { back: unknown; tag: number } {
  const { tag, body } = encodeValue(value, codec);
  const bytes = Buffer.concat([Buffer.from("abc"), Buffer.from(body), Buffer.from("z")]);
  return { back: decodeValue(tag, bytes, 3, bytes.length - 1, false, codec), tag };
}

test("any value comes back as a structured clone of it would", () => {
  for (let seed = 1; seed <= 5000; seed++) {
    const value = randomValue(randomFrom(seed), 4);
    const { back, tag } = roundTrip(value);
    assert.deepStrictEqual(back, value, `seed ${seed}, tag ${tag}`);
  }
});

describe("each kind of value has its tag", () => {
  class Point {
    x = 1;
  }
  const plain = { a: [1, "b", null, { c: false }], "": { "\ud800": "\udc00" } };
  const kinds: [string, unknown, number][] = [
    ["text", "größer 🧱\0", Tag.TEXT],
    ["the empty text", "", Tag.TEXT],
    ["half a surrogate pair", "x\ud800", Tag.JSON],
    ["a Buffer", Buffer.from([0, 255]), Tag.BYTES],
    ["a number", 5, Tag.JSON],
    ["-0", -0, Tag.V8],
    ["NaN", Number.NaN, Tag.V8],
    ["null", null, Tag.JSON],
    ["undefined", undefined, Tag.V8],
    ["true", true, Tag.JSON],
    ["a bigint", 10n, Tag.V8],
    ["plain data", plain, Tag.JSON],
    ["an own __proto__", JSON.parse('{"__proto__":{"a":1}}'), Tag.JSON],
    ["a member that is undefined", { a: undefined }, Tag.V8],
    ["a member deep down that is -0", { a: [[{ b: -0 }]] }, Tag.V8],
    ["a hole", new Array(3), Tag.V8],
    ["an array with a name", Object.assign([1], { extra: 1 }), Tag.V8],
    ["the match of a RegExp", /b/.exec("abc"), Tag.V8],
    ["a Date", new Date(0), Tag.V8],
    ["a Map", new Map([[{ a: 1 }, new Set([1])]]), Tag.V8],
    ["an ArrayBuffer", new Uint8Array([1, 2]).buffer, Tag.V8],
    ["a DataView", new DataView(new Uint8Array([1, 2]).buffer), Tag.V8],
    ["a Float32Array", new Float32Array([1.5]), Tag.V8],
    ["a Uint8ClampedArray", new Uint8ClampedArray([1]), Tag.V8],
    ["an Error", new RangeError("no"), Tag.V8],
  ];
  for (const [name, value, expected] of kinds) {
    test(name, () => {
      const { back, tag } = roundTrip(value);
      assert.deepStrictEqual(back, value);
      assert.equal(tag, expected);
    });
  }

  test("a Uint8Array comes back as a Buffer; instances and foreign objects as plain ones", () => {
    assert.deepStrictEqual(roundTrip(new Uint8Array([1, 2])).back, Buffer.from([1, 2]));
    assert.deepStrictEqual(roundTrip(new Point()), { back: { x: 1 }, tag: Tag.V8 });
    assert.deepStrictEqual(roundTrip(Object.assign(Object.create(null), { x: 1 })).back, { x: 1 });
    assert.deepStrictEqual(roundTrip(runInNewContext("({ x: [1] })")).back, { x: [1] });
  });

  test("what JSON would ask for a text of its own is not JSON", () => {
    assert.equal(isJsonSafe({ toJSON: 1 }), false);
    assert.equal(isJsonSafe([{ a: { toJSON: null } }]), false);
  });

  test("a cycle comes back as a cycle, and endless sharing ends", () => {
    const cycle: Record<string, unknown> = { name: "a" };
    cycle.self = cycle;
    cycle.again = [cycle, cycle];
    const { back, tag } = roundTrip(cycle);
    assert.equal(tag, Tag.V8);
    assert.equal((back as typeof cycle).self, back);
    let shared: object = {};
    for (let i = 0; i < 60; i++) shared = { a: shared, b: shared };
    assert.equal(encodeValue(shared).tag, Tag.V8);
    let deep: unknown[] = [];
    for (let i = 0; i < 5000; i++) deep = [deep];
    assert.equal(isJsonSafe(deep), false);
  });

  test("many objects are still JSON if none comes twice", () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({ i }));
    assert.equal(encodeValue(many).tag, Tag.JSON);
    many.push(many[4000]!);
    assert.equal(encodeValue(many).tag, Tag.V8);
  });

  test("typed arrays have memory of their own", () => {
    const { back } = roundTrip({ array: new Uint8Array([1, 2]) });
    const { buffer } = (back as { array: Uint8Array }).array;
    assert.ok(buffer.byteLength < 200, `it shares ${buffer.byteLength} bytes with others`);
  });
});

describe("what cannot be stored is refused by name", () => {
  const bad = () => 1;
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  cycle.bad = [bad];
  const cases: [string, unknown, RegExp][] = [
    ["a function", bad, /^the value is a function, which cannot be stored/],
    ["a symbol", Symbol("s"), /^the value is Symbol\(s\)/],
    ["in a list", { users: [{}, { "e mail": bad }] }, /^the value's \.users\[1\]\["e mail"\] is a function/],
    ["in a Map", new Map([["k", { f: bad }]]), /^the value's \.get\("k"\)\.f is a function/],
    ["in a Set", new Set([bad]), /^the value's 's member a function is a function/],
    ["in a cycle", cycle, /^the value's \.bad\[0\] is a function/],
    ["a WeakMap", { w: new WeakMap() }, /^the value's \.w is an object, .*WeakMap/],
    ["a promise", [Promise.resolve()], /^the value's \[0\] is an object, .*Promise/],
  ];
  for (const [name, value, message] of cases) {
    test(name, () => {
      assert.throws(() => encodeValue(value), { code: "ERR_RUSTCACHE_ENCODE", message });
    });
  }
});

test("what throws while it is read, and what is nested beyond all bounds, is refused as well", () => {
  const getter = {
    get a() {
      throw new Error("not today");
    },
  };
  let deep: unknown[] = [];
  for (let i = 0; i < 200_000; i++) deep = [deep];
  for (const [value, message] of [
    [getter, /not today/],
    [deep, /^the value is an array, which cannot be stored \(.*stack/],
  ] as const) {
    assert.throws(() => encodeValue(value), { code: "ERR_RUSTCACHE_ENCODE", message });
  }
});

describe("a codec", () => {
  const codec: Codec = {
    tag: 200,
    encode: (value) => Buffer.from(`<${value as string}>`),
    decode: (bytes) => bytes.toString().slice(1, -1),
  };

  test("takes the place of the built-in ways, for its own tag only", () => {
    assert.deepEqual(roundTrip("text", codec), { back: "text", tag: 200 });
    assert.equal(decodeValue(Tag.JSON, Buffer.from("[1]"), 0, 3, true, codec)?.toString(), "1");
    assert.deepEqual(decodeValue(201, Buffer.from("<a>"), 0, 3, false, codec), Buffer.from("<a>"));
    assert.deepEqual(decodeValue(200, Buffer.from("<a>"), 0, 3, false), Buffer.from("<a>"));
  });

  test("that throws, or makes no bytes, is named", () => {
    const cause = new Error("not that");
    const broken = {
      ...codec,
      encode: () => "text" as unknown as Uint8Array,
      decode: () => {
        throw cause;
      },
    };
    assert.throws(() => encodeValue(1, broken), { code: "ERR_RUSTCACHE_ENCODE", message: /"text" of 1/ });
    assert.throws(() => decodeValue(200, Buffer.from("a"), 0, 1, true, broken), {
      code: "ERR_RUSTCACHE_DECODE",
      message: /tag 200 .*not that/,
      cause,
    });
  });

  test("is checked", () => {
    for (const wrong of [5, {}, { ...codec, tag: 127 }, { ...codec, tag: 256 }, { ...codec, decode: 1 }]) {
      assert.throws(() => checkCodec(wrong), { code: "ERR_RUSTCACHE_INVALID_ARG", message: /codec/ });
    }
  });
});

test("what cannot be read is refused, never guessed", () => {
  const refused = (tag: number, bytes: Buffer, message: RegExp) =>
    assert.throws(() => decodeValue(tag, bytes, 0, bytes.length, false), {
      code: "ERR_RUSTCACHE_DECODE",
      message,
    });
  for (const tag of [7, 63, 64, 72, 127]) refused(tag, Buffer.from("abc"), new RegExp(`tag ${tag},`));
  refused(Tag.JSON, Buffer.from("{a}"), /stored as JSON and is none/);
  refused(Tag.JSON, Buffer.alloc(0), /stored as JSON and is none/);
  const whole = encodeValue({ list: new Map([[1, "text"]]) }).body as Buffer;
  for (let cut = 0; cut < whole.length - 2; cut++) refused(Tag.V8, whole.subarray(0, cut), /V8-serialized/);
  const typed = Buffer.from("\x09image/pngabc");
  assert.deepEqual(decodeValue(Tag.TYPED, typed, 0, typed.length, false), Buffer.from("abc"));
  assert.deepEqual(decodeValue(Tag.TYPED, typed, 0, 10, true), Buffer.alloc(0));
  for (const end of [0, 1, 9]) {
    assert.throws(() => decodeValue(Tag.TYPED, typed, 0, end, false), { code: "ERR_RUSTCACHE_DECODE" });
  }
  for (const tag of [Tag.PICKLE, Tag.MESSAGEPACK]) {
    assert.deepEqual(decodeValue(tag, Buffer.from("abc"), 0, 3, false), Buffer.from("abc"));
  }
});

test("what looks as if it could be stored and cannot be is named, with what to store instead", async () => {
  const memory = new ArrayBuffer(8);
  const views = [new Float64Array(1), new DataView(new ArrayBuffer(8)), new Uint8Array(4)];
  structuredClone(null, { transfer: [memory, ...views.map(({ buffer }) => buffer as ArrayBuffer)] });
  const cryptoKey = await webcrypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, true, ["encrypt"]);
  const wrong: [unknown, RegExp][] = [
    [new Blob(["x"]), /is a Blob, which cannot be stored: store its bytes, Buffer\.from/],
    [createSecretKey(Buffer.from("secret")), /is a KeyObject, .*export\(\)/],
    [cryptoKey, /is a CryptoKey, .*exportKey/],
    [new SharedArrayBuffer(4), /is a SharedArrayBuffer, .*copy of its bytes/],
    [
      new ReadableStream(),
      /is an object, which cannot be stored \(Unserializable host object: .*\): leave it out/,
    ],
    ...[memory, ...views].map((each): [unknown, RegExp] => [
      each,
      /is memory that was transferred to another thread, .*before it is transferred/,
    ]),
  ];
  for (const [value, message] of wrong) {
    for (const [whole, where] of [
      [value, "the value is"],
      [{ list: [1, new Map([["k", value]])] }, 'the value\'s .list[1].get("k") is'],
    ] as const) {
      assert.throws(
        () => encodeValue(whole),
        (error: EncodeError) => {
          assert.equal(error.code, "ERR_RUSTCACHE_ENCODE");
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(where) && !error.message.includes("\n"), error.message);
          return true;
        },
      );
    }
  }
  assert.deepEqual(encodeValue(new Uint8Array(0)), { tag: Tag.BYTES, body: new Uint8Array(0) });
});
