// The Python package's tests and checks, in a virtual environment that this makes: `node scripts/python.mjs test` (or `check`: format, lints,
// types; or `wheel`: what users install; or `faces`: the tests that other packages publish, against what takes their place; or `bench`: the
// figures, beside rivals in an environment of their own; or `bench abi3`: what one wheel for every version costs). Plain Node, as all of these
// scripts. The variable PYTHON names another interpreter than the first one in PATH that is new enough.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const directory = join(root, "python");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const venv = join(target, "python-venv");
const [bin, suffix] = process.platform === "win32" ? ["Scripts", ".exe"] : ["bin", ""];
const pythonOf = (venv) => join(venv, bin, `python${suffix}`);
const python = pythonOf(venv);

/** The oldest that `requires-python` of pyproject.toml promises. */
const OLDEST = [3, 10];

/** Ends the run with a text that says what is wrong and what to do about it. */
function fail(text) {
  process.stderr.write(`python: ${text}\n`);
  process.exit(1);
}

/** The version of an interpreter, as `[3, 12]`, and all that it says of itself; `undefined` if there is no such one. */
function versionOf(command) {
  const program = "import sys; print(*sys.version_info[:2], sys.version)";
  const { error, status, stdout } = spawnSync(command, ["-c", program], { encoding: "utf8" });
  if (error || status !== 0) return undefined;
  const [major, minor] = stdout.split(" ").map(Number);
  return { major, minor, text: stdout.trim() };
}

function findPython() {
  const newer = [15, 14, 13, 12, 11, 10].map((minor) => `python3.${minor}`);
  const candidates = process.env.PYTHON ? [process.env.PYTHON] : ["python3", "python", ...newer];
  for (const command of candidates) {
    const version = versionOf(command);
    const isNewEnough = version && (version.major - OLDEST[0] || version.minor - OLDEST[1]) >= 0;
    if (isNewEnough) return { command, version: version.text };
  }
  return fail(
    `none of ${candidates.join(", ")} is a Python ${OLDEST.join(".")} or newer: install one, or name it by the variable PYTHON`,
  );
}

const env = {
  ...process.env,
  VIRTUAL_ENV: venv,
  PATH: `${join(venv, bin)}:${process.env.PATH}`,
  PYO3_PYTHON: python,
};
// It would be taken for the interpreter of the environment.
delete env.PYTHONHOME;

/** Runs a program in `python/`, and says whether it ended well. */
function run(command, args, more = {}) {
  const { error, status } = spawnSync(command, args, {
    cwd: directory,
    env: { ...env, ...more },
    stdio: "inherit",
  });
  return !error && status === 0;
}

/** An environment with what a list of requirements asks for, made anew when that or the interpreter is another one. */
function makeVenv(venv, list) {
  const { command, version } = findPython();
  const requirements = join(root, list);
  const stamp = join(venv, "made-of");
  const madeOf = createHash("sha256").update(version).update(readFileSync(requirements)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === madeOf) return;
  process.stderr.write(`python: making ${venv} with ${version}\n`);
  rmSync(venv, { recursive: true, force: true });
  if (!run(command, ["-m", "venv", venv]))
    fail(`${command} -m venv failed: its own messages are above (on Debian: apt-get install python3-venv)`);
  const install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements];
  if (!run(pythonOf(venv), install))
    fail(
      `the packages of ${list} could not be installed: they come from the package index, PyPI, which has to be reachable (or PIP_INDEX_URL has to name one that is)`,
    );
  writeFileSync(stamp, madeOf);
}

/** The extension, built with the profile that `cargo test` uses, so that its assertions are checked as well, if it is not to be released. */
function build(...flags) {
  // One that was built for a single version of Python would be loaded before one for all of them.
  const old = readdirSync(join(directory, "rustcache")).filter((name) =>
    /^_core\..*\.(?:so|pyd)$/.test(name),
  );
  for (const name of old) rmSync(join(directory, "rustcache", name));
  if (!run(join(venv, bin, "maturin"), ["develop", "--quiet", ...flags]))
    fail("maturin could not build the extension");
}

/** What a wheel holds, in a directory of that name; without `abi3`, it is for this version of Python alone. */
function unpacked(name, ...flags) {
  const built = join(target, "python-abi3", name);
  rmSync(built, { recursive: true, force: true });
  const profile = process.argv.includes("--quick") ? "dev" : "release";
  if (!run(join(venv, bin, "maturin"), ["build", "--quiet", "--profile", profile, "--out", built, ...flags]))
    fail("maturin could not build the extension");
  const [wheel] = readdirSync(built);
  if (!run(python, ["-m", "zipfile", "-e", join(built, wheel), built]))
    fail(`${wheel} could not be unpacked`);
  return built;
}

