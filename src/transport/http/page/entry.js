// One entry: its value, how long it has to live, and what can be done with it, which is done when it is confirmed.

/** Longer values are shown as far as this, and cannot be edited here. */
const MOST_SHOWN = 256 * 1024;
const MOST_BYTES_SHOWN = 1024;

/** What is open: `{key, etag, type, value}`; `key` is null for an entry that is not there yet. */
let opened = null;

/** Resolves with whether it was confirmed. */
function confirmed(title, text, action) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  byId("confirm-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function note(text, level) {
  byId("entry-note").textContent = text;
  if (level === undefined) delete byId("entry-note").dataset.level;
  else byId("entry-note").dataset.level = level;
}

/** A question about the open entry; what goes wrong is said, and is null. */
async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    const changed = "It has been changed since it was shown here. Close it and open it again.";
    note(error.status === 412 ? (opened?.key === null ? "There is an entry of that key already." : changed) : error.message, "bad");
    return null;
  }
}

async function openEntry(key) {
  opened = { key, etag: null, type: "text/plain", value: "" };
  byId("entry-title").textContent = key === null ? "New entry" : key.text;
  byId("entry-title").classList.toggle("key", key !== null);
  byId("entry-facts").replaceChildren();
  for (const id of ["entry-key-label", "entry-type-label"]) byId(id).hidden = key !== null;
  for (const id of ["entry-delete", "entry-download"]) {
    byId(id).hidden = key === null;
    // Until it is known which entry it is: only that one is to go.
    byId(id).disabled = true;
  }
  byId("entry-save").textContent = key === null ? "Create" : "Save…";
  byId("entry-ttl").options[0].textContent = key === null ? "as the daemon has it" : "as it does now";
  byId("entry-ttl").value = "keep";
  byId("entry-seconds-label").hidden = true;
  byId("entry-value").value = "";
  byId("entry-key").value = byId("prefix").value;
  note("");
  setEditable(key === null);
  byId("entry").showModal();
  byId(key === null ? "entry-key" : "entry-close").focus();
  if (key !== null) await attempt(load);
}

function setEditable(isEditable) {
  byId("entry-value").readOnly = !isEditable;
  byId("entry-save").disabled = !isEditable;
}

/** Reads no more than is shown, and neither counts as a read nor refreshes the entry. */
async function load() {
  const shown = opened;
  const abort = new AbortController();
  const response = await ask("GET", withQuery(shown.key.path, "peek=true"), { signal: abort.signal });
  const length = Number(response.headers.get("content-length"));
  const bytes = await beginningOf(response, MOST_SHOWN);
  abort.abort();
  if (shown !== opened) return;
  opened.etag = response.headers.get("etag");
  for (const id of ["entry-delete", "entry-download"]) byId(id).disabled = false;
  opened.type = response.headers.get("content-type") ?? "application/octet-stream";
  const ttl = response.headers.get("rustcache-ttl");
  facts([
    ["Type", element("dd", {}, opened.type)],
    ["Size", element("dd", {}, size(length))],
    ["Expires in", expiry(element("dd"), ttl === null ? null : Number(ttl))],
  ]);
  showValue(bytes, length);
}

function facts(rows) {
  byId("entry-facts").replaceChildren(...rows.map(([name, value]) => element("div", {}, element("dt", {}, name), value)));
}

async function beginningOf(response, most) {
  const parts = [];
  let left = most;
  const reader = response.body?.getReader();
  while (reader !== undefined && left > 0) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value.subarray(0, left));
    left -= value.length;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function showValue(bytes, length) {
  const area = byId("entry-value");
  const isWhole = bytes.length === length;
  const text = textOf(bytes, isWhole);
  if (text === null) {
    area.value = dump(bytes.subarray(0, MOST_BYTES_SHOWN));
    note(length > MOST_BYTES_SHOWN ? `Bytes that are no text; these are the first ${size(MOST_BYTES_SHOWN)}.` : "Bytes that are no text.");
  } else {
    area.value = isWhole && opened.type.startsWith("application/json") ? indented(text) : text;
    if (!isWhole) note(`The first ${size(bytes.length)} of ${size(length)}: too long to be edited here.`);
  }
  // As the area has it: it knows one kind of line break.
  opened.value = area.value;
  const isEditable = isWhole && text !== null && !text.includes("\r");
  setEditable(isEditable);
  if (isWhole && text !== null && !isEditable) note("It has line breaks that would be lost if it was edited here.");
}

