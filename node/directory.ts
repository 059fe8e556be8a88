// The directory that a cache is kept in, as far as the client has to do with it: making the one of `RustCache`, and what the daemon's exit
// says when it cannot have one. What is in it is the daemon's affair (docs/persistence.md).

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DirectoryError, DirectoryInUseError, type StartError } from "./errors.js";

/** The environment variable that names the directory of `RustCache`. For the daemon it means the same, so it is not handed on. */
export const DIRECTORY_VARIABLE = "RUSTCACHE_DIR";
/** Where `RustCache` keeps its data, under the working directory. */
export const DEFAULT_DIRECTORY = ".rustcache";

/** Exit codes of the daemon. */
const DIRECTORY = 5;
const DIRECTORY_IN_USE = 6;

/**
 * Makes a directory that nobody else reads and that no version control takes for source. One that is there is left as it is. What goes
 * wrong is not told here: the daemon meets it as well, and says so.
 */
export function makeDirectory(path: string): void {
  try {
    if (mkdirSync(path, { recursive: true, mode: 0o700 }) === undefined) return;
    writeFileSync(join(path, ".gitignore"), "*\n", { flag: "wx", mode: 0o600 });
  } catch {}
}

/** The error for a start that ended with `code`; undefined when it had another cause than the directory. `line`: the last that the daemon said. */
export function directoryError(code: number | null, line: string, reason: string): StartError | undefined {
  const text = line.replace(/^rustcache: /, "");
  if (code === DIRECTORY) {
    return new DirectoryError(`the cache cannot be kept in its directory: ${text === "" ? reason : text}`);
  }
  if (code === DIRECTORY_IN_USE) {
    const pid = /by process (\d+)/.exec(text)?.[1];
    return new DirectoryInUseError(
      `${text === "" ? reason : text} (the option dir, or ${DIRECTORY_VARIABLE} for RustCache; null, or an empty ${DIRECTORY_VARIABLE}, keeps nothing on disk)`,
      pid === undefined ? undefined : Number(pid),
    );
  }
  return undefined;
}
