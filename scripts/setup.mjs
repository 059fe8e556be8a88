// Gets a fresh checkout ready to run: the Node packages and the release build of the daemon, each only when it is missing or
// out of date. Plain Node without dependencies, because it runs before there are any. `npm run setup`, `npm run demo` and
// `npm test` all begin here, so it must be fast when nothing has changed. Arguments are directories with a package.json of their own, whose
// packages are wanted as well; their install scripts do not run.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Ends the run with a text that says what is wrong and what to do about it. */
function fail(text) {
  process.stderr.write(`setup: ${text}\n`);
  process.exit(1);
}

/** Whether version `have` is at least `need`; both like "20.19" or "v20.20.2". */
function atLeast(have, need) {
  const [a, b] = [have, need].map((version) => version.replace(/^v/, "").split(".").map(Number.parseFloat));
  for (let part = 0; part < b.length; part++) {
    if ((a[part] ?? 0) !== b[part]) return (a[part] ?? 0) > b[part];
  }
  return true;
}

function run(command, args, directory = ".") {
  const { error, status, signal } = spawnSync(command, args, {
    cwd: join(root, directory),
    stdio: "inherit",
  });
  if (error) return error.message;
  if (signal) return `it was ended by ${signal}`;
  return status === 0 ? undefined : `it ended with exit code ${status}`;
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw new Error(`${path} cannot be read: ${error.message}`);
  }
}

function checkNode() {
  const range = readJson("package.json").engines.node;
  const need = range.replace(/^>=\s*/, "");
  if (atLeast(process.version, need)) return;
  fail(
    `this is Node ${process.version}, and rustcache needs ${range}. Install a newer one from https://nodejs.org.`,
  );
}

/**
 * Whether node_modules holds what package-lock.json asks for. Compared by content, not by date: a checkout, an archive and a
 * copied directory all give files new dates. npm writes what it installed into node_modules/.package-lock.json.
 */
function packagesAreInstalled(directory) {
  const wanted = readJson(join(directory, "package-lock.json"))?.packages;
  const installed = readJson(join(directory, "node_modules/.package-lock.json"))?.packages;
  if (!wanted || !installed) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    // npm leaves out packages for other platforms: optional ones may be missing from both lists alike.
    const missing = installed[path] === undefined;
    if (missing && (entry.optional || entry.devOptional)) continue;
    if (missing || installed[path].version !== entry.version || installed[path].integrity !== entry.integrity)
      return false;
    if (!existsSync(join(root, directory, path, "package.json"))) return false;
  }
  return Object.keys(installed).every((path) => wanted[path] !== undefined);
}

function installPackages(directory, options) {
  if (packagesAreInstalled(directory)) return;
  const of = directory === "." ? "" : ` of ${directory}`;
  process.stderr.write(`setup: installing the Node packages${of} (npm ci)\n`);
  // Inside `npm run` this is the npm that is already running, wherever it is installed.
  const npm = process.env.npm_execpath;
  const isScript = npm !== undefined && /npm-cli\.[cm]?js$/.test(npm);
  const args = ["ci", "--no-audit", "--no-fund", ...options];
  const problem = isScript ? run(process.execPath, [npm, ...args], directory) : run("npm", args, directory);
  if (problem) fail(`npm ci${of} failed: ${problem}. Its own messages are above.`);
}

function checkCargo() {
  const need = /^rust-version\s*=\s*"([^"]+)"/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))?.[1];
  const cure = "Install Rust with rustup, https://rustup.rs, or update it with `rustup update stable`.";
  const { error, status, stdout, stderr } = spawnSync("cargo", ["--version"], {
    cwd: root,
    encoding: "utf8",
  });
  if (error?.code === "ENOENT") fail(`cargo is not in PATH, and the daemon is built with it. ${cure}`);
  if (error || status !== 0) fail(`cargo does not run: ${error?.message ?? stderr.trim()}. ${cure}`);
  const have = /^cargo (\S+)/.exec(stdout)?.[1] ?? "0";
  if (need && !atLeast(have, need))
    fail(`this is cargo ${have}, and rustcache needs Rust ${need} or newer. ${cure}`);
}

function buildDaemon() {
  // cargo itself knows best whether the build is up to date, and says so in a fraction of a second.
  const problem = run("cargo", ["build", "--release", "--features", "daemon"]);
  if (!problem) return;
  const hasCompiler = ["cc", "gcc", "clang"].some((name) => !spawnSync(name, ["--version"]).error);
  const hint = hasCompiler
    ? ""
    : " A C compiler and linker is missing: install gcc or clang (on Debian: apt-get install build-essential).";
  fail(`cargo build --release --features daemon failed: ${problem}. Its own messages are above.${hint}`);
}

const began = performance.now();
checkNode();
installPackages(".", []);
for (const directory of process.argv.slice(2)) installPackages(directory, ["--ignore-scripts"]);
checkCargo();
buildDaemon();
process.stderr.write(`setup: ready after ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
