// One rival's process: opens it and runs the loads that bench.ts asks for, one at a time. A process for each, so that none pays
// for another's heap, and each has the compiler to itself; all of them stay open, so that their turns can alternate.

import { jsonRivals } from "./json-rivals.js";
import { keyvRivals } from "./keyv-rivals.js";
import { type Contents, echoTarget, LARGE, storeTarget, type Target, type Workload } from "./load.js";
import { durableRivals, ECHO, rivals } from "./rivals.js";

export type Request =
  | { readonly open: Contents; readonly socket: string }
  | { readonly run: Workload }
  | { readonly close: true };

export type Answer = { readonly result: number } | { readonly error: string };

const name = process.argv[2];
let target: Target | undefined;

async function answer(request: Request): Promise<number> {
  if ("open" in request) {
    if (name === ECHO) {
      target = await echoTarget(request.open);
    } else {
      const rival = [...rivals, ...durableRivals, ...jsonRivals, ...keyvRivals].find(
        (candidate) => candidate.name === name,
      );
      if (!rival) throw new Error(`there is no rival "${name}"`);
      const store = await rival.open(request.open.valueBytes >= LARGE, request.socket);
      target = await storeTarget(store, request.open);
    }
    return 0;
  }
  if ("run" in request) {
    if (!target) throw new Error("run before open");
    return await target.run(request.run);
  }
  await target?.close();
  target = undefined;
  // The channel to bench.ts is all that keeps this process alive now; let go once the answer is on its way.
  setImmediate(() => process.disconnect());
  return 0;
}

process.on("message", (request: Request) => {
  answer(request)
    .then(
      (result): Answer => ({ result }),
      (error: unknown): Answer => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    )
    .then((reply) => process.send?.(reply));
});
