// Where the daemon's binary is. The places, in order, are in `findBinary`; an error names each that was looked at.
// Nothing here starts anything.

import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { StartError, show } from "./errors.js";

const EXECUTABLE = process.platform === "win32" ? "rustcache.exe" : "rustcache";

/** The environment variable that names the binary. */
export const BINARY_VARIABLE = "RUSTCACHE_BINARY";

/**
 * Finds the daemon: the option, then RUSTCACHE_BINARY, then the package for this platform, then a local build beside this
 * package. One that is named but not there is an error, not a reason to look further.
 */
export function findBinary(option: string | undefined, env: NodeJS.ProcessEnv): string {
  if (option !== undefined) return named(option, "the option binary");
  const variable = env[BINARY_VARIABLE];
  if (variable !== undefined && variable !== "")
    return named(variable, `the environment variable ${BINARY_VARIABLE}`);

  const looked: string[] = [
    "the option binary: not given",
    `the environment variable ${BINARY_VARIABLE}: not set`,
  ];
  const packaged = `@rustcache/${process.platform}-${process.arch}`;
  try {
    const path = createRequire(import.meta.url).resolve(`${packaged}/bin/${EXECUTABLE}`);
    if (isFile(path)) return path;
    looked.push(`${path}: not a file`);
  } catch {
    looked.push(`the package ${packaged}: not installed`);
  }
  // This file is in node/ or dist/, beside target/.
  for (const profile of ["release", "debug"]) {
    const path = fileURLToPath(new URL(`../target/${profile}/${EXECUTABLE}`, import.meta.url));
    if (isFile(path)) return path;
    looked.push(`${path}: not there`);
  }
  throw new StartError(
    `the rustcache binary was not found. Looked at:\n${looked.map((place) => `  - ${place}`).join("\n")}\n` +
      `Build it with "cargo build --release", or name one with the option binary or with ${BINARY_VARIABLE}`,
  );
}

function named(path: string, by: string): string {
  // A bare name is for the system to look up in PATH.
  if (!isAbsolute(path) && !/[\\/]/.test(path) && !existsSync(path)) return path;
  const full = resolve(path);
  if (isFile(full)) return full;
  throw new StartError(
    `${by} names ${show(path)}, and ${full} is ${existsSync(full) ? "not a file" : "not there"}: correct it, or leave it out to use the default`,
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
