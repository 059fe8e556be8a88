// Keeps a daemon running for a channel: starts it when it is wanted, restarts it after a death (within limits), closes it.
// The process itself is child.ts, the calls are channel.ts; this file is the policy between them.
//
// Invariants: one process at a time, and a new one starts only after the last one is dead. `#epoch` changes with every
// close(), and a start that finds it changed gives up.

import type { ChildProcess } from "node:child_process";
import { findBinary } from "./binary.js";
import { Channel } from "./channel.js";
import { DaemonProcess } from "./child.js";
import { ClosedError, ConnectionLostError, RestartsExhaustedError, StartError } from "./errors.js";
import type { Handshake } from "./protocol.js";

/** The longest pause before a restart, ms. */
const LONGEST_PAUSE_MS = 5000;

/** When a daemon that died is started again. */
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
  /** Milliseconds from spawn to the end of the handshake. */
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
  /** A daemon has answered the handshake. */
  ready(handshake: Handshake): void;
  /** The running daemon died unasked. */
  lost(error: ConnectionLostError): void;
  /** A daemon is started in the place of one that died; `attempt` counts within the window, from 1. */
  restart(attempt: number, reason: Error): void;
  /** A start failed, for good. */
  failed(error: Error): void;
  /** close() is done. */
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

export class Daemon {
  readonly channel: Channel;
  readonly #options: DaemonOptions;
  readonly #events: DaemonEvents;
  #state: "idle" | "starting" | "up" | "closed" = "idle";
  #process: DaemonProcess | null = null;
  #starting: Promise<void> | null = null;
  /** The former process on its way out, and everything that close() waits for. */
  #leaving: Promise<void> = Promise.resolve();
  #epoch = 0;
  /** When daemons died, or failed to start, since the last explicit start(); `performance.now()`. */
  #failures: number[] = [];
  #lastFailure: Error | null = null;
  /** A daemon has answered since the last explicit start(): later failures are worth another try. */
  #everUp = false;
  #endPause: (() => void) | null = null;

  constructor(options: DaemonOptions, events: DaemonEvents) {
    this.#options = options;
    this.#events = events;
    this.channel = new Channel(
      { timeout: options.timeout, maxQueuedBytes: options.maxQueuedBytes },
      {
        busy: () => this.#process?.hold(),
        idle: () => this.#process?.release(),
        wanted: () => {
          if (this.#state === "idle") this.#begin().catch(() => {});
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

  /** Resolves when a daemon has answered. Idempotent. Opens a closed one again, and forgets about former failures. */
  start(): Promise<void> {
    if (this.#state === "up") return Promise.resolve();
    if (this.#starting !== null) return this.#starting;
    this.#forget();
    return this.#begin();
  }

  /** A new beginning: not closed, and no failure is remembered. */
  #forget(): void {
    this.#failures = [];
    this.#lastFailure = null;
    this.#everUp = false;
    this.channel.reopen();
  }

  /** Lets the daemon answer what was called before, and ends it. Resolves when it is gone; never rejects. */
  close(): Promise<void> {
    if (this.#state === "closed") return this.#leaving;
    const wasUp = this.#state === "up";
    this.#epoch++;
    this.#state = "closed";
    this.#starting = null;
    this.#endPause?.();
    const process = this.#process;
    this.#process = null;
    this.channel.close();
    if (this.#options.reopens) {
      this.#state = "idle";
      this.#forget();
    }
    if (process === null) {
      this.#events.closed();
    } else {
      this.#leaving = process.dead.then(() => this.#events.closed());
      if (wasUp) process.end(this.#options.closeTimeout);
      else process.kill();
    }
    return this.#leaving;
  }

  #begin(): Promise<void> {
    this.#state = "starting";
    const epoch = this.#epoch;
    const starting = this.#bringUp(epoch).catch((error: Error) => {
      if (epoch === this.#epoch) {
        this.#state = "idle";
        this.#starting = null;
        this.channel.refuseWaiting(error);
        this.#events.failed(error);
      }
      throw error;
    });
    this.#starting = starting;
    return starting;
  }

  async #bringUp(epoch: number): Promise<void> {
    for (;;) {
      await this.#pauseBeforeRestart();
      await this.#leaving;
      if (epoch !== this.#epoch) throw new ClosedError();
      try {
        await this.#launch(epoch);
        return;
      } catch (error) {
        if (epoch !== this.#epoch) throw new ClosedError();
        if (HOPELESS.has(error as Error)) throw error;
        this.#noteFailure(error as Error);
        if (!this.#everUp) throw error;
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
    if (attempt === 1) return;
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
  async #launch(epoch: number): Promise<void> {
    const { binary: option, args, env, startTimeout } = this.#options;
    let process: DaemonProcess;
    let binary = option ?? "";
    try {
      binary = findBinary(option, env);
      process = new DaemonProcess(binary, args, env, {
        data: (chunk) => this.channel.receive(chunk),
        log: (line) => this.#events.log(line),
        doomed: () => this.channel.suspend(),
        dead: (reason) => this.#onDead(process, reason),
      });
    } catch (error) {
      if (error instanceof StartError) throw hopeless(error);
      throw hopeless(
        new StartError(`the daemon ${binary} could not be started: ${(error as Error).message}`, {
          cause: error,
        }),
      );
    }
    this.#process = process;
    if (process.child.pid === undefined) {
      await process.dead;
      throw hopeless(this.#lastFailure as StartError);
    }
    const timer = setTimeout(
      () =>
        process.kill(
          `it did not answer the handshake within ${startTimeout} ms (see the option startTimeout)`,
        ),
      startTimeout,
    );
    try {
      const handshake = await this.channel.connect(process.wire);
      // It may have died, or been closed, between its answer and this reaction.
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
      if (epoch !== this.#epoch) throw new ClosedError();
      throw this.#lastFailure ?? error;
    } finally {
      clearTimeout(timer);
    }
  }

  #onDead(process: DaemonProcess, reason: string): void {
    if (process !== this.#process) {
      // Closed: what it has left unanswered never will be.
      this.channel.disconnect((maybeApplied) => new ClosedError(maybeApplied));
      return;
    }
    this.#process = null;
    if (this.#state === "starting") {
      this.#lastFailure = new StartError(`the daemon could not be started: ${reason}`);
    } else {
      this.#state = "idle";
      const error = new ConnectionLostError(reason, false);
      this.#noteFailure(error);
      this.#events.lost(error);
    }
    this.channel.disconnect((maybeApplied) => new ConnectionLostError(reason, maybeApplied));
  }
}
