// From a value and the options of a set to what is sent: expiry, condition, tag and bytes. At once, or later when the value is compressed in
// another thread or the generation of one of its tags has to be asked for first.

import type { Channel } from "./channel.js";
import type { Envelope } from "./envelope.js";
import { InvalidArgumentError } from "./errors.js";
import type { ValueFormat } from "./format.js";
import {
  checkValue,
  conditionOf,
  expiryOf,
  type SetOptions,
  staleTtlOf,
  tagOf,
  tagsOf,
  ttlExpiry,
  type WireExpiry,
} from "./options.js";
import { Expiry } from "./protocol.js";
import type { Shared } from "./shared.js";
import type { Encoded } from "./values.js";

/** A set that is ready to be sent. */
export interface Prepared extends Encoded {
  readonly flags: number;
  /** Those of its tags, which have to be there when it is sent: see Generations.record. */
  readonly records?: readonly string[] | undefined;
  /** Milliseconds, or NO_EXPIRY. */
  readonly ms: number;
}

/** What of the options of a set is about its value and its end. */
export type ValueAndExpiry = Omit<SetOptions, "timeout" | "signal">;

export class Writing {
  readonly #shared: Shared;
  readonly #format: ValueFormat;
  readonly #recordOf: (tag: string) => string;
  /** Milliseconds, of this namespace; undefined = the cache's. */
  readonly #defaultTtl: number | undefined;
  /** Whether well-formed text without options is sent as it is, with the daemon's own expiry. */
  readonly isPlain: boolean;

  constructor(
    shared: Shared,
    format: ValueFormat,
    recordOf: (tag: string) => string,
    defaultTtl: number | undefined,
  ) {
    this.#shared = shared;
    this.#format = format;
    this.#recordOf = recordOf;
    this.#defaultTtl = defaultTtl;
    this.isPlain =
      format.isPlain && defaultTtl === undefined && (!shared.isKept || shared.defaultTtl === undefined);
  }

  /** When an entry without an expiry of its own ends here. */
  byDefault(expiry: WireExpiry): WireExpiry {
    if (expiry.kind !== Expiry.DEFAULT || this.#defaultTtl === undefined) return expiry;
    return ttlExpiry(this.#defaultTtl);
  }

  /** Checks and encodes a set. Throws, or rejects with, what is wrong with it. `channel`: what the set will be sent on. */
  prepare(channel: Channel, value: unknown, options: ValueAndExpiry): Prepared | Promise<Prepared> {
    const condition = conditionOf(options.condition);
    const { expiry, freshUntil } = this.#times(options);
    const { kind, ms } = this.#shared.daemon.expiry(expiry);
    const flags = condition | kind;
    const encoded = this.#encode(value, options.tag);
    if (options.tags === undefined && freshUntil === Number.POSITIVE_INFINITY) {
      return this.#pack(encoded, null, flags, ms);
    }
    const names = tagsOf(options.tags);
    const storedAt = Date.now();
    const tags = names.length === 0 ? [] : this.#shared.generations.stamp(channel, names, this.#recordOf);
    const records = names.map(this.#recordOf);
    if (!(tags instanceof Promise)) {
      return this.#pack(encoded, { storedAt, freshUntil, tags }, flags, ms, records);
    }
    return tags.then((tags) => this.#pack(encoded, { storedAt, freshUntil, tags }, flags, ms, records));
  }

  #pack(
    encoded: Encoded,
    envelope: Envelope | null,
    flags: number,
    ms: number,
    records?: readonly string[],
  ): Prepared | Promise<Prepared> {
    const packed = this.#format.pack(encoded, envelope);
    if (!(packed instanceof Promise)) return { flags, ms, tag: packed.tag, body: packed.body, records };
    return packed.then(({ tag, body }) => ({ flags, ms, tag, body, records }));
  }

  #encode(value: unknown, tag: number | undefined): Encoded {
    if (tag === undefined) return this.#format.encode(value);
    checkValue(value);
    return { tag: tagOf(tag, value), body: value };
  }

  /** When the entry goes, and from when on it is stale. */
  #times(options: ValueAndExpiry): { expiry: WireExpiry; freshUntil: number } {
    const own = this.byDefault(expiryOf(options));
    const always = { expiry: own, freshUntil: Number.POSITIVE_INFINITY };
    if (options.staleTtl === undefined) return always;
    const staleTtl = staleTtlOf(options.staleTtl);
    if (staleTtl === 0) return always;
    const { defaultTtl } = this.#shared;
    const later = (kind: number, ms: number): WireExpiry =>
      staleTtl === Number.POSITIVE_INFINITY ? ttlExpiry(staleTtl) : { kind, ms: capped(ms + staleTtl) };
    switch (own.kind) {
      case Expiry.KEEP:
        throw new InvalidArgumentError("staleTtl does not go with keepTtl: give a ttl, or expiresAt");
      case Expiry.DEADLINE:
        return { expiry: later(own.kind, own.ms), freshUntil: own.ms };
      case Expiry.TTL:
        return { expiry: later(own.kind, own.ms), freshUntil: capped(Date.now() + own.ms) };
      case Expiry.DEFAULT:
        if (defaultTtl === undefined) return always;
        return { expiry: later(Expiry.TTL, defaultTtl), freshUntil: capped(Date.now() + defaultTtl) };
      default:
        return always;
    }
  }
}

function capped(ms: number): number {
  return Math.min(ms, Number.MAX_SAFE_INTEGER);
}
