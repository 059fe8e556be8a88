// One fresh start of both sides for sequential.ts: a daemon and a `cat`, asked in turn, a hundred calls at a time. Sends the microseconds
// that a call took in each turn to its parent.

import { spawn } from "node:child_process";
import { createCache } from "../../node/index.js";

/** Turns of each side before those that count: the compiler is at work in them, longer for more code. */
const WARM_UP = 100;
const TURNS = 60;
const CALLS = 100;
/** As many as the frames of this get take, there and back. */
const BYTES = 80;
const KEY = "key:0000000000000001";

export interface SequentialTimes {
  readonly ours: number[];
  readonly echo: number[];
}

async function turn(call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (let n = 0; n < CALLS; n++) await call();
  return ((performance.now() - began) * 1000) / CALLS;
}

const cache = createCache();
await cache.set(KEY, "v".repeat(56));
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
const get = () => cache.get(KEY);
const times: SequentialTimes = { ours: [], echo: [] };
for (let n = 0; n < WARM_UP + TURNS; n++) {
  const [ours, theirs] = [await turn(get), await turn(echo)];
  if (n < WARM_UP) continue;
  times.ours.push(ours);
  times.echo.push(theirs);
}
cat.kill();
await cache.close();
process.send?.(times, () => process.disconnect());
