// What a hit costs in the process itself: the hot tier against lru-cache behind an async function, each read awaited before the next; and what getOrSet
// adds to a get of the daemon. Each measurement is a fresh process; the participants take turns.

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { median } from "../../scripts/lib/statistics.js";
import { count, digits, table } from "../../scripts/lib/terminal.js";

const WORKER = fileURLToPath(new URL("hits-worker.ts", import.meta.url));

const PARTICIPANTS = [
  "lru-cache",
  "lru-cache, with TTL",
  "hot tier",
  "hot tier, with TTL",
  "hot tier, getOrSet",
  "hot tier, 1 KiB of JSON",
  "hot tier, 1 KiB of JSON, frozen",
  "daemon, get",
  "daemon, getOrSet",
] as const;
export type Participant = (typeof PARTICIPANTS)[number];

export function isParticipant(name: string | undefined): name is Participant {
  return PARTICIPANTS.includes(name as Participant);
}

/** Nanoseconds for each read, one sample a round. */
export type HitTimes = ReadonlyMap<Participant, readonly number[]>;

export async function measureHits(rounds: number, milliseconds: number): Promise<HitTimes> {
  const times = new Map(PARTICIPANTS.map((name): [Participant, number[]] => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of PARTICIPANTS) {
      const child = fork(WORKER, [name, String(milliseconds)], {
        execArgv: ["--import", import.meta.resolve("tsx")],
      });
      const ended = once(child, "exit").then(([code, signal]) => {
        throw new Error(`the process of ${name} ended before its figure came (${code ?? signal})`);
      });
      const [nanoseconds] = (await Promise.race([once(child, "message"), ended])) as [number];
      await ended.catch(() => {});
      times.get(name)!.push(nanoseconds);
    }
  }
  return times;
}

export function hitsTable(times: HitTimes, rounds: number): string {
  const of = (name: Participant) => median(times.get(name)!);
  const rows = PARTICIPANTS.map((name) => {
    const rival = name.startsWith("hot tier") ? of("lru-cache") : undefined;
    return [
      name,
      `${digits(of(name))} ns`,
      `${count(1e9 / of(name))}/s`,
      rival === undefined ? "" : `${digits(of(name) / rival)} ×`,
    ];
  });
  const verdict = (reached: boolean) => (reached ? "reached" : "**missed**");
  const [hot, lru] = [of("hot tier"), of("lru-cache")];
  const added = of("daemon, getOrSet") - of("daemon, get");
  return [
    `1,000 keys of 20 bytes, values of 56 bytes of text unless said; medians of ${rounds} rounds. lru-cache and the hot tier: each read awaited before the next, lru-cache behind an async function. Daemon: 100 in flight.\n`,
    table(["", "a read takes", "reads", "of lru-cache's time"], rows),
    "",
    table(
      ["", "measured", "verdict"],
      [
        ["hot tier: at least 3 M reads/s", `${count(1e9 / hot)}/s`, verdict(hot <= 1000 / 3)],
        [
          "hot tier: at most 1.5 × the time of lru-cache",
          `${digits(hot / lru)} ×`,
          verdict(hot / lru <= 1.5),
        ],
        [
          "getOrSet: a hit adds less than 0.3 µs to a get",
          `${digits(added / 1000)} µs`,
          verdict(added < 300),
        ],
      ],
    ),
    "",
  ].join("\n");
}
