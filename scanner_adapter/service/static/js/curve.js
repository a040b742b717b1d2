// The recall curve: high-value results found against symbols scanned, beside what a random order
// would have found, and the estimated total with its interval.

import { byId, el, setText, svg } from "./dom.js";
import { count, isNumber, percent, whole } from "./format.js";

const HEIGHT = 290;
const MARGIN = { top: 26, right: 16, bottom: 40, left: 46 };
const TABLE_ROWS = 10;

/**
 * Return what the curve shows, in numbers of symbols and results.
 *
 * @returns points [[scanned, found], ...], and `total`, `low`, `high`: the estimated number of
 *   high-value results in the whole universe; known once all is scanned, null before there is an
 *   estimate
 */
export function curveData(status) {
  const points = status.curve.filter(([x, y]) => isNumber(x) && isNumber(y));
  if (points.length === 0 || points[0][0] > 0) points.unshift([0, 0]);
  const last = [status.n_scanned, status.n_hits];
  // The curve is thinned; its end is always the newest number.
  if (isNumber(last[1]) && last[0] > points.at(-1)[0]) points.push(last);
  const estimate = status.estimate;
  if (status.n_scanned >= status.n_symbols && isNumber(last[1])) {
    return { points, total: last[1], low: last[1], high: last[1] };
  }
  if (estimate === null) return { points, total: null, low: null, high: null };
  const found = estimate.hits_found;
  return {
    points,
    total: found + estimate.hits_remaining,
    low: found + Math.min(estimate.remaining_low, estimate.hits_remaining),
    high: found + Math.max(estimate.remaining_high, estimate.hits_remaining),
  };
}

/** Say in words what the curve shows. */
export function curveText(status) {
  const { points, total, low, high } = curveData(status);
  const start = `${count(status.n_hits)} found after ${whole(status.n_scanned)} symbols`;
  if (total === null) {
    return isNumber(status.n_hits)
      ? `${start}; no estimate of the total yet.`
      : `${whole(status.n_scanned)} symbols scanned; nothing judges the results in this mode.`;
  }
  if (status.n_scanned >= status.n_symbols) {
    const [half] = points.find(([, hits]) => hits >= total / 2);
    return (
      `${start}, half of them within the first ${whole(half)} ` +
      `(${percent(half / status.n_symbols)}); a random order needs 50% for that.`
    );
  }
  const random = atRandom(total, status.n_scanned, status.n_symbols);
  return (
    `${start}, where a random order would have found about ${count(Math.round(random))}. ` +
    `Estimated total ${count(Math.round(total))} ` +
    `(${percent(status.estimate.confidence)}: ${whole(low)} to ${whole(high)}).`
  );
}

/** Return about `n` round numbers from 0 up to `end`, the last one at or above it. */
export function ticks(end, n) {
  if (!(end > 0)) return [0, 1];
  const rough = end / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].find((m) => m * power >= rough) * power, 1);
  const steps = Math.ceil(end / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, i) => i * step);
}

/** Return how much of the total a random order has found after `scanned` symbols. */
function atRandom(total, scanned, nSymbols) {
  return (total * scanned) / nSymbols;
}

function found(points, scanned) {
  let value = 0;
  for (const [x, y] of points) {
    if (x > scanned) break;
    value = y;
  }
  return value;
}

export class Curve {
  constructor(figure, tableBody) {
    this.figure = figure;
    this.tableBody = tableBody;
    this.readout = el("p", { class: "readout", "aria-hidden": "true" });
    this.chart = svg("svg", { class: "curve", role: "img", "aria-labelledby": "curve-summary" });
    this.figure.prepend(this.chart, this.readout);
    this.status = null;
    this.chart.addEventListener("pointermove", (event) => this.#point(event));
    this.chart.addEventListener("pointerleave", () => this.#unpoint());
    new ResizeObserver(() => this.status && this.render(this.status)).observe(figure);
  }

  render(status) {
    this.status = status;
    const width = Math.max(this.figure.clientWidth, 240);
    const data = curveData(status);
    const n = Math.max(status.n_symbols, 1);
    const highest = Math.max(data.high ?? 0, data.points.at(-1)[1], 1);
    const yTicks = ticks(highest, 4);
    const top = yTicks.at(-1);
    const x = (v) => MARGIN.left + (v / n) * (width - MARGIN.left - MARGIN.right);
    const y = (v) => HEIGHT - MARGIN.bottom - (v / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    this.scale = { x, y, n, top, width, data };

    const parts = [...axes(this.scale, yTicks)];
    if (data.total !== null) parts.push(...expected(this.scale, status));
    parts.push(...line(this.scale));
    this.cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: y(0), visibility: "hidden" });
    parts.push(this.cursor);
    this.chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.chart.setAttribute("height", HEIGHT);
    this.chart.replaceChildren(...parts);
    this.#table(data, n);
    setText(byId("curve-summary"), curveText(status));
    byId("total-legend").hidden = data.total === null || status.n_scanned >= n;
    byId("random-legend").hidden = data.total === null;
  }

  #table(data, n) {
    const last = data.points.at(-1)[0];
    const step = Math.max(1, Math.ceil(data.points.length / TABLE_ROWS));
    const chosen = data.points.filter(([x], i) => x > 0 && (i % step === 0 || x === last));
    const rows = chosen.map(([scanned, hits]) =>
      el(
        "tr",
        {},
        el("th", { scope: "row", class: "number" }, whole(scanned)),
        el("td", { class: "number" }, count(hits)),
        el(
          "td",
          { class: "number" },
          data.total === null ? "–" : count(atRandom(data.total, scanned, n)),
        ),
      ),
    );
    this.tableBody.replaceChildren(...rows);
  }

