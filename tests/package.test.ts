// What would be published works: packed by scripts/package.mjs, installed from the files alone into an empty project, used from there as
// an application would. Nothing here reaches a registry.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { findBinary } from "../node/binary.js";
import { binaryIn, packageOf, platformsFor } from "../node/platforms.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const [here] = platformsFor(process.platform, process.arch, existsSync);
const directory = mkdtempSync(join(tmpdir(), "rustcache-package-"));
const project = join(directory, "project");
const installedBinary = join(project, "node_modules", packageOf(here!), binaryIn(here!));
after(() => rmSync(directory, { recursive: true, force: true }));

/** The environment of a user who has set nothing for rustcache. */
const {
  RUSTCACHE_BINARY: _binary,
  RUSTCACHE_DIR: _dir,
  NODE_OPTIONS: _options,
  NODE_PATH: _path,
  ...env
} = process.env;

function run(command: string, args: string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    timeout: 120_000,
    env,
  });
  assert.ifError(error);
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Writes a program into the project, runs it there, and gives what it printed. */
function runProgram(name: string, text: string): string {
  writeFileSync(join(project, name), text);
  return run(process.execPath, [name], project);
}

before(() => {
  const out = join(directory, "packed");
  const binary = findBinary(undefined, process.env);
  const printed = run(
    process.execPath,
    [join(root, "scripts/package.mjs"), "--out", out, "--binary", `${here!.name}=${binary}`],
    root,
  );
  const packed = readdirSync(out).filter((name) => name.endsWith(".tgz"));
  assert.equal(printed.trim().split("\n").length, packed.length, printed);
  // Those of other platforms are optional dependencies that cannot be had here.
  const wanted = new RegExp(`^rustcache-(${here!.name}-)?\\d`);
  const tarballs = packed.filter((name) => wanted.test(name)).map((name) => join(out, name));
  assert.equal(tarballs.length, 2, `${packed}`);

  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "empty", private: true }));
  // An empty cache: what is not in the files cannot be had.
  const offline = ["--offline", "--cache", join(directory, "cache"), "--no-audit", "--no-fund"];
  run("npm", ["install", ...offline, ...tarballs], project);
});

test("the installed package is the client, its types and its documents, and nothing else", () => {
  const files = readdirSync(join(project, "node_modules/rustcache"), {
    recursive: true,
    withFileTypes: true,
  }).filter((entry) => entry.isFile());
  const others = files
    .map((entry) => entry.name)
    .filter(
      (name) =>
        !/^[a-z-]+(\.d\.ts|\.js)$/.test(name) &&
        !["package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE"].includes(name),
    );
  assert.deepEqual(others, []);
  for (const name of ["index.js", "index.d.ts"])
    assert.ok(
      files.some((entry) => entry.name === name),
      `${name} is missing`,
    );
});

test("installing runs no script, brings no dependency, and pins the platform packages to its own version", () => {
  const installed = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
  assert.deepEqual(installed.sort(), ["@rustcache", "rustcache"]);
  const read = (name: string) =>
    JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8")) as Record<
      string,
      unknown
    >;
  const own = read("rustcache");
  const platform = read(packageOf(here!));
  assert.deepEqual([own.scripts, own.dependencies, own.private], [undefined, undefined, undefined]);
  assert.deepEqual([platform.scripts, platform.dependencies], [undefined, undefined]);
  const pinned = own.optionalDependencies as Record<string, string>;
  assert.equal(pinned[packageOf(here!)], own.version);
  assert.deepEqual([...new Set(Object.values(pinned))], [own.version]);
  assert.equal(own.sideEffects, false);
  for (const [subpath, conditions] of Object.entries(own.exports as Record<string, object | string>)) {
    if (typeof conditions === "string") continue;
    assert.equal(Object.keys(conditions)[0], "types", `types come first in ${subpath}`);
  }
});

const USE = `
  const stored = await cache.set("k", Buffer.from("v"), { ttl: 60_000 });
  console.log(stored, String(await cache.get("k")), await cache.get("nothing"));
  await cache.close();
  await RustCache.start();
  console.log(RustCache.process.spawnfile);
  RustCache.close();
`;
const printed = `true v undefined\n${installedBinary}\n`;

test("an ES module imports it and runs the binary of the platform package", () => {
  const text = `import { createCache, RustCache } from "rustcache"; const cache = createCache(); RustCache.configure({ dir: null });${USE}`;
  assert.equal(runProgram("program.mjs", text), printed);
});

