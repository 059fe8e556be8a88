// docs/protocol.md is true: its worked examples, sent to the daemon as they stand there, are answered as they stand there.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Bytes of one direction; undefined stands for `..`, any byte. */
type Pattern = (number | undefined)[];

/** Reads `→ 49 00×3 …  a comment`: everything up to the first word that is not a byte. Lines without an arrow go on. */
function readExample(block: string): { sent: Pattern; received: Pattern } {
  const example = { sent: [] as Pattern, received: [] as Pattern };
  let direction = example.sent;
  for (const line of block.split("\n")) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "→") direction = example.sent;
    if (words[0] === "←") direction = example.received;
    if (words[0] === "→" || words[0] === "←") words.shift();
    for (const word of words) {
      const [, byte, count = "1"] = /^([0-9a-f]{2}|\.\.)(?:×(\d+))?$/.exec(word) ?? [];
      if (byte === undefined) break;
      for (let n = 0; n < Number(count); n++)
        direction.push(byte === ".." ? undefined : Number.parseInt(byte, 16));
    }
  }
  return example;
}

/** Bytes as the document writes them, `00×9` for nine zeros, as plain hexadecimal. */
function plainHex(text: string): string {
  return text
    .trim()
    .replace(/([0-9a-f]{2})×(\d+)/g, (_, byte: string, count: string) => byte.repeat(Number(count)))
    .replace(/ /g, "");
}

const examples = [
  ...readFileSync(join(root, "docs/protocol.md"), "utf8").matchAll(/^```\n(→.*?)^```$/gms),
].map(([, block = ""]) => readExample(block));

function answer(sent: Pattern): Buffer {
  const input = Buffer.from(sent.map((byte) => byte ?? 0));
  const { stdout, status, stderr } = spawnSync(join(root, "target/release/rustcache"), {
    input,
    env: { ...process.env, RUSTCACHE_DIR: undefined },
  });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

test("the worked example of version 1 is answered as it says, but for the time", () => {
  const { sent, received } = examples[0]!;
  assert.equal(sent.length, 2 * 128);
  assert.equal(received.length, 2 + 65);
  const reply = answer(sent);
  const time = 2 + 56;
  assert.ok(Math.abs(reply.readUIntBE(time, 6) - Date.now() / 1000) < 3600);
  reply.fill(0, time, time + 6);
  assert.deepEqual(
    [...reply],
    received.map((byte, at) => (at >= time && at < time + 6 ? 0 : byte)),
  );
});

test("the worked example of version 2 is answered as it says", () => {
  const { sent, received } = examples[1]!;
  const reply = answer(sent);
  assert.deepEqual(
    [...reply.subarray(0, received.length)].map((byte, at) =>
      received[at] === undefined ? undefined : byte,
    ),
    received,
  );
  // What is left is the text of the last reply, as long as its length says.
  const last = received.length - 16;
  assert.equal(reply.length, last + 4 + reply.readUInt32LE(last));
});

test("the examples of each frame stand in the document as in the golden vectors, and no op is without one", () => {
  const golden = JSON.parse(readFileSync(join(root, "tests/golden.json"), "utf8")) as {
    vectors: { name: string; hex: string; op: string; protocol: number; kind: string; error?: string }[];
  };
  const section = readFileSync(join(root, "docs/protocol.md"), "utf8").split(
    "### An example of each frame",
  )[1]!;
  const shown = new Map(
    [...section.matchAll(/^[→←] (.+)\n {2}(.+)$/gm)].map(([, name = "", hex = ""]) => [name, hex]),
  );
  const covered = new Set<string>();
  for (const vector of golden.vectors) {
    const hex = shown.get(vector.name);
    if (hex === undefined) continue;
    shown.delete(vector.name);
    assert.equal(plainHex(hex), vector.hex.replace(/ /g, ""), vector.name);
    covered.add(`${vector.protocol} ${vector.op} ${vector.kind}`);
  }
  assert.deepEqual([...shown.keys()], [], "examples that are no golden vectors");
  for (const { protocol, op, kind, error } of golden.vectors) {
    if (error === undefined) assert.ok(covered.has(`${protocol} ${op} ${kind}`), `${protocol} ${op} ${kind}`);
  }
});
