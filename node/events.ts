// Typed events. Listeners run in a tick of their own, so that one that throws cannot tear the state of whoever emits, and an
// "error" that nobody listens to is dropped instead of ending the process: every error also rejects the calls it concerns.

import { EventEmitter } from "node:events";
import { InvalidArgumentError, show } from "./errors.js";

/** Listeners by event name. */
export type EventMap = Record<string, (...args: never[]) => void>;

export class Events<M extends EventMap> {
  readonly #emitter = new EventEmitter();
  readonly #names: readonly string[];

  constructor(names: readonly (keyof M & string)[]) {
    this.#names = names;
  }

  on<E extends keyof M & string>(event: E, listener: M[E]): void {
    this.#check(event, listener);
    this.#emitter.on(event, listener as unknown as (...args: unknown[]) => void);
  }

  once<E extends keyof M & string>(event: E, listener: M[E]): void {
    this.#check(event, listener);
    this.#emitter.once(event, listener as unknown as (...args: unknown[]) => void);
  }

  off<E extends keyof M & string>(event: E, listener: M[E]): void {
    this.#check(event, listener);
    this.#emitter.off(event, listener as unknown as (...args: unknown[]) => void);
  }

  emit<E extends keyof M & string>(event: E, ...args: Parameters<M[E]>): void {
    process.nextTick(() => {
      if (this.#emitter.listenerCount(event) > 0) this.#emitter.emit(event, ...args);
    });
  }

  /** Listeners of an event. */
  count(event: keyof M & string): number {
    return this.#emitter.listenerCount(event);
  }

  #check(event: string, listener: unknown): void {
    if (!this.#names.includes(event)) {
      throw new InvalidArgumentError(
        `there is no event ${show(event)}: use one of ${this.#names.join(", ")}`,
      );
    }
    if (typeof listener !== "function") {
      throw new InvalidArgumentError(`the listener of "${event}" must be a function, got ${show(listener)}`);
    }
  }
}
