// One get at a time against the echo, looked at closely. On two cores a round trip takes about 15 µs when the scheduler has put the two processes well
// and about 70 µs when it has not, and it may decide otherwise for each process and again at any time: medians of whole seconds compare luck. So
// here both sides start afresh many times, alternate every hundred calls, and are compared by what most of the good moments take.

import { spawn } from "node:child_process";
import { createCache } from "../../node/index.js";

const ROUNDS = process.argv.includes("--quick") ? 2 : 21;
const TURNS = 60;
const CALLS = 100;
const BYTES = 80;

const percentile = (numbers: number[], share: number): number =>
  numbers.sort((a, b) => a - b)[Math.floor(numbers.length * share)] ?? Number.NaN;

/** Microseconds a call, for a hundred of them one after the other. */
async function turn(call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (let n = 0; n < CALLS; n++) await call();
  return ((performance.now() - began) * 1000) / CALLS;
}

/** Both sides, started afresh: their 10th percentiles and medians. */
async function round(): Promise<{ ours: number[]; echo: number[] }> {
  const cache = createCache();
  await cache.set("key:0000000000000001", "v".repeat(56));
  const cat = spawn("cat", { stdio: ["pipe", "pipe", "inherit"] });
  const message = Buffer.alloc(BYTES, 1);
  let missing = 0;
  let arrived: () => void = () => {};
  cat.stdout.on("data", (chunk: Buffer) => {
    missing -= chunk.length;
    if (missing === 0) arrived();
  });
  const echo = () =>
    new Promise<void>((resolve) => {
      missing = BYTES;
      arrived = resolve;
      cat.stdin.write(message);
    });
  const get = () => cache.get("key:0000000000000001");
  const times = { ours: [] as number[], echo: [] as number[] };
  for (let n = 0; n < TURNS; n++) {
    times.ours.push(await turn(get));
    times.echo.push(await turn(echo));
  }
  cat.kill();
  await cache.close();
  return times;
}

const rounds: { ours: number[]; echo: number[] }[] = [];
for (let n = 0; n < ROUNDS; n++) rounds.push(await round());
const all = (side: "ours" | "echo") => rounds.flatMap((each) => each[side]);
console.log(
  `${ROUNDS} fresh starts of each side, ${TURNS} turns of ${CALLS} calls in each; microseconds a call:\n`,
);
console.log("| | 10th percentile | median | 90th percentile |\n|---|---:|---:|---:|");
for (const side of ["ours", "echo"] as const) {
  const cells = [0.1, 0.5, 0.9].map((share) => percentile(all(side), share).toFixed(1));
  console.log(`| ${side === "ours" ? "rustcache, get" : "echo (cat)"} | ${cells.join(" | ")} |`);
}
const ratio = percentile(all("ours"), 0.1) / percentile(all("echo"), 0.1);
console.log(`\nrustcache ÷ echo at the 10th percentile: ${ratio.toFixed(2)} × (target: at most 1.2 ×)`);
