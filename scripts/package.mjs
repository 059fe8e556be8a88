// Makes what would be published, as files: `node scripts/package.mjs`. The package `rustcache` from the sources, and a package for each
// platform whose release binary is there, below target/npm, each also as a .tgz, whose paths are printed. Publishes nothing.
//
//   --out DIR           where to [default: target/npm]; what is there is replaced
//   --binary NAME=PATH  the binary of a platform (node/platforms.ts), as one that was built on another machine; may be repeated
//
// Without --binary, the one in target/TRIPLE/release is taken, and for this machine that in target/release.

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const LICENCES = ["LICENSE-MIT", "LICENSE-APACHE"];

/** Ends the run with a text that says what is wrong and what to do about it. */
function fail(text) {
  process.stderr.write(`package: ${text}\n`);
  process.exit(1);
}

/** Runs a program and gives what it printed; `undefined` as its end means that it is not there. */
function run(command, args, cwd = root) {
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (error) return { status: undefined, stdout: "", stderr: error.message };
  return { status, stdout, stderr };
}

function mustRun(command, args, cwd) {
  const { status, stdout, stderr } = run(command, args, cwd);
  if (status !== 0) fail(`${basename(command)} ${args.join(" ")} failed:\n${stdout}${stderr}`);
  return stdout;
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The system and the processor that a program was made for, by its first bytes; undefined if it is no program. */
function madeFor(file) {
  const bytes = readFileSync(file);
  if (bytes.length < 64) return undefined;
  if (bytes.readUInt32BE(0) === 0x7f454c46)
    return { os: "linux", cpu: { 62: "x64", 183: "arm64" }[bytes.readUInt16LE(18)] };
  if (bytes.readUInt32LE(0) === 0xfeedfacf)
    return { os: "darwin", cpu: { 16777223: "x64", 16777228: "arm64" }[bytes.readUInt32LE(4)] };
  const header = bytes.readUInt32LE(60);
  if (bytes.toString("latin1", 0, 2) !== "MZ" || header + 6 > bytes.length) return undefined;
  return { os: "win32", cpu: { 34404: "x64", 43620: "arm64" }[bytes.readUInt16LE(header + 4)] };
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        out: { type: "string", default: join(root, "target/npm") },
        binary: { type: "string", multiple: true, default: [] },
      },
    });
    const binaries = new Map();
    for (const text of values.binary) {
      const [, name, path] = /^([^=]+)=(.+)$/.exec(text) ?? [];
      if (name === undefined) throw new Error(`--binary takes NAME=PATH, not "${text}"`);
      binaries.set(name, resolve(path));
    }
    return { out: resolve(values.out), binaries };
  } catch (error) {
    return fail(error.message);
  }
}

/** The binaries to pack, by the row of their platform. */
function findBinaries(named, { PLATFORMS, binaryIn, platformsFor }) {
  for (const [name, path] of named) {
    if (!PLATFORMS.some((platform) => platform.name === name))
      fail(`there is no platform "${name}"; there are ${PLATFORMS.map((each) => each.name).join(", ")}`);
    if (!existsSync(path)) fail(`${path}, the binary for ${name}, is not there`);
  }
  const [here] = platformsFor(process.platform, process.arch, existsSync);
  const found = new Map();
  for (const platform of PLATFORMS) {
    const file = basename(binaryIn(platform));
    const places = named.has(platform.name)
      ? [named.get(platform.name)]
      : [join(root, "target", platform.target, "release", file)];
    if (platform === here) places.push(join(root, "target/release", file));
    const path = places.find((place) => existsSync(place));
    if (path !== undefined) found.set(platform, path);
  }
  if (found.size === 0)
    fail('there is no release binary: "cargo build --release --features daemon" makes one');
  return found;
}

function checkBinary(platform, path, version) {
  const made = madeFor(path);
  if (made?.os !== platform.os || made.cpu !== platform.cpu) {
    const is = made === undefined ? "no program" : `a program for ${made.os}-${made.cpu}`;
    fail(`${path} is ${is}, and was to be packed for ${platform.name}`);
  }
  if (platform.os !== process.platform || platform.cpu !== process.arch) return;
  const says = run(path, ["--version"]).stdout.trim();
  if (says !== "" && says !== `rustcache ${version}`)
    fail(`${path} says that it is "${says}", and package.json that this is ${version}: build it again`);
}

