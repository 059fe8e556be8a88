// The calls of one client over one connection at a time: ids, the bound on what is queued, timeouts, aborts, and the one
// function that fails everything pending. Pure: bytes and promises; whoever owns the process hands in a `Wire` to write
// to (outbox.ts does) and calls `receive` and `disconnect`. What a reply means is its decoder's affair (replies.ts).
//
// Invariants: an unsettled call is in exactly one place: `#sent`, `#waiting` (not yet, or to be sent again) or `#drainers`. It leaves
// that place before its promise is settled, so every promise settles once. A call that was given up after it was sent keeps its slot,
// hollow, until its reply or the end of the connection comes, so its id is not used again before.

import {
  Aborts,
  Call,
  type CallOptions,
  type Decode,
  isRepeatable,
  type MakeBody,
  WaitingCalls,
} from "./call.js";
import { Clock } from "./clock.js";
import { ClosedError, ConnectionLostError, ProtocolError, TimeoutError } from "./errors.js";
import { Opening, type OpeningRequest } from "./opening.js";
import { Outbox, type Wire } from "./outbox.js";
import { type Handshake, type Limits, NO_EXPIRY, Op, PREFACE, ReplyReader, Status } from "./protocol.js";
import { decodeDone, replyError } from "./replies.js";
import { SentCalls } from "./sent.js";

/** A daemon that has left as many calls unanswered until they were given up is beyond hope. */
const MAX_GIVEN_UP = 100_000;
/** A call that was under way in as many deaths of daemons may be what they die of. */
const MAX_LOSSES = 4;

/** For a call that was lost with a daemon, and that there is no other daemon for because of `error`. */
function lastOf(error: Error, maybeApplied: boolean): Error {
  if (error instanceof ClosedError) return new ClosedError(maybeApplied);
  return new ConnectionLostError(error.message, maybeApplied, { cause: error });
}

/** Connections of this process so far: each has a number of its own. */
let connections = 0;

export interface ChannelOptions {
  /** Milliseconds; 0 = none. */
  timeout: number;
  /** Bytes queued for the daemon above which further calls wait their turn. */
  maxQueuedBytes: number;
  /** Whether calls that a dead daemon has not answered go to the next one, if they may: it holds what that one held. @default false */
  sendsAgain?: boolean;
  /** Whether the daemon may still be loading its directory when it has answered the handshake. @default false */
  loads?: boolean;
  /** The first id to use; for tests of the wrap-around. */
  firstId?: number;
}

/**
 * How the channel speaks to whoever owns it. None of them may call back into the channel before it has
 * returned, except for `suspend`.
 */
export interface ChannelHooks {
  /** There was nothing to wait for, and now there is: keep the event loop alive. */
  busy(): void;
  /** The opposite. */
  idle(): void;
  /** A call waits and there is no connection. */
  wanted(): void;
  /** The other side sends nonsense: end it. `disconnect` must follow. */
  broken(error: ProtocolError): void;
}

// The executor of every promise: one function for all instead of a closure each.
let resolveOf: (value: unknown) => void;
let rejectOf: (reason: unknown) => void;
function capture(resolve: (value: never) => void, reject: (reason: unknown) => void): void {
  resolveOf = resolve as (value: unknown) => void;
  rejectOf = reject;
}
type Executor<T> = (resolve: (value: T) => void, reject: (reason: unknown) => void) => void;

