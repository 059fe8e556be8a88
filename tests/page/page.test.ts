// The page, as people use it: in a browser, against the daemon.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { launch, Service, sample, skip, Visit } from "./browser.js";

const TOKEN = "0123456789abcdef0123456789abcdef";

let service: Service;

before(async () => {
  service = await Service.start(["--max-items", "5000"]);
});

after(() => service.stop());

test("the policy of the page lets its own script and style in, and no others", async () => {
  const answer = await service.ask("GET", "");
  assert.equal(answer.headers.get("content-type"), "text/html; charset=utf-8");
  const text = await answer.text();
  const hashOf = (tag: string) => {
    const parts = [...text.matchAll(new RegExp(`<${tag}\\b[^>]*>(.*?)</${tag}>`, "gs"))];
    assert.equal(parts.length, 1, `one <${tag}>`);
    return `'sha256-${createHash("sha256").update(parts[0]![1]!).digest("base64")}'`;
  };
  const policy = answer.headers.get("content-security-policy") ?? "";
  // Whoever changed a file of the page finds here what src/transport/http/page.rs has to say.
  assert.equal(/script-src ([^;]*)/.exec(policy)?.[1], hashOf("script"));
  assert.equal(/style-src ([^;]*)/.exec(policy)?.[1], hashOf("style"));
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(
    text,
    /\sstyle=|\son\w+=|\ssrc=|https?:\/\/(?!www\.w3\.org\/2000\/svg)/,
    "nothing from elsewhere",
  );
});

