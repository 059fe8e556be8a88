// The acceptance test's figures: throughput at several numbers of calls in flight, and latencies with percentiles. Nothing is
// asserted but that the answers are right: how fast is fast enough depends on the machine. bench/node compares with others.

import { cpus } from "node:os";
import { RustCache } from "../../node/index.js";
import { Latencies, median } from "../../scripts/lib/statistics.js";
import { count, duration, Progress, table } from "../../scripts/lib/terminal.js";
import { inFlight, type Report } from "./harness.js";

// Made once: making keys would cost more than the calls.
const KEYS = Array.from({ length: 100_000 }, (_, number) => `user:${String(number).padStart(15, "0")}`); // 20 bytes.
const VALUE = "0123456789abcdef0123456789abcdef0123456789abcdef01234567"; // 56 bytes.

const key = (number: number) => KEYS[number % KEYS.length] as string;

/** Operations in the order in which they make sense: what is read was inserted, and is removed last. */
const OPERATIONS = [
  { name: "insert", answer: "I", call: (number: number) => RustCache.insert(key(number), VALUE) },
  { name: "get", answer: VALUE, call: (number: number) => RustCache.get(key(number)) },
  { name: "remove", answer: "R", call: (number: number) => RustCache.remove(key(number)) },
] as const;

type Operation = (typeof OPERATIONS)[number];

const LEVELS = [1, 10, 100, 1000] as const;

export async function figures(report: Report): Promise<void> {
  const { quick } = report.settings;
  const conditions = `keys of 20 bytes, values of 56; ${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`;
  report.section(`Throughput in operations per second, median of ${quick ? 1 : 3} runs (${conditions})`);
  await RustCache.start();
  await report.case("throughput", () => measureThroughput(report), { limit: 300 });

  report.section("Latency of one call at a time");
  await report.case("latency", () => measureLatency(report, quick ? 2000 : 20_000), { limit: 300 });
  RustCache.close();
}

/** Operations per second of `total` calls. An answer that is not the expected one fails the case. */
async function perSecond({ name, answer, call }: Operation, total: number, width: number): Promise<number> {
  let wrong = 0;
  const began = performance.now();
  await inFlight(total, width, async (number) => {
    if ((await call(number)) !== answer) wrong++;
  });
  const took = performance.now() - began;
  if (wrong > 0)
    throw new Error(`${wrong} of ${total} answers to ${name} were wrong, with ${width} in flight`);
  return (1000 * total) / took;
}

async function measureThroughput(report: Report): Promise<void> {
  const { quick } = report.settings;
  const runs = quick ? 1 : 3;
  const progress = new Progress("throughput", LEVELS.length * runs * OPERATIONS.length);
  const rows: string[][] = OPERATIONS.map(({ name }) => [name]);
  let done = 0;
  // A moment of everything first, so that the compiler has seen the code before the clock runs.
  for (const operation of OPERATIONS) await perSecond(operation, quick ? 1000 : 50_000, 100);
  for (const width of LEVELS) {
    const total = quick ? 500 * Math.min(width, 10) : 20_000 * Math.min(width, 5);
    const speeds: number[][] = OPERATIONS.map(() => []);
    for (let run = 0; run < runs; run++) {
      for (const [row, operation] of OPERATIONS.entries()) {
        progress.update(done++, `${operation.name}, ${width} in flight`);
        speeds[row]?.push(await perSecond(operation, total, width));
      }
    }
    speeds.forEach((each, row) => {
      rows[row]?.push(count(median(each)));
    });
  }
  progress.end();
  report.line(`${table(["operation", ...LEVELS.map((width) => `${width} in flight`)], rows, "  ")}\n`);
}

async function measureLatency(report: Report, total: number): Promise<void> {
  const progress = new Progress("latency", total * OPERATIONS.length);
  const rows: string[][] = [];
  for (const [part, { name, answer, call }] of OPERATIONS.entries()) {
    const latencies = new Latencies(total);
    for (let number = 0; number < total; number++) {
      const began = performance.now();
      const got = await call(number);
      latencies.add(performance.now() - began);
      if (got !== answer) throw new Error(`${name} number ${number} answered ${JSON.stringify(got)}`);
      if (number % 500 === 0) progress.update(part * total + number, name);
    }
    const { p50, p90, p99, p999, max } = latencies.summary();
    rows.push([name, ...[p50, p90, p99, p999, max].map(duration)]);
  }
  progress.end();
  report.line(`${table(["operation", "p50", "p90", "p99", "p99.9", "longest"], rows, "  ")}\n`);
}
