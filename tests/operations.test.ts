// What docs/operations offers to be copied is true: each metric and label of it is exported, each option is one that the daemon has.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { requireDaemon } from "../node/testdata/daemon.js";
import { root } from "./support/programs.js";

const read = (name: string) => readFileSync(join(root, "docs", name), "utf8");

interface Target {
  readonly expr: string;
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}
interface Variable {
  readonly name: string;
  readonly definition?: string;
}
const dashboard = JSON.parse(read("operations/grafana.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly Target[] };
};

/** Each expression of the alerts, whether it stands on the line of its name or below that. */
function alertExpressions(): string[] {
  const found = [...read("operations/alerts.yaml").matchAll(/^ +expr: (?:\|\n((?: {10}.*\n)+)|(.+)\n)/gm)];
  return found.map(([, below, beside]) => (below ?? beside)!);
}

const expressions = {
  "operations/grafana.json": [
    ...dashboard.panels.flatMap((panel) => panel.targets ?? []).map(({ expr }) => expr),
    ...dashboard.annotations.list.map(({ expr }) => expr),
    ...dashboard.templating.list.flatMap(({ definition }) => definition ?? []),
  ],
  "operations/alerts.yaml": alertExpressions(),
};

let daemon: ChildProcess;
let directory: string;
/** Lines of /metrics of a daemon that has all there is: a directory, HTTP and stdin. */
let exported: string[];

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "rustcache-operations-"));
  const args = ["--http", "127.0.0.1:0", "--stdio", "--dir", directory];
  daemon = spawn(requireDaemon(), args, { stdio: ["pipe", "ignore", "pipe"] });
  for await (const line of createInterface({ input: daemon.stderr! })) {
    const url = /^rustcache: serving (http:\S+)$/.exec(line)?.[1];
    assert.ok(url !== undefined, line);
    exported = (await (await fetch(`${url}metrics`)).text()).split("\n");
    break;
  }
});

after(() => {
  daemon.kill("SIGKILL");
  rmSync(directory, { recursive: true });
});

/** Names as they stand in expressions: those of samples, with `_total` and `_bucket`. */
const sampleNames = () => new Set(exported.flatMap((line) => /^(rustcache_\w+)/.exec(line)?.[1] ?? []));

