// How the daemon does: the charts, the line that says whether all is well, and what needs a look.

const perSecond = (name) => (sample) => sample[name] / sample.seconds;
const rate = (value) => `${count(value)}/s`;
const evicted = (sample) => (sample.evictions_by_items + sample.evictions_by_bytes) / sample.seconds;
const hitShare = (sample) => (sample.hits + sample.misses === 0 ? null : sample.hits / (sample.hits + sample.misses));
/** A percentile is the end of a range that it is in, which may be above the longest there was. */
const ofLatency = (name) => (sample) =>
  sample.latency.count === 0 ? null : Math.min(sample.latency[name], sample.latency.max || Number.POSITIVE_INFINITY);
const ofDirectory = (name) => (sample) => (sample.persistent ? sample[name] : null);

function lastSnapshot({ at, last_snapshot_at_ms: millis, last_snapshot_bytes: bytes }) {
  return millis === 0 ? "none yet" : `${size(bytes)}, ${lasting((at - millis) / 1000)} ago`;
}

function filled(sample, held, most, write) {
  if (sample[most] === 0) return [write(sample[held]), "without a limit"];
  return [percent(sample[held] / sample[most]), `${write(sample[held])} of ${write(sample[most])}`];
}

function diskHeadline(sample) {
  if (!sample.persistent) return ["In memory", "nothing is kept on disk"];
  if (sample.loading) return [percent(sample.loaded_bytes / Math.max(1, sample.load_bytes)), "loaded"];
  if (sample.disk_failed) return ["Failed", "the log of the daemon says how"];
  if (!sample.snapshot_under_way) return ["Healthy", ""];
  return ["Healthy", `writing a snapshot, ${percent(sample.snapshot_progress / Math.max(1, sample.snapshot_entries))}`];
}

const CHARTS = [
  {
    name: "Operations",
    write: rate,
    series: [
      { name: "HTTP", colour: "blue", of: perSecond("http") },
      { name: "stdio", colour: "orange", of: perSecond("stdio") },
    ],
    plain: [{ name: "errors", of: perSecond("errors") }],
    headline: (sample) => [rate(perSecond("operations")(sample)), ""],
  },
  {
    name: "Hit ratio",
    write: percent,
    most: 1,
    series: [{ name: "hits", colour: "green", of: hitShare }],
    plain: [
      { name: "found", of: perSecond("hits"), write: rate },
      { name: "missed", of: perSecond("misses"), write: rate },
    ],
    headline: (sample) => (hitShare(sample) === null ? ["–", "no reads"] : [percent(hitShare(sample)), "of reads"]),
  },
  {
    name: "Latency of HTTP",
    write: micros,
    isLog: true,
    series: [
      { name: "p50", colour: "blue", of: ofLatency("p50") },
      { name: "p90", colour: "purple", of: ofLatency("p90") },
      { name: "p99", colour: "orange", of: ofLatency("p99") },
    ],
    plain: [{ name: "max", of: ofLatency("max") }],
    headline: (sample) => (sample.latency.count === 0 ? ["–", "no requests"] : [micros(ofLatency("p99")(sample)), "p99"]),
  },
  {
    name: "Memory",
    write: size,
    isBytes: true,
    series: [{ name: "entries", colour: "purple", of: (sample) => sample.bytes }],
    plain: [{ name: "whole process", of: (sample) => sample.memory || null }],
    limit: (sample) => sample.max_bytes,
    headline: (sample) => filled(sample, "bytes", "max_bytes", size),
  },
  {
    name: "Entries",
    write: count,
    series: [{ name: "held", colour: "blue", of: (sample) => sample.items }],
    plain: [
      { name: "new", of: perSecond("inserts"), write: rate },
      { name: "replaced", of: perSecond("updates"), write: rate },
    ],
    limit: (sample) => sample.max_items,
    headline: (sample) => (sample.max_items === 0 ? [count(sample.items), ""] : filled(sample, "items", "max_items", count)),
  },
  {
    name: "Leaving",
    write: rate,
    series: [
      { name: "evicted", colour: "orange", of: evicted },
      { name: "expired", colour: "purple", of: perSecond("expirations") },
      { name: "removed", colour: "blue", of: perSecond("removals") },
    ],
    headline: (sample) => [rate(evicted(sample)), "evicted"],
  },
  {
    name: "Connections",
    write: count,
    series: [{ name: "open", colour: "green", of: (sample) => sample.connections }],
    plain: [{ name: "refused writes", of: perSecond("refused"), write: rate }],
    headline: (sample) => [count(sample.connections), "over HTTP"],
  },
  {
    name: "Disk",
    write: (value) => `${size(value)}/s`,
    isBytes: true,
    series: [{ name: "journal", colour: "blue", of: (sample) => (sample.persistent ? sample.journal_bytes / sample.seconds : null) }],
    plain: [
      { name: "since snapshot", of: ofDirectory("journal_bytes_since_snapshot"), write: size },
      { name: "sync", of: (sample) => (sample.journal_syncs === 0 ? null : sample.journal_sync_us / sample.journal_syncs), write: micros },
      { name: "last snapshot", of: (sample) => (sample.persistent ? sample : null), write: lastSnapshot },
    ],
    headline: diskHeadline,
  },
];

