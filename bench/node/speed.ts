// Operations per second, and bandwidth. In every round each participant has its turns at each load, in an order that moves on from
// round to round; figures are medians over the rounds, and ratios are medians of the ratios inside the rounds, because the machine
// drifts by more from one minute to the next than the participants differ.

import { median } from "../../scripts/lib/statistics.js";
import { bytes, count, digits, Progress, table } from "../../scripts/lib/terminal.js";
import { type Contents, LARGE, type Operation } from "./load.js";
import { ours, withWorkers } from "./pool.js";

export interface Load {
  readonly operation: Operation;
  readonly width: number;
}

/** Operations per second of every participant at every load, round by round. */
export class Speeds {
  readonly contents: Contents;
  readonly names: readonly string[];
  readonly loads: readonly Load[];
  readonly #rounds = new Map<string, number[]>();

  constructor(contents: Contents, names: readonly string[], loads: readonly Load[]) {
    this.contents = contents;
    this.names = names;
    this.loads = loads;
  }

  #of(name: string, { operation, width }: Load): number[] {
    const place = `${name}/${operation}/${width}`;
    const rounds = this.#rounds.get(place) ?? [];
    this.#rounds.set(place, rounds);
    return rounds;
  }

  add(name: string, load: Load, perSecond: number): void {
    this.#of(name, load).push(perSecond);
  }

  median(name: string, load: Load): number {
    return median(this.#of(name, load));
  }

  /** How many times as fast `name` is as `other`: the median of the rounds' ratios. NaN when one of them took no part. */
  ratio(name: string, other: string, load: Load): number {
    const others = this.#of(other, load);
    return median(this.#of(name, load).map((perSecond, round) => perSecond / (others[round] ?? Number.NaN)));
  }
}

export interface SpeedSettings {
  readonly contents: Contents;
  /** Who takes part, ours first. */
  readonly names: readonly string[];
  readonly loads: readonly Load[];
  readonly rounds: number;
  /** Of one turn. */
  readonly milliseconds: number;
}

/**
 * Turns of each participant per round. One call at a time is all waiting, for the kernel to wake the other side, and whatever else
 * the machine does shows in it: only many short turns, close to each other, compare like with like.
 */
function turns({ width }: Load): number {
  return width === 1 ? 4 : 1;
}

/** `socket`: of the redis-server; "" when nobody needs it. */
export async function measureSpeed(settings: SpeedSettings, socket: string): Promise<Speeds> {
  const { contents, names, loads, rounds, milliseconds } = settings;
  const speeds = new Speeds(contents, names, loads);
  const progress = new Progress(
    `${bytes(contents.valueBytes)} values`,
    names.length * loads.reduce((all, load) => all + 1 + rounds * turns(load), 0),
    process.stderr,
  );
  let turn = 0;
  await withWorkers(names, contents, socket, async (workers) => {
    // Round 0 is for the compilers, and is not counted.
    for (let round = 0; round <= rounds; round++) {
      for (const load of loads) {
        for (let again = 0; again < (round === 0 ? 1 : turns(load)); again++) {
          for (let place = 0; place < workers.length; place++) {
            const worker = workers[(place + round + again) % workers.length];
            if (!worker) continue;
            progress.update(turn++, `${worker.name}, ${describe(load)}`);
            const perSecond = await worker.run({ ...load, milliseconds });
            if (round > 0) speeds.add(worker.name, load, perSecond);
          }
        }
      }
    }
  });
  progress.end();
  return speeds;
}

export function describe({ operation, width }: Load): string {
  const called = operation === "pair" ? "insert + get" : operation;
  return width === 1 ? `${called}, sequential` : `${called}, ${width} in flight`;
}

/** Mebibytes per second in one direction. A pair moves its value out and back in again, so it is half of a get and half of an insert. */
function bandwidth(perSecond: number, { operation }: Load, { valueBytes }: Contents): number {
  return (perSecond * valueBytes * (operation === "pair" ? 0.5 : 1)) / 2 ** 20;
}

/** How our bandwidth compares with the echo's: each echo moves its bytes both ways, and so do two operations of a pair. */
export function shareOfEcho(speeds: Speeds, echo: string, load: Load): number {
  const share = speeds.ratio(ours(true), echo, load);
  return load.operation === "pair" ? share / 2 : share;
}

export function speedTables(speeds: Speeds, echo: string): string {
  const { contents, names, loads } = speeds;
  const large = contents.valueBytes >= LARGE;
  const we = ours(large);
  const head = loads.map(describe);
  const figures = names.map((name) => [
    name,
    ...loads.map((load) => {
      const perSecond = speeds.median(name, load);
      return large
        ? digits(bandwidth(perSecond, name === echo ? { ...load, operation: "get" } : load, contents))
        : count(perSecond);
    }),
  ]);
  const ratios = names
    .filter((name) => name !== we)
    .map((name) => [
      `÷ ${name}`,
      ...loads.map(
        (load) =>
          `${digits(name === echo ? shareOfOur(speeds, echo, load) : speeds.ratio(we, name, load))} ×`,
      ),
    ]);
  const unit = large ? "MiB per second, one way" : "operations per second";
  return [
    `### ${bytes(contents.valueBytes)} values, ${contents.keys.toLocaleString("en")} keys: ${unit}\n`,
    table(["", ...head], figures),
    `\n${we} against each, medians of the rounds' ratios:\n`,
    table(["", ...head], ratios),
    "",
  ].join("\n");
}

function shareOfOur(speeds: Speeds, echo: string, load: Load): number {
  return speeds.contents.valueBytes >= LARGE
    ? shareOfEcho(speeds, echo, load)
    : speeds.ratio(ours(false), echo, load);
}