test("a CommonJS program requires it, and so do its subpaths", () => {
  const text = `const { createCache, RustCache } = require("rustcache"); const cache = createCache(); RustCache.configure({ dir: null }); (async () => {${USE}})();`;
  assert.equal(runProgram("program.cjs", text), printed);
  const { exports } = JSON.parse(
    readFileSync(join(project, "node_modules/rustcache/package.json"), "utf8"),
  ) as { exports: Record<string, unknown> };
  // The one host that an adapter extends; the others are met when they are used.
  symlinkSync(
    join(root, "node_modules/express-session"),
    join(project, "node_modules/express-session"),
    "junction",
  );
  for (const subpath of Object.keys(exports)) {
    const name = subpath.replace(".", "rustcache");
    assert.equal(runProgram("subpath.cjs", `console.log(typeof require("${name}"))`), "object\n", name);
  }
});

test("its types compile in a strict project that checks its libraries, for ESM and for CommonJS", () => {
  const text = `import { createCache, type CacheOptions, RustCacheError } from "rustcache";
import { KeyvRustcache } from "rustcache/keyv";
import { createCacheHandler } from "rustcache/next";
import { RateLimitStore } from "rustcache/rate-limit";
import { UndiciStore } from "rustcache/undici";
import { rustcacheDriver } from "rustcache/unstorage";
const options: CacheOptions = { maxBytes: "64mb" };
export const stored: Promise<boolean> = createCache(options).set("k", "v", { ttl: 1000 });
export const code = (error: unknown): string => (error instanceof RustCacheError ? error.code : "");
// None of their hosts is here.
const cache = createCache().namespace("shared");
export const adapters = [new KeyvRustcache(cache), new RateLimitStore({ cache }), new UndiciStore({ cache })];
export const made = [createCacheHandler({ cache }), rustcacheDriver({ cache })];
// @ts-expect-error: no such option
createCache({ maxByte: 1 });
`;
  for (const name of ["types.mts", "types.cts"]) writeFileSync(join(project, name), text);
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        module: "NodeNext",
        target: "ES2022",
        lib: ["ES2023", "ESNext.Disposable"],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true,
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      },
      include: ["types.mts", "types.cts"],
    }),
  );
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], project);
});

test("a binary that has lost its permission to run is given it back", {
  skip: process.platform === "win32",
}, () => {
  chmodSync(installedBinary, 0o644);
  const text = `import { createCache } from "rustcache"; const cache = createCache(); await cache.ping(); await cache.close(); console.log("up");`;
  assert.equal(runProgram("permission.mjs", text), "up\n");
  assert.equal(statSync(installedBinary).mode & 0o111, 0o111);
});

test("a project from which the platform package is missing is told the likely causes", () => {
  // The last test: it takes the binary away.
  rmSync(join(project, "node_modules", packageOf(here!)), { recursive: true });
  const text = `import { createCache } from "rustcache"; await createCache().ping().catch((error) => console.log(error.code, error.message));`;
  const words = runProgram("missing.mjs", text);
  assert.match(words, /^ERR_RUSTCACHE_START the rustcache binary for .* was not found/);
  assert.match(words, /--omit=optional/);
});

test("a binary for another platform, or of another version, is not packed", () => {
  const text = join(directory, "text");
  writeFileSync(text, "no program".repeat(100));
  const attempt = (binary: string) =>
    spawnSync(
      process.execPath,
      [join(root, "scripts/package.mjs"), "--out", join(directory, "wrong"), "--binary", binary],
      {
        encoding: "utf8",
        env,
      },
    );
  const other = here!.cpu === "arm64" ? "linux-x64" : "linux-arm64";
  for (const [binary, words] of [
    [`${here!.name}=${text}`, /is no program, and was to be packed/],
    [`${other}=${process.execPath}`, /is a program for .*, and was to be packed/],
    [`${here!.name}=${process.execPath}`, /says that it is "v\d.*build it again/],
    [`nowhere=${process.execPath}`, /there is no platform "nowhere"; there are linux-x64,/],
    [`${here!.name}=/no/such/file`, /is not there/],
    ["linux-x64", /takes NAME=PATH/],
  ] as const) {
    const { status, stderr } = attempt(binary);
    assert.equal(status, 1, stderr);
    assert.match(stderr, words);
  }
});
