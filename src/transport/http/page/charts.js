// A chart of the last ten minutes: lines from samples, drawn as SVG. What is shown of a sample is told by whoever makes the chart.

const SPAN_MS = 600_000;
/** Samples further apart have a gap between them: the page, or the daemon, was away. */
const GAP_MS = 3500;
const HEIGHT = 115;
const TOP = 6;
const BOTTOM = 16;
/** Room for the numbers of the axis, on the left. */
const LEFT = 46;

/** The next number above that is short, as its half is: of bytes, in the unit that they are shown in. */
function roundUp(value, isBytes) {
  const unit = isBytes ? 1024 ** Math.max(0, Math.floor(Math.log2(Math.max(value, 1)) / 10)) : 1;
  if (value <= 0) return isBytes ? 1024 : 2;
  const power = 10 ** Math.floor(Math.log10(value / unit));
  const step = [1, 2, 4, 6, 8].find((step) => step * power * unit >= value * 0.9999);
  return (step ?? 10) * power * unit;
}

class Chart {
  /**
   * `series`: `{name, colour, of(sample)}`, where `of` is null when there is nothing to tell. `write`: a value in words.
   * `headline(sample)` is `[text, small text]`. `plain`: figures without a line. `most`: the end of the axis, else that of the data.
   * `limit(sample)`: a line across, if above 0. `isLog`: by factors of ten. `isBytes`: by those of 1024.
   */
  constructor(about) {
    this.about = about;
    const id = `chart-${about.name.toLowerCase().replaceAll(" ", "-")}`;
    this.headline = element("p", { className: "headline", id: `${id}-now` }, "–");
    this.svg = drawn("svg", { role: "img", id, "aria-label": about.name });
    this.figures = [...about.series, ...(about.plain ?? [])].map((one) => ({ ...one, at: element("dd") }));
    const list = element("dl", { className: "series" });
    for (const { name, colour, at } of this.figures)
      list.append(element("div", { className: colour ?? "plain" }, element("dt", {}, name), at));
    this.card = element("article", { className: "card chart" }, element("h2", {}, about.name), this.headline, this.svg, list);
    this.width = 0;
    this.draws = null;
    new ResizeObserver(([entry]) => {
      this.width = Math.round(entry.contentRect.width);
      this.draws?.();
    }).observe(this.svg);
  }

  /** Shows `samples`, the last of which is now; the figures are those of `shown`. */
  show(samples, shown) {
    this.draws = () => this.draw(samples, shown);
    this.draw(samples, shown);
    const [text, small] = this.about.headline(shown);
    this.headline.replaceChildren(text, ...(small ? [" ", element("small", {}, small)] : []));
    for (const { at, of, write } of this.figures) {
      const value = of(shown);
      at.textContent = value === null ? "–" : (write ?? this.about.write)(value);
    }
    const figures = this.figures.map(({ name, at }) => `${name} ${at.textContent}`);
    this.svg.setAttribute("aria-label", `${this.about.name}: ${[this.headline.textContent, ...figures].join(", ")}`);
  }

  draw(samples, shown) {
    if (this.width === 0) return;
    const { series, limit, isLog } = this.about;
    const end = samples.at(-1).at;
    const x = (at) => LEFT + ((at - end + SPAN_MS) / SPAN_MS) * (this.width - LEFT - 2);
    const lines = series.map(({ of }) => samples.map(of));
    const limits = limit?.(samples.at(-1)) ?? 0;
    const { least, most, marks } = this.axis(lines, limits);
    const share = isLog
      ? (value) => Math.log(Math.max(value, least) / least) / Math.log(most / least)
      : (value) => value / most;
    const y = (value) => TOP + (1 - Math.min(1, share(value))) * (HEIGHT - TOP - BOTTOM);
    const parts = this.frame(marks, y, x, end);
    for (const [at, { colour }] of series.entries()) {
      const path = tracks(samples, lines[at], x, y);
      if (series.length === 1 && path.length > 0) {
        const area = path.map((track) => `${track.line}V${y(least)}H${track.from}Z`).join("");
        parts.push(drawn("path", { class: `area ${colour}`, d: area }));
      }
      parts.push(drawn("path", { class: `line ${colour}`, d: path.map((track) => `${track.line}h0`).join("") }));
    }
    if (limits > 0) parts.push(drawn("path", { class: "limit", d: `M${LEFT} ${y(limits)}H${this.width - 2}` }));
    if (shown !== samples.at(-1))
      parts.push(drawn("path", { class: "cross", d: `M${x(shown.at)} ${TOP}V${HEIGHT - BOTTOM}` }));
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
  }

  axis(lines, limit) {
    const values = lines.flat().filter((value) => value !== null);
    const highest = Math.max(limit, ...values);
    if (!this.about.isLog) {
      const most = limit > 0 ? highest * 1.08 : (this.about.most ?? roundUp(highest, this.about.isBytes));
      const mark = limit > 0 ? limit : most;
      return { least: 0, most, marks: [0, mark / 2, mark] };
    }
    const lowest = Math.min(...values.filter((value) => value > 0));
    const least = Number.isFinite(lowest) ? 10 ** Math.floor(Math.log10(lowest)) : 10;
    const most = Math.max(10 ** Math.ceil(Math.log10(Math.max(highest, 1))), least * 100);
    return { least, most, marks: powers(least, most) };
  }

  frame(marks, y, x, end) {
    const parts = marks.flatMap((value) => {
      const height = y(value);
      const text = this.about.write(value).replace("/s", "");
      const label = drawn("text", { x: LEFT - 6, y: height + 3.5, "text-anchor": "end" }, text);
      return [drawn("path", { class: "grid", d: `M${LEFT} ${height}H${this.width - 2}` }), label];
    });
    for (const [minutes, anchor] of [[10, "start"], [5, "middle"], [0, "end"]]) {
      const text = minutes === 0 ? "now" : `${minutes} min ago`;
      parts.push(drawn("text", { x: x(end - minutes * 60_000), y: HEIGHT - 3, "text-anchor": anchor }, text));
    }
    return parts;
  }

  /** The moment under a point of the screen, as its distance from now. */
  agoAt(clientX) {
    const box = this.svg.getBoundingClientRect();
    const share = (clientX - box.left - LEFT) / (box.width - LEFT - 2);
    return (1 - Math.min(1, Math.max(0, share))) * SPAN_MS;
  }
}

/** Every power of ten, or every other, so that five at most are written. */
function powers(least, most) {
  const decades = Math.round(Math.log10(most / least));
  const step = Math.ceil(decades / 4);
  return Array.from({ length: Math.floor(decades / step) + 1 }, (_, at) => least * 10 ** (at * step));
}

/** The unbroken parts of a line. */
function tracks(samples, values, x, y) {
  const found = [];
  let before = null;
  for (const [at, sample] of samples.entries()) {
    const value = values[at];
    if (value === null) {
      before = null;
      continue;
    }
    const point = `${x(sample.at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (before === null || sample.at - before > GAP_MS) found.push({ from: x(sample.at).toFixed(1), line: `M${point}` });
    else found.at(-1).line += `L${point}`;
    before = sample.at;
  }
  return found;
}
