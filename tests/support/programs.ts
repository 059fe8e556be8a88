// The programs that the documents show: found in their text, and run as a reader would run them, over the sources of this checkout.
// What they should print is said by the documents; no expectation lives here.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const binaries = join(root, "target/release");

export interface Block {
  readonly file: string;
  readonly language: string;
  readonly text: string;
}

export function blocks(file: string): Block[] {
  const markdown = readFileSync(join(root, file), "utf8");
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({
    file,
    language,
    text,
  }));
}

/** What a program of a document prints by its own account: the comments behind its calls of console.log, in order. */
export function claimed(text: string): string[] {
  return [...text.matchAll(/^.*console\.log\(.*\/\/ (.*)$/gm)].map(([, claim = ""]) => claim);
}

/** Whether a program imports what is neither of Node nor of this package. */
export function needsHost(text: string): boolean {
  return /^import .* from "(?!rustcache[/"]|node:)/m.test(text);
}

/** Runs a program and gives what it printed; fails with its error output if it failed. */
export function run(command: string, args: string[], cwd = root): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    timeout: 120_000,
    // What a reader has set for his own cache is not for these.
    env: { ...process.env, RUSTCACHE_DIR: undefined, PATH: `${binaries}${delimiter}${process.env.PATH}` },
  });
  assert.ifError(error);
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

/** The program with the sources of this checkout in the place of the package. */
export function withSources(text: string): string {
  return text
    .replaceAll('"rustcache"', JSON.stringify(join(root, "node/index.js")))
    .replace(/"rustcache\/([\w-]+)"/g, (_, subpath: string) =>
      JSON.stringify(join(root, `node/adapters/${subpath}.js`)),
    );
}

/** Calls `body` with an empty directory, in which `modules`, a path below the root, is found as node_modules. */
export function inDirectory<T>(body: (directory: string) => T, modules?: string): T {
  const directory = mkdtempSync(join(tmpdir(), "rustcache-documents-"));
  try {
    if (modules !== undefined) symlinkSync(join(root, modules), join(directory, "node_modules"));
    return body(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs a TypeScript program and gives what it printed. */
export function runTypeScript(text: string, modules?: string): string {
  return inDirectory((directory) => {
    const file = join(directory, "block.mts");
    writeFileSync(file, withSources(text));
    // There, because a cache is kept in the working directory.
    return run(process.execPath, ["--import", import.meta.resolve("tsx"), file], directory);
  }, modules);
}
