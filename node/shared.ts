// What a cache shares with its namespaces: the daemon, the order of calls, and what is known of tags. Every call of theirs leaves through here.

import type { CallOptions, Decode, MakeBody } from "./call.js";
import type { Channel } from "./channel.js";
import type { Daemon } from "./daemon.js";
import { Generations } from "./generations.js";
import { Turns } from "./turns.js";

type Bytes = string | Uint8Array;

export class Shared {
  readonly daemon: Daemon;
  readonly generations: Generations;
  /** Milliseconds, for entries that are stored without a TTL; undefined = for ever. */
  readonly defaultTtl: number | undefined;
  /** The longest value, before it is compressed. */
  readonly maxValueBytes: number;
  /** Whether entries are kept in a directory: what is sent may be sent again then. */
  readonly isKept: boolean;
  readonly #turns = new Turns();

  constructor(daemon: Daemon, isKept: boolean, defaultTtl: number | undefined, maxValueBytes: number) {
    this.daemon = daemon;
    this.isKept = isKept;
    this.generations = new Generations(daemon);
    this.defaultTtl = defaultTtl;
    this.maxValueBytes = maxValueBytes;
  }

  /** Makes one call, after those for its key that could not be made yet; `key` null or `many` = after all of them. */
  call<T>(
    op: number,
    flags: number,
    tag: number,
    fields: Uint8Array | null,
    expiry: number,
    key: Bytes | null,
    value: Bytes | MakeBody | null,
    decode: Decode<T>,
    options?: CallOptions,
    many = false,
  ): Promise<T> {
    const { channel } = this.daemon;
    if (this.#turns.isIdle) {
      return channel.call(op, flags, tag, fields, expiry, key, value, decode, options);
    }
    return this.#after(channel, key === null || many ? null : [key], undefined, () =>
      channel.call(op, flags, tag, fields, expiry, key, value, decode, options),
    );
  }

  /** Makes the calls of a batch, after those that could not be made yet. */
  all<T>(make: (channel: Channel) => Promise<T>): Promise<T> {
    const { channel } = this.daemon;
    return this.#turns.isIdle ? make(channel) : this.#after(channel, null, undefined, () => make(channel));
  }

  /** Makes a call for these keys once what it needs is `ready`; calls for the same keys that come later wait for it. */
  when<P, T>(
    keys: readonly Bytes[],
    channel: Channel,
    ready: Promise<P>,
    make: (prepared: P) => Promise<T>,
  ): Promise<T> {
    return this.#after(channel, keys, ready, make);
  }

  /** An errand: a close() that comes meanwhile leaves it the time to be sent. */
  #after<P, T>(
    channel: Channel,
    keys: readonly Bytes[] | null,
    ready: P | Promise<P>,
    make: (prepared: P) => Promise<T>,
  ): Promise<T> {
    channel.beginErrand();
    let isMade = false;
    const end = () => {
      if (isMade) return;
      isMade = true;
      channel.endErrand();
    };
    const answer = this.#turns.run(keys, ready, (prepared) => {
      try {
        return make(prepared);
      } finally {
        end();
      }
    });
    // What it needs may never be ready.
    answer.catch(end);
    return answer;
  }
}