test("each metric that the dashboard and the alerts name is exported", () => {
  const names = sampleNames();
  for (const [file, all] of Object.entries(expressions)) {
    assert.ok(all.length >= 12, `${all.length} expressions in ${file}`);
    for (const expression of all) {
      const named = expression.match(/\brustcache_\w+/g) ?? [];
      assert.ok(named.length > 0 || /\bup\{/.test(expression), `${file}: ${expression} names nothing`);
      for (const name of named) assert.ok(names.has(name), `${file}: ${name} is not exported`);
    }
  }
});

test("what is told BUSY, by cause, and how long commands on stdin take are on the dashboard and alerted on", () => {
  for (const [file, all] of Object.entries(expressions))
    for (const name of ["rustcache_http_busy_total", "rustcache_stdio_command_duration_seconds_bucket"])
      assert.ok(
        all.some((expression) => expression.includes(name)),
        `${file} does not use ${name}`,
      );
});

test("each value of a label that they ask for is one that is exported, and so is each label", () => {
  const pairs = new Set(exported.flatMap((line) => line.match(/\w+="[^"]*"/g) ?? []));
  const labels = new Set([...pairs].map((pair) => pair.slice(0, pair.indexOf("="))));
  // Prometheus gives these itself.
  for (const label of ["job", "instance"]) labels.add(label);
  for (const [file, all] of Object.entries(expressions))
    for (const expression of all) {
      for (const [, label, values] of expression.matchAll(/(\w+)=~?"([^"$]+)"/g)) {
        if (label === "job") continue;
        for (const value of values!.split("|"))
          assert.ok(pairs.has(`${label}="${value}"`), `${file}: ${label}="${value}" in ${expression}`);
      }
      for (const [, list] of expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g))
        for (const label of list!.split(", "))
          assert.ok(labels.has(label), `${file}: the label ${label} in ${expression}`);
    }
});

test("the table of metrics in the operations page has all that is exported, and nothing else", () => {
  const families = exported.flatMap((line) => /^# TYPE rustcache_(\w+) /.exec(line)?.[1] ?? []).sort();
  const section = /^## Metrics\n(.*?)^## /ms.exec(read("operations.md"))![1]!;
  const told = [...section.matchAll(/^\| `(.*?)`[^|]*\|/gm)].flatMap(
    ([row]) => row.match(/(?<=`)\w+(?=`)/g) ?? [],
  );
  assert.deepEqual(told.sort(), families);
});

test("the panels of the dashboard have ids of their own, say what they show, and do not lie on one another", () => {
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const taken = new Map<string, string>();
  for (const { title, type, description, gridPos } of dashboard.panels) {
    assert.ok(type === "row" || (description ?? "") !== "", title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.equal(taken.get(`${x} ${y}`), undefined, `${title} lies on another`);
        taken.set(`${x} ${y}`, title);
      }
    assert.ok(gridPos.x + gridPos.w <= 24, title);
  }
});

test("each alert has a severity, and says what has happened and what to do", () => {
  const alerts = read("operations/alerts.yaml")
    .split(/^ {6}- alert: /m)
    .slice(1);
  assert.equal(alerts.length, expressions["operations/alerts.yaml"].length);
  for (const alert of alerts) {
    const name = alert.slice(0, alert.indexOf("\n"));
    assert.match(alert, /^ {10}severity: (critical|warning|info)$/m, name);
    assert.match(alert, /^ {10}summary: ".+"$/m, name);
    assert.match(alert, /^ {10}description: ".+\."$|description: ".+\?"$/m, name);
  }
});

test("the table of alerts in the operations page has all of them, with their severities", () => {
  const section = /^## What to alert on\n(.*?)^## /ms.exec(read("operations.md"))![1]!;
  const told = [...section.matchAll(/^\| `(\w+)` \|.*\| (\w+) \|$/gm)].map(
    ([, name, severity]) => `${name} ${severity}`,
  );
  const alerts = [...read("operations/alerts.yaml").matchAll(/- alert: (\w+)\n.*?severity: (\w+)\n/gs)];
  assert.ok(alerts.length > 0);
  assert.deepEqual(told.sort(), alerts.map(([, name, severity]) => `${name} ${severity}`).sort());
});

test("what an alert tells as a percentage is a share, which is what comes first in its expression", () => {
  const alerts = read("operations/alerts.yaml")
    .split(/^ {6}- alert: /m)
    .filter((alert) => /\$value \| humanizePercentage/.test(alert));
  assert.ok(alerts.length > 0);
  for (const alert of alerts) assert.match(alert, /^ +(?:expr: )?rate\(\w+\[\w+\]\) \/ .* < 0\.\d+$/m, alert);
});

test("the health check asks whether the daemon lives, and is in the image", () => {
  const file = read("operations/Containerfile");
  assert.match(file, /^ +CMD .*\/livez"\]$/m);
  for (const text of [file, read("operations.md")])
    for (const [command] of text.matchAll(/podman build .*/g)) assert.match(command, /--format docker/);
});

test("the backup that the page tells to make is whole, where the directory is a link as systemd makes it", () => {
  const place = mkdtempSync(join(tmpdir(), "rustcache-backup-"));
  try {
    for (const name of ["lib", "backup"]) mkdirSync(join(place, name));
    symlinkSync(directory, join(place, "lib/rustcache"));
    const section = /^## Backup\n(.*?)```console\n(.*?)```/ms.exec(read("operations.md"))![2]!;
    const lines = section.replace(/^# /gm, "").split("\n");
    const commands = lines.filter((line) => /^(rm|cp|rustcache) /.test(line));
    assert.deepEqual(
      commands.map((line) => line.split(" ")[0]),
      ["rm", "cp", "rustcache"],
    );
    const script = commands
      .join("\n")
      .replaceAll("/var/lib/", `${place}/lib/`)
      .replaceAll("/backup/", `${place}/backup/`)
      .replace(/^rustcache /m, `"${requireDaemon()}" `);
    // Twice: the one before is there then.
    for (let time = 0; time < 2; time += 1) {
      execFileSync("sh", ["-ec", script], { stdio: "pipe" });
      assert.deepEqual(
        readdirSync(join(place, "backup/rustcache.new")).sort(),
        readdirSync(directory).sort(),
      );
    }
  } finally {
    rmSync(place, { recursive: true });
  }
});

test("the unit, the container file and the page name no option and no variable that the daemon does not have", () => {
  const help = execFileSync(requireDaemon(), ["--help"], { encoding: "utf8" });
  const known = new Set(help.match(/--[a-z][a-z-]*|\bRUSTCACHE_[A-Z_]+/g));
  known.add("RUSTCACHE_HTTP_TOKEN").add("RUSTCACHE_BINARY");
  const commands = {
    "operations/rustcache.service": /ExecStart=.*|\bRUSTCACHE_\w+/g,
    "operations/Containerfile": /^CMD .*/gm,
    "operations.md": /\brustcache --.*|args: .*|\bRUSTCACHE_\w+/g,
  };
  for (const [file, pattern] of Object.entries(commands)) {
    const named = read(file)
      .match(pattern)!
      .flatMap((line) => line.match(/--[a-z][a-z-]*|\bRUSTCACHE_[A-Z_]+/g) ?? []);
    assert.ok(named.length > 0, file);
    for (const option of named) assert.ok(known.has(option), `${file} names ${option}`);
  }
});
