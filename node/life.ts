// One life of a daemon, from the first call to the end that one close() asks for: starts it when it is wanted, restarts it after a
// death (within limits), lets it answer what was called, ends it. The process itself is child.ts, the calls are channel.ts; this
// file is the policy between them. What follows a close() is another life, with a channel of its own: daemon.ts.
//
// Invariants: one process at a time, and none before the former life is over. Once `#ending`, nothing is started but
// for calls that wait already, and a start that fails is the last.

import type { ChildProcess } from "node:child_process";
import { findBinary } from "./binary.js";
import { whyEnded, whyNotRun } from "./binary-errors.js";
import type { Decode } from "./call.js";
import { Channel } from "./channel.js";
import { DaemonProcess } from "./child.js";
import { directoryError, makeDirectory } from "./directory.js";
import { ClosedError, ConnectionLostError, RestartsExhaustedError, StartError } from "./errors.js";
import type { Handshake } from "./protocol.js";
import { decodeJson } from "./replies.js";
import { type LoadStats, StartWatch } from "./start-watch.js";

/** The longest pause before a restart, ms. */
const LONGEST_PAUSE_MS = 5000;

/**
 * When a daemon that died is started again.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache({ restart: { limit: 10, window: 60_000, pause: 50 } });
 */
export interface RestartPolicy {
  /** Restarts within `window`; 0 = never restart. @default 5 */
  readonly limit: number;
  /** Milliseconds. @default 180_000 */
  readonly window: number;
  /** Milliseconds before the second restart of a window, doubled for each further one, at most 5 s. The first has no pause. @default 100 */
  readonly pause: number;
}

export interface DaemonOptions {
  readonly binary: string | undefined;
  /** Arguments, those of the user first. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where the daemon keeps its entries, as an absolute path; null = in memory only. It is among `args` as well. */
  readonly dir: string | null;
  /** Whether a `dir` that is not there is made by the client, with a .gitignore in it. */
  readonly makesDir: boolean;
  /** Milliseconds, of entries that are written without a TTL; undefined = for ever. */
  readonly defaultTtl: number | undefined;
  /** Milliseconds from spawn to the end of the handshake, and then between two signs that loading the directory goes on. */
  readonly startTimeout: number;
  /** Milliseconds from the end of input to SIGTERM. */
  readonly closeTimeout: number;
  readonly restart: RestartPolicy;
  /** Milliseconds per call; 0 = none. */
  readonly timeout: number;
  readonly maxQueuedBytes: number;
  /** Whether a call after close() opens it again, as it starts it in the beginning; else it rejects until start(). */
  readonly reopens: boolean;
}

export interface DaemonEvents {
  /** A daemon has answered the handshake and loaded its directory. */
  ready(handshake: Handshake): void;
  /** The running daemon died unasked. */
  lost(error: ConnectionLostError): void;
  /** A daemon is started in the place of one that died; `attempt` counts within the window, from 1. */
  restart(attempt: number, reason: Error): void;
  /** A start failed, for good. */
  failed(error: Error): void;
  /** close() is done: once for each daemon that was ended. */
  closed(): void;
  /** One line of the daemon's stderr. */
  log(line: string): void;
}

/** Starts that would fail in the same way again. */
const HOPELESS = new WeakSet<Error>();

function hopeless(error: StartError): StartError {
  HOPELESS.add(error);
  return error;
}

export class Life {
  readonly channel: Channel;
  /** Settled when the daemon of this life is gone and no other will come. Never rejects. */
  readonly over: Promise<void>;
  /** True once it has had a process. */
  hadProcess = false;
  #setOver!: () => void;
  readonly #options: DaemonOptions;
  readonly #events: DaemonEvents;
  /** The former life. */
  readonly #before: Promise<void>;
  #state: "idle" | "starting" | "up" = "idle";
  #process: DaemonProcess | null = null;
  #starting: Promise<void> | null = null;
  /** close() was called. */
  #ending = false;
  /** All calls are sent or given up: there is nothing to start for any more. */
  #finished = false;
  /** When daemons died, or failed to start, since the last explicit start(); `performance.now()`. */
  #failures: number[] = [];
  #lastFailure: Error | null = null;
  /** A daemon has answered since the last explicit start(): later failures are worth another try. */
  #everUp = false;
  #endPause: (() => void) | null = null;
  /** Chunks that came from the daemon. */
  #chunks = 0;
  #watch: NodeJS.Timeout | undefined;

