// For tests that need the real daemon.

import { findBinary } from "../binary.js";

/** Fails, with a text that says what to do, when the daemon has not been built: a test that is skipped tests nothing. */
export function requireDaemon(): string {
  try {
    return findBinary(undefined, process.env);
  } catch (error) {
    throw new Error("these tests need the daemon: run `npm run setup` first, which builds it", {
      cause: error,
    });
  }
}

/** Stops the daemon, has `calls` leave for it, and kills it: it has answered none of them. */
export async function killDuring<T>(pid: number, calls: () => T): Promise<T> {
  process.kill(pid, "SIGSTOP");
  const made = calls();
  // The requests are on their way once the event loop has turned.
  await new Promise(setImmediate);
  process.kill(pid, "SIGKILL");
  return made;
}
