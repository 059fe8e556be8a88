// The processes around the measurements: one worker for each rival, and the redis-server that two of them share.

import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Contents, Workload } from "./load.js";
import { ECHO, OURS, OURS_TEXT, rivals } from "./rivals.js";
import type { Answer, Request } from "./worker.js";

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

/** One rival in its process. Requests are made one at a time. */
export class Worker {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;

  constructor(name: string) {
    this.name = name;
    this.#child = fork(WORKER, [name], { execArgv: ["--import", import.meta.resolve("tsx")] });
    this.#ended = once(this.#child, "exit");
  }

  async #ask(request: Request): Promise<number> {
    const answered = once(this.#child, "message");
    this.#child.send(request);
    const ended = this.#ended.then(([code, signal]) => {
      throw new Error(`the process of ${this.name} ended in the middle of a measurement (${code ?? signal})`);
    });
    const [answer] = (await Promise.race([answered, ended])) as [Answer];
    if ("error" in answer) throw new Error(`${this.name}: ${answer.error}`);
    return answer.result;
  }

  async open(contents: Contents, socket: string): Promise<void> {
    await this.#ask({ open: contents, socket });
  }

  run(workload: Workload): Promise<number> {
    return this.#ask({ run: workload });
  }

  async close(): Promise<void> {
    await this.#ask({ close: true });
    await this.#ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Opens one worker for each name, with the same contents; `use` gets them in that order. All are gone afterwards. */
export async function withWorkers<T>(
  names: readonly string[],
  contents: Contents,
  socket: string,
  use: (workers: readonly Worker[]) => Promise<T>,
): Promise<T> {
  const workers: Worker[] = [];
  try {
    for (const name of names) {
      const worker = new Worker(name);
      workers.push(worker);
      await worker.open(contents, socket);
    }
    const result = await use(workers);
    for (const worker of workers) await worker.close();
    return result;
  } catch (error) {
    for (const worker of workers) worker.kill();
    throw error;
  }
}

export interface RedisServer {
  readonly socket: string;
  readonly version: string;
  close(): Promise<void>;
}

/**
 * A redis-server of our own: a Unix socket in a new directory, no port; nothing on disk, or an append-only file that is synced that often.
 * Undefined where it is not installed.
 */
export async function startRedis(sync?: "always" | "everysec"): Promise<RedisServer | undefined> {
  const directory = mkdtempSync(join(tmpdir(), "rustcache-bench-redis-"));
  const socket = join(directory, "redis.sock");
  const options = [
    "--port",
    "0",
    "--unixsocket",
    socket,
    "--save",
    "",
    ...(sync === undefined ? ["--appendonly", "no"] : ["--appendonly", "yes", "--appendfsync", sync]),
    "--dir",
    directory,
  ];
  const child = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    let log = "";
    child.stdout.setEncoding("utf8");
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}: ${log}`)));
      child.stdout.on("data", (text: string) => {
        log += text;
        if (/ready to accept connections/i.test(log)) resolve();
      });
    });
    child.stdout.removeAllListeners("data").resume();
    return { socket, version: /Redis version=([\d.]+)/.exec(log)?.[1] ?? "of unknown version", close };
  } catch (error) {
    await close();
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Who takes part, ours first, the floor last. */
export function participants(large: boolean, redis: RedisServer | undefined): string[] {
  const taking = rivals.filter((rival) => !(large && rival.skipsLarge) && !(rival.needsServer && !redis));
  return [...taking.map((rival) => rival.name), ECHO];
}

export function ours(large: boolean): string {
  return large ? OURS : OURS_TEXT;
}
