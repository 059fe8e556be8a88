// What replies are made into, where the daemon's own tests cannot bring it about: values that other clients have stored.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { NotTextError } from "./index.js";
import { Status, Tag } from "./protocol.js";
import { decodeTextOrEmpty } from "./replies.js";
import { decodeValue } from "./values.js";

const wrong = Buffer.from([0x61, 0xff, 0x62]);
const large = Buffer.concat([Buffer.alloc(100_000, "a"), wrong]);

test("text that is not UTF-8 comes back byte for byte, and JSON that is not is refused", () => {
  for (const bytes of [wrong, large]) {
    const framed = Buffer.concat([Buffer.alloc(8), bytes, Buffer.from("z")]);
    const end = 8 + bytes.length;
    for (const owned of [true, false]) {
      assert.deepEqual(decodeValue(Tag.TEXT, framed, 8, end, owned), bytes);
      assert.throws(() => decodeValue(Tag.JSON, framed, 8, end, owned), { code: "ERR_RUSTCACHE_DECODE" });
    }
  }
  const altered = Buffer.from([0x22, 0xff, 0x22]);
  assert.throws(() => decodeValue(Tag.JSON, altered, 0, 3, false), { code: "ERR_RUSTCACHE_DECODE" });
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
  assert.equal(decodeValue(Tag.TEXT, bytes, 0, bytes.length, false), text);
  assert.equal(decodeTextOrEmpty(Status.OK, Tag.TEXT, bytes, 0, bytes.length), text);
});
