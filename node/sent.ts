// The calls that were sent on one connection and are not answered: found by the id of a reply, and taken out in the order in which they were sent.
// Data and bookkeeping only; channel.ts decides what becomes of them.
//
// Invariant: a call stands at `id & mask`, alone. One that was given up stays there, hollow, so that its id is not used again before its reply.

import type { Call } from "./call.js";

const MAX_ID = 0x7fffffff;
const SLOTS = 1024;

export class SentCalls {
  #ring: (Call | undefined)[] = new Array(SLOTS).fill(undefined);
  #mask = SLOTS - 1;
  #size = 0;
  #nextId: number;

  constructor(firstId: number) {
    this.#nextId = firstId;
  }

  /** Calls, hollow ones too. */
  get size(): number {
    return this.#size;
  }

  /** An id that is free. */
  takeId(): number {
    if (this.#size > this.#mask - (this.#mask >>> 2)) this.#grow();
    let id = this.#nextId;
    // A slow or given-up call may still stand where the ring comes round to: skip its slot.
    while (this.#ring[id & this.#mask] !== undefined) id = id === MAX_ID ? 1 : id + 1;
    this.#nextId = id === MAX_ID ? 1 : id + 1;
    return id;
  }

  #grow(): void {
    const old = this.#ring;
    // Slots that differ in the old mask differ in the wider one.
    this.#mask = old.length * 2 - 1;
    this.#ring = new Array(old.length * 2).fill(undefined);
    for (const call of old) if (call !== undefined) this.#ring[call.id & this.#mask] = call;
  }

  /** Adds a call with an id from `takeId`. */
  add(call: Call, id: number): void {
    call.id = id;
    this.#ring[id & this.#mask] = call;
    this.#size++;
  }

  /** Takes out the call with this id; undefined when there is none. */
  take(id: number): Call | undefined {
    const slot = id & this.#mask;
    const call = this.#ring[slot];
    if (call === undefined || call.id !== id) return undefined;
    this.#ring[slot] = undefined;
    this.#size--;
    return call;
  }

  /** Takes out all, the oldest first. */
  takeAll(): Call[] {
    const calls = this.#ring.filter((call) => call !== undefined);
    this.#ring.fill(undefined);
    this.#size = 0;
    // Ids are given in order, and wrap: the further one lies behind the next id, the older it is.
    const age = (call: Call) => (this.#nextId - 1 - call.id + MAX_ID) % MAX_ID;
    return calls.sort((a, b) => age(b) - age(a));
  }

  /** Nobody waits for any: gives back the memory of a burst that is over. */
  rest(): void {
    if (this.#size > 0 || this.#ring.length <= 16 * SLOTS) return;
    this.#ring = new Array(SLOTS).fill(undefined);
    this.#mask = SLOTS - 1;
  }

  [Symbol.iterator](): Iterator<Call | undefined> {
    return this.#ring.values();
  }
}
