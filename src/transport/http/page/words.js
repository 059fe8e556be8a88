// How figures, times and keys are written, and how elements are made. No text is ever taken for HTML.

/** An element with properties, attributes (those with a dash, and `role`) and children. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (property.includes("-") || property === "role" || property === "scope") made.setAttribute(property, value);
    else made[property] = value;
  }
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);

/** Three digits that count, with a unit in front of which there is a space. */
function digits(value) {
  if (value === 0) return "0";
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return value.toFixed(2).replace(/\.?0+$/, "");
}

function scaled(value, step, units) {
  let unit = 0;
  // 999.6 would be written as 1000.
  while (value >= step - 0.5 && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${digits(value)}${units[unit]}`;
}

const count = (value) => scaled(value, 1000, ["", " k", " M", " G"]);
const size = (bytes) => (bytes < 1024 ? `${Math.round(bytes)} B` : scaled(bytes, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]));
const micros = (value) => scaled(value, 1000, [" µs", " ms", " s"]);
const percent = (share) => `${(share * 100).toFixed(1).replace(/\.0$/, "")} %`;

/** Seconds, by the two units that matter. */
function lasting(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first === -1) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}

const clock = (millis) => new Date(millis).toLocaleTimeString();

/** A page of keys knows the value tag alone; 6 stands for media types of the user's. */
function typeOf({ type, tag }) {
  return tag === 6 && type.endsWith(".tag-6") ? "another" : type.replace("; charset=utf-8", "");
}

/** What a key is called: as text for people, and as a path. Bytes that are not text are shown as \xff. */
function keyOf({ key, key_base64: base64 }) {
  if (base64 === undefined) return { text: key, path: pathOf(new TextEncoder().encode(key)) };
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const hex = (byte) => byte.toString(16).padStart(2, "0");
  const shown = (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${hex(byte)}`);
  return { text: Array.from(bytes, shown).join(""), path: pathOf(bytes) };
}

/** A browser takes `.` and `..` for directories, however they are written: those two are named by the query. */
function pathOf(bytes) {
  const dots = String.fromCharCode(...bytes.subarray(0, 3));
  if (dots === "." || dots === "..") return `/v1/entries/?key=${dots}`;
  const escaped = (byte) => `%${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  const plain = (byte) => /[A-Za-z0-9_~-]/.test(String.fromCharCode(byte));
  return `/v1/entries/${Array.from(bytes, (byte) => (plain(byte) ? String.fromCharCode(byte) : escaped(byte))).join("")}`;
}

/** With one parameter more. */
const withQuery = (path, parameter) => `${path}${path.includes("?") ? "&" : "?"}${parameter}`;

/** JSON with line breaks, digit by digit as it was: parsing would lose those of long numbers. */
function indented(json) {
  let text = "";
  let depth = 0;
  const parts = json.match(/"(?:[^"\\]|\\.)*"|[^\s"[\]{},:]+|[[\]{},:]/gs) ?? [];
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [at, part] of parts.entries()) {
    const isEmpty = /^[[{]$/.test(parts[at - 1] ?? "") && /^[\]}]$/.test(part);
    if (/^[\]}]$/.test(part)) depth -= 1;
    if (/^[\]}]$/.test(part) && !isEmpty) text += line();
    text += part === ":" ? ": " : part;
    if (/^[[{]$/.test(part)) depth += 1;
    const closesAtOnce = /^[[{]$/.test(part) && /^[\]}]$/.test(parts[at + 1] ?? "");
    if (part === "," || (/^[[{]$/.test(part) && !closesAtOnce)) text += line();
  }
  return text;
}
