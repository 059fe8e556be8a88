// Acceptance cases: inputs at and beyond the limits. Every value comes back byte for byte, and a bad input is refused with a
// text that says why, and harms no other call.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { createCache, RustCache } from "../../node/index.js";
import { outcome, type Report, randomText } from "./harness.js";

const KEY_LIMIT = 65_536;
const MIB = 1024 * 1024;

/** Stores, reads, compares and removes one entry; long texts are not printed when they differ. */
async function roundTrip(key: string, value: string): Promise<void> {
  const name = JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
  assert.equal(await RustCache.insert(key, value), "I", name);
  const back = await RustCache.get(key);
  assert.ok(
    back === value,
    `the value of ${name} came back with ${back.length} UTF-16 units instead of ${value.length}, or altered`,
  );
  assert.equal(await RustCache.remove(key), "R", name);
  assert.equal(await RustCache.get(key), "", name);
}

/** Expects a rejection that carries a code and a text; the call beside it must not notice. */
async function refused(call: () => Promise<unknown>, mentions: RegExp): Promise<void> {
  const [bad, good] = await Promise.all([outcome(call()), RustCache.insert("bystander", "unharmed")]);
  assert.ok(
    "error" in bad,
    `the call was not refused, it resolved with ${"value" in bad && String(bad.value).slice(0, 40)}`,
  );
  assert.match(String(bad.error.code), /^ERR_RUSTCACHE_/);
  assert.match(bad.error.message, mentions);
  assert.equal(good, "I");
  assert.equal(await RustCache.get("bystander"), "unharmed");
}

/** Characters worth trying of each of the 17 planes: the first and last code points, and some between. */
function samplesOfEveryPlane(): string[] {
  return Array.from({ length: 17 }, (_, plane) =>
    [0x0000, 0x0001, 0x0041, 0x2028, 0x4e2d, 0xd7ff, 0xe000, 0xfdd0, 0xfeff, 0xfffd, 0xfffe, 0xffff]
      .map((offset) => String.fromCodePoint(plane * 0x10000 + offset))
      .join(""),
  );
}

/** Every code point of plane 0 that is not half of a surrogate pair: 63,488 characters. */
function wholePlaneZero(): string {
  let text = "";
  for (let point = 0; point <= 0xffff; point++) {
    if (point < 0xd800 || point > 0xdfff) text += String.fromCharCode(point);
  }
  return text;
}

