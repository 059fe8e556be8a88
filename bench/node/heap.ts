// What a big cache does to the process that uses it: filled to its limit, then as many new entries once more, so that each of
// those evicts one. Every run is a process of its own (heap-worker.ts). Ours against lru-cache, which keeps the same entries in the heap.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { median } from "../../scripts/lib/statistics.js";
import { bytes, count, digits, duration, Progress, table } from "../../scripts/lib/terminal.js";
import type { HeapFigures } from "./heap-worker.js";

export type Subject = "rustcache" | "lru-cache";

export interface HeapResult {
  readonly subject: Subject;
  readonly entries: number;
  readonly figures: HeapFigures;
}

const WORKER = fileURLToPath(new URL("heap-worker.ts", import.meta.url));

async function runOnce(subject: Subject, entries: number): Promise<HeapFigures> {
  // Node's own limit of the old space (4 GiB at most) would end lru-cache at 3 M entries; it gets what it needs.
  const options = ["--max-old-space-size=12288", "--import", import.meta.resolve("tsx")];
  const child = spawn(process.execPath, [...options, WORKER, subject, String(entries)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0)
    throw new Error(`the heap test of ${subject} with ${entries} entries ended with exit code ${code}`);
  // JSON has no NaN: a figure that does not apply comes as null.
  return JSON.parse(output, (_, figure) => figure ?? Number.NaN) as HeapFigures;
}

export async function measureHeap(sizes: readonly number[], rounds: number): Promise<HeapResult[]> {
  const subjects: readonly Subject[] = ["rustcache", "lru-cache"];
  const progress = new Progress("heap test", sizes.length * subjects.length * rounds, process.stderr);
  let turn = 0;
  const results: HeapResult[] = [];
  for (const entries of sizes) {
    const runs = new Map<Subject, HeapFigures[]>(subjects.map((subject) => [subject, []]));
    for (let round = 0; round < rounds; round++) {
      for (const subject of subjects) {
        progress.update(turn++, `${subject}, ${count(entries)} entries`);
        runs.get(subject)?.push(await runOnce(subject, entries));
      }
    }
    for (const [subject, figures] of runs) results.push({ subject, entries, figures: middle(figures) });
  }
  progress.end();
  return results;
}

/** The median of each figure by itself. */
function middle(runs: readonly HeapFigures[]): HeapFigures {
  const of = (name: keyof HeapFigures) => median(runs.map((run) => run[name]));
  return {
    heapGrowth: of("heapGrowth"),
    nodeGrowth: of("nodeGrowth"),
    daemonGrowth: of("daemonGrowth"),
    stallFilling: of("stallFilling"),
    stallChurning: of("stallChurning"),
    milliseconds: of("milliseconds"),
  };
}

export function heapTable(results: readonly HeapResult[], rounds: number): string {
  const rows = results.map(({ subject, entries, figures }) => [
    `${subject}, ${count(entries)} entries`,
    digits(figures.nodeGrowth / entries),
    Number.isNaN(figures.daemonGrowth) ? "–" : digits(figures.daemonGrowth / entries),
    bytes(figures.heapGrowth),
    duration(figures.stallFilling),
    duration(figures.stallChurning),
    duration(figures.milliseconds),
  ]);
  return [
    `### Filled to the limit, then churned once more (20-byte keys, 56-byte values; ${rounds === 1 ? "one run" : `medians of ${rounds} runs`})\n`,
    table(
      [
        "",
        "bytes per entry in Node (RSS)",
        "in the daemon (RSS)",
        "JS heap growth",
        "longest stall, filling",
        "churning",
        "time in all",
      ],
      rows,
    ),
    "\nBytes per entry include the 76 of key and value.\n",
  ].join("\n");
}
