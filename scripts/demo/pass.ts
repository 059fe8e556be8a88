// One pass over all files: ask the store, compute what it does not have, keep it; and what that took. A number of files are under
// way at any time, as in a build tool, so that the disk, the daemon and this process work side by side.

import { stat } from "node:fs/promises";
import { heapInUse, StallWatch } from "../lib/statistics.js";
import { Progress } from "../lib/terminal.js";
import { examine } from "./files.js";
import type { MapStore, ResultStore } from "./stores.js";

const FILES_UNDER_WAY = 32;

/** What a file may do in a living tree: go, or be closed to us. */
const OUT_OF_REACH = new Set(["ENOENT", "EACCES", "EPERM"]);

export interface Pass {
  readonly title: string;
  readonly files: readonly string[];
  readonly store: ResultStore;
  /** Holds what the results must be. Undefined in the pass that fills it. */
  readonly reference?: MapStore | undefined;
  /** Bytes in Node's heap before the store held anything. */
  readonly heapBefore: number;
  /** A daemon to be killed in the middle. */
  readonly victim?: Victim | undefined;
}

/** Stopped when half of the files are done, and killed as soon as every file under way waits for it: then calls are certainly in flight. */
export interface Victim {
  stop(): void;
  kill(): void;
}

export interface PassFigures {
  readonly files: number;
  readonly hits: number;
  readonly computed: number;
  /** Calls that the killed daemon had not answered: the next one did. */
  readonly inFlight: number;
  /** Results that the daemon had that was started in the place of the killed one. */
  readonly hitsAfterKill: number;
  /** Files that could not be read, or that changed since the reference was made: the tree is a living one. */
  readonly changed: number;
  /** Results that are not the reference's. Must be 0. */
  readonly different: number;
  readonly milliseconds: number;
  readonly longestStall: number;
  readonly heapGrowth: number;
  readonly entries: number;
  readonly daemonBytes: number;
}

export async function runPass({
  title,
  files,
  store,
  reference,
  heapBefore,
  victim,
}: Pass): Promise<PassFigures> {
  const progress = new Progress(title, files.length);
  const counts = { hits: 0, computed: 0, inFlight: 0, hitsAfterKill: 0, changed: 0, different: 0 };
  let next = 0;
  let done = 0;
  let underWay = FILES_UNDER_WAY;
  let waiting = 0;
  let fate: "lives" | "stopped" | "killed" = "lives";

  const killWhenAllWait = () => {
    if (fate !== "stopped" || waiting < underWay) return;
    fate = "killed";
    counts.inFlight = waiting;
    victim?.kill();
  };

  const answer = async <T>(call: Promise<T>): Promise<T> => {
    waiting++;
    killWhenAllWait();
    try {
      return await call;
    } finally {
      waiting--;
    }
  };

  const examineOne = async (path: string) => {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    // What identifies a file's content without reading it, as in make or git.
    const key = `${path}\0${size}\0${mtimeNs}`;
    let result = await answer(store.get(key));
    if (result === "") {
      result = JSON.stringify(await examine(path));
      await answer(store.insert(key, result));
      counts.computed++;
    } else {
      counts.hits++;
      if (fate === "killed") counts.hitsAfterKill++;
    }
    if (!reference) return;
    const expected = reference.expected(key);
    if (expected === undefined) counts.changed++;
    else if (expected !== result) counts.different++;
  };

  const user = async () => {
    while (next < files.length) {
      try {
        await examineOne(files[next++] as string);
      } catch (error) {
        if (!OUT_OF_REACH.has(String((error as NodeJS.ErrnoException).code))) throw error;
        counts.changed++;
      }
      done++;
      if (victim && done === Math.ceil(files.length / 2)) {
        fate = "stopped";
        victim.stop();
      }
      progress.update(done, `${counts.hits} hits`);
    }
    underWay--;
    killWhenAllWait();
  };

  const watch = new StallWatch();
  const began = performance.now();
  await Promise.all(Array.from({ length: FILES_UNDER_WAY }, user));
  const milliseconds = performance.now() - began;
  const longestStall = await watch.stop();
  progress.end();
  return {
    ...counts,
    files: files.length,
    milliseconds,
    longestStall,
    heapGrowth: heapInUse() - heapBefore,
    entries: store.entries(),
    daemonBytes: store.daemonBytes(),
  };
}