export async function edges(report: Report): Promise<void> {
  report.section("Edges");
  await RustCache.start();

  await report.case("an empty or blank key is refused on insert, and is a miss on get", async () => {
    for (const key of ["", " ", "\t\n", "\u00a0\u2003"])
      await refused(() => RustCache.insert(key, "v"), /key/i);
    assert.equal(await RustCache.get(""), "");
    assert.equal(await RustCache.remove(""), "R");
  });

  await report.case("an empty value is stored and comes back empty", () => roundTrip("empty", ""));

  await report.case("keys around the fixed frame's 63 bytes are ordinary keys", async () => {
    for (const length of [1, 62, 63, 64, 65, 127, 128, 129])
      await roundTrip("k".repeat(length), `value of ${length}`);
    // 63 bytes, and the same with one more: cut to 63 they would be one key.
    await RustCache.insert("k".repeat(63), "63");
    await RustCache.insert("k".repeat(64), "64");
    assert.equal(await RustCache.get("k".repeat(63)), "63");
    assert.equal(await RustCache.get("k".repeat(64)), "64");
  });

  await report.case("values around the fixed frame's 56 bytes are ordinary values", async () => {
    for (const length of [1, 55, 56, 57, 63, 64, 65, 127, 128]) await roundTrip("k", randomText(length));
  });

  await report.case("a key of 64 KiB is a key, and one more byte is refused", async () => {
    await roundTrip("k".repeat(KEY_LIMIT), "v");
    await roundTrip("é".repeat(KEY_LIMIT / 2), "v");
    await refused(() => RustCache.insert("k".repeat(KEY_LIMIT + 1), "v"), /65,?53[67]/);
    // The limit is bytes: as many characters, but twice the bytes.
    await refused(() => RustCache.insert("é".repeat(KEY_LIMIT / 2 + 1), "v"), /65,?53[68]/);
  });

  await report.case("a value of 1 MiB comes back whole", () => roundTrip("1 MiB", randomText(MIB)));
  await report.case("a value of 32 MiB comes back whole", () => roundTrip("32 MiB", randomText(32 * MIB)));

  await report.case("32 MiB of bytes come back whole, with small calls in between", async () => {
    await using cache = createCache({});
    const value = randomBytes(32 * MIB);
    const small = Array.from({ length: 100 }, (_, number) => cache.set(`small:${number}`, `${number}`));
    await Promise.all([cache.set("large", value), ...small]);
    const [large, ...rest] = await Promise.all([
      cache.get("large"),
      ...Array.from({ length: 100 }, (_, number) => cache.get(`small:${number}`)),
    ]);
    assert.ok(Buffer.isBuffer(large) && value.equals(large), "the 32 MiB came back altered");
    assert.deepEqual(
      rest,
      Array.from({ length: 100 }, (_, number) => `${number}`),
    );
  });

  await report.case("a value above the limit is refused, and the connection lives on", async () => {
    await refused(() => RustCache.insert("too long", "x".repeat(64 * MIB + 1)), /67,?108,?86[45]|64 MiB/);
    assert.equal(await RustCache.get("too long"), "");
  });

  await report.case("every plane of Unicode, in key and value", async () => {
    for (const sample of samplesOfEveryPlane()) await roundTrip(`plane ${sample}`, sample);
  });

  await report.case("all of plane 0 in one value", () => roundTrip("plane 0", wholePlaneZero()));

  await report.case("texts that look alike are different keys", async () => {
    const composed = "\u00e9";
    const decomposed = "e\u0301";
    await RustCache.insert(composed, "composed");
    await RustCache.insert(decomposed, "decomposed");
    assert.equal(await RustCache.get(composed), "composed");
    assert.equal(await RustCache.get(decomposed), "decomposed");
  });

  await report.case("NUL, newline and blanks at every place, in key and value", async () => {
    for (const odd of ["\0", "\n", "\r\n", " ", "\t", "\0\0\n", "\ufeff", "G\n", "E\n"]) {
      await roundTrip(`${odd}key`, `${odd}value`);
      await roundTrip(`ke${odd}y`, `val${odd}ue`);
      await roundTrip(`key${odd}`, `value${odd}`);
      await roundTrip("key", odd);
    }
  });

  await report.case("values that look like replies or frames", async () => {
    for (const value of [
      "G",
      "E",
      "I",
      "R",
      "H",
      "G\n",
      "E\n",
      "\n",
      "undefined",
      "null",
      "\xf5RC\xf5",
      `I${"\0".repeat(127)}`,
    ]) {
      await roundTrip("k", value);
    }
  });

  await report.case("half a surrogate pair is refused, since no UTF-8 can hold it", async () => {
    await refused(() => RustCache.insert("k", "broken \ud800 text"), /surrogate|well-formed|Unicode/i);
    await refused(() => RustCache.insert("broken \udc00 key", "v"), /surrogate|well-formed|Unicode/i);
  });

  await report.case("a TTL that is negative, NaN or infinite is refused", async () => {
    for (const ttl of [-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      await refused(() => RustCache.insert("bad ttl", "v", ttl), /ttl|expir/i);
    }
    assert.equal(await RustCache.get("bad ttl"), "");
  });

  await report.case("TTLs longer than the fixed frame's 65,535 s are kept", async () => {
    await RustCache.insert("a year", "v", 365 * 24 * 3600);
    assert.equal(await RustCache.get("a year"), "v");
  });

  await report.case("arguments of the wrong type are refused, not converted", async () => {
    const untyped = RustCache as unknown as {
      insert(key: unknown, value: unknown, ttl?: unknown): Promise<string>;
    };
    await refused(() => untyped.insert(42, "v"), /key/i);
    await refused(() => untyped.insert("k", { an: "object" }), /value/i);
    await refused(() => untyped.insert("k", "v", "60"), /ttl|expir/i);
  });
}
