// Tags that entries are invalidated by. A tag has a generation, 64 random bits, in an entry of its own; a value carries those that its tags had
// when it was stored, and is a miss when one is another by now, or is gone. To invalidate a tag is to write one new generation.
//
// Why what is known here needs no asking again: this client is the only one who writes to its daemon, and its requests are done in order. So a
// generation that was read or written on a connection holds until this client writes another one. So the daemon hardly ever hears of a record, and takes it for
// unused: while its tag is read, the record is read, too, now and then, and stored again if it was evicted. One that is gone all the same costs no more than
// misses after the next start. A generation is always overwritten, never removed: an entry that was evicted may come back from the disk, and the
// removal of what is not there is in no journal.

import { randomFillSync } from "node:crypto";
import type { CallOptions } from "./call.js";
import type { Channel } from "./channel.js";
import type { Daemon } from "./daemon.js";
import type { TagStamp } from "./envelope.js";
import { Expiry, NO_EXPIRY, Op, Status, Tag } from "./protocol.js";
import { decodeDone } from "./replies.js";

/** Tags whose generations are remembered; the others are asked for again. */
const MAX_KNOWN = 10_000;
const BYTES = 8;
/** A record whose tag is in use is read from the daemon once in as long (ms), so that it is not evicted before the entries that need it. */
const WARM_MS = 1000;

/** null = there is none: no value with this tag is valid. */
type Generation = string | null;

export class Generations {
  readonly #daemon: Daemon;
  /** By record. A promise while it is asked for. */
  readonly #known = new Map<string, Generation | Promise<Generation>>();
  /** By record: when the daemon has last heard of it, in milliseconds since 1970. */
  readonly #warmedAt = new Map<string, number>();
  /** Those that are made if there is none, until they are invalidated. However many: their sets are under way. */
  readonly #creating = new Map<string, Promise<string>>();
  /** Of these, those whose records were removed with everything else. What is known of them is true still: no value is left that has them. */
  readonly #unrecorded = new Set<string>();
  /** The connection that they are from; 0 as long as nothing was answered. */
  #connection = 0;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /**
   * The generations of tags at this moment, for a value that is about to be stored; at once if all are known. Tags without one get one. What is
   * invalidated after this call does not show in the result, so that such a value is a miss.
   */
  stamp(
    channel: Channel,
    names: readonly string[],
    recordOf: (name: string) => string,
  ): TagStamp[] | Promise<TagStamp[]> {
    this.#forgetFormerConnection();
    const found = names.map((name) => this.#generation(channel, recordOf(name)));
    if (found.every((each) => typeof each === "string")) return stamps(names, found);
    return Promise.all(found).then((generations) => stamps(names, generations));
  }

  /** The generation of a tag that is about to be used. */
  #generation(channel: Channel, record: string): string | Promise<string> {
    const known = this.#known.get(record);
    if (typeof known !== "string") return this.#creating.get(record) ?? this.#create(channel, record);
    this.#record(channel, record, known);
    this.#warm(record);
    return known;
  }

