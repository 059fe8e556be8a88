// From nothing to the first reply: spawn, handshake, one get; and from the end of its input to the end of a daemon that holds a lot. Beside it
// the same with `cat`, which is what spawning and ending a process alone cost.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createCache } from "../../node/index.js";
import { median } from "../../scripts/lib/statistics.js";
import { count, duration, table } from "../../scripts/lib/terminal.js";

export interface StartTimes {
  /** Milliseconds. */
  readonly ours: number;
  readonly floor: number;
  readonly ourEnd: number;
  readonly floorEnd: number;
}

/** What the daemon holds when its end is timed. */
export const HELD = 1_000_000;

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

async function endOurs(held: number): Promise<number> {
  const cache = createCache({});
  const value = "v".repeat(56);
  for (let at = 0; at < held; at += 1000) {
    await cache.setMany(Array.from({ length: 1000 }, (_, n) => ({ key: `key:${at + n}`, value })));
  }
  const began = performance.now();
  await cache.close();
  return performance.now() - began;
}

async function endFloor(): Promise<number> {
  const child = spawn("cat", { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.write("x");
  await once(child.stdout, "data");
  const began = performance.now();
  child.stdin.end();
  await once(child, "exit");
  return performance.now() - began;
}

export async function measureStart(times: number, held: number): Promise<StartTimes> {
  const [ourTimes, floorTimes] = [[] as number[], [] as number[]];
  const [ourEnds, floorEnds] = [[] as number[], [] as number[]];
  // Once without counting: the first start also reads the binaries from the disk.
  await startOurs();
  await startFloor();
  for (let time = 0; time < times; time++) {
    ourTimes.push(await startOurs());
    floorTimes.push(await startFloor());
  }
  for (let time = 0; time < Math.ceil(times / 6); time++) {
    ourEnds.push(await endOurs(held));
    floorEnds.push(await endFloor());
  }
  return {
    ours: median(ourTimes),
    floor: median(floorTimes),
    ourEnd: median(ourEnds),
    floorEnd: median(floorEnds),
  };
}

export function startTable(times: StartTimes, rounds: number, held: number): string {
  return [
    `### Start to first reply, median of ${rounds}; end of input to end of process, median of ${Math.ceil(rounds / 6)}\n`,
    table(
      ["", "time"],
      [
        ["rustcache: createCache(), start(), get()", duration(times.ours)],
        ["floor: spawn of cat, one byte echoed", duration(times.floor)],
        [`rustcache holding ${count(held)} entries: close()`, duration(times.ourEnd)],
        ["floor: end of cat", duration(times.floorEnd)],
      ],
    ),
    "",
  ].join("\n");
}
