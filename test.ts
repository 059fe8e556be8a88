// The acceptance test: `npx tsx test.ts`. It uses the package as one of its users would, through the public interface alone:
// what it does, what it does at the edges, under many calls at once, when the daemon dies, and what it keeps on disk; then it measures
// throughput and latency. All but the cases of persistence.ts run in memory only. The cases are in tests/acceptance/. Exit code 0 when all passed; the last line is `N passed, N failed`.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage: npx tsx test.ts [options]

Tests the cache through its public interface and measures it.

  --quick        few repetitions: for CI, and for a first look at the figures
  --seed NUMBER  seed of the random choices; a failed run prints the one it had
  --help         this text

RUSTCACHE_BINARY names the daemon to test; otherwise target/release/rustcache is, and is built first when it is not there.
`;

function readSettings() {
  try {
    const { values } = parseArgs({
      options: { quick: { type: "boolean" }, seed: { type: "string" }, help: { type: "boolean" } },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new Error(`--seed takes a whole number, not "${values.seed}"`);
    return { quick: values.quick ?? false, seed };
  } catch (error) {
    process.stderr.write(`test.ts: ${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

/** A fresh checkout has no daemon yet. Building it here makes `npx tsx test.ts` the only command one has to know. */
function buildDaemonIfMissing() {
  const binary = fileURLToPath(new URL("target/release/rustcache", import.meta.url));
  if (process.env.RUSTCACHE_BINARY || existsSync(binary)) return;
  const setup = fileURLToPath(new URL("scripts/setup.mjs", import.meta.url));
  const { status } = spawnSync(process.execPath, [setup], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

const settings = readSettings();
buildDaemonIfMissing();
// For the programs that are started as well: this test leaves nothing behind.
process.env.RUSTCACHE_DIR = "";

// Imported late, so that --help answers at once and a missing daemon is built before anything looks for it.
const { Report } = await import("./tests/acceptance/harness.js");
const sections = [
  (await import("./tests/acceptance/functional.js")).functional,
  (await import("./tests/acceptance/edges.js")).edges,
  (await import("./tests/acceptance/concurrency.js")).concurrency,
  (await import("./tests/acceptance/recovery.js")).recovery,
  (await import("./tests/acceptance/persistence.js")).persistence,
  (await import("./tests/acceptance/figures.js")).figures,
];

const report = new Report(settings);
for (const section of sections) await section(report);
report.finish();
