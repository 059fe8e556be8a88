// The arithmetic behind the figures: percentiles, medians, latencies, the longest event-loop stall, memory. It knows nothing
// of caches; the acceptance test, the demo and the benches all use it, so that they mean the same by the same word.

import { readFileSync } from "node:fs";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import v8 from "node:v8";
import vm from "node:vm";

/** The value below which `share` (0 to 1) of the sorted samples lie, by the nearest-rank rule: always a sample that was seen. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] as number;
}

/** The middle sample, or the mean of the two in the middle. */
export function median(samples: Iterable<number>): number {
  const sorted = Float64Array.from(samples).sort();
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** Latencies in milliseconds. Kept in one typed array, so that recording does not disturb what is recorded. */
export class Latencies {
  readonly #samples: Float64Array;
  #length = 0;

  constructor(capacity: number) {
    this.#samples = new Float64Array(capacity);
  }

  add(milliseconds: number): void {
    this.#samples[this.#length++] = milliseconds;
  }

  /** p50, p90, p99, p99.9 and the longest. */
  summary(): { p50: number; p90: number; p99: number; p999: number; max: number } {
    const sorted = this.#samples.subarray(0, this.#length).slice().sort();
    return {
      p50: percentile(sorted, 0.5),
      p90: percentile(sorted, 0.9),
      p99: percentile(sorted, 0.99),
      p999: percentile(sorted, 0.999),
      max: percentile(sorted, 1),
    };
  }
}

/**
 * The longest time for which the event loop ran nothing of anybody else's. A timer of libuv's fires every millisecond, and the
 * longest gap between two of its calls, less that millisecond, is the stall that a request arriving at the worst moment would see.
 */
export class StallWatch {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: 1 });

  constructor() {
    this.#histogram.enable();
  }

  /** Ends the watch; the longest stall in milliseconds. */
  async stop(): Promise<number> {
    // The gap that is open now counts as well: let the timer fire once more.
    await new Promise((resolve) => setTimeout(resolve, 3));
    this.#histogram.disable();
    // Without a single sample `max` is 0.
    return Math.max(0, this.#histogram.max / 1e6 - 1);
  }
}

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

/** Bytes that the JS heap and its buffers hold once the garbage is gone. */
export function heapInUse(): number {
  // The second round takes what only finalizers of the first set free.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Resident bytes of a process, or NaN where there is no /proc. */
export function residentBytes(pid: number | undefined): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kilobytes ?? Number.NaN) * 1024;
  } catch {
    return Number.NaN;
  }
}

/** A small seeded generator (mulberry32): the same numbers in every run, and the same for every rival. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
