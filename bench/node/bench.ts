// The comparison with what Node users would pick instead: `npm ci && npm run bench`, in this directory. Prints Markdown, so that it
// can be pasted into docs/benchmarks.md, or puts it there with --write. The daemon must have been built (`cargo build --release --features daemon`).

import { parseArgs } from "node:util";
import { count } from "../../scripts/lib/terminal.js";
import { applicationTables, measureApplications } from "./applications.js";
import { durableTables, measureDurable } from "./durable.js";
import { heapTable, measureHeap } from "./heap.js";
import { hitsTable, measureHits } from "./hits.js";
import type { Operation } from "./load.js";
import { heading, notes, type Results, targets, targetTable, writePage } from "./output.js";
import { participants, type RedisServer, startRedis } from "./pool.js";
import { ECHO } from "./rivals.js";
import { measureSequential, sequentialTable } from "./sequential.js";
import { measureSpeed, type Speeds, speedTables } from "./speed.js";
import { HELD, measureStart, startTable } from "./start.js";

const HELP = `Usage: npm run bench -- [options]

  --quick          tiny sizes and one round, in about half a minute: shows that everything runs, not how fast
  --only PARTS     some of: small (56 B and 1 KiB values), large (64 KiB and 1 MiB), start, heap; separated by commas
  --sequential     instead of these: one call at a time against the echo, from many fresh starts
  --durable        instead of these: what keeping everything on disk costs
  --hits           instead of these: what a hit of the hot tier and of getOrSet costs
  --applications   instead of these: JSON objects, batches and Keyv, as applications use them
  --rounds NUMBER  rounds of the speed measurements, in which all participants alternate (default 5, 1 with --quick)
  --write          put the result into docs/benchmarks.md
  --help           this text
`;

const TITLE = "against what its users would pick instead";
const TITLES = {
  sequential: "one call at a time",
  durable: "what keeping everything on disk costs",
  hits: "what a hit costs in the process itself",
  applications: "JSON objects, batches and Keyv",
};

const PARTS = ["small", "large", "start", "heap"] as const;
type Part = (typeof PARTS)[number];

interface Settings {
  readonly quick: boolean;
  readonly parts: ReadonlySet<Part>;
  /** A page of its own, instead of the parts. */
  readonly page: keyof typeof TITLES | undefined;
  readonly rounds: number;
  readonly write: boolean;
}

function readSettings(): Settings {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        sequential: { type: "boolean", default: false },
        durable: { type: "boolean", default: false },
        hits: { type: "boolean", default: false },
        applications: { type: "boolean", default: false },
        rounds: { type: "string" },
        write: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const { quick, write } = values;
    const page = (Object.keys(TITLES) as (keyof typeof TITLES)[]).find((title) => values[title]);
    const parts = page ? [] : (values.only?.split(",") ?? [...PARTS]);
    for (const part of parts) {
      if (!PARTS.includes(part as Part)) throw new Error(`--only knows ${PARTS.join(", ")}, not "${part}"`);
    }
    const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
    if (!Number.isSafeInteger(rounds) || rounds < 1)
      throw new Error(`--rounds takes a number from 1, not "${values.rounds}"`);
    return { quick, parts: new Set(parts as Part[]), page, rounds, write };
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

async function speedPart(
  settings: Settings,
  part: "small" | "large",
  redis: RedisServer | undefined,
  print: (text: string) => void,
): Promise<Speeds[]> {
  const { quick, rounds } = settings;
  const [few, many] = quick ? [100, 1000] : [20_000, 100_000];
  const contents =
    part === "small"
      ? [
          { valueBytes: 56, keys: many, widths: [1, 10, 100, 1000] },
          { valueBytes: 1024, keys: few, widths: [1, 10, 100, 1000] },
        ]
      : [
          { valueBytes: 64 * 1024, keys: quick ? 16 : 256, widths: [1, 10, 100, 1000] },
          // 1000 of these in flight would be a GiB under way in each process: a test of memory, not of clients.
          { valueBytes: 2 ** 20, keys: quick ? 4 : 16, widths: [1, 10, 100] },
        ];
  const operations: readonly Operation[] = part === "large" ? ["get", "insert", "pair"] : ["get", "insert"];
  const names = participants(part === "large", redis);
  const speeds: Speeds[] = [];
  for (const { widths, ...each } of contents) {
    const loads = operations.flatMap((operation) => widths.map((width) => ({ operation, width })));
    const measured = await measureSpeed(
      { contents: each, names, loads, rounds, milliseconds: quick ? 20 : 200 },
      redis?.socket ?? "",
    );
    print(speedTables(measured, ECHO));
    speeds.push(measured);
  }
  return speeds;
}

/** Runs the parts asked for and prints each as soon as it is done. Returns everything that was printed. */
async function main(settings: Settings): Promise<string> {
  const { quick, parts, page, rounds } = settings;
  const printed: string[] = [];
  const print = (text: string) => {
    printed.push(text);
    console.log(text);
  };
  const needsRedis = parts.has("small") || parts.has("large") || page === "applications";
  const redis = needsRedis ? await startRedis() : undefined;
  try {
    const results: { -readonly [Part in keyof Results]: Results[Part] } & { speeds: Speeds[] } = {
      speeds: [],
      heap: [],
    };
    print(heading(page ? TITLES[page] : TITLE, process.argv.slice(2), redis?.version));
    if (needsRedis && !redis)
      print("redis-server is not installed here: ioredis and node-redis are left out.\n");
    if (page === "applications") {
      print(applicationTables(await measureApplications({ quick, rounds }, redis), rounds, !quick));
      return printed.join("\n");
    }
    if (page === "sequential") {
      print(sequentialTable(await measureSequential(quick ? 1 : 21)));
      return printed.join("\n");
    }
    if (page === "durable") {
      const sizes = quick ? { milliseconds: 20, entries: 10_000 } : { milliseconds: 300, entries: 1_000_000 };
      print(durableTables(await measureDurable({ rounds, ...sizes }), rounds));
      return printed.join("\n");
    }
    if (page === "hits") {
      print(hitsTable(await measureHits(rounds, quick ? 20 : 1000), rounds));
      return printed.join("\n");
    }
    for (const part of ["small", "large"] as const) {
      if (!parts.has(part)) continue;
      results.speeds.push(...(await speedPart(settings, part, redis, print)));
    }
    if (parts.has("start")) {
      const times = quick ? 3 : 30;
      const held = quick ? 10_000 : HELD;
      results.start = await measureStart(times, held);
      print(startTable(results.start, times, held));
    }
    if (parts.has("heap")) {
      const times = quick ? 1 : Math.min(3, rounds);
      const sizes = quick ? [20_000] : [1_000_000, 3_000_000];
      results.heap = await measureHeap(sizes, times);
      print(heapTable(results.heap, times));
    }
    print(
      quick
        ? "A quick run: its figures show that everything runs, and nothing else.\n"
        : targetTable(targets(results)),
    );
    if (needsRedis) print(notes(redis !== undefined));
    return printed.join("\n");
  } finally {
    await redis?.close();
  }
}

const settings = readSettings();
const began = performance.now();
const text = await main(settings);
if (settings.write) writePage(settings.page ? `bench/node --${settings.page}` : "bench/node", text);
process.stderr.write(`bench: done after ${count(Math.round((performance.now() - began) / 1000))} s\n`);
