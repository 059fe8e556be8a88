// One daemon process from spawn to death: its pipes, the last lines of its stderr, its end. Whether another one follows is
// daemon.ts's affair; what the bytes mean is channel.ts's.
//
// Invariant: `onDead` is called once, after the last `onData`, however the process or its pipes die.

import { type ChildProcess, spawn } from "node:child_process";
import { whyNotRun } from "./binary-errors.js";
import type { Wire } from "./outbox.js";

/** Lines of stderr that error texts quote, and the longest piece of one. */
const TAIL_LINES = 20;
const LINE_LENGTH = 2000;
/** After the process's exit its pipes close at once, unless a grandchild holds them; ms to wait for that. */
const PIPES_GRACE_MS = 500;
/** A process that has lost a pipe is of no use; ms until it is killed. */
const DOOMED_GRACE_MS = 1000;
/** From SIGTERM to SIGKILL, and from SIGKILL to giving it up; ms. */
const KILL_GRACE_MS = 2000;

export interface ChildEvents {
  data(chunk: Buffer): void;
  /** One line of stderr, without its end. */
  log(line: string): void;
  /** A first sign of the end: what is sent from now on would be lost. */
  doomed(): void;
  /** `reason` says how it ended, for error texts: "it was killed by SIGKILL". `code`: its exit code, if it had one. `line`: its last on stderr. */
  dead(reason: string, code: number | null, line: string): void;
}

export class DaemonProcess {
  readonly child: ChildProcess;
  /** Settled when the process is dead and everything that it wrote has been read. Never rejects. */
  readonly dead: Promise<void>;
  #resolveDead!: () => void;
  readonly #events: ChildEvents;
  readonly #tail: string[] = [];
  #line = "";
  #exit: string | null = null;
  #code: number | null = null;
  #blame: string | null = null;
  #isDoomed = false;
  #isDead = false;
  #isKilled = false;
  #leaving = false;
  #timer: NodeJS.Timeout | null = null;

  /** Throws what `spawn` throws; a binary that cannot be run is reported by `dead`. */
  constructor(binary: string, args: readonly string[], env: NodeJS.ProcessEnv, events: ChildEvents) {
    this.#events = events;
    this.dead = new Promise((resolve) => {
      this.#resolveDead = resolve;
    });
    const child = spawn(binary, args, { stdio: ["pipe", "pipe", "pipe"], env, windowsHide: true });
    this.child = child;
    child.on("error", (error: NodeJS.ErrnoException) => {
      // Also emitted when a signal cannot be sent, which is no end.
      if (child.pid === undefined)
        this.#finish(`${binary} could not be run (${error.message})${whyNotRun(binary, error.code)}`);
    });
    child.on("exit", (code, signal) => {
      this.#code = code;
      this.#exit = signal === null ? `it exited with code ${code}` : `it was killed by ${signal}`;
      this.#doom();
      this.#schedule(PIPES_GRACE_MS, () => this.#finish(this.#exit!));
    });
    child.on("close", () => this.#finish(this.#exit ?? "its pipes closed"));
    // Not there when there are no file descriptors left to make them of.
    const { stdin, stdout, stderr } = child;
    stdin?.on("error", () => this.#lostPipe("it no longer reads its input"));
    stdout?.on("error", () => this.#lostPipe("its output broke"));
    stdout?.on("end", () => this.#lostPipe("it closed its output"));
    stdout?.on("data", (chunk: Buffer) => {
      // What one that was killed may have answered before it noticed is too late: it would count as the answer of one that runs.
      if (!this.#isDead && !this.#isKilled) events.data(chunk);
    });
    stderr?.on("error", () => {});
    stderr?.setEncoding("utf8").on("data", (text: string) => this.#log(text));
    // These two never keep the event loop alive; stdout and the process itself do, while something is awaited of them.
    unref(child.stdin);
    unref(child.stderr);
  }

  get wire(): Wire {
    return this.child.stdin as Wire & NonNullable<ChildProcess["stdin"]>;
  }

  /** The last lines of stderr, as a piece of an error text. */
  #lastWords(): string {
    if (this.#tail.length === 0) return "";
    return `. Its last words:\n${this.#tail.map((line) => `  ${line}`).join("\n")}`;
  }

  /** Keeps the event loop alive until `release`. A new process holds it. */
  hold(): void {
    this.child.ref();
    ref(this.child.stdout);
  }

  release(): void {
    // Whoever ends it waits for its end.
    if (this.#leaving || this.#isDoomed) return;
    this.child.unref();
    unref(this.child.stdout);
  }

  /** Ends it the kind way: no more input; it answers what it has read and exits. After `grace` ms SIGTERM, then SIGKILL. */
  end(grace: number): void {
    if (this.#isDead) return;
    this.#leaving = true;
    this.hold();
    // One that is dying has a timer already.
    if (this.#isDoomed) return;
    this.child.stdin?.end();
    this.#schedule(grace, () => {
      this.child.kill("SIGTERM");
      this.#schedule(KILL_GRACE_MS, () => this.kill());
    });
  }

  /** Ends it at once. `blame`: why, for the texts of errors. */
  kill(blame?: string): void {
    if (this.#isDead) return;
    if (blame !== undefined) this.#blame ??= blame;
    this.#isKilled = true;
    this.#leaving = true;
    this.hold();
    this.#doom();
    this.child.kill("SIGKILL");
    if (this.#exit === null) this.#schedule(KILL_GRACE_MS, () => this.#finish("it does not die of SIGKILL"));
  }

  #schedule(ms: number, then: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #doom(): void {
    if (this.#isDoomed || this.#isDead) return;
    this.#isDoomed = true;
    // Its end must be seen even when nothing else keeps the event loop alive: calls may be in flight.
    this.child.ref();
    this.#events.doomed();
  }

  #lostPipe(blame: string): void {
    if (this.#isDead || this.#exit !== null || this.#isDoomed) return;
    this.#doom();
    if (this.#leaving) return;
    this.#schedule(DOOMED_GRACE_MS, () => this.kill(blame));
  }

  #log(text: string): void {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop()!.slice(0, LINE_LENGTH);
    for (const line of lines) this.#logLine(line);
  }

  #logLine(line: string): void {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    this.#tail.push(text.slice(0, LINE_LENGTH));
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    this.#events.log(text);
  }

  #finish(how: string): void {
    if (this.#isDead) return;
    if (this.#line !== "") {
      this.#logLine(this.#line);
      this.#line = "";
    }
    this.#isDead = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    // A grandchild may hold the other ends open.
    this.child.stdin?.destroy();
    this.child.stdout?.destroy();
    this.child.stderr?.destroy();
    this.child.unref();
    const line = this.#tail.at(-1) ?? "";
    this.#events.dead((this.#blame ?? how) + this.#lastWords(), this.#code, line);
    this.#resolveDead();
  }
}

// The pipes of a child are sockets; their declared types do not say so.
function ref(stream: unknown): void {
  (stream as { ref?(): void } | null)?.ref?.();
}

function unref(stream: unknown): void {
  (stream as { unref?(): void } | null)?.unref?.();
}
