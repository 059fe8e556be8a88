// The browser of keys, and the lists of the biggest and the hottest. What becomes of a key that is chosen is entry.js's business.

/** A page of keys looks at 65,536 entries at most: after so many pages without enough keys, people are asked whether to go on. */
const MOST_PAGES = 16;
const ENOUGH = 30;
const TOP_EVERY_MS = 5000;

/** Cells whose entries expire, with when, on the clock of `performance`. */
const ticking = new Map();

function tick() {
  for (const [cell, ends] of ticking) {
    if (!cell.isConnected) ticking.delete(cell);
    else showLeft(cell, ends);
  }
}

function showLeft(cell, ends) {
  const left = (ends - performance.now()) / 1000;
  cell.textContent = left > 0 ? lasting(Math.ceil(left)) : "expired";
  cell.closest("tr")?.classList.toggle("gone", left <= 0);
}

/** `ttl` is seconds, or null. */
function expiry(cell, ttl) {
  if (ttl === null) cell.textContent = "never";
  else {
    const ends = performance.now() + ttl * 1000;
    ticking.set(cell, ends);
    showLeft(cell, ends);
  }
  return cell;
}

function keyButton(key) {
  const button = element("button", { type: "button", className: "key", title: key.text }, key.text === "" ? "(empty)" : key.text);
  button.addEventListener("click", () => openEntry(key));
  return button;
}

const search = { cursor: "", found: 0, abort: new AbortController() };

function keyRow(row) {
  return element(
    "tr",
    {},
    element("td", {}, keyButton(keyOf(row))),
    element("td", { className: "wide quiet" }, typeOf(row)),
    element("td", { className: "number" }, size(row.bytes)),
    expiry(element("td", { className: "number" }), row.ttl),
  );
}

/** From the beginning. */
function beginSearch() {
  search.cursor = "";
  search.found = 0;
  return findMore();
}

async function findMore() {
  search.abort.abort();
  search.abort = new AbortController();
  const { signal } = search.abort;
  const isNew = search.cursor === "";
  const rows = [];
  try {
    for (let page = 0; page < MOST_PAGES && rows.length < ENOUGH && search.cursor !== null; page += 1) {
      const query = new URLSearchParams({ limit: ENOUGH - rows.length, cursor: search.cursor, prefix: byId("prefix").value });
      if (byId("match").value !== "") query.set("match", byId("match").value);
      const found = await (await ask("GET", `/v1/keys?${query}`, { signal })).json();
      rows.push(...found.keys);
      search.cursor = found.cursor;
    }
  } catch (error) {
    if (signal.aborted) return;
    byId("found").textContent = `That went wrong: ${error.message}`;
    return;
  }
  const body = byId("rows").tBodies[0];
  if (isNew) body.replaceChildren();
  body.append(...rows.map(keyRow));
  search.found += rows.length;
  byId("more").hidden = search.cursor === null;
  byId("found").textContent = foundText();
}

function foundText() {
  const keys = `${search.found} ${search.found === 1 ? "key" : "keys"}`;
  if (search.cursor !== null) return `${keys} so far`;
  return search.found === 0 ? "No key is like that." : `${keys}, no more`;
}

/** A row with a bar under it, as long as its share of the largest. */
function barRow(row, text, share, colour) {
  const bar = drawn("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  bar.append(drawn("rect", { class: colour, width: Math.max(0.5, share * 100), height: 1 }));
  const key = element("td", { className: "bar" }, keyButton(keyOf(row)), bar);
  return element("tr", {}, key, element("td", { className: "number" }, text));
}

function fill(table, rows, of, write, colour) {
  const body = table.tBodies[0];
  // Whoever has the keyboard on a row, or points at one, keeps it.
  if (body.contains(document.activeElement) || body.matches(":hover")) return;
  const most = Math.max(...rows.map(of));
  const none = element("tr", {}, element("td", { className: "quiet", colSpan: 2 }, "none yet"));
  const made = rows.map((row) => barRow(row, write(of(row)), of(row) / most, colour));
  body.replaceChildren(...(made.length === 0 ? [none] : made));
}

async function lookAtTop() {
  const top = await (await ask("GET", "/v1/top?limit=8")).json();
  fill(byId("biggest"), top.biggest, (row) => row.bytes, size, "purple");
  fill(byId("hottest"), top.hottest, (row) => row.reads_per_second, rate, "orange");
  const whole = top.examined >= top.items ? "" : `of a sample: ${count(top.examined)} of ${count(top.items)} entries`;
  byId("examined").textContent = whole;
}

function beginBrowsing() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    beginSearch();
  });
  let timer;
  byId("search").addEventListener("input", () => {
    // There is no more of what is asked for no longer.
    byId("more").hidden = true;
    clearTimeout(timer);
    timer = setTimeout(beginSearch, 250);
  });
  byId("more").addEventListener("click", findMore);
  byId("new").addEventListener("click", () => openEntry(null));
  setInterval(tick, 1000);
  let isSeen = false;
  let isLooking = false;
  const look = async () => {
    if (!isSeen || isLooking || document.hidden || access.waiting.length > 0) return;
    isLooking = true;
    // A daemon that is away is told of elsewhere.
    await lookAtTop().catch(() => {});
    isLooking = false;
  };
  new IntersectionObserver(([entry]) => {
    isSeen = entry.isIntersecting;
    look();
  }).observe(byId("top"));
  setInterval(look, TOP_EVERY_MS);
}
