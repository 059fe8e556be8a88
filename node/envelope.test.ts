// What is wrapped around values, and compression: bytes there and back, and every damage refused.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { checkCompress, methodOf } from "./compression.js";
import { type Envelope, isWrapped, Method, unwrap, wrap } from "./envelope.js";
import { DecodeError } from "./errors.js";
import { ValueFormat } from "./format.js";
import { Tag } from "./protocol.js";
import { randomFrom } from "./testdata/random.js";

const MIB = 2 ** 20;
const ENVELOPES: (Envelope | null)[] = [
  null,
  { storedAt: 1.7e12, freshUntil: Number.POSITIVE_INFINITY, tags: [] },
  { storedAt: 0, freshUntil: 2 ** 53 - 2, tags: [{ name: "größer", generation: "\0\xffabcdef" }] },
  {
    storedAt: 1,
    freshUntil: 0,
    tags: Array.from({ length: 255 }, (_, i) => ({ name: "t".repeat(i + 1), generation: "12345678" })),
  },
];

test("what is wrapped is unwrapped, at any place of a buffer", () => {
  for (const envelope of ENVELOPES) {
    for (const method of [Method.NONE, Method.BROTLI, Method.ZSTD]) {
      if (envelope === null && method === Method.NONE) continue;
      for (const inner of [Tag.TEXT, Tag.V8, 255]) {
        for (const body of ["", "text ü", Buffer.from([0, 255])]) {
          const wrapped = wrap(inner, envelope, method, 77, body);
          const bytes = Buffer.concat([Buffer.from("ab"), wrapped.body, Buffer.from("z")]);
          assert.ok(isWrapped(wrapped.tag), `${wrapped.tag} is not known as wrapped`);
          const end = bytes.length - 1;
          const { start, length, ...rest } = unwrap(wrapped.tag, bytes, 2, end);
          assert.deepEqual(rest, { tag: inner, envelope, method });
          assert.deepEqual(bytes.subarray(start, end), Buffer.from(body as string));
          assert.equal(length, method === Method.NONE ? end - start : 77);
        }
      }
    }
  }
});

test("the layout is that of docs/protocol.md", () => {
  const envelope = {
    storedAt: 0x0102,
    freshUntil: Number.POSITIVE_INFINITY,
    tags: [{ name: "t", generation: "12345678" }],
  };
  const { tag, body } = wrap(Tag.TEXT, envelope, Method.BROTLI, 5, Buffer.from("xyz"));
  assert.equal(tag, 67);
  assert.equal(
    body.toString("hex"),
    `01${"0201000000000000"}${"ffffffffffff1f00"}01${"0100"}74${"3132333435363738"}${"05000000"}78797a`,
  );
});

test("the example in docs/protocol.md is what is made of it", () => {
  const document = readFileSync(new URL("../docs/protocol.md", import.meta.url), "utf8");
  const [, tag = "", bytes = ""] = /^```text\ntag (4[0-7])\n(.*)\n```$/m.exec(document) ?? [];
  const tags = [{ name: "t", generation: "\x01\x02\x03\x04\x05\x06\x07\x08" }];
  const wrapped = wrap(Tag.TEXT, { storedAt: 1000, freshUntil: 2000, tags }, Method.NONE, 0, "v");
  assert.equal(wrapped.tag.toString(16), tag);
  assert.equal(wrapped.body.toString("hex"), bytes.replaceAll(" ", ""));
});

test("only the tags from 64 to 71 are wrapped ones, and of these only those that mean something are read", () => {
  for (let tag = 0; tag < 256; tag++) {
    assert.equal(isWrapped(tag), tag >= 64 && tag <= 71, `${tag}`);
  }
  for (const tag of [64, 70, 71]) {
    assert.throws(() => unwrap(tag, Buffer.alloc(100), 0, 100), {
      code: "ERR_RUSTCACHE_DECODE",
      message: new RegExp(`tag ${tag},`),
    });
  }
});

test("a value that ends within what is wrapped around it is refused, wherever it ends", () => {
  const { tag, body } = wrap(Tag.BYTES, ENVELOPES[2]!, Method.ZSTD, 5, "");
  for (let cut = 0; cut < body.length; cut++) {
    assert.throws(() => unwrap(tag, body, 0, cut), { code: "ERR_RUSTCACHE_DECODE", message: /end within/ });
  }
  assert.equal(unwrap(tag, body, 0, body.length).length, 5);
});

