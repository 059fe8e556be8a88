// One fresh process for hits.ts, since what the compiler has seen of one participant must not slow the next: measures the participant named by its
// argument for as many milliseconds as the next says, and sends the nanoseconds that a read took.

import { LRUCache } from "lru-cache";
import { createCache } from "../../node/index.js";
import { isParticipant, type Participant } from "./hits.js";

const KEYS = Array.from({ length: 1000 }, (_, i) => `key:${String(i).padStart(16, "0")}`);
const TEXT = "v".repeat(56);
const PLAIN = {
  id: 1,
  name: "Ada",
  roles: ["admin", "author"],
  text: "v".repeat(900),
  at: { x: 1, y: [2, 3] },
};
const IN_FLIGHT = 100;
/** Reads between two looks at the clock. */
const TURN = 10_000;

type Read = (key: string) => Promise<unknown>;

async function oneByOne(read: Read): Promise<void> {
  for (let n = 0; n < TURN; n++) await read(KEYS[(n * 7919) % KEYS.length]!);
}

async function inFlight(read: Read): Promise<void> {
  let n = 0;
  const caller = async () => {
    while (n < TURN) await read(KEYS[(n++ * 7919) % KEYS.length]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

/** Nanoseconds for each read, after as long a time that does not count. */
async function measure(
  turn: (read: Read) => Promise<void>,
  read: Read,
  milliseconds: number,
): Promise<number> {
  let elapsed = 0;
  let reads = 0;
  for (let part = 0; part < 2; part++) {
    const began = performance.now();
    reads = 0;
    do {
      await turn(read);
      reads += TURN;
      elapsed = performance.now() - began;
    } while (elapsed < milliseconds);
  }
  return (elapsed * 1e6) / reads;
}

async function participate(participant: Participant, milliseconds: number): Promise<number> {
  if (participant.startsWith("lru-cache")) {
    const ttl = participant === "lru-cache, with TTL" ? { ttl: 3_600_000 } : {};
    const lru = new LRUCache<string, string>({ max: 10_000, ...ttl });
    for (const key of KEYS) lru.set(key, TEXT);
    return measure(oneByOne, async (key) => lru.get(key), milliseconds);
  }
  const isHot = participant.startsWith("hot tier");
  await using cache = createCache(isHot ? { near: { freeze: participant.includes("frozen") } } : {});
  const value = participant.includes("JSON") ? PLAIN : TEXT;
  const ttl = participant.includes("with TTL") ? 3_600_000 : undefined;
  await cache.setMany(KEYS.map((key) => ({ key, value, ttl })));
  for (const key of KEYS) await cache.get(key);
  const read: Read = participant.includes("getOrSet")
    ? (key) => cache.getOrSet(key, () => TEXT)
    : (key) => cache.get(key);
  // Awaited here: the cache is closed on the way out.
  return await measure(isHot ? oneByOne : inFlight, read, milliseconds);
}

const [name, milliseconds] = process.argv.slice(2);
if (!isParticipant(name)) throw new Error(`there is no participant ${name}`);
const nanoseconds = await participate(name, Number(milliseconds));
process.send?.(nanoseconds, () => process.disconnect());
