// The platforms that have a package with the daemon's binary: a table, which the client looks the binary up by (binary.ts) and
// scripts/package.mjs makes the packages from. A further platform is a further row here and nothing else. Imports nothing.

/** One platform package. */
export interface Platform {
  /** The name of the package, after "@rustcache/". */
  readonly name: string;
  /** What Node calls the system and the processor: `process.platform`, `process.arch`. */
  readonly os: NodeJS.Platform;
  readonly cpu: NodeJS.Architecture;
  /** What Rust calls the platform. */
  readonly target: string;
  /** The C library by which package managers choose between two packages for the same system. */
  readonly libc?: "glibc" | "musl";
  /** The program that the system loads the binary with. Where it is missing, a binary that is there "is not found". */
  readonly loader?: string;
}

/** All of them. Of two that suit a machine, the one that is preferred comes first. */
export const PLATFORMS: readonly Platform[] = [
  {
    name: "linux-x64",
    os: "linux",
    cpu: "x64",
    target: "x86_64-unknown-linux-gnu",
    libc: "glibc",
    loader: "/lib64/ld-linux-x86-64.so.2",
  },
  {
    name: "linux-arm64",
    os: "linux",
    cpu: "arm64",
    target: "aarch64-unknown-linux-gnu",
    libc: "glibc",
    loader: "/lib/ld-linux-aarch64.so.1",
  },
  // Linked statically: they run on any Linux.
  { name: "linux-x64-musl", os: "linux", cpu: "x64", target: "x86_64-unknown-linux-musl", libc: "musl" },
  { name: "linux-arm64-musl", os: "linux", cpu: "arm64", target: "aarch64-unknown-linux-musl", libc: "musl" },
  { name: "darwin-x64", os: "darwin", cpu: "x64", target: "x86_64-apple-darwin" },
  { name: "darwin-arm64", os: "darwin", cpu: "arm64", target: "aarch64-apple-darwin" },
  { name: "win32-x64", os: "win32", cpu: "x64", target: "x86_64-pc-windows-msvc" },
];

/** The package of a platform. */
export function packageOf(platform: Platform): string {
  return `@rustcache/${platform.name}`;
}

/** Where the binary is in its package, with `/`. */
export function binaryIn(platform: Platform): string {
  return platform.os === "win32" ? "bin/rustcache.exe" : "bin/rustcache";
}

/**
 * The platforms whose binaries may run on a machine, the best first. `exists` says whether a file is there: a binary whose loader is
 * missing comes last, since older package managers install those for both C libraries.
 */
export function platformsFor(os: string, cpu: string, exists: (path: string) => boolean): Platform[] {
  const fitting = PLATFORMS.filter((platform) => platform.os === os && platform.cpu === cpu);
  const loads = (platform: Platform) => platform.loader === undefined || exists(platform.loader);
  return [...fitting.filter(loads), ...fitting.filter((platform) => !loads(platform))];
}
