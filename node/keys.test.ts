// Which keys the daemon sees, and which keys match a pattern: pure functions, many values.

import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { matcherOf } from "./glob.js";
import { KeySpace } from "./keys.js";

const root = new KeySpace();
const KEYS = [
  "",
  "a",
  "\u0001",
  "\u0001k",
  "\u0001\u0002k",
  "\u0001a\u0002",
  "a\u0002b",
  "\u001fb\u0002",
  "größer",
];
const BYTES = [
  Buffer.alloc(0),
  Buffer.from([1]),
  Buffer.from([1, 2]),
  Buffer.from([0xff, 0]),
  Buffer.from([1, 0xff]),
];
const SPACES = [
  root,
  root.inner("a"),
  root.inner("b"),
  root.inner("a").inner("b"),
  root.inner("ab"),
  root.inner("a").inner("b").inner("größer"),
  root.inner("k"),
  root.inner("t"),
];

const hex = (key: string | Uint8Array) => Buffer.from(key as string).toString("hex");

test("no two keys of any two namespaces are the same key for the daemon, nor the record of a tag", () => {
  const seen = new Map<string, string>();
  const add = (key: string | Uint8Array, what: string) => {
    assert.equal(seen.get(hex(key)), undefined, `${what} is ${hex(key)}`);
    seen.set(hex(key), what);
  };
  for (const space of SPACES) {
    for (const key of [...KEYS, ...BYTES.slice(2)]) add(space.wire(key), `${space.path}: ${key}`);
    for (const tag of KEYS.slice(1)) add(space.tagRecord(tag), `${space.path}: tag ${tag}`);
  }
});

test("every key is read back as it was by its own namespace, and by no other", () => {
  for (const space of SPACES) {
    for (const key of [...KEYS, ...BYTES]) {
      const wire = Buffer.from(space.wire(key) as string);
      const expected =
        typeof key === "string" || Buffer.from(key).equals(Buffer.from(key.toString()))
          ? key.toString()
          : key;
      assert.deepEqual(space.read(wire), expected);
      for (const other of SPACES) if (other !== space) assert.equal(other.read(wire), undefined);
    }
    assert.equal(space.read(Buffer.from(space.tagRecord("a"))), undefined);
  }
});

test("a prefix covers the keys of its namespace that begin with it, and the inner prefix those further in", () => {
  const covers = (prefix: string | Uint8Array | null, key: string | Uint8Array) =>
    prefix === null || hex(key).startsWith(hex(prefix));
  for (const space of SPACES) {
    for (const prefix of KEYS) {
      for (const other of SPACES) {
        for (const key of KEYS) {
          const isCovered = covers(space.wirePrefix(prefix), other.wire(key));
          if (other === space) assert.equal(isCovered, key.startsWith(prefix), `${prefix} of ${key}`);
          else if (space.wirePrefix(prefix) !== null) assert.equal(isCovered, false, `${prefix}, ${key}`);
        }
      }
    }
  }
  const inner = root.inner("a").innerPrefix;
  assert.ok(covers(inner, root.inner("a").inner("b").wire("k")), "what is in a, b");
  assert.ok(!covers(inner, root.inner("a").wire("k")), "what is in a");
  assert.ok(!covers(inner, root.inner("ab").wire("k")), "what is in ab");
  assert.ok(covers(root.innerPrefix.slice(0, 1), root.inner("a").wire("k")), "the mark of all");
});

test("a name that could be mistaken for another is refused", () => {
  for (const name of [
    "",
    "a\u0002",
    "\u0001",
    "a\u001fb",
    "\n",
    "x".repeat(256),
    "\ud800",
    5,
    undefined,
    null,
  ]) {
    assert.throws(() => root.inner(name), { code: "ERR_RUSTCACHE_INVALID_ARG", message: /namespace/ });
  }
  assert.equal(root.inner("x".repeat(255)).path.length, 255);
});

describe("a pattern for keys", () => {
  const cases: [pattern: string, yes: string[], no: string[]][] = [
    ["", [""], ["a"]],
    ["*", ["", "a", "a\nb"], []],
    ["user:*", ["user:", "user:1"], ["user", "a user:1"]],
    ["*:name", [":name", "a:name", "a:name:name"], ["a:name2"]],
    ["u?:*:n*e", ["u1::ne", "u🧱:x:y:name"], ["u:x:ne", "u12:x:ne"]],
    ["a.c", ["a.c"], ["abc"]],
    ["a\\*\\?", ["a*?"], ["ab?", "a*b"]],
    ["\\", ["\\"], [""]],
    ["[ab]", ["[ab]"], ["a"]],
  ];
  for (const [pattern, yes, no] of cases) {
    test(JSON.stringify(pattern), () => {
      const matches = matcherOf(pattern);
      for (const key of yes) assert.equal(matches(key), true, key);
      for (const key of no) assert.equal(matches(key), false, key);
    });
  }

  test("with many stars ends on a long key that almost matches", () => {
    assert.equal(matcherOf(`${"*a".repeat(30)}b`)("a".repeat(5000)), false);
  });

  test("may be a RegExp, whose flags have no memory", () => {
    const matches = matcherOf(/^a/gy);
    for (let i = 0; i < 3; i++) assert.equal(matches("ab"), true);
    assert.throws(() => matcherOf(5), { code: "ERR_RUSTCACHE_INVALID_ARG", message: /match must be/ });
  });
});
