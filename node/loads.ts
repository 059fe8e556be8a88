// Runs of loaders: one at a time for each key in this process, who waits for it, and when it is given up. What a loader brings, and where
// that is kept, is read-through.ts's affair. No I/O.
//
// Invariants: a key has one current load at most, which newcomers join. It is current until it is settled, given up, or overtaken by a write to its
// key, whichever is first; from then on newcomers begin another. Every load settles, and those who wait for it settle with it or leave before.

import { AsyncLocalStorage } from "node:async_hooks";
import { Aborts } from "./call.js";
import { LoaderTimeoutError, ReentrantLoadError, show } from "./errors.js";
import { traceLoad } from "./tracing.js";

/** A key whose refresh in the background has failed is left alone for as long (ms): a loader that fails at once must not be called for every hit. */
const REFRESH_PAUSE_MS = 1000;
/** So many keys that are left alone are looked through for those that need it no longer. */
const MANY_RESTING = 1000;

/** So many of the last writes are remembered by name; a power of two. */
const RECENT_WRITES = 1024;

/** One run of a loader, for one key or for many. */
export class Run {
  readonly names: readonly string[];
  /** The run in whose loader this one was begun, as long as this one is loading. */
  parent: Run | undefined;
  /** False once the loader has come to an end, or has been given up. */
  isLoading = true;
  /** Those that this run's loader waits for now; one stands here as often as it is waited for. */
  readonly waitsFor: Run[] = [];
  /** Callers that want its result; a refresh in the background counts as one. */
  waiters = 0;
  #controller: AbortController | null = null;
  #aborted = false;
  #reason: unknown;

  constructor(names: readonly string[], parent: Run | undefined) {
    this.names = names;
    this.parent = parent;
  }

  /** The loader's signal. Made when it is asked for: most loaders never do, and making one costs more than the rest of a run. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  /** Whether this run cannot end before `other` does. What a loader still waits for that has come to its end, nobody else waits for. */
  awaits(other: Run): boolean {
    const seen = new Set<Run>([this]);
    for (const run of seen) {
      if (run === other) return true;
      if (run.isLoading) for (const next of run.waitsFor) seen.add(next);
    }
    return false;
  }
}

/** In the place of a value that was brought, and could not be kept. */
export class NotStored {
  readonly value: unknown;
  readonly error: unknown;

  constructor(value: unknown, error: unknown) {
    this.value = value;
    this.error = error;
  }
}

/** The load of one key: its part of a run. */
export interface Load {
  readonly run: Run;
  readonly name: string;
  /** Settles with what was brought for the key, once that is stored, or with NotStored. A rejection that nobody waits for is not unhandled. */
  readonly result: Promise<unknown>;
  /** Begun for the sake of later calls: whoever may have a stale value need not wait for it. */
  readonly isBackground: boolean;
  /** The records of the tags that what is brought is stored under; null = known only when it is there. */
  readonly records: readonly string[] | null;
  /** Records of tags that were invalidated since it began, as long as its own are not known. */
  readonly invalidated: Set<string>;
  /** A write to the key was called since it began, or one of its tags was invalidated: what it brings is not to be stored. */
  isOvertaken: boolean;
}

/** What a run is to do. */
export interface Task {
  /** Brings the values; called at once. */
  readonly load: (run: Run) => unknown;
  /** Keeps what was brought, but for the loads that are overtaken; resolves with a value for each of them, or NotStored, in order. */
  readonly store: (loads: readonly Load[], brought: unknown) => Promise<readonly unknown[]>;
  /** Milliseconds that `load` may take; 0 = no limit. */
  readonly timeout: number;
  readonly isBackground: boolean;
  /** See Load. */
  readonly records: readonly string[] | null;
}

/** What was counted, since the beginning. */
export interface LoadCounts {
  /** Runs of loaders, refreshes included. */
  loads: number;
  /** Those that failed, were given up, or brought what could not be stored. */
  load_errors: number;
  /** Callers that joined a load which another had begun. */
  load_joins: number;
  /** Runs in the background: of a stale value, or of one that was about to be. */
  refreshes: number;
  /** Stale values that were served, while they were refreshed or because the loader failed. */
  stale_hits: number;
}

/** One caller who waits, and may leave. */
interface Waiter {
  signal: AbortSignal | null;
  readonly leave: (reason: unknown) => void;
}