function textOf(bytes, isWhole) {
  // Of a value that is cut off, the last character may be too.
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    const text = decoder.decode(bytes, { stream: !isWhole });
    return /[\0-\x08\x0e-\x1f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** As `hexdump -C` has it. */
function dump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

/** What is wrong with what was typed in, or null. */
function mistake(type, value) {
  const seconds = byId("entry-seconds");
  if (byId("entry-ttl").value === "after" && !(seconds.value !== "" && Number(seconds.value) > 0))
    return "Seconds are a number above 0.";
  if (opened.key === null && byId("entry-key").value === "") return "A key is needed.";
  if (!type.startsWith("application/json")) return null;
  try {
    JSON.parse(value);
    return null;
  } catch (error) {
    return `This is no JSON: ${error.message}`;
  }
}

async function save() {
  const isNew = opened.key === null;
  const value = byId("entry-value").value;
  const type = isNew ? byId("entry-type").value : opened.type;
  const wrong = mistake(type, value);
  if (wrong !== null) return note(wrong, "bad");
  const key = opened.key ?? keyOf({ key: byId("entry-key").value });
  const choice = byId("entry-ttl").value;
  const isAsItWas = !isNew && value === opened.value;
  if (isAsItWas && choice === "keep") return note("Nothing was changed.");
  const what = isAsItWas ? "how long it has to live" : "its value";
  if (!isNew && !(await confirmed("Save the entry?", `This replaces ${what}: ${key.text}`, "Save"))) return;
  const ttl = { keep: isNew ? null : "ttl=keep", after: `ttl=${byId("entry-seconds").value}`, never: "ttl=never" }[choice];
  const condition = isNew ? { "If-None-Match": "*" } : { "If-Match": opened.etag };
  await attempt(async () => {
    // Its own bytes, if only its deadline is to change: what is shown of JSON is indented.
    const body = isAsItWas ? await (await ask("GET", withQuery(key.path, "peek=true"))).blob() : value;
    await ask("PUT", ttl === null ? key.path : withQuery(key.path, ttl), { headers: { "Content-Type": type, ...condition }, body });
    beginSearch();
    await openEntryAgain(key, isNew ? "Created." : "Saved.");
  });
}

async function openEntryAgain(key, text) {
  byId("entry").close();
  await openEntry(key);
  if (byId("entry-note").textContent === "") note(text, "good");
}

async function remove() {
  const { key, etag } = opened;
  if (!(await confirmed("Delete the entry?", `It will be gone for everybody: ${key.text}`, "Delete"))) return;
  await attempt(async () => {
    await ask("DELETE", key.path, { headers: { "If-Match": etag } });
    byId("entry").close();
    beginSearch();
  });
}

async function download() {
  const { key } = opened;
  await attempt(async () => {
    const url = URL.createObjectURL(await (await ask("GET", withQuery(key.path, "peek=true"))).blob());
    element("a", { href: url, download: key.text.replaceAll(/[^\w.-]+/g, "_") || "value" }).click();
    URL.revokeObjectURL(url);
  });
}

function beginEditing() {
  byId("entry-form").addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  byId("entry-close").addEventListener("click", () => byId("entry").close());
  byId("entry-delete").addEventListener("click", remove);
  byId("entry-download").addEventListener("click", download);
  byId("entry-ttl").addEventListener("change", () => {
    byId("entry-seconds-label").hidden = byId("entry-ttl").value !== "after";
  });
  byId("confirm-no").addEventListener("click", () => byId("confirm").close("no"));
  byId("confirm-yes").addEventListener("click", () => byId("confirm").close("yes"));
}
