// Every test of the project, by one command: `npm test`. Runs all suites even when one fails, prints what each came to, and ends
// with `N passed, N failed`. Names of suites as arguments run only those: `npm test -- node python`. Plain Node, because it also
// gets the checkout ready.

import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const tsx = join(root, "node_modules/.bin/tsx");

/** Far above what a suite takes: one that hangs must not hang CI as well. */
const LIMIT_MINUTES = 20;

/** The hosts of the adapters are packages of their own, of this directory. */
const ADAPTERS = "tests/adapters";

/** So is what drives a browser. */
const PAGE = "tests/page";

/** All files below `directory` whose names end in `.test.ts`, but for those of another suite. Node 20 does not expand patterns itself. */
function testFiles(directory) {
  return readdirSync(join(root, directory), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory())
        return [ADAPTERS, PAGE, "node_modules"].some((other) => path.endsWith(other)) ? [] : testFiles(path);
      return entry.name.endsWith(".test.ts") ? [path] : [];
    })
    .sort();
}

/** Runs test files, and reads how many tests passed. */
function nodeTests(directories) {
  return {
    command: () => [
      process.execPath,
      "--import",
      "tsx",
      "--test",
      "--test-reporter=spec",
      ...directories.flatMap(testFiles),
    ],
    // A cancelled test is one whose promise never settled.
    read: (output) => ({
      passed: sum(output, /^ℹ pass (\d+)/gm).passed,
      failed: sum(output, /^ℹ (?:fail|cancelled) (\d+)/gm).passed,
    }),
  };
}

/** Adds up the groups 1 (passed) and 2 (failed) of every match: cargo prints one such line for each test binary. */
function sum(output, pattern) {
  let passed = 0;
  let failed = 0;
  for (const match of output.matchAll(pattern)) {
    passed += Number(match[1]);
    failed += Number(match[2] ?? 0);
  }
  return { passed, failed };
}

/** A suite: what runs, and how its output says how many passed. */
const suites = {
  rust: {
    title: "Rust (unit, integration and documentation tests)",
    // Not --release: building the tests optimized and linked as one piece takes minutes and saves seconds of their run, and
    // only a debug build checks its arithmetic and its debug assertions.
    command: () => ["cargo", "test"],
    read: (output) => sum(output, /^test result: \w+\. (\d+) passed; (\d+) failed/gm),
  },
  node: {
    title: "Node client",
    ...nodeTests(["node", "tests"]),
  },
  adapters: {
    title: "Node adapters, with their hosts",
    packages: ADAPTERS,
    ...nodeTests([ADAPTERS]),
  },
  page: {
    title: "The page, in a browser",
    packages: PAGE,
    ...nodeTests([PAGE]),
  },
  acceptance: {
    title: "Acceptance test (tsx)",
    command: () => [tsx, "test.ts", "--quick"],
    read: (output) => sum(output, /^(\d+) passed, (\d+) failed/gm),
  },
  loader: {
    title: "Acceptance test (ts-node as a loader)",
    // Node warns on every run that loaders are experimental, and of what ts-node 10 does inside: known, and nothing to act on.
    command: () => [process.execPath, "--no-warnings", "--loader", "ts-node/esm", "test.ts", "--quick"],
    read: (output) => sum(output, /^(\d+) passed, (\d+) failed/gm),
  },
  "python-package": {
    title: "Python package",
    command: () => [process.execPath, "scripts/python.mjs", "test"],
    read: (output) => ({
      passed: sum(output, /^(?:\d+ \w+, )*(\d+) passed\b.* in /gm).passed,
      failed: sum(output, /^(?:\d+ \w+, )*(\d+) (?:failed|errors?)\b.* in /gm).passed,
    }),
  },
  python: {
    title: "Fixed frames, from Python",
    command: () => [
      "python3",
      "-m",
      "unittest",
      "discover",
      "--start-directory",
      "tests/python",
      "--verbose",
    ],
    read: (output) => {
      const ran = Number(/^Ran (\d+) tests?/m.exec(output)?.[1] ?? 0);
      const [failures, errors, skipped] = ["failures", "errors", "skipped"].map((word) =>
        Number(new RegExp(`^(?:FAILED|OK) \\(.*?${word}=(\\d+)`, "m").exec(output)?.[1] ?? 0),
      );
      return { passed: ran - failures - errors - skipped, failed: failures + errors };
    },
  },
};

/** A directory that is named for the caches of whoever runs this is not for the tests. */
const { RUSTCACHE_DIR: _, ...env } = process.env;

/** Runs a command, shows what it prints and keeps it; resolves with its output and, if it went wrong, why. */
function run([command, ...args]) {
  return new Promise((resolve) => {
    // A process group of its own, so that a suite over its time takes what it started along.
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    let problem;
    const stop = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended already.
      }
    };
    const timer = setTimeout(() => {
      problem = `it did not end within ${LIMIT_MINUTES} minutes`;
      stop();
    }, LIMIT_MINUTES * 60_000);
    const interrupt = () => {
      stop();
      process.exit(130);
    };
    process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
    for (const [pipe, sink] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      pipe.setEncoding("utf8");
      pipe.on("data", (text) => {
        output += text;
        sink.write(text);
      });
    }
    child.once("error", (error) => {
      problem = `${command} does not run: ${error.message}`;
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
      if (code !== 0) problem ??= signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`;
      // FORCE_COLOR and CARGO_TERM_COLOR colour even what goes into a pipe.
      resolve({ output: stripVTControlCharacters(output), problem });
    });
  });
}

function heading(text) {
  process.stdout.write(`\n${"─".repeat(100)}\n${text}\n${"─".repeat(100)}\n`);
}

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (name in suites) continue;
  process.stderr.write(`test: there is no suite "${name}"; there are ${Object.keys(suites).join(", ")}\n`);
  process.exit(2);
}

const chosen = Object.entries(suites).filter(([name]) => wanted.length === 0 || wanted.includes(name));
const packages = chosen.flatMap(([, suite]) => suite.packages ?? []);
const { status } = spawnSync(process.execPath, [join(root, "scripts/setup.mjs"), ...packages], {
  stdio: "inherit",
});
if (status !== 0) process.exit(1);

const results = [];
for (const [, suite] of chosen) {
  heading(suite.title);
  const began = performance.now();
  const { output, problem } = await run(suite.command());
  const { passed, failed } = suite.read(output);
  // A suite that ended badly counts as a failure even if each of its tests passed, and so does one in which nothing ran.
  const reason = problem ?? (passed + failed === 0 ? "it ran no tests" : undefined);
  results.push({
    title: suite.title,
    passed,
    failed: reason !== undefined && failed === 0 ? 1 : failed,
    reason,
    seconds: (performance.now() - began) / 1000,
  });
}

heading("Summary");
for (const { title, passed, failed, reason, seconds } of results) {
  const mark = failed === 0 ? "✓" : "✗";
  const figures = `${String(passed).padStart(5)} passed ${String(failed).padStart(4)} failed ${seconds.toFixed(1).padStart(7)} s`;
  process.stdout.write(`${mark} ${title.padEnd(52)}${figures}${reason ? `   (${reason})` : ""}\n`);
}
const passed = results.reduce((all, result) => all + result.passed, 0);
const failed = results.reduce((all, result) => all + result.failed, 0);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
