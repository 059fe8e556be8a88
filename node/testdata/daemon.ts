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