// Most of the time they wait for the next second's sample. Each has keys of its own.
describe("in a browser", { skip, concurrency: 3 }, () => {
  let browser: Browser;

  before(async () => {
    browser = await launch();
    await service.put(
      "user:1",
      '{"name":"Ada","id":12345678901234567890,"none":[]}',
      "application/json",
      "600",
    );
    await service.put("user:2", '{"name":"Grace"}', "application/json");
    await service.put("page:/a", "<h1>a</h1>", "text/html", "3600");
    await service.put("text", "one\ntwo");
    await service.put("bytes", new Uint8Array([0, 255, 65]), "application/octet-stream");
  });

  after(() => browser.close());

  test("the page says that the daemon is alive, which one it is, and that all is well", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.reads("#state", /^All is well$/);
    await visit.reads("#about", /^\d+\.\d+\.\d+ · policy lru · up /);
    await visit.reads("#chart-entries-now", /% [\d.]+ of 5 k$/);
    await visit.reads("#chart-disk-now", /^In memory/);
    assert.equal(await visit.page.locator("#charts article").count(), 8);
    await visit.close();
  });

  test("the charts move under load", async () => {
    const visit = await Visit.open(browser, service.url);
    const line = visit.page.locator("#chart-operations path.line.blue");
    await line.waitFor({ state: "attached" });
    const load = (async () => {
      while (!visit.page.isClosed()) await Promise.all([service.get("user:1"), service.get("user:2")]);
    })();
    await visit.reads("#chart-operations-now", /^[1-9][\d.]*( k)?\/s$/);
    await visit.reads("#chart-hit-ratio-now", /^[1-9][\d.]* % of reads$/);
    await visit.reads("#chart-latency-of-http-now", /^[1-9][\d.]* (µs|ms) p99$/);
    assert.match(
      (await visit.page.locator("#chart-hit-ratio").getAttribute("aria-label"))!,
      /^Hit ratio: \d.*found \d/,
    );
    await visit.page.waitForFunction(() => {
      const path = document.querySelector("#chart-operations path.line.blue")?.getAttribute("d") ?? "";
      const heights = [...path.matchAll(/[\d.]+[ ,]([\d.]+)/g)].map(([, height]) => Number(height));
      // Time alone moves it to the side.
      return heights.length > 1 && Math.min(...heights) < Math.max(...heights);
    });
    await visit.reads("#hottest", /user:[12].*\/s/s);
    await visit.close();
    await load;
  });

  test("an arrow key shows the figures of a moment that has passed, and Escape those of now", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.page.locator("#chart-operations path.line").first().waitFor({ state: "attached" });
    await visit.page.focus("#charts");
    await visit.page.keyboard.press("ArrowLeft");
    await visit.reads("#moment", /^Figures of .* ago$/);
    await visit.page.locator("#chart-operations path.cross").waitFor({ state: "attached" });
    await visit.page.keyboard.press("Escape");
    await visit.page.locator("#chart-operations path.cross").waitFor({ state: "detached" });
    await visit.close();
  });

  test("keys are found by what they begin with, and by a pattern", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.find("user:", 2);
    await visit.reads("#found", /^2 keys, no more$/);
    assert.deepEqual((await visit.keys()).sort(), ["user:1", "user:2"]);
    await visit.page.fill("#prefix", "");
    await visit.page.fill("#match", "*:/?");
    await visit.reads("#found", /^1 key, no more$/);
    assert.deepEqual(await visit.keys(), ["page:/a"]);
    await visit.page.fill("#match", "nobody has this");
    await visit.reads("#found", /^No key is like that\.$/);
    await visit.close();
  });

  test("more keys than a page has come when they are asked for", async () => {
    for (let at = 0; at < 70; at += 1) await service.put(`many:${at}`, "x");
    const visit = await Visit.open(browser, service.url);
    await visit.find("many:", 30);
    await visit.reads("#found", /^30 keys so far$/);
    await visit.page.click("#more");
    await visit.reads("#found", /^60 keys so far$/);
    await visit.page.click("#more");
    await visit.reads("#found", /^70 keys, no more$/);
    assert.equal(new Set(await visit.keys()).size, 70);
    assert.equal(await visit.page.locator("#more").isVisible(), false);
    await visit.close();
    await service.ask("DELETE", "v1/entries?prefix=many:");
  });

  test("an entry shows its type, its size, and the time it has left, which runs", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("user:1");
    await visit.reads("#entry-facts", /Typeapplication\/json.*Size\d+ B.*Expires in\d+ min/s);
    const left = visit.page.locator("#entry-facts dd").last();
    const before = (await left.textContent())!;
    await left.filter({ hasNotText: before }).waitFor();
    // Digit by digit: no number of JavaScript is so long.
    assert.equal(
      await visit.page.inputValue("#entry-value"),
      '{\n  "name": "Ada",\n  "id": 12345678901234567890,\n  "none": []\n}',
    );
    await visit.close();
  });

  test("an entry that has expired is crossed out", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.find("user:1", 1);
    await visit.reads("#rows tr:not(.gone)", /min/);
    await visit.page.clock.install();
    await visit.page.clock.fastForward(601_000);
    await visit.reads("#rows tr.gone", /expired/);
    await visit.close();
  });

  test("a value is replaced once that is confirmed, and keeps its type and its deadline", async () => {
    await service.put("edited", '{"n":1}', "application/json", "600");
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("edited");
    await visit.page.fill("#entry-value", '{"n":2}');
    await visit.page.click("#entry-save");
    await visit.reads("#confirm", /Save the entry\?.*edited/s);
    await visit.page.click("#confirm-no");
    assert.equal(await service.get("edited"), '{"n":1}');
    await visit.page.click("#entry-save");
    await visit.page.click("#confirm-yes");
    await visit.reads("#entry-note", /^Saved\.$/);
    const answer = await service.ask("GET", "v1/entries/edited");
    assert.equal(await answer.text(), '{"n":2}');
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.ok(Number(answer.headers.get("rustcache-ttl")) > 500);
    await visit.close();
  });

  test("what is no JSON is not stored as JSON", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("user:2");
    await visit.page.fill("#entry-value", '{"n":');
    await visit.page.click("#entry-save");
    await visit.reads("#entry-note", /^This is no JSON: /);
    assert.equal(await visit.page.locator("#confirm").isVisible(), false);
    await visit.close();
  });

  test("another deadline alone leaves the value byte for byte", async () => {
    await service.put("deadline", '{ "n" :1}', "application/json", "600");
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("deadline");
    await visit.page.selectOption("#entry-ttl", "never");
    await visit.page.click("#entry-save");
    await visit.page.click("#confirm-yes");
    await visit.reads("#entry-facts", /Expires innever/);
    assert.equal(await service.get("deadline"), '{ "n" :1}');
    await visit.close();
  });

  test("an entry that somebody else has changed meanwhile is not overwritten", async () => {
    await service.put("contended", "one");
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("contended");
    await service.put("contended", "two");
    await visit.page.fill("#entry-value", "three");
    await visit.page.click("#entry-save");
    await visit.page.click("#confirm-yes");
    await visit.reads("#entry-note", /It has been changed/);
    assert.equal(await service.get("contended"), "two");
    await visit.close(/412/);
  });

  test("an entry is deleted once that is confirmed, and not before", async () => {
    await service.put("doomed", "x");
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("doomed");
    await visit.page.click("#entry-delete");
    await visit.reads("#confirm", /Delete the entry\?.*doomed/s);
    await visit.page.keyboard.press("Escape");
    await visit.page.locator("#confirm").waitFor({ state: "hidden" });
    assert.equal(await service.get("doomed"), "x");
    await visit.page.click("#entry-delete");
    await visit.page.click("#confirm-yes");
    await visit.page.locator("#entry").waitFor({ state: "hidden" });
    await visit.reads("#found", /^No key is like that\.$/);
    assert.equal(await service.get("doomed"), null);
    await visit.close();
  });

  test("an entry is made, and none that was there is replaced by that", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.page.click("#new");
    await visit.page.fill("#entry-key", "new/../key ä");
    await visit.page.fill("#entry-value", "made here");
    await visit.page.selectOption("#entry-ttl", "after");
    await visit.page.fill("#entry-seconds", "90");
    await visit.page.click("#entry-save");
    await visit.reads("#entry-note", /^Created\.$/);
    await visit.reads("#entry-facts", /Typetext\/plain.*Expires in1 min/s);
    assert.equal(await service.get("new/../key ä"), "made here");
    await visit.page.click("#entry-close");
    await visit.page.click("#new");
    await visit.page.fill("#entry-key", "new/../key ä");
    await visit.page.click("#entry-save");
    await visit.reads("#entry-note", /^There is an entry of that key already\.$/);
    assert.equal(await service.get("new/../key ä"), "made here");
    await visit.close(/412/);
  });

  test("bytes are shown as bytes, a long value as far as it is short, and neither can be edited", async () => {
    await service.put("long", "x".repeat(300_000));
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry("bytes");
    assert.match(await visit.page.inputValue("#entry-value"), /^000000 {2}00 ff 41 +\.\.A$/);
    assert.equal(await visit.page.locator("#entry-save").isDisabled(), true);
    await visit.page.click("#entry-close");
    await visit.openEntry("long");
    await visit.reads("#entry-note", /^The first 256 KiB of 293 KiB/);
    assert.equal((await visit.page.inputValue("#entry-value")).length, 256 * 1024);
    assert.equal(await visit.page.locator("#entry-save").isDisabled(), true);
    const download = visit.page.waitForEvent("download");
    await visit.page.click("#entry-download");
    assert.equal((await download).suggestedFilename(), "long.txt");
    await visit.close();
  });

  test("keys and values are text to the page, whatever they look like", async () => {
    const key = '<img src=x onerror="document.title=1">';
    await service.put(key, "<script>document.title = 1</script>");
    await service.ask("PUT", "v1/entries/%FF%FEkey", { body: "x" });
    const visit = await Visit.open(browser, service.url);
    await visit.openEntry(key);
    assert.equal(await visit.page.textContent("#entry-title"), key);
    await visit.page.click("#entry-close");
    await visit.page.fill("#prefix", "");
    await visit.page.fill("#match", "*key");
    await visit.page.locator("#rows button.key").filter({ hasText: "\\xff\\xfekey" }).click();
    await visit.reads("#entry-facts", /Size1 B/);
    await visit.close();
  });

  test("a value that is HTML runs nothing and reads nothing when the browser shows it by itself", async () => {
    const script = "document.title = 'it ran'; fetch('/v1/keys').then(() => { document.title = 'it read' })";
    await service.put("script", `<title>still</title><script>${script}</script>`, "text/html");
    const page = await browser.newPage();
    await page.goto(`${service.url}v1/entries/script`);
    assert.equal(await page.title(), "still");
    await page.close();
  });

  test("a key that is a dot is that key, and not the empty one", async () => {
    for (const key of ["", "key=.", "key=.."])
      await fetch(`${service.url}v1/entries/?${key}`, {
        method: "PUT",
        body: `of ${key}`,
        headers: { "content-type": "text/plain" },
      });
    const visit = await Visit.open(browser, service.url);
    for (const key of [".", ".."]) {
      await visit.page.fill("#match", key);
      await visit.page.locator("#rows button.key", { hasText: new RegExp(`^\\.{${key.length}}$`) }).click();
      await visit.page.waitForFunction(
        (value) => (document.querySelector("#entry-value") as HTMLTextAreaElement).value === value,
        `of key=${key}`,
      );
      await visit.page.click("#entry-delete");
      await visit.page.click("#confirm-yes");
      await visit.reads("#found", /^No key is like that\.$/);
    }
    assert.equal(await service.get(""), "of ");
    await visit.close();
  });

  test("an entry that could not be read cannot be deleted", async () => {
    await service.put("unread", "value");
    const visit = await Visit.open(browser, service.url);
    let isHeld = true;
    await visit.page.route("**/v1/entries/unread?peek=true", async (route) => {
      while (isHeld) await new Promise((resolve) => setTimeout(resolve, 20));
      await route.continue();
    });
    await visit.page.fill("#prefix", "unread");
    await visit.page.locator("#rows button.key", { hasText: "unread" }).click();
    assert.ok(await visit.page.locator("#entry-delete").isDisabled());
    isHeld = false;
    await visit.page.waitForFunction(
      () => !(document.querySelector("#entry-delete") as HTMLButtonElement).disabled,
    );
    await visit.close();
  });

  test("the biggest entries are named, with their sizes", async () => {
    await service.put("whale", "x".repeat(2_000_000));
    const visit = await Visit.open(browser, service.url);
    await visit.reads("#biggest tbody tr:first-child", /whale.*1\.91 MiB/s);
    await visit.close();
  });

  test("what needs a look is said, the worst of it first", async () => {
    const visit = await Visit.open(browser, service.url);
    await visit.page.route("**/v1/events", (route) => {
      const samples = [sample(1000, {}), sample(2000, { refused: 3, disk_failed: true })];
      const body = `event: history\nid: 2000\ndata: ${JSON.stringify(samples)}\n\n`;
      return route.fulfill({ contentType: "text/event-stream", body });
    });
    await visit.page.reload();
    await visit.reads("#concerns li:first-child", /^The disk has failed\./);
    await visit.reads("#concerns li:last-child", /^Writes are refused\.\d+ in the last minute/);
    await visit.reads("#chart-disk-now", /^Failed/);
    await visit.close();
  });

  test("a cache in a directory says that its disk is healthy, and when its last snapshot was", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "rustcache-page-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const kept = await Service.start(["--dir", directory]);
    t.after(() => kept.stop());
    await kept.put("a", "x");
    const visit = await Visit.open(browser, kept.url);
    await visit.reads("#chart-disk-now", /^Healthy/);
    await visit.page.locator("article", { hasText: /last snapshotnone yet/ }).waitFor();
    assert.equal((await kept.ask("POST", "v1/snapshot")).status, 204);
    await visit.page.locator("article", { hasText: /last snapshot\d+ B, \d+ s ago/ }).waitFor();
    await visit.close();
  });

  test("light and dark are those of the system, until one is chosen, which is remembered", async () => {
    const visit = await Visit.open(browser, service.url, { colorScheme: "dark" });
    const { page } = visit;
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.emulateMedia({ colorScheme: "light" });
    await page.waitForFunction((dark) => getComputedStyle(document.body).backgroundColor !== dark, dark);
    await page.click("#theme");
    assert.equal(await ground(), dark);
    assert.equal(await page.getAttribute("#theme", "aria-pressed"), "true");
    await page.reload();
    assert.equal(await ground(), dark);
    await visit.close();
  });

  test("on a phone nothing sticks out at the side", async () => {
    const visit = await Visit.open(browser, service.url, {
      viewport: { width: 360, height: 740 },
      hasTouch: true,
    });
    await visit.reads("#state", /^All is well$/);
    await visit.find("user:", 2);
    const width = () => visit.page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(await width(), 360);
    await visit.openEntry("user:1");
    assert.equal(await width(), 360);
    await visit.close();
  });

  for (const colorScheme of ["light", "dark"] as const)
    test(`no rule of accessibility is broken, ${colorScheme}: the page, an entry, a confirmation`, async () => {
      const visit = await Visit.open(browser, service.url, { colorScheme });
      await visit.reads("#state", /^All is well$/);
      await visit.reads("#biggest", /KiB|MiB| B/);
      assert.deepEqual(await visit.violations(), []);
      await visit.openEntry("text");
      assert.deepEqual(await visit.violations(), []);
      await visit.page.click("#entry-delete");
      assert.deepEqual(await visit.violations(), []);
      await visit.close();
    });

  test("everything is reached by the keyboard: a key is found, opened and left", async () => {
    const visit = await Visit.open(browser, service.url);
    const { page } = visit;
    await visit.find("text", 1);
    await page.focus("#search button");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "text");
    await page.keyboard.press("Enter");
    await visit.reads("#entry-facts", /Typetext\/plain/);
    await page.keyboard.press("Escape");
    await page.locator("#entry").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "text");
    await visit.close();
  });

  test("a daemon that has gone is said to have, and is found again when it is back", async (t) => {
    const first = await Service.start();
    t.after(() => first.stop());
    await first.put("of the first", "x");
    const visit = await Visit.open(browser, first.url);
    await visit.reads("#state", /^All is well$/);
    await visit.reads("#found", /^1 key, no more$/);
    await first.stop();
    await visit.reads("#state", /^Not reachable; trying again$/);
    const second = await Service.start([], undefined, first.port);
    t.after(() => second.stop());
    await visit.reads("#state", /^All is well$/);
    // Without anybody having asked for them again.
    await visit.reads("#found", /^No key is like that\.$/);
    await visit.close(/ERR_/);
  });

  test("a token is asked for, a wrong one is said to be wrong, and the right one opens the page", async (t) => {
    const guarded = await Service.start([], TOKEN);
    t.after(() => guarded.stop());
    await guarded.put("secret", "x");
    const visit = await Visit.open(browser, guarded.url);
    await visit.reads("#state", /^A token is needed$/);
    assert.deepEqual(await visit.violations(), []);
    await visit.page.fill("#token", "wrong");
    await visit.page.keyboard.press("Enter");
    await visit.reads("#access-note", /^That is not the daemon's token\.$/);
    await visit.page.fill("#token", TOKEN);
    await visit.page.keyboard.press("Enter");
    await visit.reads("#state", /^All is well$/);
    await visit.find("secret", 1);
    assert.equal(await visit.page.locator("#access").isVisible(), false);
    await visit.close(/401/);
  });
});
