// The demo: `npm run demo`. A build tool's daily work on real files: a digest and line statistics of every file of a tree, kept in
// the cache by path, size and date, so that only what has changed is computed again. Cold, warm, and with the daemon killed in the
// middle; beside it the same with a Map in the heap. Every result is compared with the Map's. The cache is kept on disk, in a temporary
// directory.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RustCache } from "../node/index.js";
import { defaultDirectories, listFiles } from "./demo/files.js";
import { type PassFigures, runPass, type Victim } from "./demo/pass.js";
import { MapStore, type ResultStore, RustCacheStore } from "./demo/stores.js";
import { heapInUse } from "./lib/statistics.js";
import { bytes, count, digits, duration, table } from "./lib/terminal.js";

const HELP = `Usage: npm run demo -- [directory] [options]

Digests and line statistics of all files below a directory, through the cache. Without a directory: this project and the
sources of everything that it is built from. Directories named .git or target are left out, and links are not followed.

  --limit NUMBER  take only so many files
  --help          this text
`;

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { limit: { type: "string" }, help: { type: "boolean" } },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    if (positionals.length > 1) throw new Error(`one directory at most, not ${positionals.length}`);
    const limit = values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit);
    if (!(limit >= 1)) throw new Error(`--limit takes a number from 1, not "${values.limit}"`);
    return { directory: positionals[0], limit };
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function describe(title: string, figures: PassFigures): void {
  print(
    `  ${title.padEnd(22)}${duration(figures.milliseconds).padStart(8)}   ${count(figures.hits)} hits, ${count(figures.computed)} computed`,
  );
}

/** A row per figure, a column per pass: five passes fit beside each other, ten figures would not. */
function summary(passes: readonly (readonly [string, PassFigures])[]): string {
  const row = (title: string, cell: (figures: PassFigures) => string) => [
    title,
    ...passes.map(([, figures]) => cell(figures)),
  ];
  return table(
    ["", ...passes.map(([title]) => title)],
    [
      row("time", (figures) => duration(figures.milliseconds)),
      row("files per second", (figures) => count(Math.round((1000 * figures.files) / figures.milliseconds))),
      row("hit ratio", (figures) => `${digits((100 * figures.hits) / figures.files)} %`),
      row("results computed", (figures) => count(figures.computed)),
      row("calls in flight at kill -9", (figures) => count(figures.inFlight)),
      row("hits after kill -9", (figures) => count(figures.hitsAfterKill)),
      row("entries held afterwards", (figures) => count(figures.entries)),
      row("held by the daemon", (figures) =>
        Number.isNaN(figures.daemonBytes) ? "–" : bytes(figures.daemonBytes),
      ),
      row("growth of Node's heap", (figures) => bytes(figures.heapGrowth)),
      row("longest event-loop stall", (figures) => duration(figures.longestStall)),
      row("results unlike the Map's", (figures) => count(figures.different)),
    ],
  );
}

async function main(): Promise<void> {
  const { directory, limit } = readArguments();
  const directories = directory === undefined ? defaultDirectories() : [directory];
  const files = await listFiles(directories, limit);
  if (files.length === 0) throw new Error(`there is no file below ${directories.join(", ")}`);
  const what = directory ?? `this project and ${directories.length - 1} packages that it is built from`;
  print(`${files.length.toLocaleString("en")} files of ${what}\n`);

  // Read once before any clock runs: what the disk takes is nobody's merit.
  await runPass({ title: "reading ahead", files, store: new MapStore(), heapBefore: 0 });

  const passes: (readonly [string, PassFigures])[] = [];
  const pass = async (title: string, store: ResultStore, heapBefore: number, victim?: Victim) => {
    const figures = await runPass({ title, files, store, reference, heapBefore, victim });
    passes.push([title, figures]);
    describe(title, figures);
  };

  // The Map comes first: its results are what the others are compared with.
  const mapBefore = heapInUse();
  const map = new MapStore();
  let reference: MapStore | undefined;
  await pass("Map, cold", map, mapBefore);
  reference = map;
  await pass("Map, warm", map, mapBefore);

  const kept = mkdtempSync(join(tmpdir(), "rustcache-demo-"));
  process.on("exit", () => rmSync(kept, { recursive: true, force: true }));
  RustCache.configure({ dir: kept });
  await RustCache.start();
  const before = heapInUse();
  const store = new RustCacheStore();
  await pass("rustcache, cold", store, before);
  await pass("rustcache, warm", store, before);
  const pid = RustCache.process?.pid;
  if (pid === undefined) throw new Error("the daemon is not running before the last pass");
  await pass("rustcache, kill -9", store, before, {
    stop: () => process.kill(pid, "SIGSTOP"),
    kill: () => process.kill(pid, "SIGKILL"),
  });
  RustCache.close();

  print(`\n${summary(passes)}\n`);
  const [, last] = passes.at(-1) as readonly [string, PassFigures];
  print(
    "After half of the last pass the daemon was stopped until every file under way waited for it, and then got kill -9.\n" +
      `The client started a new daemon by itself, which read from the disk what the killed one had acknowledged: it answered the ${count(last.inFlight)} calls\n` +
      `that were in flight, none of which failed, and of the results that were asked for afterwards it had ${count(last.hitsAfterKill)};\n` +
      `${count(last.computed)} were computed again.`,
  );
  const different = passes.reduce((all, [, figures]) => all + figures.different, 0);
  const unseen = passes.reduce((all, [, figures]) => all + figures.changed, 0);
  if (unseen > 0)
    print(
      `${count(unseen)} times a file could not be read, or had changed between two passes, and was not compared.`,
    );
  if (different > 0) throw new Error(`${different} results differ from the Map's`);
  print("All results equal the Map's.");
}

main().catch((error: unknown) => {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
