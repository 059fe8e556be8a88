// What applications do with a cache, beside what they would write over a Redis client: objects for values, many keys at a time, and Keyv. Turns,
// rounds and ratios are speed.ts's.

import { count, digits, table } from "../../scripts/lib/terminal.js";
import { IOREDIS_JSON, IOREDIS_PIPELINING_JSON, OURS_JSON, PARSE } from "./json-rivals.js";
import { hasSqlite, MAP_KEYV, OURS_KEYV, REDIS_KEYV, SQLITE_KEYV } from "./keyv-rivals.js";
import { type Target, targetTable } from "./output.js";
import type { RedisServer } from "./pool.js";
import { IOREDIS, IOREDIS_PIPELINING, OURS } from "./rivals.js";
import { describe, type Load, measureSpeed, type Speeds } from "./speed.js";

const GET: Load = { operation: "get", width: 100 };
const INSERT: Load = { operation: "insert", width: 100 };
const ONE_BATCH: Load = { operation: "getMany", width: 1 };
const TEN_BATCHES: Load = { operation: "getMany", width: 10 };

interface Measured {
  readonly title: string;
  readonly speeds: Speeds;
}

export interface Applications {
  readonly json: Measured;
  readonly batches: Measured;
  readonly keyv: Measured;
}

export async function measureApplications(
  { quick, rounds }: { quick: boolean; rounds: number },
  redis: RedisServer | undefined,
): Promise<Applications> {
  const milliseconds = quick ? 20 : 300;
  const socket = redis?.socket ?? "";
  const jsonNames = redis ? [OURS_JSON, IOREDIS_JSON, IOREDIS_PIPELINING_JSON, PARSE] : [OURS_JSON, PARSE];
  const objects = { valueBytes: 1024, json: true, keys: quick ? 100 : 20_000 };
  const json = await measureSpeed(
    { contents: objects, names: jsonNames, loads: [GET], rounds, milliseconds },
    socket,
  );
  const texts = { valueBytes: 56, keys: quick ? 1000 : 100_000 };
  const names = redis ? [OURS, IOREDIS, IOREDIS_PIPELINING] : [OURS];
  const loads = [ONE_BATCH, TEN_BATCHES];
  const batches = await measureSpeed({ contents: texts, names, loads, rounds, milliseconds }, socket);
  const sqlite = await hasSqlite();
  const stores = [OURS_KEYV, ...(redis ? [REDIS_KEYV] : []), ...(sqlite ? [SQLITE_KEYV] : []), MAP_KEYV];
  const keyv = await measureSpeed(
    { contents: texts, names: stores, loads: [GET, INSERT], rounds, milliseconds },
    socket,
  );
  return {
    json: { title: "Objects of about 1 KiB as JSON: operations per second", speeds: json },
    batches: {
      title: "`getMany` of 100 keys with values of 56 B, `mget` of ioredis: keys per second",
      speeds: batches,
    },
    keyv: { title: "Keyv, values of 56 B: operations per second", speeds: keyv },
  };
}

function section({ title, speeds }: Measured, rounds: number): string {
  const { names, loads } = speeds;
  const [we] = names as [string];
  return [
    `### ${title}, medians of ${rounds}\n`,
    table(
      ["", ...loads.flatMap((load) => [describe(load), `${we} ÷ this`])],
      names.map((name) => [
        name,
        ...loads.flatMap((load) => [
          count(speeds.median(name, load)),
          name === we ? "" : `${digits(speeds.ratio(we, name, load))} ×`,
        ]),
      ]),
    ),
    "",
  ].join("\n");
}

/** `least`: how many times as fast ours has to be as each of the others, of which the fastest counts. */
function against(name: string, speeds: Speeds, load: Load, others: readonly string[], least: number): Target {
  const [we] = speeds.names as [string];
  const ratio = Math.min(...others.map((other) => speeds.ratio(we, other, load)));
  return Number.isNaN(ratio) ? { name } : { name, measured: `${digits(ratio)} ×`, reached: ratio >= least };
}

function targets({ json, batches, keyv }: Applications): Target[] {
  const redis = [IOREDIS, IOREDIS_PIPELINING];
  return [
    against(
      "get of an object, 100 in flight: at least 5 × ioredis + JSON.parse",
      json.speeds,
      GET,
      [IOREDIS_JSON, IOREDIS_PIPELINING_JSON],
      5,
    ),
    ...[ONE_BATCH, TEN_BATCHES].flatMap((load): Target[] => {
      const perSecond = batches.speeds.median(OURS, load);
      const what = `${describe(load)}, 100 keys each`;
      return [
        {
          name: `${what}: at least 1.5 M keys/s`,
          measured: `${count(perSecond)}/s`,
          reached: perSecond >= 1.5e6,
        },
        against(`${what}: at least 6 × ioredis`, batches.speeds, load, redis, 6),
      ];
    }),
    ...[GET, INSERT].flatMap((load) => [
      against(`Keyv, ${describe(load)}: at least 4 × @keyv/redis`, keyv.speeds, load, [REDIS_KEYV], 4),
      against(`Keyv, ${describe(load)}: at least 20 × @keyv/sqlite`, keyv.speeds, load, [SQLITE_KEYV], 20),
    ]),
  ];
}

/** What the time of JSON.parse, which both sides pay, leaves to be gained. */
function boundByParsing({ json: { speeds } }: Applications): string {
  const ratios = [IOREDIS_JSON, IOREDIS_PIPELINING_JSON].map((name) => speeds.ratio(PARSE, name, GET));
  const ratio = Math.min(...ratios);
  if (Number.isNaN(ratio)) return "";
  return `Both sides pay for JSON.parse: a client that takes no time at all would be ${digits(ratio)} × as fast as ioredis + JSON.parse.\n`;
}

/** The same for Keyv itself. */
function boundByKeyv({ keyv: { speeds } }: Applications): string {
  const [get, insert] = [GET, INSERT].map((load) => speeds.ratio(MAP_KEYV, REDIS_KEYV, load)) as [
    number,
    number,
  ];
  if (Number.isNaN(get)) return "";
  return `All pay for Keyv: a store that takes no time at all would be ${digits(get)} × as fast as @keyv/redis for get, and ${digits(insert)} × for insert.\n`;
}

export function applicationTables(measured: Applications, rounds: number, judged: boolean): string {
  const parts = [
    section(measured.json, rounds),
    boundByParsing(measured),
    section(measured.batches, rounds),
    section(measured.keyv, rounds),
    boundByKeyv(measured),
  ];
  if (!measured.keyv.speeds.names.includes(SQLITE_KEYV)) {
    parts.push(
      "@keyv/sqlite is left out: its native part is not built (`npm explore sqlite3 -- npm run install`).\n",
    );
  }
  parts.push(
    judged
      ? targetTable(targets(measured))
      : "A quick run: its figures show that everything runs, and nothing else.\n",
  );
  return parts.filter((part) => part !== "").join("\n");
}
