// One call from the moment it is made to the moment it settles, the queue of those that wait for their turn, and the signals
// that give calls up.
// Data and bookkeeping only; channel.ts decides when a call is sent, answered or given up.

import { Condition, Expiry, type Limits, Op } from "./protocol.js";

/** Makes the body of a frame of a batch when it is about to be sent, and not before: a huge batch is not encoded all at once. */
export type MakeBody = (limits: Limits) => Uint8Array;

/** Makes a call's result from the reply's body; see `ReplySink` for `owned`. Throws what the call is to reject with. */
export type Decode<T> = (
  status: number,
  tag: number,
  buf: Buffer,
  start: number,
  end: number,
  owned: boolean,
) => T;

/**
 * What any call may be given.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * const value = await cache.get("key", { timeout: 100, signal: AbortSignal.timeout(50) });
 */
export interface CallOptions {
  /** Milliseconds to wait for the reply; 0 = for ever. @default the cache's `timeout` */
  timeout?: number | undefined;
  /** Gives the call up: it rejects with `signal.reason`. A request that has left for the daemon may still be done. @default none */
  signal?: AbortSignal | undefined;
}

/** What a call will send. */
export interface Draft {
  readonly flags: number;
  readonly tag: number;
  readonly fields: Uint8Array | null;
  readonly expiry: number;
  readonly key: string | Uint8Array | null;
  readonly value: string | Uint8Array | MakeBody | null;
  /** Whether it may be sent again to the next daemon when one dies before it has answered. */
  readonly again: boolean;
  /** How many daemons that were up died before they had answered it. */
  losses: number;
}

export class Call {
  /** 0 while it waits. */
  id = 0;
  readonly op: number;
  readonly decode: Decode<unknown>;
  /** Null once the call is settled. */
  resolve: ((value: unknown) => void) | null;
  readonly reject: (reason: unknown) => void;
  /** By the channel's clock; 0 = none. */
  readonly deadline: number;
  readonly timeout: number;
  /** Not null while the call waits, and as long as it may be sent again. */
  draft: Draft | null = null;
  signal: AbortSignal | null = null;

  constructor(
    op: number,
    decode: Decode<unknown>,
    resolve: (value: unknown) => void,
    reject: (reason: unknown) => void,
    deadline: number,
    timeout: number,
  ) {
    this.op = op;
    this.decode = decode;
    this.resolve = resolve;
    this.reject = reject;
    this.deadline = deadline;
    this.timeout = timeout;
  }

  /** Whether the daemon may do something that it would not have done without this call. */
  get writes(): boolean {
    return WRITES.has(this.op);
  }

  /** Whether the daemon, or one before it, may have done it although no reply has come. */
  get maybeApplied(): boolean {
    return this.writes && (this.id !== 0 || (this.draft !== null && this.draft.losses > 0));
  }
}

/** Whether doing it twice is the same as doing it once: see `isRepeatable`. Ops that are not here are not. */
const REPEATABLE: ReadonlySet<number> = new Set([
  Op.PING,
  Op.STATS,
  Op.GET,
  Op.CONTAINS,
  Op.TTL,
  Op.SCAN,
  Op.GET_MANY,
  Op.REMOVE,
  Op.REMOVE_MANY,
  // Its maker says so when one of its items is not.
  Op.SET_MANY,
]);

/**
 * Whether a request may be sent to the next daemon when nobody knows what became of it. A TTL that counts from arrival would begin anew: those who
 * want such a call to be repeatable send a deadline.
 */
export function isRepeatable(op: number, flags: number): boolean {
  if (op !== Op.SET) return REPEATABLE.has(op);
  return (flags & CONDITION) === Condition.ALWAYS && (flags & EXPIRY) !== Expiry.TTL;
}

const CONDITION = 0b11;
const EXPIRY = 0b111 << 2;

const WRITES: ReadonlySet<number> = new Set([
  Op.SET,
  Op.REMOVE,
  Op.TAKE,
  Op.TOUCH,
  Op.INCR,
  Op.CAS,
  Op.CLEAR,
  Op.SET_MANY,
  Op.REMOVE_MANY,
]);

/**
 * Calls that wait, first come, first served. One that is given up stays as a hollow entry; when most entries are, the queue is
 * rebuilt, so that neither a daemon that hangs nor one that is always a little behind makes it grow for ever.
 */
export class WaitingCalls {
  #calls: Call[] = [];
  #head = 0;
  #size = 0;

  /** Calls that are not settled. */
  get size(): number {
    return this.#size;
  }

  push(call: Call): void {
    this.#calls.push(call);
    this.#size++;
  }

  /** The next call, taken out; undefined when there is none. */
  shift(): Call | undefined {
    while (this.#head < this.#calls.length) {
      const call = this.#calls[this.#head++]!;
      if (call.resolve === null) continue;
      this.#size--;
      this.#tidy();
      return call;
    }
    this.takeAll();
    return undefined;
  }

  /** These were sent before all that wait, so they are the next. */
  unshift(calls: readonly Call[]): void {
    this.#calls = [...calls, ...this.#calls.slice(this.#head)];
    this.#head = 0;
    this.#size += calls.length;
  }

  /** One of the calls has been settled in its place. */
  hollowed(): void {
    this.#size--;
    this.#tidy();
  }

  takeAll(): Call[] {
    const calls = this.#calls.slice(this.#head).filter((call) => call.resolve !== null);
    this.#calls = [];
    this.#head = 0;
    this.#size = 0;
    return calls;
  }

  [Symbol.iterator](): Iterator<Call> {
    return this.#calls.slice(this.#head).values();
  }

  #tidy(): void {
    // Amortized: half of the entries went since the last time.
    if (this.#calls.length < 64 || this.#size * 2 > this.#calls.length) return;
    const size = this.#size;
    this.#calls = this.takeAll();
    this.#size = size;
  }
}

/** Whatever a signal can give up. */
interface Abortable {
  signal: AbortSignal | null;
}

/** Those that one signal gives up. One listener for all of them: Node warns of more than ten. */
interface Listening<T> {
  readonly waiting: Set<T>;
  readonly listener: () => void;
}

export class Aborts<T extends Abortable> {
  readonly #giveUp: (waiting: T, reason: unknown) => void;
  readonly #listening = new Map<AbortSignal, Listening<T>>();

  constructor(giveUp: (waiting: T, reason: unknown) => void) {
    this.#giveUp = giveUp;
  }

  listen(waiting: T, signal: AbortSignal): void {
    waiting.signal = signal;
    let listening = this.#listening.get(signal);
    if (listening === undefined) {
      const all = new Set<T>();
      const listener = () => {
        for (const each of [...all]) this.#giveUp(each, signal.reason);
      };
      listening = { waiting: all, listener };
      this.#listening.set(signal, listening);
      signal.addEventListener("abort", listener, { once: true });
    }
    listening.waiting.add(waiting);
  }

  unlisten(waiting: T, signal: AbortSignal): void {
    waiting.signal = null;
    const listening = this.#listening.get(signal);
    if (listening === undefined) return;
    listening.waiting.delete(waiting);
    if (listening.waiting.size > 0) return;
    this.#listening.delete(signal);
    signal.removeEventListener("abort", listening.listener);
  }
}