  #point(event) {
    if (this.status === null) return;
    const { x, n, data, width } = this.scale;
    const box = this.chart.getBoundingClientRect();
    const share = ((event.clientX - box.left) * (width / box.width) - MARGIN.left) / (x(n) - x(0));
    const scanned = Math.round(Math.min(Math.max(share, 0), 1) * n);
    const isAhead = scanned > data.points.at(-1)[0];
    const random = data.total === null ? null : atRandom(data.total, scanned, n);
    const parts = [
      `${whole(scanned)} scanned (${percent(scanned / n)})`,
      isAhead ? null : `${count(found(data.points, scanned))} found`,
      random === null ? null : `random about ${count(random)}`,
    ];
    setText(this.readout, parts.filter(Boolean).join(" · "));
    this.cursor.setAttribute("x1", x(scanned));
    this.cursor.setAttribute("x2", x(scanned));
    this.cursor.setAttribute("visibility", "visible");
  }

  #unpoint() {
    setText(this.readout, "");
    this.cursor?.setAttribute("visibility", "hidden");
  }
}

function* axes({ x, y, n, width }, yTicks) {
  for (const value of yTicks) {
    yield svg("line", { class: "grid", x1: x(0), x2: x(n), y1: y(value), y2: y(value) });
    yield text(x(0) - 8, y(value) + 4, count(value), "end");
  }
  const space = (x(n) - x(0)) / n;
  const xTicks = ticks(n, width < 480 ? 3 : 6).filter((value) => (n - value) * space > 48);
  for (const value of [...xTicks, n]) {
    yield svg("line", { class: "tick", x1: x(value), x2: x(value), y1: y(0), y2: y(0) + 4 });
    yield text(x(value), y(0) + 17, whole(value), value === n ? "end" : "middle");
  }
  yield text((x(0) + x(n)) / 2, HEIGHT - 4, "symbols scanned", "middle", "axis-title");
  yield text(4, 10, "high-value results found", "start", "axis-title");
}

// The random order's line with its interval, and where the estimate says the curve will end.
function* expected({ x, y, n, data, width }, status) {
  const from = Math.min(status.n_scanned, n);
  const wedge = `M${x(0)},${y(0)} L${x(n)},${y(data.high)} L${x(n)},${y(data.low)} Z`;
  yield svg("path", { class: "random-band", d: wedge });
  yield svg("line", { class: "random", x1: x(0), y1: y(0), x2: x(n), y2: y(data.total) });
  if (from < n) {
    const height = Math.max(y(data.low) - y(data.high), 1);
    yield svg("rect", {
      class: "total-band",
      ...{ x: x(from), y: y(data.high), width: x(n) - x(from), height },
    });
    yield svg("line", {
      class: "total",
      ...{ x1: x(from), x2: x(n), y1: y(data.total), y2: y(data.total) },
    });
  }
  if (from < n) {
    const hasRoom = from < 0.7 * n;
    yield text(
      hasRoom ? x(from) + 6 : x(n) - 4,
      y(data.total) - 5,
      `about ${count(Math.round(data.total))} in all`,
      hasRoom ? "start" : "end",
      "label-total",
    );
  }
  // The label stands below its line, where there is room for it.
  const at = width < 480 ? 0.72 : 0.62;
  yield text(x(at * n) + 8, y(at * data.total) + 22, "random order", "start", "label-random");
}

function* line({ x, y, data }) {
  const path = data.points.map(([a, b], i) => `${i ? "L" : "M"}${x(a)},${y(b)}`).join(" ");
  const [a, b] = data.points.at(-1);
  yield svg("path", { class: "found-area", d: `${path} L${x(a)},${y(0)} Z` });
  yield svg("path", { class: "found", d: path });
  yield svg("circle", { class: "found-end", cx: x(a), cy: y(b), r: 4 });
}

function text(x, y, words, anchor, kind = "tick-label") {
  return svg("text", { x, y, "text-anchor": anchor, class: kind }, words);
}
