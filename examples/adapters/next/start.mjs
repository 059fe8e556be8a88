// Runs Next.js with its cache in rustcache: packs rustcache, installs it and Next into a directory of its own, builds, starts, and visits the page before
// and after a revalidation and a restart. Needs the npm registry: `node examples/adapters/next/start.mjs`.

import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PORT = 3877;
const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../..", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "rustcache-next-"));
const next = join(directory, "node_modules/next/dist/bin/next");
const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };

function run(command, args, cwd = directory) {
  const { status, stdout } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}\n${stdout}`);
  return stdout;
}

async function visit(path) {
  const text = await (await fetch(`http://127.0.0.1:${PORT}${path}`)).text();
  return /number ([\d.]+) rendered (\d+)/.exec(text)?.slice(1).join(" at ") ?? text.trim();
}

/** Starts the server, and ends it after the visits. */
async function serve(visits) {
  const server = spawn(process.execPath, [next, "start", "--port", `${PORT}`], {
    cwd: directory,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve, reject) => {
    server.once("exit", (code) => reject(new Error(`next start ended with ${code}`)));
    server.stdout.on("data", (text) => /ready/i.test(text) && resolve());
  });
  try {
    await visits();
  } finally {
    server.removeAllListeners("exit");
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGTERM");
    await ended;
  }
}

function expect(condition, text) {
  process.stdout.write(`${condition ? "ok     " : "FAILED "} ${text}\n`);
  if (!condition) process.exitCode = 1;
}

try {
  cpSync(here, directory, { recursive: true });
  const packed = run(
    process.execPath,
    [join(root, "scripts/package.mjs"), "--out", join(directory, "packed")],
    root,
  )
    .trim()
    .split("\n")
    .map((path) => join(root, path))
    // npm refuses what is for other platforms.
    .filter((path) => !path.includes("musl"));
  run("npm", ["install", "--no-audit", "--no-fund", "next@16", "react@19", "react-dom@19", ...packed]);
  run(process.execPath, [next, "build"]);
  let last;
  await serve(async () => {
    const first = await visit("/");
    expect(first.includes(" at "), `the page is rendered: ${first}`);
    expect((await visit("/")) === first, "the second visit gets the same");
    expect((await visit("/new")) === "revalidated", "its tag is revalidated");
    last = await visit("/");
    expect(last.split(" at ")[0] !== first.split(" at ")[0], `the page is made anew: ${last}`);
    expect((await visit("/")) === last, "the next visit gets the same");
  });
  await serve(async () => expect((await visit("/")) === last, "and so does one after a restart"));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
