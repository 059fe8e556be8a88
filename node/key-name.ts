// One name for each key, whichever way it is given: what is kept by key on this side of the pipe (the hot tier, loads in flight) goes by it.
// Pure.

import { isUtf8 } from "node:buffer";

/** Begins the name of a key that is not text. No text has it: a lone surrogate has no UTF-8 form, so no such key is ever sent. */
const NOT_TEXT = "\ud800";

/** The name of a key: a text is its own, and so are its UTF-8 bytes, which are the same key. */
export function nameOf(key: string | Uint8Array): string {
  if (typeof key === "string") return key;
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  return isUtf8(bytes) ? bytes.toString() : NOT_TEXT + bytes.toString("latin1");
}

/**
 * Whether the key of this name begins with a prefix; for the removal of what may have changed, so that true is the safe answer: it is given
 * for each key that is not text, and for each key when the prefix is not (it may end within a character).
 */
export function mayHavePrefix(prefix: string | Uint8Array): (name: string) => boolean {
  const start = nameOf(prefix);
  if (start.startsWith(NOT_TEXT)) return () => true;
  return (name) => name.startsWith(start) || name.startsWith(NOT_TEXT);
}