export class Channel {
  readonly #options: ChannelOptions;
  readonly #sendsAgain: boolean;
  readonly #loads: boolean;
  readonly #hooks: ChannelHooks;
  /** Both null without a connection. */
  #outbox: Outbox | null = null;
  #reader: ReplyReader | null = null;
  /** Null until the handshake is done, and the directory is loaded: no call is sent before. */
  #limits: Limits | null = null;
  /** Not null from `connect` to that moment, or to the end of the connection: few calls are sent meanwhile, if any. */
  #opening: Opening | null = null;
  #connection = 0;
  #closed = false;
  readonly #clock = new Clock(
    (now) => this.#expire(now),
    () => this.#live === 0 && this.#drainers.size === 0,
  );

  readonly #sent: SentCalls;
  /** Unsettled calls, sent or waiting. */
  #live = 0;
  #held = false;

  readonly #waiting = new WaitingCalls();
  readonly #aborts = new Aborts<Call>((call, reason) => this.#giveUp(call, () => reason));
  /** Those who await `drained()`: calls that send nothing and are not counted. */
  readonly #drainers = new Set<Call>();
  /** Calls of several rounds that may have another one to send. */
  #errands = 0;
  /** Told once when the last call before the end is sent. */
  #onFinished: (() => void) | null = null;

  constructor(options: ChannelOptions, hooks: ChannelHooks) {
    this.#options = options;
    this.#sendsAgain = options.sendsAgain ?? false;
    this.#loads = options.loads ?? false;
    this.#hooks = hooks;
    this.#sent = new SentCalls(options.firstId ?? 1);
  }

  /** Calls that are not settled yet. */
  get pending(): number {
    return this.#live;
  }

  /** Bytes of requests that have not left this process. */
  get queuedBytes(): number {
    return this.#outbox?.queued ?? 0;
  }

  /** What the daemon allows, once known. */
  get limits(): Limits | null {
    return this.#limits;
  }

  /** True when the daemon has answered the handshake, and is loading its directory. */
  get isLoading(): boolean {
    return this.#opening?.loading != null;
  }

  /** Asks for STATS for the sake of the start, which no close() waits for. Only as long as `isLoading`. */
  askStats<T>(decode: Decode<T>): Promise<T> {
    return this.#opening!.askStats(decode);
  }

  /** The number of the last connection. No two of a process have the same. */
  get connection(): number {
    return this.#connection;
  }

  /** Resolves when no call waits and the queue is at most half full: at once, most of the time. */
  drained(options?: CallOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#isDrained()) return Promise.resolve();
    const timeout = options?.timeout ?? this.#options.timeout;
    this.#clock.look();
    const promise = new Promise<void>(capture as Executor<void>);
    const deadline = timeout === 0 ? 0 : this.#clock.deadlineIn(timeout);
    const call = new Call(Op.PING, decodeDone as Decode<unknown>, resolveOf, rejectOf, deadline, timeout);
    if (signal !== undefined) this.#aborts.listen(call, signal);
    this.#drainers.add(call);
    if (!this.#held) this.#hold();
    return promise;
  }

  /** A call of several rounds begins: `finish` leaves it the time to send them all. `endErrand` must follow. */
  beginErrand(): void {
    this.#errands++;
  }

  endErrand(): void {
    this.#errands--;
    this.#checkFinished();
  }

  /**
   * Sends preface and HELLO on a new wire, and what waits once the reply is there and the directory is loaded. Rejects when the handshake
   * is refused, or when the connection ends before.
   */
  connect(wire: Wire): Promise<Handshake> {
    const outbox = new Outbox(wire, this.#onWritten);
    const reader = new ReplyReader(this.#onReply);
    const opening = new Opening(this.#loads, {
      send: (request) => this.#sendOpening(outbox, request),
      greeted: ({ frameLimit }) => {
        reader.maxLength = frameLimit;
      },
      loading: () => this.#sendWhileLoading(outbox, opening),
      opened: (limits) => {
        this.#opening = null;
        this.#limits = limits;
        this.#sendWaiting();
      },
    });
    this.#outbox = outbox;
    this.#reader = reader;
    this.#opening = opening;
    this.#connection = ++connections;
    outbox.raw(PREFACE);
    const handshake = opening.greet();
    outbox.flush();
    return handshake;
  }

  /** One chunk from the daemon. */
  receive(chunk: Buffer): void {
    if (this.#reader === null) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      // The frames' boundaries are lost: no byte after this one can be believed, and no call is made on this connection.
      this.#reader = null;
      this.suspend();
      this.#hooks.broken(error as ProtocolError);
    }
    this.#release();
    this.#checkFinished();
  }

  /** Writes what this tick's calls have to say without waiting for its end. */
  flush(): void {
    this.#outbox?.flush();
  }

  /** The connection is about to end: what was sent may still be answered, but new calls wait for the next one. */
  suspend(): void {
    this.#limits = null;
    this.#opening?.abandon();
  }

  /**
   * The last calls have been made, but for the further rounds of an errand. `done` is called, maybe at once, when all of them have
   * left for the daemon or have been given up, those that it is sent before it is up have been answered, too; from then on calls reject with
   * ClosedError.
   */
  finish(done: () => void): void {
    this.#onFinished = done;
    this.#checkFinished();
  }

  /** From now on calls reject with ClosedError, until `reopen`; so do those that wait. What was sent may still be answered. */
  close(error: Error = new ClosedError()): void {
    this.#closed = true;
    this.#onFinished = null;
    this.refuseWaiting(error);
  }

  reopen(): void {
    this.#closed = false;
  }

  /**
   * The connection is over: every call that was sent on it rejects, but for those that may be sent again, unless this is the `last`
   * connection; these, and those that wait, wait for the next one.
   */
  disconnect(toError: (maybeApplied: boolean) => Error, last = false): void {
    // What ends during its opening is a start that failed: calls that were sent meanwhile are refused with its error, as those that waited.
    const wasOpen = this.#opening === null;
    this.#dropConnection();
    this.#failSent(toError, last, wasOpen);
    if (this.#waiting.size > 0) this.#hooks.wanted();
  }

  /** There will be no connection for the calls that wait for one. Those that were lost with one before say so. */
  refuseWaiting(error: Error): void {
    for (const call of this.#waiting.takeAll()) {
      const wasLost = call.draft !== null && call.draft.losses > 0;
      this.#settle(call)?.reject(wasLost ? lastOf(error, call.writes) : error);
    }
    this.#afterFailure();
  }

  #dropConnection(): void {
    this.#outbox?.stop();
    this.#outbox = null;
    this.#reader = null;
    this.suspend();
    this.#opening = null;
  }

  /**
   * Makes one call. `expiry` is in milliseconds or NO_EXPIRY and agrees with the kind in `flags`; `fields` are the op's
   * fields before it. `once`: it must not be sent again, although others of its op may. Never throws; what is wrong with the
   * arguments rejects this call alone.
   */
  call<T>(
    op: number,
    flags: number,
    tag: number,
    fields: Uint8Array | null,
    expiry: number,
    key: string | Uint8Array | null,
    value: string | Uint8Array | MakeBody | null,
    decode: Decode<T>,
    options?: CallOptions,
    once = false,
  ): Promise<T> {
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const timeout = options?.timeout ?? this.#options.timeout;
    if (this.#closed) return Promise.reject(new ClosedError());
    const outbox = this.#outbox;
    const early = this.#opening === null ? null : this.#opening.limitsFor(op);
    const limits = this.#limits ?? early;
    let id = 0;
    if (outbox === null || !outbox.flushDue) this.#clock.look();
    if (
      limits !== null &&
      outbox !== null &&
      // Those that may leave early are 16 bytes long, and would wait for the load behind calls that have to.
      (early !== null || (outbox.queued <= this.#options.maxQueuedBytes && this.#waiting.size === 0))
    ) {
      id = this.#sent.takeId();
      try {
        const body = typeof value === "function" ? value(limits) : value;
        outbox.request(id, op, flags, tag, fields, expiry, key, body, limits);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const promise = new Promise<T>(capture as Executor<T>);
    const deadline = timeout === 0 ? 0 : this.#clock.deadlineIn(timeout);
    const call = new Call(op, decode as Decode<unknown>, resolveOf, rejectOf, deadline, timeout);
    if (signal !== undefined) this.#aborts.listen(call, signal);
    const again = this.#sendsAgain && !once && isRepeatable(op, flags);
    if (id !== 0) {
      if (again) call.draft = { flags, tag, fields, expiry, key, value, again, losses: 0 };
      this.#keep(call, id);
    } else {
      call.draft = { flags, tag, fields, expiry, key, value, again, losses: 0 };
      this.#wait(call);
    }
    return promise;
  }

  // --- sent calls

  #keep(call: Call, id: number): void {
    this.#sent.add(call, id);
    this.#live++;
    if (!this.#held) this.#hold();
  }

  #hold(): void {
    this.#held = true;
    this.#hooks.busy();
  }

  #release(): void {
    if (this.#live !== 0 || this.#drainers.size !== 0 || !this.#held) return;
    this.#held = false;
    this.#sent.rest();
    this.#hooks.idle();
  }

  readonly #onReply = (
    id: number,
    status: number,
    _flags: number,
    tag: number,
    buf: Buffer,
    start: number,
    end: number,
    owned: boolean,
  ): void => {
    const call = this.#sent.take(id);
    // Nobody waits for this id. The rule is to drop such a reply.
    if (call === undefined) return;
    const resolve = call.resolve;
    if (resolve === null) return;
    this.#live--;
    if (call.signal !== null) this.#aborts.unlisten(call, call.signal);
    call.resolve = null;
    try {
      if (status >= Status.BAD_FRAME) call.reject(replyError(status, buf, start, end));
      else resolve(call.decode(status, tag, buf, start, end, owned));
    } catch (error) {
      call.reject(error);
    }
  };

  // --- settling other than by a reply

  /** Takes an unsettled call out of the count; the caller rejects it. Undefined when it is settled already. */
  #settle(call: Call): Call | undefined {
    if (call.resolve === null) return undefined;
    call.resolve = null;
    call.draft = null;
    this.#live--;
    if (call.signal !== null) this.#aborts.unlisten(call, call.signal);
    return call;
  }

  /** Gives up one call. One that was sent leaves its slot to its late reply. */
  #giveUp(call: Call, toError: (maybeApplied: boolean) => unknown): void {
    if (this.#drainers.delete(call)) {
      if (call.signal !== null) this.#aborts.unlisten(call, call.signal);
      call.reject(toError(false));
      this.#release();
      return;
    }
    const waits = call.id === 0;
    const { maybeApplied } = call;
    if (this.#settle(call) === undefined) return;
    if (waits) this.#waiting.hollowed();
    call.reject(toError(maybeApplied));
    this.#afterFailure();
  }

  /** The one function that fails everything in flight, or has it wait for the next connection, in the order in which it was sent. */
  #failSent(toError: (maybeApplied: boolean) => Error, last: boolean, wasOpen: boolean): void {
    const repeated: Call[] = [];
    for (const call of this.#sent.takeAll()) {
      const draft = call.draft;
      if (draft?.again && !last && (!wasOpen || ++draft.losses < MAX_LOSSES)) {
        call.id = 0;
        repeated.push(call);
      } else {
        this.#settle(call)?.reject(toError(call.writes));
      }
    }
    if (repeated.length > 0) this.#waiting.unshift(repeated);
    this.#afterFailure();
  }

  /** Gives up the calls whose deadline has passed and returns the next deadline. */
  #expire(now: number): number {
    let earliest = Number.POSITIVE_INFINITY;
    const late: Call[] = [];
    const look = (call: Call | undefined) => {
      if (call === undefined || call.resolve === null || call.deadline === 0) return;
      if (call.deadline <= now) late.push(call);
      else if (call.deadline < earliest) earliest = call.deadline;
    };
    for (const call of this.#sent) look(call);
    for (const call of this.#waiting) look(call);
    for (const call of this.#drainers) look(call);
    for (const call of late) {
      const what = this.#drainers.has(call) ? "what is queued for the daemon was not read" : undefined;
      this.#giveUp(call, (maybeApplied) => new TimeoutError(call.timeout, maybeApplied, what));
    }
    const givenUp = this.#sent.size - (this.#live - this.#waiting.size);
    if (givenUp > MAX_GIVEN_UP) {
      this.#hooks.broken(
        new ProtocolError(`it has left ${givenUp} calls unanswered until they were given up`),
      );
    }
    return earliest;
  }

  #afterFailure(): void {
    this.#checkDrained();
    this.#release();
  }

  // --- waiting calls

  #wait(call: Call): void {
    this.#waiting.push(call);
    this.#live++;
    if (!this.#held) this.#hold();
    if (this.#outbox === null) this.#hooks.wanted();
  }

  readonly #onWritten = (): void => {
    if (this.#waiting.size > 0 && this.queuedBytes * 2 <= this.#options.maxQueuedBytes) this.#sendWaiting();
    else this.#checkDrained();
  };

  /** Sends what waits, in order, until `max` bytes are queued. */
  #sendWaiting(max = this.#options.maxQueuedBytes): void {
    const outbox = this.#outbox;
    const limits = this.#limits;
    while (outbox !== null && limits !== null && outbox.queued <= max) {
      const call = this.#waiting.shift();
      if (call === undefined) break;
      this.#send(call, outbox, limits);
    }
    this.#checkDrained();
    this.#release();
  }

  #sendOpening(outbox: Outbox, request: OpeningRequest): void {
    const { op, tag, fields, key, value, limits, decode, resolve, reject } = request;
    const id = this.#sent.takeId();
    outbox.request(id, op, 0, tag, fields, NO_EXPIRY, key, value, limits);
    this.#keep(new Call(op, decode, resolve, reject, 0, 0), id);
  }

  /** Sends those of the waiting calls that a daemon answers while it loads its directory. */
  #sendWhileLoading(outbox: Outbox, opening: Opening): void {
    const later: Call[] = [];
    for (const call of this.#waiting.takeAll()) {
      const limits = opening.limitsFor(call.op);
      if (limits === null) later.push(call);
      else this.#send(call, outbox, limits);
    }
    this.#waiting.unshift(later);
    outbox.flush();
  }

  /** Sends a call that waited. */
  #send(call: Call, outbox: Outbox, limits: Limits): void {
    const draft = call.draft!;
    const { flags, tag, fields, expiry, key, value } = draft;
    try {
      const id = this.#sent.takeId();
      const body = typeof value === "function" ? value(limits) : value;
      outbox.request(id, call.op, flags, tag, fields, expiry, key, body, limits);
      if (!draft.again) call.draft = null;
      this.#live--;
      this.#keep(call, id);
    } catch (error) {
      this.#settle(call)?.reject(error);
    }
  }

  #isDrained(): boolean {
    return this.#waiting.size === 0 && this.queuedBytes * 2 <= this.#options.maxQueuedBytes;
  }

  /** Tells those who wait for the calls to leave. */
  #checkDrained(): void {
    if (this.#drainers.size > 0 && this.#isDrained()) {
      const drainers = [...this.#drainers];
      this.#drainers.clear();
      for (const call of drainers) {
        if (call.signal !== null) this.#aborts.unlisten(call, call.signal);
        call.resolve?.(undefined);
      }
      this.#release();
    }
    this.#checkFinished();
  }

  #checkFinished(): void {
    const done = this.#onFinished;
    if (done === null || this.#waiting.size > 0 || this.#errands > 0) return;
    // A daemon that is not up when all is done is killed: what it was sent is to be answered before.
    const opening = this.#opening;
    if (opening !== null && this.#live > opening.unanswered) return;
    this.#onFinished = null;
    this.#closed = true;
    this.flush();
    done();
  }
}
