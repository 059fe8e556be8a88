// What to tell someone whose daemon is not found or does not run: each likely cause with its cure, and as few others as the files on this
// machine leave open. Texts only; where the binary is, is binary.ts's affair.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Machine } from "./binary.js";
import { PLATFORMS, type Platform, packageOf } from "./platforms.js";

const BUILD =
  'Build it from the sources with "cargo build --release --features daemon" and name the file with the option binary or with RUSTCACHE_BINARY';

const NOT_FOR_HERE = `is it a program for this machine (${process.platform}-${process.arch})? It may be one for another, or incomplete: remove node_modules and install again, or build it here`;

/** The text for a binary that is in none of the places `looked` at. `platforms`: those that would do for this machine. */
export function whyNotFound(
  looked: readonly string[],
  platforms: readonly Platform[],
  machine: Machine,
): string {
  return (
    `the rustcache binary for ${machine.os}-${machine.cpu} was not found. Looked at:\n${list(looked)}\n` +
    `What may be the cause, and the cure:\n${list(causes(platforms, machine))}`
  );
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `  - ${line}`).join("\n");
}

function causes(platforms: readonly Platform[], machine: Machine): string[] {
  const own = readPackage(machine);
  if (own === undefined) {
    return [
      'A bundler has taken rustcache into another file, where it does not find its packages: declare "rustcache" as external, or name the binary with RUSTCACHE_BINARY.',
    ];
  }
  const pinned = own.optionalDependencies ?? {};
  // No release: a checkout of the sources.
  if (Object.keys(pinned).length === 0) return [`These are the sources, and nothing is built yet. ${BUILD}.`];
  const wanted = platforms.map(packageOf).filter((name) => pinned[name] !== undefined);
  if (wanted.length === 0) {
    const cure = machine.os === "win32" ? "Run the application in WSL, as Linux" : BUILD;
    return [
      `Release ${own.version} has no binary for this platform; it has ${Object.keys(pinned).join(", ")}. ${cure}.`,
    ];
  }
  const require = createRequire(machine.module);
  const foreign = PLATFORMS.filter((platform) => !platforms.includes(platform))
    .map(packageOf)
    .filter((name) => isInstalled(require, name));
  if (foreign.length > 0) {
    return [
      `${foreign.join(", ")} is installed, so node_modules comes from another platform (copied, or mounted into a container): run "npm ci" on this one, and keep node_modules out of what is copied (.dockerignore).`,
    ];
  }
  return [
    `Optional dependencies were left out (--omit=optional, --no-optional, omit in .npmrc): install without that, or add ${wanted[0]} to your dependencies by itself.`,
    "The lock file was made on another platform, by an npm that forgot the packages of all others: remove node_modules and package-lock.json, and install again.",
    `The registry that is installed from does not have ${wanted[0]}@${own.version}, or could not be reached: npm leaves out without a word what is optional. Install with --loglevel=verbose to see it.`,
    `${BUILD}.`,
  ];
}

interface OwnPackage {
  readonly name?: string;
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The package.json beside which this module lies; undefined when it is not ours. */
function readPackage(machine: Machine): OwnPackage | undefined {
  try {
    const own = JSON.parse(
      readFileSync(new URL("../package.json", machine.module), "utf8"),
    ) as OwnPackage | null;
    return own?.name === "rustcache" ? own : undefined;
  } catch {
    return undefined;
  }
}

function isInstalled(require: NodeJS.Require, name: string): boolean {
  try {
    require.resolve(`${name}/package.json`);
    return true;
  } catch {
    return false;
  }
}

/** What to do about a binary that the system did not run, by the code of its error; empty when there is nothing to add. */
export function whyNotRun(binary: string, code: string | undefined): string {
  switch (code) {
    case "EACCES":
      return `: it may not be executed. Run "chmod +x ${binary}"; if that does not help, its file system is mounted with noexec: copy the file elsewhere and name it with RUSTCACHE_BINARY`;
    case "ENOENT": {
      if (!existsSync(binary))
        return ": it is not in PATH. Name it with its path, or leave it out to use the default";
      const musl = PLATFORMS.find(
        (platform) =>
          platform.os === process.platform && platform.cpu === process.arch && platform.libc === "musl",
      );
      const cure =
        musl === undefined
          ? "build it on this machine"
          : `install ${packageOf(musl)}, which needs none, or build it on this machine`;
      return `: the file is there, and what the system loads it with is not, as on Alpine Linux with a binary for glibc: ${cure}`;
    }
    case "ENOEXEC":
    // macOS, which has no name for it.
    case "Unknown system error -86":
    // What Windows says.
    case "UNKNOWN":
      return `: ${NOT_FOR_HERE}`;
    case "EPERM":
      return ": a policy of this system forbids it: let it be allowed, or copy the file to where programs may be run and name it with RUSTCACHE_BINARY";
    case "EMFILE":
    case "ENFILE":
    case "EAGAIN":
    case "ENOMEM":
      return ": this process or this machine is at a limit, not the binary at fault. Close files or processes, or raise the limit (ulimit -n, ulimit -u, the container's memory)";
    default:
      return "";
  }
}

/** What to do about a daemon that ended at its start, by how it did; empty when its own words say it all. */
export function whyEnded(reason: string): string {
  if (/GLIBC_[\d.]+' not found/.test(reason)) {
    return "\nIt needs a newer C library than this system has: use a newer system, install the package for musl (it needs none), or build it on this machine";
  }
  // What the system does not know is handed to a shell, by execvp(3) of most C libraries; the shell then reads a binary as a script.
  if (/exited with code 12[67]\b|[Ss]yntax error/.test(reason)) return `\nA shell tried it: ${NOT_FOR_HERE}`;
  return "";
}