  constructor(options: DaemonOptions, events: DaemonEvents, before: Promise<void>) {
    this.#options = options;
    this.#events = events;
    this.#before = before;
    this.over = new Promise((resolve) => {
      this.#setOver = resolve;
    });
    this.channel = new Channel(
      {
        timeout: options.timeout,
        maxQueuedBytes: options.maxQueuedBytes,
        sendsAgain: options.dir !== null,
        loads: options.dir !== null,
      },
      {
        busy: () => this.#process?.hold(),
        idle: () => this.#process?.release(),
        wanted: () => {
          if (this.#state === "idle" && !this.#ending) this.#begin().catch(() => {});
        },
        broken: (error) => this.#process?.kill(error.message),
      },
    );
  }

  /** The running process, or null. */
  get process(): ChildProcess | null {
    return this.#process?.child ?? null;
  }

  /** True when calls leave at once. */
  get isUp(): boolean {
    return this.#state === "up";
  }

  /** True while no daemon has answered, and none is asked to. */
  get isUnstarted(): boolean {
    return this.#state === "idle" && !this.#ending && !this.#everUp && this.channel.pending === 0;
  }

  /** True when nothing was ever asked of it. */
  get isUnused(): boolean {
    return this.#state === "idle" && !this.#ending && !this.hadProcess && this.channel.pending === 0;
  }

  /**
   * Resolves when a daemon has answered, and has loaded its directory: what is wrong with that is an error of the start, and no call waits
   * for it unawares. Idempotent. Forgets about former failures.
   */
  start(): Promise<void> {
    if (this.#state === "up") return Promise.resolve();
    if (this.#starting !== null) return this.#starting;
    this.#failures = [];
    this.#lastFailure = null;
    this.#everUp = false;
    this.channel.reopen();
    return this.#begin();
  }

  /** Lets the daemon answer what was called, starting it if need be, and ends it. No call may be made any more. */
  close(): void {
    this.#ending = true;
    if (this.#state === "idle") {
      this.#die();
      return;
    }
    this.#endPause?.();
    this.channel.finish(() => this.#end());
    if (!this.#finished) this.#watchLastCalls();
  }

  /** Everything was sent: its input may end. */
  #end(): void {
    this.#finished = true;
    clearInterval(this.#watch);
    // The handshake is done when there are limits, although the start may not have come round to it.
    if (this.#state === "up" || this.channel.limits !== null) this.#process?.end(this.#options.closeTimeout);
    else this.#process?.kill();
  }

  /** A daemon that answers nothing for `closeTimeout` will not take the rest of the calls either. */
  #watchLastCalls(): void {
    let seen = this.#chunks;
    this.#watch = setInterval(() => {
      // A start has a time limit of its own.
      if (this.#state !== "up") return;
      if (this.#chunks !== seen) {
        seen = this.#chunks;
        return;
      }
      clearInterval(this.#watch);
      this.channel.close();
      this.#process?.end(1);
    }, this.#options.closeTimeout);
  }

  /** The end: whatever waits or comes later is refused. */
  #die(error?: Error): void {
    clearInterval(this.#watch);
    this.#finished = true;
    this.channel.close(error);
    this.#setOver();
  }

  #begin(): Promise<void> {
    this.#state = "starting";
    const starting = this.#bringUp().catch((error: Error) => {
      this.#state = "idle";
      this.#starting = null;
      if (!this.#finished) this.#events.failed(error);
      if (this.#ending) this.#die(error);
      else this.channel.refuseWaiting(error);
      throw error;
    });
    this.#starting = starting;
    return starting;
  }

  async #bringUp(): Promise<void> {
    for (;;) {
      await this.#pauseBeforeRestart();
      await this.#before;
      if (this.#finished) throw new ClosedError();
      try {
        await this.#launch();
        return;
      } catch (error) {
        if (this.#finished) throw new ClosedError();
        if (HOPELESS.has(error as Error)) throw error;
        this.#noteFailure(error as Error);
        if (!this.#everUp || this.#ending) throw error;
      }
    }
  }

  #noteFailure(error: Error): void {
    this.#failures.push(performance.now());
    this.#lastFailure = error;
  }

  async #pauseBeforeRestart(): Promise<void> {
    const { limit, window, pause } = this.#options.restart;
    const now = performance.now();
    this.#failures = this.#failures.filter((at) => now - at < window);
    const attempt = this.#failures.length;
    const reason = this.#lastFailure;
    if (attempt === 0 || reason === null) return;
    if (attempt > limit) {
      const seconds = Math.ceil((this.#failures[0]! + window - now) / 1000);
      throw new RestartsExhaustedError(
        `the daemon failed ${attempt} times within ${window / 1000} s, and is left alone for another ${seconds} s (start() tries at once). Last: ${reason.message}`,
        { cause: reason },
      );
    }
    this.#events.restart(attempt, reason);
    if (attempt === 1 || this.#ending) return;
    const ms = Math.min(pause * 2 ** (attempt - 2), LONGEST_PAUSE_MS);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = null;
  }

  /** One attempt: from spawn to the end of the handshake. */
  async #launch(): Promise<void> {
    const { binary: option, args, env, dir, makesDir, startTimeout } = this.#options;
    let process: DaemonProcess;
    let binary = option ?? "";
    try {
      binary = findBinary(option, env);
      if (dir !== null && makesDir) makeDirectory(dir);
      process = new DaemonProcess(binary, args, env, {
        data: (chunk) => {
          this.#chunks++;
          this.channel.receive(chunk);
        },
        log: (line) => this.#events.log(line),
        doomed: () => this.channel.suspend(),
        dead: (reason, code, line) => this.#onDead(process, reason, code, line),
      });
    } catch (error) {
      if (error instanceof StartError) throw hopeless(error);
      const { message, code } = error as NodeJS.ErrnoException;
      throw hopeless(
        new StartError(`the daemon ${binary} could not be started: ${message}${whyNotRun(binary, code)}`, {
          cause: error,
        }),
      );
    }
    this.#process = process;
    this.hadProcess = true;
    if (process.child.pid === undefined) {
      await process.dead;
      throw hopeless(this.#lastFailure as StartError);
    }
    const watch = new StartWatch(startTimeout, {
      isLoading: () => this.#process === process && this.channel.isLoading,
      askStats: () => this.channel.askStats(decodeJson as Decode<LoadStats>),
      late: (reason) => process.kill(reason),
    });
    try {
      const handshake = await this.channel.connect(process.wire);
      // It may have died between its answer and this reaction.
      if (this.#process !== process) throw this.#lastFailure ?? new ClosedError();
      this.#state = "up";
      this.#starting = null;
      this.#everUp = true;
      this.#events.ready(handshake);
    } catch (error) {
      if (this.#process === process) {
        // A refusal leaves it running.
        process.kill(`it refused the handshake: ${(error as Error).message}`);
        await process.dead;
      }
      throw this.#lastFailure ?? error;
    } finally {
      watch.stop();
    }
  }

  #onDead(process: DaemonProcess, reason: string, code: number | null, line: string): void {
    if (process !== this.#process) return;
    this.#process = null;
    if (this.#state === "starting") {
      const aboutDirectory = this.#options.dir === null ? undefined : directoryError(code, line, reason);
      this.#lastFailure =
        aboutDirectory === undefined
          ? new StartError(`the daemon could not be started: ${reason}${whyEnded(reason)}`)
          : hopeless(aboutDirectory);
    } else if (this.#ending) {
      // What it has left unanswered never will be.
      this.#state = "idle";
      this.channel.disconnect((maybeApplied) => new ClosedError(maybeApplied), true);
      this.#die();
      return;
    } else {
      this.#state = "idle";
      const error = new ConnectionLostError(reason, false);
      this.#noteFailure(error);
      this.#events.lost(error);
    }
    this.channel.disconnect((maybeApplied) => new ConnectionLostError(reason, maybeApplied));
  }
}
