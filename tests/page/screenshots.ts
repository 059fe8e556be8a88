// Makes the pictures of docs/operations.md anew: `node --import tsx tests/page/screenshots.ts`. It asks a daemon of its own gently for
// ten minutes, so that the charts are full; a number as an argument is another time, in minutes.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BrowserContextOptions, Page } from "playwright-core";
import { launch, Service, Visit } from "./browser.js";

const minutes = Number(process.argv[2] ?? 10);
const out = join(import.meta.dirname, "../../docs/operations");
const directory = mkdtempSync(join(tmpdir(), "rustcache-page-"));
const options = ["--dir", directory, "--max-bytes", "24mb", "--snapshot-after", "8mb", "--policy", "s3-fifo"];
const service = await Service.start(options);
const browser = await launch();

/** What an application does: it reads, mostly what it has read before, and stores what it missed. */
async function read(): Promise<void> {
  // Few numbers are frequent, many are rare.
  const n = Math.floor(4000 ** Math.random()) - 1;
  const [key, type, value, ttl] = [
    [
      `user:${n}`,
      "application/json",
      JSON.stringify({ id: n, name: "Ada", roles: ["reader", "author"] }),
      "900",
    ],
    [`page:${n}/index.html`, "text/html", "<p>So it is. ".repeat(150 + ((n * 7919) % 4600)), "3600"],
    [`session:${n}`, "text/plain", `token-${n}`, String(20 + (n % 60))],
  ][n % 3] as [string, string, string, string];
  if ((await service.get(key)) === null) await service.put(key, value, type, ttl);
}

async function picture(name: string, options: BrowserContextOptions, act: (page: Page) => Promise<void>) {
  const visit = await Visit.open(browser, service.url, options);
  await visit.page.locator("#chart-disk path.line").waitFor({ state: "attached" });
  await act(visit.page);
  await visit.page.screenshot({ path: join(out, name) });
  await visit.close();
}

const began = performance.now();
for (let seconds = 0; seconds < minutes * 60; seconds = (performance.now() - began) / 1000) {
  await read();
  await sleep(1000 / (30 + 20 * Math.sin(seconds / 45)));
}
await picture("page.png", { viewport: { width: 1280, height: 1010 } }, async (page) => {
  await page.locator("#hottest tbody tr").nth(3).waitFor();
});
await picture(
  "page-entry.png",
  { viewport: { width: 820, height: 640 }, colorScheme: "dark" },
  async (page) => {
    await page.fill("#match", "user:*");
    await page.locator("#rows button.key").filter({ hasText: "user:" }).first().click();
    await page.locator("#entry-facts dd").first().waitFor();
  },
);
await picture("page-phone.png", { viewport: { width: 360, height: 640 } }, async () => {});
await browser.close();
await service.stop();
rmSync(directory, { recursive: true });
