// What the bench says besides its tables: on which machine and by which command, whether the targets were reached, and the section
// of docs/benchmarks.md that `--write` replaces.

import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { fileURLToPath } from "node:url";
import { bytes, digits, duration, table } from "../../scripts/lib/terminal.js";
import type { HeapResult } from "./heap.js";
import type { Operation } from "./load.js";
import { ours } from "./pool.js";
import { ECHO, IOREDIS, IOREDIS_PIPELINING, NODE_REDIS, rivals } from "./rivals.js";
import { type Load, type Speeds, shareOfEcho } from "./speed.js";
import type { StartTimes } from "./start.js";

const PAGE = fileURLToPath(new URL("../../docs/benchmarks.md", import.meta.url));

export interface Results {
  readonly speeds: readonly Speeds[];
  readonly start?: StartTimes;
  readonly heap: readonly HeapResult[];
}

export interface Target {
  readonly name: string;
  /** What was measured, for people; undefined when this run did not measure it. */
  readonly measured?: string;
  readonly reached?: boolean;
}

export function heading(title: string, args: readonly string[], redisVersion: string | undefined): string {
  const model = cpus()[0]?.model.trim() ?? "unknown CPU";
  const command = ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" ");
  return [
    `## Node: ${title}\n`,
    `- Command: \`${command}\` in \`bench/node\``,
    `- Date: ${new Date().toISOString().slice(0, 10)}`,
    `- Machine: ${model}, ${cpus().length} cores, ${bytes(totalmem())} of memory, ${type()} ${release()}, Node ${process.version}${
      redisVersion ? `, redis-server ${redisVersion}` : ""
    }`,
    "",
  ].join("\n");
}

export function notes(redis: boolean): string {
  const lines = rivals
    .filter((rival) => redis || !rival.needsServer)
    .map(({ name, note }) => `- ${name} ${installedVersion(name)}: ${note}`);
  return [
    ...lines,
    `- ${ECHO}: a child process that sends back what it gets, through the same streams. One way means that the echo's bytes are counted once, although they go both ways; insert + get moves a value each way as well, so it is what compares with the echo like for like.`,
    "",
  ].join("\n");
}

/** The version of a rival's package; empty for our own. */
function installedVersion(name: string): string {
  try {
    const path = new URL(`node_modules/${name.split(" ")[0]}/package.json`, import.meta.url);
    return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
  } catch {
    return "(this checkout)";
  }
}

/** The targets of this project, each with what this run measured. */
export function targets(results: Results): Target[] {
  const small = results.speeds.find((speeds) => speeds.contents.valueBytes === 56);
  const large = results.speeds.find((speeds) => speeds.contents.valueBytes === 2 ** 20);
  const three = results.heap.find(
    ({ subject, entries }) => subject === "rustcache" && entries === 3_000_000,
  )?.figures;
  const judged = (
    name: string,
    value: number | undefined,
    show: (value: number) => string,
    holds: (value: number) => boolean,
  ): Target =>
    value === undefined || Number.isNaN(value)
      ? { name }
      : { name, measured: show(value), reached: holds(value) };
  const times = (value: number) => `${digits(value)} ×`;
  // ioredis counts with whichever of its two settings is the faster one at that load.
  const against = (load: Load, ...names: string[]) =>
    small && Math.min(...names.map((name) => small.ratio(ours(false), name, load)));
  const get1000: Load = { operation: "get", width: 1000 };
  const share = (value: number) => `${digits(100 * value)} %`;
  const bandwidth = (operation: Operation, width: number) =>
    large && shareOfEcho(large, ECHO, { operation, width });
  const enough = (value: number) => value >= 0.7;
  return [
    judged(
      "get, 1000 in flight: at least 8 × ioredis",
      against(get1000, IOREDIS, IOREDIS_PIPELINING),
      times,
      (value) => value >= 8,
    ),
    judged(
      "get, 1000 in flight: at least 20 × node-redis",
      against(get1000, NODE_REDIS),
      times,
      (value) => value >= 20,
    ),
    judged(
      "insert, 1000 in flight: at least 6 × ioredis",
      against({ operation: "insert", width: 1000 }, IOREDIS, IOREDIS_PIPELINING),
      times,
      (value) => value >= 6,
    ),
    judged(
      "1 MiB get, sequential: at least 70 % of the echo's bandwidth",
      bandwidth("get", 1),
      share,
      enough,
    ),
    judged("1 MiB insert, sequential: the same", bandwidth("insert", 1), share, enough),
    // Only several pairs at a time can use both directions at once, as the echo does.
    judged("1 MiB insert + get, 10 in flight: the same", bandwidth("pair", 10), share, enough),
    judged(
      "3 M entries churned: longest stall below 20 ms",
      three && Math.max(three.stallFilling, three.stallChurning),
      duration,
      (value) => value < 20,
    ),
    judged(
      "3 M entries churned: JS heap growth below 20 MB",
      three?.heapGrowth,
      bytes,
      (value) => value < 20e6,
    ),
    judged("start() to first reply: at most 15 ms", results.start?.ours, duration, (value) => value <= 15),
    judged(
      "end of input to end of process: at most 100 ms",
      results.start?.ourEnd,
      duration,
      (value) => value <= 100,
    ),
  ];
}

export function targetTable(list: readonly Target[]): string {
  const verdict = ({ reached }: Target) =>
    reached === undefined ? "not measured" : reached ? "reached" : "**missed**";
  return [
    "### Targets\n",
    table(
      ["", "measured", "verdict"],
      list.map((target) => [target.name, target.measured ?? "–", verdict(target)]),
    ),
    "",
  ].join("\n");
}

/** Puts `text` between the markers of that name in docs/benchmarks.md; all around them stays as it is. */
export function writePage(name: string, text: string): void {
  const begin = `<!-- ${name} begin: written with --write -->`;
  const end = `<!-- ${name} end -->`;
  let page = "# Benchmarks\n";
  try {
    page = readFileSync(PAGE, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const section = `${begin}\n\n${text.trimEnd()}\n\n${end}`;
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from >= 0 && to < from) throw new Error(`${PAGE} holds "${begin}" without "${end}" behind it`);
  const next =
    from < 0
      ? `${page.trimEnd()}\n\n${section}\n`
      : page.slice(0, from) + section + page.slice(to + end.length);
  writeFileSync(PAGE, next);
}
