// What becomes of a call that the cache could not do: it rejects, or it gives what an empty cache would give, as the user has chosen. Which calls have
// such an answer is client.ts's affair. Pure, but for the clock.

import {
  EncodeError,
  InvalidArgumentError,
  NotAnIntegerError,
  NotTextError,
  OverflowError,
  RustCacheError,
  UnsafeIntegerError,
} from "./errors.js";

/** What is told of calls that were answered without the cache. */
export interface Degradation {
  /** The method whose failure led to this. */
  readonly operation: string;
  /** Its error. */
  readonly error: RustCacheError;
  /** Calls that were answered without the cache since the last such event, this one included. */
  readonly count: number;
}

/** At most one event in as many milliseconds: a dead cache fails as often as it is called. */
const EVENT_PAUSE_MS = 1000;

/** The cache is sound, and what was asked of it is at fault: no other daemon would do it either. */
const AT_FAULT = [
  EncodeError,
  InvalidArgumentError,
  NotAnIntegerError,
  NotTextError,
  OverflowError,
  UnsafeIntegerError,
] as const;

export class FailurePolicy {
  /** Whether failures become misses. */
  readonly isLenient: boolean;
  readonly #told: (what: Degradation) => void;
  readonly #clock: () => number;
  #count = 0;
  #untold = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** `told` is called for the first failure, and then once per second at most. `clock`: monotonic, in milliseconds. */
  constructor(
    onError: "throw" | "miss",
    told: (what: Degradation) => void,
    clock: () => number = () => performance.now(),
  ) {
    this.isLenient = onError === "miss";
    this.#told = told;
    this.#clock = clock;
  }

  /** Calls that were answered without the cache. */
  get count(): number {
    return this.#count;
  }

  /** The promise of a call, or one that resolves with what `instead` makes when that fails for want of a cache. */
  guard<T>(operation: string, promise: Promise<T>, instead: (error: unknown) => T): Promise<T> {
    if (!this.isLenient) return promise;
    return promise.catch((error: unknown) => {
      this.excuse(operation, error);
      return instead(error);
    });
  }

  /** Counts a failure that is to be passed over; throws any other: a wrong argument, and the reason of an abort. */
  excuse(operation: string, error: unknown): void {
    if (!this.isLenient || !(error instanceof RustCacheError)) throw error;
    if (AT_FAULT.some((type) => error instanceof type)) throw error;
    this.passOver(operation, error);
  }

  /** Counts a failure that is passed over, whatever the user has chosen. */
  passOver(operation: string, error: RustCacheError): void {
    this.#count++;
    this.#untold++;
    const now = this.#clock();
    if (now - this.#toldAt < EVENT_PAUSE_MS) return;
    this.#toldAt = now;
    const count = this.#untold;
    this.#untold = 0;
    this.#told({ operation, error, count });
  }
}
