// One run of the heap test, alone in its process: `heap-worker.ts rustcache|lru-cache ENTRIES`, figures as JSON on stdout.

import { heapInUse, residentBytes, StallWatch } from "../../scripts/lib/statistics.js";
import type { Subject } from "./heap.js";

/** Bytes and milliseconds. */
export interface HeapFigures {
  /** Of the JS heap and its buffers, after a collection. */
  readonly heapGrowth: number;
  /** Of this process's resident memory. */
  readonly nodeGrowth: number;
  /** Of the daemon's; NaN (null in JSON) when there is none. */
  readonly daemonGrowth: number;
  readonly stallFilling: number;
  readonly stallChurning: number;
  readonly milliseconds: number;
}

interface Store {
  readonly pid: number | undefined;
  /** Stores the entries numbered from `first` up to `last`. */
  insert(first: number, last: number): Promise<void>;
  check(number: number): Promise<void>;
  close(): void;
}

// Every key and value is a flat string of its own, as those are that come from a socket: made by one decoder call, never by
// concatenation, whose results V8 keeps as trees of several times the size.
const name = Buffer.from(`user:${"0".repeat(15)}`);
const payload = Buffer.alloc(56, "0123456789abcdef");

function keyFor(number: number): string {
  name.write(String(number).padStart(15, "0"), 5, "latin1");
  return name.toString("latin1");
}

function valueFor(number: number): string {
  payload.write(String(number).padStart(15, "0"), 41, "latin1");
  return payload.toString("latin1");
}

async function openOurs(entries: number): Promise<Store> {
  process.env.RUSTCACHE_MAX_ITEMS = String(entries);
  const { RustCache } = await import("../../node/index.js");
  // Compared with heaps: nothing is kept on disk.
  RustCache.configure({ dir: null });
  await RustCache.start();
  return {
    pid: RustCache.process?.pid,
    async insert(first, last) {
      let next = first;
      const user = async () => {
        while (next < last) {
          const number = next++;
          await RustCache.insert(keyFor(number), valueFor(number));
        }
      };
      await Promise.all(Array.from({ length: 1000 }, user));
    },
    async check(number) {
      if ((await RustCache.get(keyFor(number))) !== valueFor(number))
        throw new Error(`entry ${number} is lost or altered`);
    },
    close: () => RustCache.close(),
  };
}

async function openLruCache(entries: number): Promise<Store> {
  const { LRUCache } = await import("lru-cache");
  const cache = new LRUCache<string, string>({ max: entries });
  return {
    pid: undefined,
    async insert(first, last) {
      for (let number = first; number < last; number++) {
        cache.set(keyFor(number), valueFor(number));
        // It never yields by itself. A program would, and a stall that comes only from this loop would say nothing.
        if (number % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async check(number) {
      if (cache.get(keyFor(number)) !== valueFor(number))
        throw new Error(`entry ${number} is lost or altered`);
    },
    close: () => cache.clear(),
  };
}

const subject = process.argv[2] as Subject;
const entries = Number(process.argv[3]);

const heapBefore = heapInUse();
const nodeBefore = residentBytes(process.pid);
const store = await (subject === "rustcache" ? openOurs(entries) : openLruCache(entries));
const daemonBefore = residentBytes(store.pid);
const began = performance.now();

const filling = new StallWatch();
await store.insert(0, entries);
const stallFilling = await filling.stop();

const churning = new StallWatch();
await store.insert(entries, 2 * entries);
const stallChurning = await churning.stop();

const milliseconds = performance.now() - began;
const daemonGrowth = residentBytes(store.pid) - daemonBefore;
const nodeGrowth = residentBytes(process.pid) - nodeBefore;
const heapGrowth = heapInUse() - heapBefore;
// What came last must all be there: a store that dropped its load would win every column.
for (let number = entries; number < 2 * entries; number += Math.max(1, Math.floor(entries / 1000)))
  await store.check(number);
store.close();

const figures: HeapFigures = {
  heapGrowth,
  nodeGrowth,
  daemonGrowth,
  stallFilling,
  stallChurning,
  milliseconds,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
