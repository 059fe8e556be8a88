// Values on their way into the entries of one cache or namespace: one, many, and what was loaded. What of a set is sent is writing.ts's affair, in
// which turn shared.ts's.
//
// Invariant: each is called for, or takes its turn, within the call itself, so that it keeps its place among other calls.

import { Refused, type SetOutcome, setEach } from "./batches.js";
import type { CallOptions } from "./call.js";
import { InvalidArgumentError, ofItem, show, ValueTooLongError } from "./errors.js";
import type { SetItem } from "./items.js";
import type { Key, KeySpace } from "./keys.js";
import { checkItemNames, checkSetNames } from "./option-names.js";
import { checkCall, checkCallOptions, checkKey, type SetOptions } from "./options.js";
import { NO_EXPIRY, Op, Tag } from "./protocol.js";
import type { SourceItem } from "./read-through.js";
import type { Counts } from "./reading.js";
import { decodeStored } from "./replies.js";
import type { Shared } from "./shared.js";
import { isWellFormed } from "./values.js";
import type { Prepared, Writing } from "./writing.js";

/**
 * One item of `setMany`: a key, a value, and what `set` takes for one entry.
 *
 * @example
 * import { createCache } from "rustcache";
 *
 * const cache = createCache();
 * await cache.setMany([
 *   { key: "a", value: 1 },
 *   { key: "b", value: 2, ttl: 60_000, tags: ["even"] },
 * ]);
 */
export interface SetItemOptions<V = unknown> extends Omit<SetOptions, "timeout" | "signal"> {
  readonly key: Key;
  readonly value: V;
}

type Ready = Prepared | Refused;

export class Writes {
  readonly #shared: Shared;
  readonly #keys: KeySpace;
  readonly #writing: Writing;
  readonly #counts: Counts;

  constructor(shared: Shared, keys: KeySpace, writing: Writing, counts: Counts) {
    this.#shared = shared;
    this.#keys = keys;
    this.#writing = writing;
    this.#counts = counts;
  }

