// What each factor weighs: the share it had before any result, and the learned one.

import { byId, el, keyed, setText, svg } from "./dom.js";
import { factorClass, factorNames } from "./factors.js";
import { percent } from "./format.js";

const WIDTH = 200;
const HEIGHT = 16;

export function renderWeights(status) {
  const weights = status.weights ?? {};
  const names = factorNames(weights);
  const most = Math.max(0.5, ...names.map((name) => weights[name].high ?? 0));
  keyed(
    byId("weights"),
    names,
    (name) => name,
    row,
    (element, name) => update(element, name, weights[name], most),
  );
  byId("weights-none").hidden = names.length > 0;
  byId("weights").closest("table").hidden = names.length === 0;
  byId("weights-hint").hidden = names.length === 0;
}

function row(name) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("span", { class: `swatch ${factorClass(name)}` }), name),
    el("td", { class: "number" }),
    el("td", { class: "number strong" }),
    el("td", { class: "number interval" }),
    el("td", { class: "track" }),
  );
}

function update(element, name, { prior, learned, low, high }, most) {
  const [, before, now, interval, track] = element.cells;
  setText(before, percent(prior));
  setText(now, percent(learned));
  setText(interval, `${percent(low)} to ${percent(high)}`);
  const drawn = [prior, learned, low, high, most].map((v) => v?.toFixed(3)).join();
  if (track.dataset.drawn === drawn) return;
  track.dataset.drawn = drawn;
  track.replaceChildren(drawing(name, { prior, learned, low, high }, most));
}

function drawing(name, { prior, learned, low, high }, most) {
  const x = (share) => 4 + (Math.min(Math.max(share, 0), most) / most) * (WIDTH - 8);
  const middle = HEIGHT / 2;
  return svg(
    "svg",
    { class: "weight", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    svg("line", { class: "rail", x1: x(0), x2: x(most), y1: middle, y2: middle }),
    svg("line", {
      class: `span ${factorClass(name)}`,
      ...{ x1: x(low), x2: x(high), y1: middle, y2: middle },
    }),
    svg("line", { class: "prior", x1: x(prior), x2: x(prior), y1: 1, y2: HEIGHT - 1 }),
    svg("circle", { class: factorClass(name), cx: x(learned), cy: middle, r: 4 }),
  );
}
