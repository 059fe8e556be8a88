// What the acceptance test is made of: sections, cases with a time limit, and the closing line. Not node:test, because this
// program is also run through other loaders, prints tables of figures between its cases, and ends with a line that people grep for.

import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { RustCache } from "../../node/index.js";

/** How much of everything: `quick` is for CI and for a first look. */
export interface Settings {
  readonly quick: boolean;
  /** Seed of all random choices; printed when a case fails. */
  readonly seed: number;
}

interface CaseOptions {
  /** Seconds until the case has failed. @default 60 */
  readonly limit?: number;
}

export class Report {
  readonly settings: Settings;
  readonly #failures: string[] = [];
  #passed = 0;
  #complete = false;

  constructor(settings: Settings) {
    this.settings = settings;
    // A promise that is lost somewhere in the client is a failure, whichever case was running.
    process.on("unhandledRejection", (reason) => this.fail("an unhandled rejection", reason));
    process.on("uncaughtException", (error) => this.fail("an uncaught exception", error));
    process.on("exit", () => this.#close());
  }

  section(title: string): void {
    this.line(`\n${title}`);
  }

  line(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** Runs one case; a rejection or a case over its time limit is a failure, and the next one runs all the same. */
  async case(name: string, body: () => Promise<void>, { limit = 60 }: CaseOptions = {}): Promise<void> {
    const began = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_, reject) => {
      // This timer also keeps the program alive: a call that never settles must end here, not in silence.
      timer = setTimeout(
        () => reject(new Error(`it did not end within ${limit} s: some call never settled`)),
        limit * 1000,
      );
    });
    try {
      await Promise.race([body(), expired]);
      this.#passed++;
      this.line(`  ✓ ${name} (${Math.round(performance.now() - began)} ms)`);
    } catch (error) {
      this.fail(name, error);
    } finally {
      clearTimeout(timer);
    }
  }

  fail(name: string, reason: unknown): void {
    const text = reason instanceof Error ? (reason.stack ?? String(reason)) : String(reason);
    this.#failures.push(name);
    this.line(`  ✗ ${name}\n${text.replace(/^/gm, "      ")}`);
  }

  /** All cases have run: from here on the program has to end by itself. */
  finish(): void {
    this.#complete = true;
    setTimeout(() => {
      this.fail("the program ends by itself", "10 s after the last case something still kept it alive");
      process.exit(1);
    }, 10_000).unref();
  }

  #close(): void {
    if (!this.#complete)
      this.fail("every case runs", "the program ended before its last case: some call never settled");
    if (this.#failures.length > 0) {
      this.line(`\nFailed (seed ${this.settings.seed}; the same again with --seed ${this.settings.seed}):`);
      for (const name of this.#failures) this.line(`  ✗ ${name}`);
      process.exitCode = 1;
    }
    this.line(`\n${this.#passed} passed, ${this.#failures.length} failed`);
  }
}

/** Random text of exactly `length` ASCII characters. */
export function randomText(length: number): string {
  return randomBytes(Math.ceil(length / 2))
    .toString("hex")
    .slice(0, length);
}

/** What a call came to, so that many calls can be awaited together without the first rejection hiding the others. */
export async function outcome<T>(
  call: Promise<T>,
): Promise<{ value: T } | { error: Error & { code?: string } }> {
  try {
    return { value: await call };
  } catch (error) {
    if (!(error instanceof Error))
      throw new TypeError(`a call rejected with ${String(error)}, which is no Error`);
    return { error };
  }
}

/** Runs `total` calls with `width` of them in flight at any time: what so many independent users of one process would do. */
export async function inFlight(
  total: number,
  width: number,
  call: (number: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const user = async () => {
    while (next < total) await call(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, total) }, user));
}

/** The running daemon. */
export function daemon(): ChildProcess & { pid: number } {
  const child = RustCache.process;
  assert.ok(child?.pid, "RustCache.process is null although the cache has started");
  return child as ChildProcess & { pid: number };
}

/** Kills the daemon while `calls` are certainly in flight: it is stopped before they are made, so it can have answered none. */
export async function killDuring<T>(calls: () => Promise<T>[]) {
  const child = daemon();
  const exited = once(child, "exit");
  process.kill(child.pid, "SIGSTOP");
  const pending = calls().map(outcome);
  // The requests are on their way once the event loop has turned.
  await new Promise((resolve) => setImmediate(resolve));
  process.kill(child.pid, "SIGKILL");
  await exited;
  return Promise.all(pending);
}
