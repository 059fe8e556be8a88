// What replies are made into, where the daemon's own tests cannot bring it about: values that other clients have stored.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { NotTextError } from "./index.js";
import { Status, Tag } from "./protocol.js";
import { decodeEntry, decodeTextOrEmpty, decodeValue, readValue } from "./replies.js";

const wrong = Buffer.from([0x61, 0xff, 0x62]);
const large = Buffer.concat([Buffer.alloc(100_000, "a"), wrong]);

test("bytes that are not UTF-8 come back byte for byte, whatever their tag", () => {
  for (const tag of [Tag.TEXT, Tag.JSON]) {
    for (const bytes of [wrong, large]) {
      const framed = Buffer.concat([Buffer.alloc(8), bytes, Buffer.from("z")]);
      const end = 8 + bytes.length;
      for (const owned of [true, false]) {
        assert.deepEqual(readValue(tag, framed, 8, end, owned), bytes);
        assert.deepEqual(decodeValue(Status.OK, tag, framed, 8, end, owned), bytes);
        assert.deepEqual(decodeEntry(Status.OK, tag, framed, 0, end, owned)?.value, bytes);
      }
    }
  }
});

test("a call that returns text rejects them by name", () => {
  for (const bytes of [wrong, large]) {
    assert.throws(
      () => decodeTextOrEmpty(Status.OK, Tag.TEXT, bytes, 0, bytes.length),
      (error: NotTextError) => {
        assert.ok(error instanceof NotTextError);
        assert.equal(error.code, "ERR_RUSTCACHE_NOT_TEXT");
        assert.match(error.message, /<61.*> \(\d+ bytes\) is not UTF-8 text/);
        return true;
      },
    );
  }
});

test("a replacement character that was stored as such is text", () => {
  const text = "größer \ufffd \ufeff";
  const bytes = Buffer.from(text);
  assert.equal(readValue(Tag.TEXT, bytes, 0, bytes.length, false), text);
  assert.equal(decodeTextOrEmpty(Status.OK, Tag.TEXT, bytes, 0, bytes.length), text);
});