  set(key: Key, value: unknown, options: SetOptions | undefined): Promise<boolean> {
    const { channel } = this.#shared;
    try {
      checkKey(key);
      const wire = this.#keys.wire(key);
      if (
        options === undefined &&
        typeof value === "string" &&
        this.#writing.isPlain &&
        isWellFormed(value)
      ) {
        return this.#shared.call(Op.SET, 0, Tag.TEXT, null, NO_EXPIRY, wire, value, this.#decode);
      }
      const set = options ?? {};
      if (options !== undefined) {
        checkCall(set);
        checkSetNames(set);
      }
      const prepared = this.#writing.prepare(channel, value, set);
      if (!(prepared instanceof Promise) && (prepared.records === undefined || this.#shared.isIdle)) {
        const { flags, tag, ms, body } = prepared;
        return this.#shared.call(Op.SET, flags, tag, null, ms, wire, body, this.#decode, options);
      }
      const send = ({ flags, tag, ms, body, records }: Prepared) => {
        if (records !== undefined) this.#shared.generations.record(channel, records);
        return channel.call(Op.SET, flags, tag, null, ms, wire, body, this.#decode, options);
      };
      const none = (error: unknown) => this.#unstored([wire], error, isReplacing(set));
      return this.#shared.when(Op.SET, [wire], channel, Promise.resolve(prepared), send, none);
    } catch (error) {
      const none = (error: unknown) =>
        this.#unstored([this.#keys.wire(key)], error, isReplacing(options ?? {}));
      return this.#shared.failures.guard("set", Promise.reject(error), none);
    }
  }

  async setMany(items: readonly SetItemOptions[], options: CallOptions | undefined): Promise<boolean[]> {
    if (!Array.isArray(items)) throw new InvalidArgumentError(`items must be an array, got ${show(items)}`);
    if (options !== undefined) checkCallOptions(options);
    const { channel } = this.#shared;
    // All of them first: a batch with a wrong argument in it is not half done.
    const prepare = (item: SetItemOptions) => {
      if (typeof item !== "object" || item === null) {
        throw new InvalidArgumentError(`an item must be an object with key and value, got ${show(item)}`);
      }
      checkKey(item.key);
      checkItemNames(item);
      return this.#writing.prepare(channel, item.value, item);
    };
    const prepared = Array.from(items, (item: SetItemOptions, index) => {
      try {
        const each = prepare(item);
        // Another item may turn out to be wrong before this one is awaited.
        if (each instanceof Promise) each.catch(() => {});
        return each;
      } catch (error) {
        const wrong = ofItem(error, index);
        // As the daemon refuses one that is not compressed.
        if (wrong instanceof ValueTooLongError) return new Refused(wrong);
        throw wrong;
      }
    });
    const keys = items.map(({ key }) => key);
    const replaces = (i: number) => isReplacing(items[i] ?? {});
    const outcomes = await this.#send(keys, replaces, prepared, options, true);
    return outcomes.map((outcome) => {
      if (!(outcome instanceof Refused)) return outcome;
      throw outcome.error;
    });
  }

  /**
   * Stores what was loaded, each item for itself; resolves with what has kept each from being stored: undefined = nothing, or what is passed over as a
   * failure of the cache.
   */
  async keep(items: readonly SourceItem[], options: CallOptions): Promise<unknown[]> {
    if (items.length === 1) {
      const { key, value, ...rest } = items[0]!;
      const stored = this.set(key, value, { ...rest, ...options });
      return [
        await stored.then(
          () => undefined,
          (error: unknown) => error,
        ),
      ];
    }
    const { channel } = this.#shared;
    const prepared = items.map(({ key: _, value, ...rest }): Ready | Promise<Ready> => {
      try {
        const each = this.#writing.prepare(channel, value, rest);
        return each instanceof Promise ? each.catch((error) => new Refused(error)) : each;
      } catch (error) {
        return new Refused(error);
      }
    });
    const keys = items.map(({ key }) => key);
    const outcomes = await this.#send(keys, () => true, prepared, options, false);
    return outcomes.map((outcome) => (outcome instanceof Refused ? outcome.error : undefined));
  }

  /** Stores each item, with those that are prepared in vain as their outcomes. Failures that are passed over are false. */
  async #send(
    keys: readonly Key[],
    replaces: (i: number) => boolean,
    prepared: readonly (Ready | Promise<Ready>)[],
    options: CallOptions | undefined,
    isNumbered: boolean,
  ): Promise<SetOutcome[]> {
    const { channel } = this.#shared;
    const wire = keys.map((key) => this.#keys.wire(key));
    const send = async (ready: readonly Ready[]): Promise<SetOutcome[]> => {
      const sets: SetItem[] = [];
      for (let i = 0; i < ready.length; i++) {
        const each = ready[i]!;
        if (each instanceof Refused) continue;
        const { flags, tag, ms, body, records } = each;
        if (records !== undefined) this.#shared.generations.record(channel, records);
        sets.push({ flags, tag, expiry: ms, key: wire[i]!, value: body });
      }
      // Places are told of the first error alone, and nothing is missing before that.
      const isWhole = sets.length === ready.length;
      const names = isWhole ? keys : keys.filter((_, i) => !(ready[i] instanceof Refused));
      const sent = await setEach(channel, sets, names, options, isNumbered);
      for (const outcome of sent) if (outcome === true) this.#counts.sets++;
      if (isWhole) return sent;
      const rest = sent.values();
      return ready.map((each) => (each instanceof Refused ? each : rest.next().value!));
    };
    const none = (error: unknown) => {
      for (const [i, each] of wire.entries()) this.#unstored([each], error, replaces(i));
      return new Array<SetOutcome>(keys.length).fill(false);
    };
    let outcomes: SetOutcome[];
    if (prepared.some((each) => each instanceof Promise)) {
      outcomes = await this.#shared.when(Op.SET_MANY, wire, channel, Promise.all(prepared), send, none);
    } else {
      this.#shared.writtenAll(wire);
      outcomes = await this.#shared.all(Op.SET_MANY, () => send(prepared as readonly Ready[]), none);
    }
    if (!this.#shared.failures.isLenient) return outcomes;
    // One for all of a frame.
    const excused = new Set<unknown>();
    return outcomes.map((outcome, i) => {
      if (!(outcome instanceof Refused)) return outcome;
      try {
        if (!excused.has(outcome.error)) this.#shared.failures.excuse("set_many", outcome.error);
        excused.add(outcome.error);
        return this.#unstored([wire[i]!], outcome.error, replaces(i));
      } catch {
        return outcome;
      }
    });
  }

  /** What is said of values that are not stored, and passed over: what they were to replace is out of date. */
  #unstored(wire: readonly Key[], error: unknown, isReplacing: boolean): false {
    if (isReplacing) this.#shared.owe(wire, error);
    return false;
  }

  readonly #decode = (status: number): boolean => {
    const stored = decodeStored(status);
    if (stored) this.#counts.sets++;
    return stored;
  };
}

/** Whether a set takes the place of a value that is there. */
function isReplacing({ condition }: Pick<SetOptions, "condition">): boolean {
  return condition !== "ifAbsent";
}
