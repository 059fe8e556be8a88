// A daemon with its page, and a browser to look at it with: that of the system, which is not downloaded. What the page says in its
// console, and whom it asks, is kept.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { requireDaemon } from "../../node/testdata/daemon.js";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const executable = [process.env.CHROMIUM ?? "", ...PLACES].find((path) => path !== "" && existsSync(path));

/** Why the tests in a browser are left out; false if they are not. */
export const skip =
  executable === undefined
    ? "there is no Chromium: install it (on Debian: apt-get install chromium), or name it by the variable CHROMIUM"
    : false;
if (skip) process.stderr.write(`warning: the page is not tested in a browser: ${skip}\n`);

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: executable!, args: FLAGS });
}

/** A daemon that serves HTTP. */
export class Service {
  private constructor(
    private readonly child: ChildProcess,
    /** With a slash at the end. */
    readonly url: string,
    private readonly headers: Record<string, string>,
  ) {}

  static async start(args: string[] = [], token?: string, port = 0): Promise<Service> {
    // It is told what it is told here, and nothing by whoever runs this.
    const env = token === undefined ? {} : { RUSTCACHE_HTTP_TOKEN: token };
    const path = { PATH: process.env.PATH };
    const child = spawn(requireDaemon(), ["--http", `127.0.0.1:${port}`, ...args], {
      env: { ...path, ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    for await (const line of createInterface({ input: child.stderr! })) {
      const url = /^rustcache: serving (http:\S+)$/.exec(line)?.[1];
      assert.ok(url !== undefined, `it does not say where it is: ${line}`);
      child.stderr!.resume();
      // It may have a directory to load first.
      while ((await fetch(`${url}readyz`)).status === 503) await setImmediate();
      return new Service(child, url, token === undefined ? {} : { Authorization: `Bearer ${token}` });
    }
    throw new Error("the daemon ended before it said where it is");
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }

  ask(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method,
      ...init,
      headers: { ...this.headers, ...(init.headers as Record<string, string>) },
    });
  }

  /** Stores a value, and says so if it was not. */
  async put(
    key: string,
    body: string | Uint8Array<ArrayBuffer>,
    type = "text/plain",
    ttl = "never",
  ): Promise<void> {
    const path = `v1/entries/${encodeURIComponent(key)}?ttl=${ttl}`;
    const { status } = await this.ask("PUT", path, { body, headers: { "Content-Type": type } });
    assert.ok(status === 201 || status === 204, `PUT ${key}: ${status}`);
  }

  async get(key: string): Promise<string | null> {
    const answer = await this.ask("GET", `v1/entries/${encodeURIComponent(key)}`);
    return answer.status === 200 ? answer.text() : null;
  }
}

const ZEROS = [
  ..."items bytes max_items max_bytes operations http stdio hits misses inserts updates removals".split(" "),
  ..."evictions_by_items evictions_by_bytes expirations refused errors connections memory".split(" "),
  ..."loaded_bytes load_bytes journal_bytes journal_bytes_since_snapshot journal_syncs journal_sync_us".split(
    " ",
  ),
  ..."snapshots snapshot_progress snapshot_entries last_snapshot_at_ms last_snapshot_bytes".split(" "),
];

/** A sample of /v1/events in which nothing has happened, but for what is given. */
export function sample(at: number, given: Record<string, unknown>): Record<string, unknown> {
  const latency = { count: 0, p50: 0, p90: 0, p99: 0, max: 0 };
  const flags = { persistent: true, loading: false, disk_failed: false, snapshot_under_way: false };
  const zeros = Object.fromEntries(ZEROS.map((name) => [name, 0]));
  return { ...zeros, ...flags, at, seconds: 1, latency, ...given };
}

/** The page, opened anew by `open`; `close` says what it should not have said or done. */
export class Visit {
  readonly said: string[] = [];

  private constructor(
    readonly page: Page,
    private readonly url: string,
  ) {}

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const visit = new Visit(await context.newPage(), url);
    const { page, said } = visit;
    page.setDefaultTimeout(30_000);
    page.on("pageerror", (error) => said.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") said.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(url) && !request.url().startsWith("data:"))
        said.push(`asks ${request.url()}`);
    });
    await page.goto(url);
    return visit;
  }

  /** Waits for something that the page is about to say. */
  async reads(selector: string, pattern: RegExp): Promise<void> {
    await this.page.locator(selector).filter({ hasText: pattern }).first().waitFor();
  }

  keys(): Promise<string[]> {
    return this.page.locator("#rows button.key").allTextContents();
  }

  /** Types what keys begin with, and waits until so many are found. */
  async find(prefix: string, count: number): Promise<void> {
    await this.page.fill("#prefix", prefix);
    await this.page.waitForFunction(
      ([prefix, count]) => {
        const rows = [...document.querySelectorAll("#rows button.key")];
        return rows.length === count && rows.every((row) => row.textContent!.startsWith(prefix as string));
      },
      [prefix, count] as const,
    );
  }

  async openEntry(key: string): Promise<void> {
    await this.find(key, 1);
    await this.page.locator("#rows button.key").first().click();
    await this.reads("#entry-facts", /Expires in/);
  }

  /** What breaks a rule of accessibility, as `rule: element`. */
  async violations(): Promise<string[]> {
    const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
    // As a debugger would do it: the page's own policy lets no other script in.
    await this.page.evaluate(readFileSync(axe, "utf8"));
    return this.page.evaluate(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: what axe.min.js leaves behind
      const { violations } = await (globalThis as any).axe.run();
      return violations.flatMap(({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
        nodes.map(({ html }) => `${id}: ${html}`),
      );
    });
  }

  /** `expected`: what the browser says of answers that are errors, where there have to be some. */
  async close(expected?: RegExp): Promise<void> {
    await this.page.context().close();
    const said = this.said.filter((text) => expected === undefined || !expected.test(text));
    assert.deepEqual(said, [], `${this.url} has errors in its console, or asks others`);
  }
}
