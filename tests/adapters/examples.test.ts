// The programs of examples/adapters run as their readers would run them, beside their hosts, and print what they say.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { root, withSources } from "../support/programs.js";

const examples = join(root, "examples/adapters");
const directory = mkdtempSync(join(tmpdir(), "rustcache-examples-"));
symlinkSync(join(root, "tests/adapters/node_modules"), join(directory, "node_modules"));
copyFileSync(join(root, "tests/adapters/package.json"), join(directory, "package.json"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Writes a program of the examples beside the hosts, for the sources of this checkout. */
function copy(name: string): string {
  const file = join(directory, name);
  writeFileSync(file, withSources(readFileSync(join(examples, name), "utf8")));
  return file;
}

function run(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, {
    cwd: directory,
    encoding: "utf8",
    timeout: 120_000,
  });
  assert.ifError(error);
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

const programs = readdirSync(examples).filter((name) => name.endsWith(".ts"));

test("each adapter has an example", () => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, unknown>;
  };
  const adapters = Object.keys(exports)
    .filter((subpath) => /^\.\/[\w-]+$/.test(subpath))
    .map((subpath) => subpath.slice(2));
  const shown = readdirSync(examples).map((name) => name.replace(/\.ts$/, ""));
  assert.deepEqual(adapters.sort(), shown.sort());
});

for (const name of programs) {
  test(`examples/adapters/${name} prints the lines at its end`, () => {
    const text = readFileSync(join(examples, name), "utf8");
    const expected = [...text.matchAll(/^\/\/ > (.*)$/gm)].map(([, line]) => `${line}\n`).join("");
    assert.notEqual(expected, "", "it says what it prints");
    assert.equal(run("--import", import.meta.resolve("tsx"), copy(name)), expected);
  });
}

test("the examples have the types of their hosts", () => {
  for (const name of programs) copy(name);
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: { typeRoots: [join(root, "node_modules/@types")] },
      include: ["*.ts"],
    }),
  );
  run(join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
});