test("damaged bytes are read as some value or refused by name, and end nothing else", async () => {
  const format = new ValueFormat(undefined, checkCompress({ above: 50 }), MIB);
  const values = [{ a: [1, "x"] }, "text ".repeat(50), Buffer.from([0, 1, 2])];
  for (let seed = 1; seed <= 3000; seed++) {
    const random = randomFrom(seed);
    const encoded = format.encode(values[random(values.length)]);
    const packed = await format.pack(encoded, ENVELOPES[1 + random(2)]!);
    const bytes = Buffer.from(packed.body as Buffer);
    for (let count = 1 + random(3); count > 0; count--) bytes[random(bytes.length)] = random(256);
    const end = random(2) === 0 ? bytes.length : random(bytes.length);
    const tag = random(4) === 0 ? 64 + random(8) : packed.tag;
    try {
      await format.unpack(unwrap(tag, bytes, 0, end), bytes, end, false);
    } catch (error) {
      assert.ok(error instanceof DecodeError, `seed ${seed}: ${error}`);
    }
  }
});

/** Methods that the running Node has. */
const methods = (["brotli", "zstd"] as const).filter((name) => {
  try {
    methodOf(name);
    return true;
  } catch {
    return false;
  }
});

for (const method of methods) {
  describe(`compression with ${method}`, () => {
    const format = new ValueFormat(undefined, checkCompress({ above: 100, method }), MIB);
    const unpack = async (tag: number, bytes: Buffer) => {
      const framed = Buffer.concat([Buffer.from("abc"), bytes, Buffer.from("z")]);
      const end = framed.length - 1;
      return format.unpack(unwrap(tag, framed, 3, end), framed, end, false);
    };

    test("small and large values come back, whatever they are", async () => {
      for (const size of [100, 5000, 63_000, 70_000, MIB - 10]) {
        const text = "größer ".repeat(size).slice(0, size);
        for (const value of [
          text.slice(0, size / 2),
          Buffer.alloc(size, "ab"),
          { list: [text.slice(0, size / 2)] },
          new Set([text.slice(0, size / 3)]),
        ]) {
          const encoded = format.encode(value);
          const packed = await format.pack(encoded, null);
          if (packed.tag === encoded.tag) continue;
          assert.ok(packed.body.length < encoded.body.length, "it was made larger");
          assert.deepEqual(await unpack(packed.tag, packed.body as Buffer), value);
        }
      }
      const { tag } = await format.pack(format.encode("a".repeat(100)), null);
      assert.ok(isWrapped(tag), "it is as long as those that are compressed");
    });

    test("what is shorter than the bound, or would not shrink, goes as it is", async () => {
      const short = format.encode("a".repeat(99));
      assert.equal(format.pack(short, null), short);
      const noise = Buffer.from(Array.from({ length: 200 }, (_, i) => (i * i * 7919) >> 3));
      const encoded = format.encode(noise);
      assert.equal(await format.pack(encoded, null), encoded);
    });

    test("a large value leaves the event loop alone, a small one is done at once", () => {
      assert.ok(
        format.pack(format.encode("a".repeat(200_000)), null) instanceof Promise,
        "200,000 characters",
      );
      assert.ok(!(format.pack(format.encode("a".repeat(2000)), null) instanceof Promise), "2000 characters");
    });

    test("no more is decompressed than was said, nor than the limit", async () => {
      const bomb = await format.pack(format.encode("a".repeat(500_000)), null);
      const bytes = bomb.body as Buffer;
      const claim = (length: number) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt32LE(length, 1);
        return changed;
      };
      for (const length of [0, 1, 499_999, 500_001, 10_000]) {
        await assert.rejects(unpack(bomb.tag, claim(length)), {
          code: "ERR_RUSTCACHE_DECODE",
          message: /damaged/,
        });
      }
      await assert.rejects(unpack(bomb.tag, claim(MIB + 1)), {
        code: "ERR_RUSTCACHE_DECODE",
        message: /the limit is 1048576: raise maxValueBytes/,
      });
      assert.throws(() => format.pack(format.encode("a".repeat(MIB + 1)), null), {
        code: "ERR_RUSTCACHE_VALUE_TOO_LONG",
      });
      for (const cut of [6, bytes.length - 1]) {
        await assert.rejects(unpack(bomb.tag, bytes.subarray(0, cut)), { code: "ERR_RUSTCACHE_DECODE" });
      }
    });
  });
}

test("the option compress is checked", () => {
  for (const wrong of [5, {}, { above: 0 }, { above: 1.5 }, { above: 1, method: "gzip" }]) {
    assert.throws(() => checkCompress(wrong), { code: "ERR_RUSTCACHE_INVALID_ARG", message: /compress/ });
  }
  assert.equal(checkCompress(undefined), undefined);
});
