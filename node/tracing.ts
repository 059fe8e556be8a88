// What `node:diagnostics_channel` can be told of: requests to the daemon and runs of loaders, as tracing channels. Costs one look at a flag for
// each call as long as nobody listens.

import { tracingChannel } from "node:diagnostics_channel";
import { Op } from "./protocol.js";

/** What subscribers of `tracing:rustcache:request:*` get. As with every tracing channel, `result` or `error` is there in the end. */
export interface RequestTrace {
  /** The op of docs/protocol.md in lower case: "get", "set", "get_many" and so on. */
  readonly operation: string;
  /** As the daemon has it, with the prefix of its namespace; undefined for an op without one, and for a batch. */
  readonly key: string | Uint8Array | undefined;
}

/** What subscribers of `tracing:rustcache:load:*` get. */
export interface LoadTrace {
  /** The keys that are loaded, as the daemon has them; U+D800 and Latin-1 stand for one that is not text. */
  readonly keys: readonly string[];
  /** Whether it is a refresh that nobody waits for. */
  readonly isBackground: boolean;
}

const requests = tracingChannel("rustcache:request");
const loads = tracingChannel("rustcache:load");

/** What an op is called where people see it. */
export const OP_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Op).map(([name, op]) => [op, name.toLowerCase()]),
);

/** Whether somebody listens to requests. Ask first: what follows is paid for then only. */
export function tracesRequests(): boolean {
  return requests.hasSubscribers;
}

export function traceRequest<T>(
  op: number,
  key: string | Uint8Array | null,
  call: () => Promise<T>,
): Promise<T> {
  const context: RequestTrace = { operation: OP_NAMES.get(op)!, key: key ?? undefined };
  return requests.tracePromise(call, context) as Promise<T>;
}

export function traceLoad<T>(
  keys: readonly string[],
  isBackground: boolean,
  load: () => Promise<T>,
): Promise<T> {
  if (!loads.hasSubscribers) return load();
  return loads.tracePromise(load, { keys, isBackground }) as Promise<T>;
}
