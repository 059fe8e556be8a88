// What keeping everything on disk costs: inserts per second with and without a directory, beside redis-server with and without an append-only
// file, and what a snapshot does to the calls that are made while it is written.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cache, createCache } from "../../node/index.js";
import { Latencies, median } from "../../scripts/lib/statistics.js";
import { count, digits, duration, Progress, table } from "../../scripts/lib/terminal.js";
import type { Contents } from "./load.js";
import { type RedisServer, startRedis, Worker } from "./pool.js";
import { DURABLE, IOREDIS, OURS } from "./rivals.js";

/** From one key to the next that is asked for: a prime, so that all of them are. */
const STEP = 7919;
const CONTENTS: Contents = { valueBytes: 56, keys: 100_000 };

/** A participant, the inserts it has in flight, and what it did in each round, per second. */
interface Row {
  readonly label: string;
  readonly width: number;
  readonly worker: Worker;
  readonly rounds: number[];
}

export interface DurableResult {
  readonly rows: readonly { readonly label: string; readonly width: number; readonly perSecond: number }[];
  /** Medians of the rounds' ratios. */
  readonly everysecOverMemory: number;
  readonly everysecOverRedis: number;
  readonly alwaysOverRedis: number;
  readonly snapshots: SnapshotResult;
}

export interface SnapshotResult {
  readonly entries: number;
  /** Of gets, milliseconds, medians of the rounds. */
  readonly usual: { p50: number; p99: number };
  readonly meanwhile: { p50: number; p99: number };
  readonly ratio: number;
}

export interface DurableSettings {
  readonly rounds: number;
  /** Of one turn. */
  readonly milliseconds: number;
  /** In the cache of which snapshots are written. */
  readonly entries: number;
}

export async function measureDurable(settings: DurableSettings): Promise<DurableResult> {
  const servers: RedisServer[] = [];
  const rows: Row[] = [];
  const add = async (label: string, width: number, name: string, socket = "") => {
    const worker = new Worker(name);
    rows.push({ label, width, worker, rounds: [] });
    await worker.open(CONTENTS, socket);
  };
  const redis = async (label: string, width: number, sync?: "always" | "everysec") => {
    const server = await startRedis(sync);
    if (server === undefined) return;
    servers.push(server);
    await add(label, width, IOREDIS, server.socket);
  };
  try {
    await add("rustcache, in memory", 1000, OURS);
    await add("rustcache, sync everysec", 1000, DURABLE.everysec);
    await redis("ioredis, in memory", 1000);
    await redis("ioredis, appendfsync everysec", 1000, "everysec");
    await add("rustcache, sync always", 100, DURABLE.always);
    await redis("ioredis, appendfsync always", 100, "always");
    await runRounds(rows, settings);
    for (const { worker } of rows) await worker.close();
  } catch (error) {
    for (const { worker } of rows) worker.kill();
    throw error;
  } finally {
    for (const server of servers) await server.close();
  }
  const of = (label: string) => rows.find((row) => row.label === label)?.rounds ?? [];
  const ratio = (label: string, other: string) =>
    median(of(label).map((perSecond, round) => perSecond / (of(other)[round] ?? Number.NaN)));
  return {
    rows: rows.map(({ label, width, rounds }) => ({ label, width, perSecond: median(rounds) })),
    everysecOverMemory: ratio("rustcache, sync everysec", "rustcache, in memory"),
    everysecOverRedis: ratio("rustcache, sync everysec", "ioredis, appendfsync everysec"),
    alwaysOverRedis: ratio("rustcache, sync always", "ioredis, appendfsync always"),
    snapshots: await measureSnapshots(settings),
  };
}

async function runRounds(rows: readonly Row[], { rounds, milliseconds }: DurableSettings): Promise<void> {
  const progress = new Progress("inserts kept on disk", (rounds + 1) * rows.length, process.stderr);
  let turn = 0;
  // Round 0 is for the compilers, and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (let place = 0; place < rows.length; place++) {
      const row = rows[(place + round) % rows.length] as Row;
      progress.update(turn++, row.label);
      const perSecond = await row.worker.run({ operation: "insert", width: row.width, milliseconds });
      if (round > 0) row.rounds.push(perSecond);
    }
  }
  progress.end();
}

