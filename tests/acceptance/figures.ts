// The acceptance test's figures: throughput at several numbers of calls in flight, and latencies with percentiles. Nothing is
// asserted but that the values are right: how fast is fast enough depends on the machine. bench/node compares with others.

import { strict as assert } from "node:assert";
import { cpus } from "node:os";
import { RustCache } from "../../node/index.js";
import { Latencies } from "../../scripts/lib/statistics.js";
import { count, duration, Progress, table } from "../../scripts/lib/terminal.js";
import { inFlight, type Report } from "./harness.js";

const KEYS = 100_000;
const VALUE = "0123456789abcdef0123456789abcdef0123456789abcdef01234567"; // 56 bytes.

const key = (number: number) => `user:${String(number % KEYS).padStart(15, "0")}`; // 20 bytes.

type Operation = "insert" | "get" | "remove";

const CALLS: Record<Operation, (number: number) => Promise<void>> = {
  insert: async (number) => assert.equal(await RustCache.insert(key(number), VALUE), "I"),
  get: async (number) => assert.equal(await RustCache.get(key(number)), VALUE),
  remove: async (number) => assert.equal(await RustCache.remove(key(number)), "R"),
};

/** Operations in the order in which they make sense: what is read was inserted, and is removed last. */
const OPERATIONS: readonly Operation[] = ["insert", "get", "remove"];

export async function figures(report: Report): Promise<void> {
  const { quick } = report.settings;
  report.section(
    `Throughput, operations per second (${KEYS.toLocaleString("en")} keys of 20 bytes, values of 56; ${cpus()[0]?.model.trim()}, Node ${process.version})`,
  );
  await RustCache.start();

  await report.case("throughput", () => measureThroughput(report), { limit: 300 });

  report.section("Latency of one call at a time");
  await report.case("latency", () => measureLatency(report, quick ? 2000 : 20_000), { limit: 300 });
  RustCache.close();
}

async function measureThroughput(report: Report): Promise<void> {
  const { quick } = report.settings;
  const levels = [1, 10, 100, 1000] as const;
  const progress = new Progress("throughput", levels.length * OPERATIONS.length);
  const rows: string[][] = OPERATIONS.map((operation) => [operation]);
  let done = 0;
  // A moment of everything first, so that the compiler has seen the code before the clock runs.
  for (const operation of OPERATIONS) await inFlight(quick ? 1000 : 20_000, 100, CALLS[operation]);
  for (const width of levels) {
    const total = Math.min(KEYS, (quick ? 1000 : 20_000) * Math.min(width, 5));
    for (const [row, operation] of OPERATIONS.entries()) {
      progress.update(done++, `${operation}, ${width} in flight`);
      const began = performance.now();
      await inFlight(total, width, CALLS[operation]);
      rows[row]?.push(count((1000 * total) / (performance.now() - began)));
    }
  }
  progress.end();
  report.line(`${table(["operation", ...levels.map((width) => `${width} in flight`)], rows, "  ")}\n`);
}

async function measureLatency(report: Report, total: number): Promise<void> {
  const progress = new Progress("latency", total * OPERATIONS.length);
  const rows: string[][] = [];
  for (const [part, operation] of OPERATIONS.entries()) {
    const latencies = new Latencies(total);
    for (let number = 0; number < total; number++) {
      const began = performance.now();
      await CALLS[operation](number);
      latencies.add(performance.now() - began);
      if (number % 500 === 0) progress.update(part * total + number, operation);
    }
    const { p50, p90, p99, p999, max } = latencies.summary();
    rows.push([operation, ...[p50, p90, p99, p999, max].map(duration)]);
  }
  progress.end();
  report.line(`${table(["operation", "p50", "p90", "p99", "p99.9", "longest"], rows, "  ")}\n`);
}