export class Loads {
  readonly counts: LoadCounts = { loads: 0, load_errors: 0, load_joins: 0, refreshes: 0, stale_hits: 0 };
  readonly #current = new Map<string, Load>();
  /** Those with tags, those that newcomers do not join any more included. */
  readonly #tagged = new Set<Load>();
  /** The run in whose loader a call is made, across its awaits. */
  readonly #within = new AsyncLocalStorage<Run>();
  readonly #aborts = new Aborts<Waiter>((waiter, reason) => waiter.leave(reason));
  /** Keys whose refresh has failed: until when they are left alone, by the clock. */
  readonly #resting = new Map<string, number>();
  readonly #clock: () => number;
  #isOwnWrite = false;
  /** False as long as nobody was ever interested: writes need not be noted then. */
  #isUsed = false;
  #writes = 0;
  /** The name of write n is at n mod RECENT_WRITES. */
  readonly #recent: string[] = [];
  /** What ends a run that is loading. */
  readonly #giveUps = new Map<Run, (reason: unknown) => void>();

  /** `clock`: monotonic, in milliseconds. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Whether a key may be refreshed in the background now: nothing loads it, and the last refresh has not just failed. */
  mayRefresh(name: string): boolean {
    if (this.#current.has(name)) return false;
    const until = this.#resting.get(name);
    if (until === undefined) return true;
    if (this.#clock() < until) return false;
    this.#resting.delete(name);
    return true;
  }

  /** Whether writes are to be told here. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  /** A moment in the order of writes, for `wasWritten`. To be asked for before the read that it is about is called. */
  get moment(): number {
    this.#isUsed = true;
    return this.#writes;
  }

  /** Whether a write to this key was called since that moment; true also when that is not known any more. */
  wasWritten(name: string, moment: number): boolean {
    if (this.#writes - moment > RECENT_WRITES) return true;
    for (let n = moment; n < this.#writes; n++) if (this.#recent[n % RECENT_WRITES] === name) return true;
    return false;
  }

  /** The load of a key that newcomers join; undefined when there is none. */
  current(name: string): Load | undefined {
    return this.#current.size === 0 ? undefined : this.#current.get(name);
  }

  /** Begins a run for keys that have no current load. Throws ReentrantLoadError when it is called within the loader of one of them. */
  begin(names: readonly string[], task: Task): Load[] {
    const parent = this.#caller();
    // One that has ended waits for nothing that is begun here.
    for (let run = parent; run?.isLoading; run = run.parent) {
      const name = run.names.find((each) => names.includes(each));
      if (name !== undefined) throw new ReentrantLoadError(show(name));
    }
    const run = new Run(names, parent);
    if (task.isBackground) run.waiters = 1;
    let settle!: (results: Promise<readonly unknown[]>) => void;
    const results = new Promise<readonly unknown[]>((resolve) => {
      settle = resolve;
    });
    const loads = names.map((name, i): Load => {
      const result = results.then((all) => all[i]);
      result.catch(() => {});
      const { isBackground, records } = task;
      return { run, name, result, isBackground, records, invalidated: new Set(), isOvertaken: false };
    });
    // Before the loader is called: it may write to its own key at once.
    for (const load of loads) {
      this.#current.set(load.name, load);
      if (load.records === null || load.records.length > 0) this.#tagged.add(load);
    }
    const performed = this.#perform(run, loads, task);
    performed.then(
      (all) =>
        this.#failed(
          names.filter((_, i) => all[i] instanceof NotStored),
          task,
        ),
      () => this.#failed(names, task),
    );
    settle(performed);
    this.counts.loads++;
    if (task.isBackground) this.counts.refreshes++;
    return loads;
  }

  /** Makes a write that keeps what was loaded, which is not to overtake it: that would let a newcomer who read before it load once more. */
  asOwnWrite<T>(write: () => T): T {
    this.#isOwnWrite = true;
    try {
      return write();
    } finally {
      this.#isOwnWrite = false;
    }
  }

  /** Resolves and rejects as the load does. An abort of `signal` rejects this caller alone; with the last caller the load is given up. */
  wait(load: Load, signal: AbortSignal | undefined): Promise<unknown> {
    const { run } = load;
    if (signal?.aborted) {
      if (run.waiters === 0) this.#giveUp(run, signal.reason);
      return Promise.reject(signal.reason);
    }
    const caller = this.#caller();
    if (caller !== undefined && run.awaits(caller)) {
      return Promise.reject(new ReentrantLoadError(show(load.name)));
    }
    run.waiters++;
    if (signal === undefined && caller === undefined) return load.result;
    caller?.waitsFor.push(run);
    return new Promise((resolve, reject) => {
      let hasEnded = false;
      const end = () => {
        hasEnded = true;
        if (waiter.signal !== null) this.#aborts.unlisten(waiter, waiter.signal);
        caller?.waitsFor.splice(caller.waitsFor.indexOf(run), 1);
      };
      const waiter: Waiter = {
        signal: null,
        leave: (reason) => {
          end();
          reject(reason);
          if (--run.waiters === 0) this.#giveUp(run, reason);
        },
      };
      if (signal !== undefined) this.#aborts.listen(waiter, signal);
      load.result.then(
        (value) => {
          if (hasEnded) return;
          end();
          resolve(value);
        },
        (error) => {
          if (hasEnded) return;
          end();
          reject(error);
        },
      );
    });
  }

  /** A write to this key is called. */
  written(name: string): void {
    if (this.#isOwnWrite) return;
    this.#recent[this.#writes++ % RECENT_WRITES] = name;
    const load = this.current(name);
    if (load !== undefined) this.#overtake(load);
  }

  /** A write to all keys that `matches` says yes to is called. */
  writtenWhere(matches: (name: string) => boolean): void {
    // Whose keys these are is not remembered.
    this.#writes += RECENT_WRITES + 1;
    for (const load of [...this.#current.values()]) if (matches(load.name)) this.#overtake(load);
  }

  /** A tag is invalidated: what is being loaded under it may be of the time before. */
  tagInvalidated(record: string): void {
    for (const load of this.#tagged) {
      if (load.records === null) {
        // It may be one of its own: nobody may join who comes now, and whether it is stored is decided when its tags are there.
        load.invalidated.add(record);
        this.#forget(load);
      } else if (load.records.includes(record)) {
        this.#overtake(load);
      }
    }
  }

  #failed(names: readonly string[], { isBackground }: Task): void {
    if (names.length === 0) return;
    this.counts.load_errors++;
    if (isBackground) this.#rest(names);
  }

  #rest(names: readonly string[]): void {
    const now = this.#clock();
    if (this.#resting.size >= MANY_RESTING) {
      for (const [name, until] of this.#resting) if (until <= now) this.#resting.delete(name);
    }
    for (const name of names) this.#resting.set(name, now + REFRESH_PAUSE_MS);
  }

  #overtake(load: Load): void {
    load.isOvertaken = true;
    this.#forget(load);
  }

  #forget(load: Load): void {
    if (this.#current.get(load.name) === load) this.#current.delete(load.name);
  }

  /** The run in whose loader this call is made. What a loader has left behind when it ended is not within it any more. */
  #caller(): Run | undefined {
    if (this.#giveUps.size === 0) return undefined;
    const run = this.#within.getStore();
    return run?.isLoading ? run : undefined;
  }

  async #perform(run: Run, loads: readonly Load[], task: Task): Promise<readonly unknown[]> {
    try {
      return await task.store(loads, await this.#load(run, loads, task));
    } finally {
      for (const load of loads) {
        this.#forget(load);
        this.#tagged.delete(load);
      }
    }
  }

  /** Calls the loader; settles when it does or when the run is given up, whichever is first. */
  #load(run: Run, loads: readonly Load[], { load, timeout, isBackground }: Task): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const end = () => {
        if (!run.isLoading) return;
        run.isLoading = false;
        run.parent = undefined;
        clearTimeout(timer);
        this.#giveUps.delete(run);
        // While a storage is in use, node 20 looks at every promise of the process (measured: 90 ns more for each await of a call).
        if (this.#giveUps.size === 0) this.#within.disable();
      };
      this.#giveUps.set(run, (reason) => {
        end();
        for (const each of loads) this.#forget(each);
        reject(reason);
        run.abort(reason);
      });
      if (timeout > 0) {
        const late = () => this.#giveUp(run, new LoaderTimeoutError(show(loads[0]!.name), timeout));
        timer = setTimeout(late, timeout);
      }
      const brought = () => traceLoad(run.names, isBackground, async () => load(run));
      this.#within.run(run, brought).finally(end).then(resolve, reject);
    });
  }

  #giveUp(run: Run, reason: unknown): void {
    this.#giveUps.get(run)?.(reason);
  }
}
