// The daemon of one cache through close() and start(): a sequence of lives, each with a channel for the calls that were made in it.
// Those made before a close() are on the former channel, so that none of them can start, or reach, the next daemon.

import type { ChildProcess } from "node:child_process";
import type { CallOptions } from "./call.js";
import type { Channel } from "./channel.js";
import { type DaemonEvents, type DaemonOptions, Life } from "./life.js";
import { asDeadline, type WireExpiry } from "./options.js";

export class Daemon {
  #options: DaemonOptions;
  readonly #events: DaemonEvents;
  #life: Life;
  /** The channel for calls made now. It changes with every close(): do not keep it longer than one call. */
  channel: Channel;
  /** Lives that were closed and are not over. */
  readonly #leaving = new Set<Life>();
  /** Settled when they are. */
  #left: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: DaemonOptions, events: DaemonEvents) {
    this.#options = options;
    this.#events = events;
    this.#life = new Life(options, events, this.#left);
    this.channel = this.#life.channel;
  }

  /** Takes other options, from the next daemon on. Only as long as `isUnstarted`. */
  configure(options: DaemonOptions): void {
    this.#options = options;
    this.#life = new Life(options, this.#events, this.#left);
    this.channel = this.#life.channel;
  }

  /** True while no daemon has answered since the beginning, or since the last close(), and none is asked to. */
  get isUnstarted(): boolean {
    return this.#life.isUnstarted;
  }

  /** An expiry as it is to be sent. What is kept on disk may be sent again, so it ends at a moment that is fixed now. */
  expiry(expiry: WireExpiry): WireExpiry {
    return this.#options.dir === null ? expiry : asDeadline(expiry, this.#options.defaultTtl);
  }

  /** The running process, or null. */
  get process(): ChildProcess | null {
    return this.#life.process;
  }

  /** True from close() to start(). */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** True when calls leave at once. */
  get isUp(): boolean {
    return this.#life.isUp;
  }

  /** Calls that have not settled, those made before close() as well. */
  get pending(): number {
    let pending = this.channel.pending;
    for (const life of this.#leaving) pending += life.channel.pending;
    return pending;
  }

  /** Bytes of requests that have not left this process. */
  get queuedBytes(): number {
    let bytes = this.channel.queuedBytes;
    for (const life of this.#leaving) bytes += life.channel.queuedBytes;
    return bytes;
  }

  /** Resolves when no call waits and the queue is at most half full. */
  async drained(options?: CallOptions): Promise<void> {
    const channels = [...this.#leaving, this.#life].map((life) => life.channel);
    await Promise.all(channels.map((channel) => channel.drained(options)));
  }

  /** Resolves when a daemon has answered. Idempotent. Opens a closed one again, and forgets about former failures. */
  start(): Promise<void> {
    this.#closed = false;
    return this.#life.start();
  }

  /** Lets the daemon answer what was called before, and ends it. Resolves when it is gone; never rejects. */
  close(): Promise<void> {
    const life = this.#life;
    // Closed twice, or again before anything was asked of the next one.
    if (this.#closed || (life.isUnused && this.#leaving.size > 0)) {
      this.#shut();
      return this.#left;
    }
    const follows = this.#leaving.size > 0;
    this.#leaving.add(life);
    this.#left = Promise.all([this.#left, life.over]).then(() => {
      this.#leaving.delete(life);
      // One that never came to have a process ends with the life before it, and that was told.
      if (life.hadProcess || !follows) this.#events.closed();
    });
    this.#life = new Life(this.#options, this.#events, this.#left);
    this.channel = this.#life.channel;
    this.#shut();
    life.close();
    return this.#left;
  }

  #shut(): void {
    if (this.#options.reopens) return;
    this.#closed = true;
    this.channel.close();
  }
}
