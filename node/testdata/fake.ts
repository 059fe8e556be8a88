// A cache before a daemon that misbehaves on order (fake-daemon.mjs), and the directory for what these leave. No tests.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { type Cache, type CacheOptions, createCache } from "../index.js";

export const FAKE = fileURLToPath(new URL("./fake-daemon.mjs", import.meta.url));
export const directory = mkdtempSync(join(tmpdir(), "rustcache-test-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

/** The argument is, for most modes, the file in which starts are counted. */
export function fake(
  mode: string,
  options: CacheOptions = {},
  argument = join(directory, `count-${files++}`),
): Cache {
  return createCache({ binary: process.execPath, args: [FAKE, mode, argument], ...options });
}
