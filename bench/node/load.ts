// The load itself: keys, values, and loops that keep a number of calls in flight for a while. Runs in a worker, next to exactly
// one rival. Also the echo, which is no rival but the floor: what the streams alone cost.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { randomNumbers } from "../../scripts/lib/statistics.js";
import { product } from "./products.js";
import type { Store, Value } from "./rivals.js";

export type Operation = "get" | "getMany" | "insert" | "pair";

export interface Workload {
  readonly operation: Operation;
  /** Calls in flight at any time. */
  readonly width: number;
  readonly milliseconds: number;
}

export interface Contents {
  readonly valueBytes: number;
  /** Values are objects (products.ts), of about that many bytes as JSON. */
  readonly json?: boolean;
  readonly keys: number;
}

/** Above this, values are Buffers, and bandwidth is what counts. */
export const LARGE = 64 * 1024;

/** Keys of one getMany. */
const BATCH = 100;

const KEY_BYTES = 20;
const HEADER_BYTES = 16;

/** Something that can be put under load: a rival's store, or the echo. */
export interface Target {
  /** Operations per second; keys per second of a getMany. */
  run(workload: Workload): Promise<number>;
  close(): Promise<void>;
}

export function value(contents: Contents): Value {
  const bytes = Buffer.alloc(contents.valueBytes, "0123456789abcdef");
  return contents.valueBytes >= LARGE ? bytes : bytes.toString("latin1");
}

/** Keys in random order, the same for every rival: a real program does not ask for them in the order in which it stored them. */
export function keys(total: number): string[] {
  const random = randomNumbers(1);
  const list = Array.from(
    { length: total },
    (_, number) => `user:${String(number).padStart(KEY_BYTES - 5, "0")}`,
  );
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [list[last], list[other]] = [list[other] as string, list[last] as string];
  }
  // Through a Buffer, so that every key is one flat string, as those are that come from a socket.
  return list.map((key) => Buffer.from(key).toString("latin1"));
}

export async function storeTarget(store: Store<unknown>, contents: Contents): Promise<Target> {
  const names = keys(contents.keys);
  const text = value(contents);
  const stored = (place: number) => (contents.json ? product(place) : text);
  for (let first = 0; first < names.length; first += 100) {
    await Promise.all(names.slice(first, first + 100).map((name, at) => store.set(name, stored(first + at))));
  }
  let next = 0;
  const nextKey = () => {
    if (next === names.length) next = 0;
    return names[next++] as string;
  };
  const nextKeys = () => {
    if (next + BATCH > names.length) next = 0;
    next += BATCH;
    return names.slice(next - BATCH, next);
  };
  const check = contents.json ? checkProduct : (got: unknown) => checkLength(got, contents.valueBytes);
  const readMany = async () => {
    if (store.getMany === undefined) throw new Error("this rival has no getMany");
    const got = (await store.getMany(nextKeys())) as unknown[];
    for (const each of got) check(each);
    return got.length;
  };
  // Shared by all users of a run. The clock is read once in 32 calls: reading it costs a tenth of our fastest call. A timer would
  // not do: between calls to a synchronous store the event loop never turns.
  let done = 0;
  let until = 0;
  let over = false;
  const count = () => {
    if ((++done & 31) === 0) over ||= performance.now() >= until;
  };
  // One function per operation, so that each is compiled for the one call that it makes.
  const users: Record<Operation, () => Promise<void>> = {
    async get() {
      while (!over) {
        check(await store.get(nextKey()));
        count();
      }
    },
    async getMany() {
      while (!over) {
        const read = await readMany();
        done += read;
        over ||= performance.now() >= until;
      }
    },
    async insert() {
      while (!over) {
        await store.set(nextKey(), stored(next - 1));
        count();
      }
    },
    async pair() {
      while (!over) {
        const name = nextKey();
        await store.set(name, stored(next - 1));
        count();
        check(await store.get(name));
        count();
      }
    },
  };
  return {
    async run({ operation, width, milliseconds }) {
      const began = performance.now();
      until = began + milliseconds;
      done = 0;
      over = false;
      await Promise.all(Array.from({ length: width }, users[operation]));
      return (1000 * done) / (performance.now() - began);
    },
    async close() {
      await store.close();
    },
  };
}

function checkLength(got: unknown, valueBytes: number): void {
  const length = (got as Value | null | undefined)?.length;
  if (length !== valueBytes) throw new Error(`a get returned ${length} bytes instead of ${valueBytes}`);
}

function checkProduct(got: unknown): void {
  const { rating } = (got ?? {}) as { rating?: { count?: unknown } };
  if (typeof rating?.count !== "number") throw new Error(`a get returned ${typeof got} instead of a product`);
}

/**
 * The floor: a child that sends back what it gets, through the same kind of streams as the daemon's, with no cache, no frames
 * and no promises. The child is `cat`: it is on every machine, and nothing is leaner (128 KiB per read, one write for each).
 */
export async function echoTarget(contents: Contents): Promise<Target> {
  const child = spawn("cat", { stdio: ["pipe", "pipe", "inherit"] });
  await once(child, "spawn");
  return {
    run({ operation, width, milliseconds }) {
      // As many bytes each way as the larger of our request and our reply has.
      const size = HEADER_BYTES + contents.valueBytes + (operation === "insert" ? KEY_BYTES : 0);
      const frames = Buffer.alloc(size * width, "0123456789abcdef");
      return new Promise((resolve) => {
        const began = performance.now();
        let received = 0;
        let sent = width;
        const onData = (chunk: Buffer) => {
          received += chunk.length;
          const done = Math.floor(received / size);
          const now = performance.now();
          if (now - began < milliseconds) {
            // The window slides: one new frame for each that has come back, and one write for all of them.
            const fresh = done + width - sent;
            sent += fresh;
            if (fresh > 0) child.stdin.write(frames.subarray(0, fresh * size));
          } else if (received === sent * size) {
            child.stdout.off("data", onData);
            resolve((1000 * done) / (now - began));
          }
        };
        child.stdout.on("data", onData);
        child.stdin.write(frames);
      });
    },
    async close() {
      child.stdin.end();
      child.stdout.resume();
      await once(child, "exit");
    },
  };
}
