// The README is true: each of its code blocks runs, and prints what a reader would expect. Rust blocks run as documentation tests (src/lib.rs), that of Python among
// the tests of its package (python/tests/test_documents.py).

import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { blocks, claimed, needsHost, root, run, runTypeScript } from "./support/programs.js";

const readme = blocks("README.md");
const ofReadme = (language: string): string[] =>
  readme.filter((block) => block.language === language).map((block) => block.text);

test("the README has code for each face, and none in a language that is not run", () => {
  assert.deepEqual([...new Set(readme.map((block) => block.language))].sort(), [
    "python",
    "rust",
    "sh",
    "ts",
  ]);
});

test("the first TypeScript program of the README prints the name it stored, which a second daemon read", () => {
  assert.equal(runTypeScript(ofReadme("ts")[0]!), "Ada\n");
});

test("the second TypeScript program of the README finds what it stored and misses what it did not", () => {
  assert.match(
    runTypeScript(ofReadme("ts")[1]!),
    /^page:\/ <h1>hello<\/h1> <Buffer 89 50 4e 47> undefined\n4\n$/,
  );
});

for (const file of ["docs/node.md", "docs/node-read-through.md"]) {
  test(`each program of ${file} prints what its comments say`, () => {
    const programs = blocks(file).filter(
      (block) => block.language === "ts" && claimed(block.text).length > 0,
    );
    assert.ok(programs.length >= 5, `${programs.length} programs`);
    for (const { text } of programs)
      assert.deepEqual(runTypeScript(text).trimEnd().split("\n"), claimed(text), text);
  });
}

test("the program of the tracing channels prints what the text behind it says", () => {
  const program = blocks("docs/node-read-through.md").find((block) => block.text.includes("tracingChannel"));
  assert.equal(runTypeScript(program!.text), "request get k\nload [ 'k' ]\nrequest set k\n");
});

// What is there for Rust runs as a documentation test; what is there for Python, in python/tests.
const forNode = readdirSync(join(root, "docs/switching")).filter((name) => name.startsWith("from-"));
for (const name of forNode) {
  const file = `docs/switching/${name}`;
  test(`${file} shows what it was and what it becomes, and the latter prints what its comments say`, () => {
    const shown = blocks(file);
    const [before] = shown;
    assert.equal(before?.language, "js", "the first program is the old one");
    const programs = shown.filter(({ language }) => language === "ts");
    const own = programs.filter(({ text }) => !needsHost(text));
    assert.equal(own.length, 1, "one program needs nothing but rustcache");
    for (const { text } of programs) assert.ok(claimed(text).length > 0, `it says what it prints:\n${text}`);
    assert.deepEqual(runTypeScript(own[0]!.text).trimEnd().split("\n"), claimed(own[0]!.text));
  });
}

test("the commands of the README for set-up are scripts of the package", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const lines = ofReadme("sh")[0]!.trim().split("\n");
  for (const line of lines) {
    const name = /^npm (?:run )?(\w+) /.exec(line)?.[1];
    assert.ok(name !== undefined && scripts[name] !== undefined, line);
  }
});

test("the shell lines of the README and of the operations page print their replies", () => {
  const expected: Record<string, RegExp> = {
    "README.md":
      /^inserted\ninserted\nhit "1" \(never expires\)\nmiss\nOK version 2 .*\nOK 41\nOK 42\ninserted\na\ttext\t1\tnever expires\n$/,
    "docs/operations.md": /^inserted\nOK version 2 .*\nOK\nOK 42\nOK "42" \(never expires\)\n$/,
  };
  for (const [file, pattern] of Object.entries(expected)) {
    const commands = blocks(file)
      .filter(({ language, text }) => language === "sh" && !/^npm |--http/.test(text))
      .map((block) => block.text);
    const directory = mkdtempSync(join(tmpdir(), "rustcache-readme-"));
    try {
      assert.match(run("sh", ["-ec", commands.join("\n")], directory), pattern, file);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
});

test("the shell lines of the README for HTTP write an entry and show it with its type and its time", async () => {
  const [serve = "", ...asks] = ofReadme("sh")
    .find((text) => text.includes("--http"))!
    .trim()
    .replaceAll("8000", `${await freePort()}`)
    .split("\n");
  const isUp = serve.replace(/^rustcache --http (\S+) &$/, "until curl -sf $1/livez; do :; done");
  const script = [serve, "trap 'kill $!' EXIT", isUp, ...asks].join("\n");
  const shown = run("sh", ["-ec", script]);
  assert.match(shown, /^HTTP\/1\.1 200 OK\r$/m);
  assert.match(shown, /^content-type: application\/json\r$/im);
  assert.match(shown, /^cache-control: max-age=(59|60)\r$/im);
  assert.match(shown, /^etag: "[^"]+"\r$/im);
  assert.ok(shown.endsWith('{"name":"Ada"}'), shown);
});

test("every document that a document points to is there", () => {
  const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const documents = [
    "README.md",
    ...pages.filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
  ];
  for (const file of documents) {
    for (const [, target = ""] of readFileSync(join(root, file), "utf8").matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.ok(existsSync(join(root, dirname(file), target)), `${file} points to ${target}`);
    }
  }
});

/** A port that nobody has taken a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
