// The opening of one connection: the handshake and, when the daemon keeps a directory, the wait until that is loaded. Its requests are sent for the
// start, not for a caller: nobody's close() waits for them. Pure, as channel.ts is, which sends what this asks for.

import type { Decode } from "./call.js";
import { type Handshake, helloFields, type Limits, Op, Tag, VERSION } from "./protocol.js";
import { decodeHandshake } from "./replies.js";

/** Before the daemon has named its own. */
const HELLO_LIMITS: Limits = { keyLimit: 0, valueLimit: 1024, frameLimit: 1024 };

/** What a daemon answers although its directory is not loaded; everything else it holds back. */
const ANSWERED_WHILE_LOADING: ReadonlySet<number> = new Set([Op.PING, Op.STATS]);

/** A request of the opening. */
export interface OpeningRequest {
  readonly op: number;
  readonly tag: number;
  readonly fields: Uint8Array | null;
  readonly key: string | null;
  readonly value: string | null;
  readonly limits: Limits;
  readonly decode: Decode<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

export interface OpeningHooks {
  /** Sends a request at once, however much is queued. */
  send(request: OpeningRequest): void;
  /** The daemon has answered the handshake. */
  greeted(handshake: Handshake): void;
  /** It loads its directory, and calls that it answers meanwhile may be sent. */
  loading(): void;
  /** All calls may be sent. */
  opened(limits: Limits): void;
}

export class Opening {
  readonly #hooks: OpeningHooks;
  readonly #loads: boolean;
  #loading: Handshake | null = null;
  #isOver = false;
  #unanswered = 0;

  /** `loads`: whether the daemon may still be loading its directory when it has answered the handshake. */
  constructor(loads: boolean, hooks: OpeningHooks) {
    this.#loads = loads;
    this.#hooks = hooks;
  }

  /** What the daemon allows, while it loads its directory. */
  get loading(): Limits | null {
    return this.#loading;
  }

  /** Requests of this opening that are not settled. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** What a call of this op may be sent by, although the connection is not open; null when it has to wait. */
  limitsFor(op: number): Limits | null {
    return ANSWERED_WHILE_LOADING.has(op) ? this.#loading : null;
  }

  /** The connection is about to end: no reply opens it any more. */
  abandon(): void {
    this.#isOver = true;
    this.#loading = null;
  }

  /** Resolves when the daemon has answered the handshake and loaded its directory; rejects when it refuses, or the connection ends before. */
  greet(): Promise<Handshake> {
    return new Promise((resolve, reject) => {
      const fields = helloFields(VERSION, VERSION);
      const name = `node ${process.version}`;
      const decode = decodeHandshake as Decode<unknown>;
      const answered = (value: unknown) => {
        const handshake = value as Handshake;
        // At once, not in a promise's reaction: replies that follow in the same chunk count on it.
        this.#hooks.greeted(handshake);
        if (this.#loads) this.#awaitLoad(handshake, resolve, reject);
        else this.#opened(handshake, resolve);
      };
      this.#send(Op.HELLO, Tag.TEXT, fields, null, name, HELLO_LIMITS, decode, answered, reject);
    });
  }

  /** Asks for STATS; `loading` must not be null. Rejects when the connection ends before the answer. */
  askStats<T>(decode: Decode<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const answered = resolve as (value: unknown) => void;
      this.#send(Op.STATS, 0, null, null, null, this.#loading!, decode, answered, reject);
    });
  }

  /** A daemon holds this request back until it has loaded its directory: the reply says that it has. */
  #awaitLoad(
    handshake: Handshake,
    resolve: (handshake: Handshake) => void,
    reject: (reason: unknown) => void,
  ): void {
    if (!this.#isOver) this.#loading = handshake;
    const answered = () => this.#opened(handshake, resolve);
    this.#send(Op.CONTAINS, Tag.BYTES, null, "", null, handshake, () => null, answered, reject);
    if (!this.#isOver) this.#hooks.loading();
  }

  #opened(handshake: Handshake, resolve: (handshake: Handshake) => void): void {
    this.#loading = null;
    if (!this.#isOver) this.#hooks.opened(handshake);
    resolve(handshake);
  }

  #send(
    op: number,
    tag: number,
    fields: Uint8Array | null,
    key: string | null,
    value: string | null,
    limits: Limits,
    decode: Decode<unknown>,
    answered: (value: unknown) => void,
    failed: (reason: unknown) => void,
  ): void {
    this.#unanswered++;
    const resolve = (reply: unknown) => {
      this.#unanswered--;
      answered(reply);
    };
    const reject = (reason: unknown) => {
      this.#unanswered--;
      failed(reason);
    };
    this.#hooks.send({ op, tag, fields, key, value, limits, decode, resolve, reject });
  }
}