/** Gets, ten in flight, for as long as `goOn` says so. */
async function getsWhile(cache: Cache, entries: number, goOn: () => boolean): Promise<Latencies> {
  const latencies = new Latencies(10_000_000);
  let next = 0;
  const user = async () => {
    while (goOn()) {
      next = (next + STEP) % entries;
      const began = performance.now();
      if ((await cache.get(keyOf(next))) === undefined) throw new Error("an entry is missing");
      latencies.add(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: 10 }, user));
  return latencies;
}

const keyOf = (number: number) => `key:${String(number).padStart(16, "0")}`;

async function measureSnapshots({ rounds, milliseconds, entries }: DurableSettings): Promise<SnapshotResult> {
  const dir = mkdtempSync(join(tmpdir(), "rustcache-bench-"));
  const cache = createCache({ dir });
  const [usual, meanwhile] = [[] as Percentiles[], [] as Percentiles[]];
  try {
    const value = "v".repeat(CONTENTS.valueBytes);
    for (let first = 0; first < entries; first += 1000) {
      await cache.setMany(Array.from({ length: 1000 }, (_, n) => ({ key: keyOf(first + n), value })));
    }
    for (let round = 0; round <= rounds; round++) {
      const until = performance.now() + 5 * milliseconds;
      const quiet = (await getsWhile(cache, entries, () => performance.now() < until)).summary();
      let written = false;
      const snapshot = cache.snapshot().finally(() => {
        written = true;
      });
      const busy = (await getsWhile(cache, entries, () => !written)).summary();
      await snapshot;
      if (round === 0) continue;
      usual.push(quiet);
      meanwhile.push(busy);
    }
  } finally {
    await cache.close();
    rmSync(dir, { recursive: true, force: true });
  }
  const middle = (all: readonly Percentiles[]) => ({
    p50: median(all.map(({ p50 }) => p50)),
    p99: median(all.map(({ p99 }) => p99)),
  });
  return {
    entries,
    usual: middle(usual),
    meanwhile: middle(meanwhile),
    ratio: median(meanwhile.map(({ p99 }, round) => p99 / (usual[round]?.p99 ?? Number.NaN))),
  };
}

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

export function durableTables(result: DurableResult, rounds: number): string {
  const { rows, snapshots } = result;
  const verdict = (reached: boolean) => (reached ? "reached" : "**missed**");
  const times = (value: number) => (Number.isNaN(value) ? "–" : `${digits(value)} ×`);
  const judged = (name: string, value: number, holds: boolean) => [
    name,
    times(value),
    Number.isNaN(value) ? "not measured" : verdict(holds),
  ];
  return [
    `Inserts of 20 + 56 bytes, ${count(CONTENTS.keys)} keys, medians of ${rounds} rounds:\n`,
    table(
      ["", "in flight", "acknowledged per second"],
      rows.map(({ label, width, perSecond }) => [label, String(width), count(perSecond)]),
    ),
    `\nGets, ten in flight, with ${count(snapshots.entries)} entries:\n`,
    table(
      ["", "p50", "p99"],
      [
        ["usually", duration(snapshots.usual.p50), duration(snapshots.usual.p99)],
        ["while a snapshot is written", duration(snapshots.meanwhile.p50), duration(snapshots.meanwhile.p99)],
      ],
    ),
    "",
    table(
      ["target", "measured", "verdict"],
      [
        judged(
          "sync everysec ÷ in memory, 1000 in flight: at least 0.85",
          result.everysecOverMemory,
          result.everysecOverMemory >= 0.85,
        ),
        judged(
          "sync always ÷ ioredis with appendfsync always, 100 in flight: at least 1",
          result.alwaysOverRedis,
          result.alwaysOverRedis >= 1,
        ),
        judged(
          "p99 while a snapshot is written ÷ usual p99: at most 2",
          snapshots.ratio,
          snapshots.ratio <= 2,
        ),
      ],
    ),
    `\nsync everysec ÷ ioredis with appendfsync everysec, 1000 in flight: ${times(result.everysecOverRedis)}`,
    "",
  ].join("\n");
}
