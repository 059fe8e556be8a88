// From nothing to the first reply: spawn, handshake, one get. Beside it the same with `cat`, which is what spawning alone costs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createCache } from "../../node/index.js";
import { median } from "../../scripts/lib/statistics.js";
import { duration, table } from "../../scripts/lib/terminal.js";

export interface StartTimes {
  /** Milliseconds. */
  readonly ours: number;
  readonly floor: number;
}

async function startOurs(): Promise<number> {
  const began = performance.now();
  const cache = createCache({});
  await cache.start();
  if ((await cache.get("first")) !== undefined) throw new Error("a new cache holds something already");
  const took = performance.now() - began;
  await cache.close();
  return took;
}

async function startFloor(): Promise<number> {
  const began = performance.now();
  const child = spawn("cat", { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.write("x");
  await once(child.stdout, "data");
  const took = performance.now() - began;
  child.stdin.end();
  await once(child, "exit");
  return took;
}

export async function measureStart(times: number): Promise<StartTimes> {
  const [ourTimes, floorTimes] = [[] as number[], [] as number[]];
  // Once without counting: the first start also reads the binaries from the disk.
  await startOurs();
  await startFloor();
  for (let time = 0; time < times; time++) {
    ourTimes.push(await startOurs());
    floorTimes.push(await startFloor());
  }
  return { ours: median(ourTimes), floor: median(floorTimes) };
}

export function startTable(times: StartTimes, rounds: number): string {
  return [
    `### Start to first reply, median of ${rounds}\n`,
    table(
      ["", "time"],
      [
        ["rustcache: createCache(), start(), get()", duration(times.ours)],
        ["floor: spawn of cat, one byte echoed", duration(times.floor)],
      ],
    ),
    "",
  ].join("\n");
}
