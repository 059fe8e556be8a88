// Where the daemon's binary is. The places, in order, are in `findBinary`; what is said when it is in none of them, or does not run, is in
// binary-errors.ts. Nothing here starts anything.

import { accessSync, chmodSync, constants, existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { whyNotFound } from "./binary-errors.js";
import { StartError, show } from "./errors.js";
import { binaryIn, packageOf, platformsFor } from "./platforms.js";

/** The environment variable that names the binary. */
export const BINARY_VARIABLE = "RUSTCACHE_BINARY";

/** Where the search begins, and for which machine. */
export interface Machine {
  readonly os: string;
  readonly cpu: string;
  /** A module of this package: in node/ or dist/, beside target/. */
  readonly module: string;
}

const THIS_MACHINE: Machine = { os: process.platform, cpu: process.arch, module: import.meta.url };

/**
 * Finds the daemon: the option, then RUSTCACHE_BINARY, then the package for this platform, then a local build beside this
 * package. One that is named but not there is an error, not a reason to look further.
 */
export function findBinary(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
  machine: Machine = THIS_MACHINE,
): string {
  if (option !== undefined) return named(option, "the option binary");
  const variable = env[BINARY_VARIABLE];
  if (variable !== undefined && variable !== "")
    return named(variable, `the environment variable ${BINARY_VARIABLE}`);

  const looked: string[] = [
    "the option binary: not given",
    `the environment variable ${BINARY_VARIABLE}: not set`,
  ];
  const require = createRequire(machine.module);
  const platforms = platformsFor(machine.os, machine.cpu, existsSync);
  for (const platform of platforms) {
    const name = packageOf(platform);
    try {
      const path = require.resolve(`${name}/${binaryIn(platform)}`);
      if (isFile(path)) return executable(path);
      looked.push(`${path}: not a file`);
    } catch {
      looked.push(`the package ${name}: not installed`);
    }
  }
  const file = machine.os === "win32" ? "rustcache.exe" : "rustcache";
  for (const profile of ["release", "debug"]) {
    const path = fileURLToPath(new URL(`../target/${profile}/${file}`, machine.module));
    if (isFile(path)) return executable(path);
    looked.push(`${path}: not there`);
  }
  throw new StartError(whyNotFound(looked, platforms, machine));
}

/**
 * What a copy, an archive or a package manager has taken from a binary of ours is given back, once: the permission to run it. Whether that
 * has helped, the start tells. A binary that the user names is his to set right.
 */
function executable(path: string): string {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    try {
      chmodSync(path, 0o755);
    } catch {}
  }
  return path;
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