  /** A generation that is known is used. */
  #warm(record: string): void {
    const now = Date.now();
    const last = this.#warmedAt.get(record) ?? 0;
    // The clock may have been set back.
    if (now >= last && now - last < WARM_MS) return;
    this.#warmedAt.set(record, now);
    if (!this.#daemon.isUp) return;
    const { channel } = this.#daemon;
    const warmed = this.#ask(channel, record).then((found) => {
      const known = this.#known.get(record);
      if (found !== null || typeof known !== "string" || this.#unrecorded.has(record)) return;
      return this.#write(channel, record, known);
    });
    // Another use tries again.
    warmed.catch(() => {});
  }

  /** To be called when a value with these tags is sent: a clear() may have been sent since it got its stamp. */
  record(channel: Channel, records: readonly string[]): void {
    if (this.#unrecorded.size === 0) return;
    for (const record of records) {
      const known = this.#known.get(record);
      if (typeof known === "string") this.#record(channel, record, known);
    }
  }

  #record(channel: Channel, record: string, generation: string): void {
    if (!this.#unrecorded.delete(record)) return;
    // On its way before the value is. Without it, the value is no more than a miss after the next start.
    this.#write(channel, record, generation).catch(() => {});
  }

  /** Whether all tags of a value still have the generation that it carries; at once if they are known. */
  hold(tags: readonly TagStamp[], recordOf: (name: string) => string): boolean | Promise<boolean> {
    this.#forgetFormerConnection();
    const asked: Promise<boolean>[] = [];
    for (const { name, generation } of tags) {
      const record = recordOf(name);
      let known = this.#known.get(record);
      if (known === undefined) {
        known = this.#remember(record, this.#ask(this.#daemon.channel, record));
      }
      if (known instanceof Promise) asked.push(known.then((now) => now === generation));
      else if (known !== generation) return false;
      else this.#warm(record);
    }
    if (asked.length === 0) return true;
    return Promise.all(asked).then((each) => each.every((same) => same));
  }

  /** Makes every value with this tag a miss, from the moment of the call. Resolves when that is settled for the next start as well. */
  invalidate(record: string, options?: CallOptions): Promise<void> {
    this.#forgetFormerConnection();
    const generation = newGeneration();
    this.#creating.delete(record);
    this.#set(record, generation);
    return this.#write(this.#daemon.channel, record, generation, options);
  }

  /** All entries are about to be removed, those of the tags as well. */
  cleared(): void {
    for (const record of this.#known.keys()) this.#unrecorded.add(record);
  }

  #forgetFormerConnection(): void {
    const { connection } = this.#daemon.channel;
    // 0 after a close(): what that has left to answer is still read meanwhile. Nothing answered: what is known is what this client has said itself.
    if (connection === 0 || this.#connection === 0 || connection === this.#connection) return;
    this.#connection = connection;
    // Between two daemons another process may have had the directory.
    this.#known.clear();
    this.#warmedAt.clear();
    this.#unrecorded.clear();
    this.#creating.clear();
  }

  /** An answer has come by this connection. */
  #answeredBy({ connection }: Channel): void {
    if (this.#connection === 0) this.#connection = connection;
  }

  #set(record: string, generation: Generation | Promise<Generation>): void {
    // Moved to the end: the first ones are those that were written least recently.
    this.#drop(record);
    this.#known.set(record, generation);
    this.#warmedAt.set(record, Date.now());
    if (this.#known.size > MAX_KNOWN) this.#drop(this.#known.keys().next().value!);
  }

  #drop(record: string): void {
    this.#known.delete(record);
    this.#warmedAt.delete(record);
    this.#unrecorded.delete(record);
  }

  #remember(record: string, asked: Promise<Generation>): Promise<Generation> {
    const settled = asked.then(
      (generation) => {
        // Unless it was invalidated meanwhile, or forgotten.
        if (this.#known.get(record) === settled) this.#known.set(record, generation);
        return generation;
      },
      (error) => {
        if (this.#known.get(record) === settled) this.#drop(record);
        throw error;
      },
    );
    // Each of those who wait hears of it by themselves.
    settled.catch(() => {});
    this.#set(record, settled);
    return settled;
  }

  /** Asks for a generation, and makes one if there is none. Nobody else does so meanwhile. */
  #create(channel: Channel, record: string): Promise<string> {
    const asked = this.#ask(channel, record).then(async (generation) => {
      if (generation !== null) return generation;
      const fresh = newGeneration();
      // Invalidated meanwhile: nobody shall ever find this one.
      if (this.#creating.get(record) === created) await this.#write(channel, record, fresh);
      return fresh;
    });
    const created = this.#remember(record, asked) as Promise<string>;
    this.#creating.set(record, created);
    const done = (generation?: string) => {
      if (this.#creating.get(record) !== created) return;
      this.#creating.delete(record);
      // A read may have found none before this one was written.
      if (generation !== undefined && this.#known.get(record) === null) this.#set(record, generation);
    };
    created.then(done, () => done());
    return created;
  }

  #write(channel: Channel, record: string, generation: string, options?: CallOptions): Promise<void> {
    const bytes = Buffer.from(generation, "latin1");
    const { NEVER } = Expiry;
    const decode = (status: number) => {
      this.#answeredBy(channel);
      decodeDone(status);
    };
    return channel.call(Op.SET, NEVER, Tag.BYTES, null, NO_EXPIRY, record, bytes, decode, options);
  }

  #ask(channel: Channel, record: string): Promise<Generation> {
    return channel.call(Op.GET, 0, 0, null, NO_EXPIRY, record, null, (status, _tag, buf, start, end) => {
      this.#answeredBy(channel);
      if (status === Status.MISS || end - start !== BYTES) return null;
      decodeDone(status);
      return buf.toString("latin1", start, end);
    });
  }
}

function stamps(names: readonly string[], generations: readonly string[]): TagStamp[] {
  return names.map((name, i): TagStamp => ({ name, generation: generations[i]! }));
}

function newGeneration(): string {
  return randomFillSync(Buffer.allocUnsafe(BYTES)).toString("latin1");
}
