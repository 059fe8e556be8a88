// One get at a time against the echo, looked at closely. A round trip is short when the scheduler lets both processes share a core, and several
// times as long when it wakes another, idle one for each message; which it does differs between processes and from moment to moment. So both
// sides start afresh many times, in turns of a hundred calls: once as the scheduler likes, and once held to one core, where
// only the work itself counts.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { percentile } from "../../scripts/lib/statistics.js";
import { digits, table } from "../../scripts/lib/terminal.js";
import type { SequentialTimes } from "./sequential-worker.js";

const WORKER = fileURLToPath(new URL("sequential-worker.ts", import.meta.url));

interface Percentiles {
  readonly ours: readonly number[];
  readonly echo: readonly number[];
}

export interface SequentialResult {
  readonly starts: number;
  /** Microseconds a call: 10th percentile, median, 90th percentile. */
  readonly free: Percentiles;
  /** Undefined where there is no `taskset`. */
  readonly oneCore: Percentiles | undefined;
}

async function freshStart(pinned: boolean): Promise<SequentialTimes> {
  const node = [process.execPath, "--import", import.meta.resolve("tsx"), WORKER];
  const [command, ...args] = pinned ? ["taskset", "-c", "0", ...node] : node;
  const child: ChildProcess = spawn(command as string, args, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ended = once(child, "exit").then(([code, signal]) => {
    throw new Error(`the process of one fresh start ended before its figures came (${code ?? signal})`);
  });
  const [times] = (await Promise.race([once(child, "message"), ended])) as [SequentialTimes];
  await ended.catch(() => {});
  return times;
}

const percentiles = (samples: readonly number[]) => {
  const sorted = Float64Array.from(samples).sort();
  return [0.1, 0.5, 0.9].map((share) => percentile(sorted, share));
};

export async function measureSequential(starts: number): Promise<SequentialResult> {
  const pins = spawnSync("taskset", ["-c", "0", "true"]).status === 0;
  const [free, oneCore]: [SequentialTimes[], SequentialTimes[]] = [[], []];
  for (let start = 0; start < starts; start++) {
    free.push(await freshStart(false));
    if (pins) oneCore.push(await freshStart(true));
  }
  const joined = (all: readonly SequentialTimes[]): Percentiles => ({
    ours: percentiles(all.flatMap(({ ours }) => ours)),
    echo: percentiles(all.flatMap(({ echo }) => echo)),
  });
  return { starts, free: joined(free), oneCore: pins ? joined(oneCore) : undefined };
}

export function sequentialTable({ starts, free, oneCore }: SequentialResult): string {
  const row = (name: string, numbers: readonly number[]) => [
    name,
    ...numbers.map((number) => `${digits(number)} µs`),
  ];
  const rows = (where: string, { ours, echo }: Percentiles) => [
    row(`rustcache, get, ${where}`, ours),
    row(`echo (cat), ${where}`, echo),
  ];
  const shown = oneCore ?? { ours: [], echo: [] };
  return [
    `${starts} fresh starts of both sides, in turns of a hundred calls:\n`,
    table(
      ["", "10th percentile", "median", "90th percentile"],
      [...(oneCore ? rows("all on one core", oneCore) : []), ...rows("where the scheduler likes", free)],
    ),
    "",
    `On one core, a get takes ${digits((shown.ours[1] ?? Number.NaN) / (shown.echo[1] ?? Number.NaN))} × the echo's time (medians; the target is at most 1.2 ×).`,
    "",
    "Where the scheduler chooses, a round trip takes either as long as on one core, or several times that when each message wakes the other core; it chooses by the load that the processes make, and changes its mind within a run.",
    "",
  ].join("\n");
}