function benchAbi3() {
  // Features that are named take the place of those of pyproject.toml; this one is there anyway.
  const builds = [unpacked("abi3"), unpacked("alone", "--features", "pyo3/macros")];
  return bench("abi3.py", builds[0], ...builds, ...process.argv.slice(4));
}

/** Runs a bench, in the environment that has the rivals and with the package that is found there. */
function bench(file, found, ...args) {
  const rivals = join(target, "python-bench-venv");
  makeVenv(rivals, "bench/python/requirements.txt");
  const env = { ...process.env, PYTHONPATH: found };
  return (
    spawnSync(pythonOf(rivals), [join(root, "bench/python", file), ...args], { env, stdio: "inherit" })
      .status === 0
  );
}

const checks = [
  ["ruff", "format", "--check", "."],
  ["ruff", "check", "."],
  ["ruff", "format", "--check", "--config", "pyproject.toml", "../bench/python"],
  ["ruff", "check", "--config", "pyproject.toml", "../bench/python"],
  ["mypy", "rustcache", "rust_cache", "tests/test_types.py"],
  ["pyright", "--pythonpath", python],
  ["stubtest", "rustcache", "rust_cache", "--allowlist", "stubtest-allowlist.txt"],
];

/** What a package that was installed has to do, and to have beside it. */
const INSTALLED = `
import importlib.metadata, rust_cache, rustcache
cache = rustcache.Cache(max_items=1)
cache.set("key", [1])
assert cache.get("key") == [1] and rust_cache.Cache(1).get("key") is None
names = [str(file) for file in importlib.metadata.files("rustcache")]
for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
    texts = [file.read_text() for file in importlib.metadata.files("rustcache") if file.name == licence]
    assert texts and len(texts[0]) > 500, f"{licence} is not among {names}"
assert any(name.endswith("py.typed") for name in names), names
`;

const steps = {
  test: () => run(python, ["-m", "pytest", "-q", ...process.argv.slice(3)]),
  check: () => {
    const failed = checks.filter(([tool, ...args]) => {
      process.stdout.write(`python: ${tool} ${args.join(" ")}\n`);
      return !run(join(venv, bin, tool), args);
    });
    const lints = ["clippy", "-p", "rustcache-python", "--all-targets", "--locked", "--", "-D", "warnings"];
    return run("cargo", lints) && failed.length === 0;
  },
  wheel: () => {
    const built = join(target, "python-wheels");
    rmSync(built, { recursive: true, force: true });
    const fresh = join(target, "python-fresh");
    const ours = join(fresh, bin, `python${suffix}`);
    const pip = [ours, "-m", "pip", "--quiet", "--disable-pip-version-check"];
    const from = (source, more = {}) => {
      rmSync(fresh, { recursive: true, force: true });
      return (
        run(python, ["-m", "venv", fresh]) &&
        run(pip[0], [...pip.slice(1), "install", source], more) &&
        run(ours, ["-I", "-c", INSTALLED])
      );
    };
    // With what `cargo test` has compiled already.
    if (!run(join(venv, bin, "maturin"), ["build", "--quiet", "--profile", "dev", "--out", built]))
      return false;
    const [wheel] = readdirSync(built);
    if (!from(join(built, wheel))) return false;
    process.stdout.write(`python: ${wheel} works, and has its licences\n`);
    if (!from(directory, { MATURIN_PEP517_ARGS: "--profile dev" })) return false;
    process.stdout.write("python: pip install . works\n");
    return true;
  },
  // Its exit code tells a difference from an index that cannot be reached.
  faces: () => {
    const args = ["compat/run.py", "--scratch", join(target, "python-compat"), ...process.argv.slice(3)];
    process.exit(spawnSync(python, args, { cwd: directory, env, stdio: "inherit" }).status ?? 1);
  },
  bench: () => (isOfAbi3 ? benchAbi3() : bench("bench.py", directory, ...process.argv.slice(3))),
};

const step = steps[process.argv[2]];
if (!step) fail(`say what to do: ${Object.keys(steps).join(" or ")}`);
makeVenv(venv, "python/requirements-dev.txt");
// Figures are of what is released; whether the bench works is seen by what the tests have built.
const isOfAbi3 = process.argv[2] === "bench" && process.argv[3] === "abi3";
if (!isOfAbi3)
  build(...(process.argv[2] === "bench" && !process.argv.includes("--quick") ? ["--release"] : []));
process.exitCode = step() ? 0 : 1;
