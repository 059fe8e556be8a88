// The pages for people who come from another cache: their programs have types, and those that need that other package run beside it.
// tests/readme.test.ts runs the others.

import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  blocks,
  claimed,
  inDirectory,
  needsHost,
  root,
  run,
  runTypeScript,
  withSources,
} from "../support/programs.js";

const modules = "tests/adapters/node_modules";
const programs = readdirSync(join(root, "docs/switching"))
  .flatMap((name) => blocks(`docs/switching/${name}`))
  .filter(({ language }) => language === "ts");
const hosted = programs.filter(({ text }) => needsHost(text));

test("there are programs that keep their host", () => {
  assert.ok(hosted.length >= 2, `${hosted.length} programs`);
});

for (const { file, text } of hosted) {
  test(`the program of ${file} that keeps its host prints what its comments say`, () => {
    assert.deepEqual(runTypeScript(text, modules).trimEnd().split("\n"), claimed(text));
  });
}

test("the programs have no type errors", () => {
  inDirectory((directory) => {
    programs.forEach(({ text }, i) => {
      writeFileSync(join(directory, `program-${i}.mts`), withSources(text));
    });
    writeFileSync(
      join(directory, "tsconfig.json"),
      JSON.stringify({
        extends: join(root, "tsconfig.json"),
        compilerOptions: { typeRoots: [join(root, "node_modules/@types")] },
        include: ["*.mts"],
      }),
    );
    run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], directory);
  }, modules);
});