/** Debug information is four fifths of the file. Without a `strip` that knows the platform it stays, and does no harm. */
function stripDebug(path, platform) {
  const { status } = run("strip", [platform.os === "darwin" ? "-S" : "--strip-debug", path]);
  if (status !== 0)
    process.stderr.write(`package: ${platform.name} is packed with its debug information: strip failed\n`);
}

/** The table of the platforms, the client's own. It imports nothing. */
function readTable() {
  const source = readFileSync(join(root, "node/platforms.ts"), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  return import(`data:text/javascript,${encodeURIComponent(outputText)}`);
}

/** Compiles the client into dist/, where nothing of a former build stays. */
function compile() {
  rmSync(join(root, "dist"), { recursive: true, force: true });
  const compiler = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
  mustRun(process.execPath, [compiler, "-p", "tsconfig.build.json"]);
}

/** The package of one platform: its binary, and nothing that runs by itself. */
function stagePlatform(directory, platform, binary, own, { binaryIn, packageOf }) {
  const target = join(directory, binaryIn(platform));
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(binary, target);
  chmodSync(target, 0o755);
  stripDebug(target, platform);
  for (const file of LICENCES) copyFileSync(join(root, file), join(directory, file));
  writeFileSync(
    join(directory, "README.md"),
    `# ${packageOf(platform)}\n\nThe daemon of [rustcache](https://www.npmjs.com/package/rustcache) for ${platform.target}. Install \`rustcache\`, which takes this package along where it fits.\n`,
  );
  writeJson(join(directory, "package.json"), {
    name: packageOf(platform),
    version: own.version,
    description: `The daemon of rustcache for ${platform.target}`,
    license: own.license,
    os: [platform.os],
    cpu: [platform.cpu],
    ...(platform.libc === undefined ? {} : { libc: [platform.libc] }),
    // A binary in an archive cannot be run.
    preferUnplugged: true,
    files: ["bin", ...LICENCES],
  });
}

/** The package that is installed by name: the compiled client, which pins the packages of the platforms by their exact version. */
function stageClient(directory, own, names) {
  mkdirSync(directory, { recursive: true });
  cpSync(join(root, "dist"), join(directory, "dist"), { recursive: true });
  for (const file of [...LICENCES, "README.md"]) copyFileSync(join(root, file), join(directory, file));
  const { private: _private, scripts: _scripts, devDependencies: _dev, ...published } = own;
  const optionalDependencies = Object.fromEntries(names.map((name) => [name, own.version]));
  writeJson(join(directory, "package.json"), { ...published, optionalDependencies });
}

/** `npm pack`, by the npm that is running, if one is. */
function pack(directory, out) {
  const npm = process.env.npm_execpath;
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", out];
  const isScript = npm !== undefined && /npm-cli\.[cm]?js$/.test(npm);
  const printed = isScript
    ? mustRun(process.execPath, [npm, ...args], directory)
    : mustRun("npm", args, directory);
  const packed = JSON.parse(printed);
  // A list until npm 11, since then also an object by name.
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed);
  // Older ones print the name with its scope, and write the file without.
  return join(out, filename.replace(/^@/, "").replace("/", "-"));
}

const { out, binaries } = readOptions();
const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const crate = /^version\s*=\s*"([^"]+)"/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))?.[1];
if (crate !== own.version)
  fail(`Cargo.toml says ${crate} and package.json ${own.version}: make them the same`);

const table = await readTable();
const found = findBinaries(binaries, table);
for (const [platform, path] of found) checkBinary(platform, path, own.version);
compile();
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const staged = [];
for (const [platform, path] of found) {
  const directory = join(out, platform.name);
  stagePlatform(directory, platform, path, own, table);
  staged.push(directory);
}
const client = join(out, "rustcache");
stageClient(client, own, [...found.keys()].map(table.packageOf));
staged.push(client);
for (const directory of staged) process.stdout.write(`${relative(process.cwd(), pack(directory, out))}\n`);