/**
 * What is to be said of a sample and of the minute before it, worst first: `[level, title, text]`. A few errors are nobody's concern:
 * a token that was mistyped here makes some.
 */
function concernsOf(samples) {
  const now = samples.at(-1);
  const minute = samples.filter((sample) => now.at - sample.at < 60_000);
  const sum = (name) => minute.reduce((sum, sample) => sum + sample[name], 0);
  const found = [];
  if (now.disk_failed)
    found.push(["bad", "The disk has failed.", "What is written since then is not safe. Make room or replace it; the next snapshot (POST /v1/snapshot) makes up for it."]);
  if (now.loading)
    found.push(["warn", "Loading.", `${size(now.loaded_bytes)} of ${size(now.load_bytes)}; requests wait until that is done.`]);
  if (sum("refused") > 0)
    found.push(["warn", "Writes are refused.", `${count(sum("refused"))} in the last minute: their entries are larger than what fits.`]);
  const requests = sum("http") + sum("stdio");
  if (sum("errors") > Math.max(20, requests / 100))
    found.push(["warn", "Errors.", `${count(sum("errors"))} of ${count(requests)} requests in the last minute.`]);
  const [gone, reads] = [sum("evictions_by_items") + sum("evictions_by_bytes"), sum("hits") + sum("misses")];
  if (gone > 0 && reads > 100 && sum("hits") < reads / 2)
    found.push(["warn", "Too small?", `Entries are evicted, ${count(gone)} in the last minute, and ${percent(sum("misses") / reads)} of reads miss.`]);
  return found;
}

const watch = {
  samples: [],
  /** How long ago the figures are of: null for now. */
  ago: null,
  charts: CHARTS.map((about) => new Chart(about)),

  add(event) {
    this.samples.push(...(event.name === "history" ? event.data : [event.data]));
    const newest = this.samples.at(-1);
    if (newest === undefined) return;
    this.samples = this.samples.filter((sample) => newest.at - sample.at <= SPAN_MS);
    this.tell(concernsOf(this.samples));
    this.draw();
  },

  draw() {
    // A page that nobody sees draws nothing.
    if (this.samples.length === 0 || document.hidden) return;
    const now = this.samples.at(-1);
    const shown = this.ago === null ? now : nearest(this.samples, now.at - this.ago);
    for (const chart of this.charts) chart.show(this.samples, shown);
    const moment = shown === now ? " " : `Figures of ${clock(shown.at)}, ${lasting((now.at - shown.at) / 1000)} ago`;
    byId("moment").textContent = moment;
  },

  tell(concerns) {
    const worst = concerns.find(([level]) => level === "bad") ?? concerns[0];
    say(worst?.[0] ?? "good", worst === undefined ? "All is well" : worst[1].replace(/[.?]$/, ""));
    const rows = concerns.map(([level, title, text]) => {
      const row = element("li", {}, element("b", {}, title), text);
      row.dataset.level = level;
      return row;
    });
    byId("concerns").replaceChildren(...rows);
    byId("concerns").hidden = rows.length === 0;
  },

  look(ago) {
    this.ago = ago !== null && ago < 1000 ? null : ago;
    this.draw();
  },
};

function nearest(samples, at) {
  return samples.reduce((best, sample) => (Math.abs(sample.at - at) < Math.abs(best.at - at) ? sample : best));
}

/** Read aloud when it changes, so it is only touched then. */
function say(level, text) {
  const state = byId("state");
  if (state.textContent === text) return;
  state.textContent = text;
  state.dataset.level = level;
}

function beginWatching() {
  const section = byId("charts");
  section.append(...watch.charts.map((chart) => chart.card));
  for (const chart of watch.charts) {
    chart.svg.addEventListener("pointermove", (event) => watch.look(chart.agoAt(event.clientX)));
    chart.svg.addEventListener("pointerleave", () => watch.look(null));
  }
  section.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 10_000, ArrowRight: -10_000 }[event.key];
    if (event.key === "Escape") watch.look(null);
    else if (step !== undefined) watch.look(Math.min(SPAN_MS, Math.max(0, (watch.ago ?? 0) + step)));
    else return;
    event.preventDefault();
  });
  section.addEventListener("blur", () => watch.look(null));
  document.addEventListener("visibilitychange", () => watch.draw());
}

/** `onBack`: the daemon can be asked again, and may be another than before. */
async function follow(onBack) {
  let isAway = false;
  const onLost = () => {
    isAway = true;
    say("bad", "Not reachable; trying again");
  };
  for await (const event of samplesFor(onLost)) {
    watch.add(event);
    const isLoading = watch.samples.at(-1)?.loading ?? false;
    if (isAway && !isLoading) onBack();
    isAway = isLoading;
  }
}

async function tellAbout() {
  const stats = await (await ask("GET", "/v1/stats")).json();
  byId("about").textContent = `${stats.version} · policy ${stats.policy} · up ${lasting(stats.uptime_ms / 1000)}`;
  document.title = `rustcache · ${location.host}`;
}
