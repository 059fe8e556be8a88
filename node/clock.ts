// The clock that calls are timed out by: coarse, one unref'd timer for all calls of a channel. It stands still while the
// event loop is blocked, so that a reply that lay in the pipe meanwhile is not held to be late.
// It knows nothing of calls: it says when to look, and its owner looks.

/** While something is pending, the clock is looked at as often as this (ms), so that a blocked event loop is noticed. */
const TICK_MS = 1000;
/** A timer later than this (ms) means that the loop was blocked; then replies get as long to be read before a call is late. */
const LATE_MS = 20;

export class Clock {
  /** Called with the time when a deadline may have passed; returns the earliest that is left, or Infinity. */
  readonly #onDue: (now: number) => number;
  readonly #isIdle: () => boolean;
  #now = 0;
  #stalled = 0;
  #earliest = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  /** When the timer is to fire, on this clock. */
  #timerDue = 0;
  #grace = false;

  constructor(onDue: (now: number) => number, isIdle: () => boolean) {
    this.#onDue = onDue;
    this.#isIdle = isIdle;
  }

  /** Looks at the time. Whole milliseconds, which V8 keeps without an allocation. */
  look(): void {
    this.#now = Math.floor(performance.now() - this.#stalled);
  }

  /** `timeout` ms after the last look, and sees to it that the owner is called then. */
  deadlineIn(timeout: number): number {
    const deadline = this.#now + timeout;
    if (deadline < this.#earliest) this.#earliest = deadline;
    if (this.#timer === null || deadline < this.#timerDue) this.#arm();
    return deadline;
  }

  #arm(wait = Math.min(Math.max(this.#earliest - this.#now, 1), TICK_MS)): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDue = this.#now + wait;
    this.#timer = setTimeout(this.#fire, wait);
    this.#timer.unref();
  }

  readonly #fire = (): void => {
    this.#timer = null;
    this.look();
    const late = this.#now - this.#timerDue;
    if (late > LATE_MS) {
      this.#stalled += late;
      this.#now -= late;
    }
    const due = this.#now >= this.#earliest;
    if (this.#isIdle()) {
      this.#earliest = Number.POSITIVE_INFINITY;
    } else if (due && late > LATE_MS && !this.#grace) {
      // Once only: a loop that is always late must not put timeouts off for ever.
      this.#grace = true;
      this.#arm(LATE_MS);
      return;
    } else if (due) {
      this.#earliest = this.#onDue(this.#now);
    }
    this.#grace = false;
    if (this.#earliest !== Number.POSITIVE_INFINITY) this.#arm();
  };
}
