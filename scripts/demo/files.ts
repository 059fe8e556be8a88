// Which files the demo works on, and what it computes for each: a SHA-256 digest and line statistics, read in pieces, so that even
// a file of a hundred megabytes neither fills the memory nor holds up the event loop.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** Version control's own files and build results: neither is anybody's input. */
const LEFT_OUT = new Set([".git", "target"]);

/**
 * This project with its Node packages, and the sources of the crates that it is built from: several thousand real files that are
 * on every machine on which it has been built.
 */
export function defaultDirectories(): string[] {
  const host = /^host: (\S+)/m.exec(spawnSync("rustc", ["-vV"], { encoding: "utf8" }).stdout ?? "")?.[1];
  const args = [
    "metadata",
    "--format-version",
    "1",
    "--offline",
    "--features",
    "daemon",
    ...(host ? ["--filter-platform", host] : []),
  ];
  const { status, stdout } = spawnSync("cargo", args, { cwd: ROOT, encoding: "utf8", maxBuffer: 2 ** 28 });
  // Without cargo's answer the project alone is still a tree worth walking.
  if (status !== 0) return [ROOT];
  const { packages } = JSON.parse(stdout) as { packages: { manifest_path: string; source: string | null }[] };
  return [
    ROOT,
    ...packages.filter(({ source }) => source !== null).map(({ manifest_path }) => dirname(manifest_path)),
  ];
}

/** The regular files below some directories, in a stable order. */
export async function listFiles(directories: readonly string[], limit: number): Promise<string[]> {
  const files: string[] = [];
  const waiting = [...directories].reverse();
  for (
    let directory = waiting.pop();
    directory !== undefined && files.length < limit;
    directory = waiting.pop()
  ) {
    const entries = await readdir(directory, { withFileTypes: true }).catch((error: Error) => {
      // One below may be closed to us, or be gone by now; one that was asked for must be there.
      if (directories.includes(directory)) throw new Error(`${directory} cannot be read: ${error.message}`);
      return [];
    });
    entries.sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (entry.isDirectory() && !LEFT_OUT.has(entry.name)) waiting.push(path);
      else if (entry.isFile() && files.length < limit) files.push(path);
    }
  }
  return files;
}

export interface FileReport {
  readonly sha256: string;
  readonly bytes: number;
  readonly lines: number;
  /** Lines of blanks, tabs and carriage returns only. */
  readonly blankLines: number;
  /** In bytes, without its end. */
  readonly longestLine: number;
}

const PIECE = 256 * 1024;
const NEWLINE = 10;

/** Reads a whole file; this is the work that the cache saves. */
export async function examine(path: string): Promise<FileReport> {
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(PIECE);
  const counts = { bytes: 0, lines: 0, blankLines: 0, longestLine: 0 };
  // The line that the piece before has begun.
  let length = 0;
  let blank = true;
  const endLine = () => {
    counts.lines++;
    if (blank) counts.blankLines++;
    if (length > counts.longestLine) counts.longestLine = length;
    length = 0;
    blank = true;
  };
  const file = await open(path);
  try {
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, PIECE);
      if (bytesRead === 0) break;
      const read = piece.subarray(0, bytesRead);
      hash.update(read);
      counts.bytes += bytesRead;
      for (let from = 0; from < bytesRead; ) {
        const newline = read.indexOf(NEWLINE, from);
        const to = newline < 0 ? bytesRead : newline;
        for (let at = from; blank && at < to; at++) blank = isBlank(read[at] as number);
        length += to - from;
        if (newline >= 0) endLine();
        from = to + 1;
      }
    }
  } finally {
    await file.close();
  }
  // A last line without a newline is a line, too.
  if (length > 0) endLine();
  return { sha256: hash.digest("hex"), ...counts };
}

function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 13;
}
