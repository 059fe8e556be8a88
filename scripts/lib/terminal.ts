// What the programs of this project print with: a progress line, tables, and numbers a person can read. It knows nothing of
// caches; the acceptance test, the demo and the benches all use it.

import type { WriteStream } from "node:tty";

/** A long part's progress: one line that redraws itself on a terminal, a plain line now and then elsewhere (logs, CI). */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #stream: NodeJS.WriteStream | WriteStream;
  readonly #began = performance.now();
  #drawnAt = 0;
  #tenths = 0;
  #drawn = false;

  constructor(label: string, total: number, stream: NodeJS.WriteStream | WriteStream = process.stdout) {
    this.#label = label;
    this.#total = total;
    this.#stream = stream;
  }

  /** Cheap enough to be called for every item: it draws ten times a second on a terminal, and ten times in all elsewhere. */
  update(done: number, note = ""): void {
    if (this.#stream.isTTY) {
      const now = performance.now();
      if (now - this.#drawnAt < 100 && done < this.#total) return;
      this.#drawnAt = now;
      this.#drawn = true;
      // A terminal that does not know its size says 0.
      const width = Math.max(20, this.#stream.columns || 80);
      const text = ` ${percent(done, this.#total)} ${this.#label} ${count(done)}/${count(this.#total)} ${note}`;
      const room = Math.max(10, Math.min(30, width - text.length - 3));
      const filled = Math.round((room * Math.min(done, this.#total)) / Math.max(1, this.#total));
      const bar = `${"█".repeat(filled)}${"░".repeat(room - filled)}`;
      this.#stream.write(`\r\x1b[K${`${bar}${text}`.slice(0, width - 1)}`);
      return;
    }
    const tenths = Math.floor((10 * done) / Math.max(1, this.#total));
    // A part that is over at once needs no lines; one that takes long gets one for every tenth.
    if (tenths <= this.#tenths || performance.now() - this.#began < 2000) return;
    this.#tenths = tenths;
    this.#stream.write(`    ${this.#label}: ${percent(done, this.#total)} ${note}\n`);
  }

  /** Wipes the line on a terminal, so that results begin at its start. */
  end(): void {
    if (this.#drawn) this.#stream.write("\r\x1b[K");
  }
}

function percent(done: number, total: number): string {
  return `${Math.floor((100 * done) / Math.max(1, total))} %`.padStart(5);
}

/** A number for people: 1234567 → "1.23 M", 45678 → "45.7 k". */
export function count(value: number): string {
  if (value >= 1e6) return `${digits(value / 1e6)} M`;
  if (value >= 1e4) return `${digits(value / 1e3)} k`;
  return Number.isInteger(value) ? String(value) : digits(value);
}

/** Bytes for people, in binary units: 1536 → "1.5 KiB". */
export function bytes(value: number): string {
  const sign = value < 0 ? "-" : "";
  let size = Math.abs(value);
  for (const unit of ["B", "KiB", "MiB"]) {
    if (size < 1024) return `${sign}${unit === "B" ? Math.round(size) : digits(size)} ${unit}`;
    size /= 1024;
  }
  return `${sign}${digits(size)} GiB`;
}

/** Milliseconds for people: 0.0421 → "42 µs", 12345 → "12.3 s". */
export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${digits(milliseconds / 1000)} s`;
  if (milliseconds >= 1) return `${digits(milliseconds)} ms`;
  return `${digits(milliseconds * 1000)} µs`;
}

/** Three significant digits, and no exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** A Markdown table, padded so that it can be read as plain text too. The first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], indent = ""): string {
  const widths = head.map((title, column) =>
    Math.max(3, ...[title, ...rows.map((row) => row[column] ?? "")].map(width)),
  );
  const line = (cells: readonly string[]) =>
    `${indent}| ${widths.map((size, column) => pad(cells[column] ?? "", size, column > 0)).join(" | ")} |`;
  const rule = `${indent}|${widths.map((size, column) => (column > 0 ? `${"-".repeat(size + 1)}:` : "-".repeat(size + 2))).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Characters, not UTF-16 units. Every character that we print is one column wide. */
function width(text: string): number {
  return [...text].length;
}

function pad(text: string, size: number, right: boolean): string {
  const space = " ".repeat(size - width(text));
  return right ? `${space}${text}` : `${text}${space}`;
}
