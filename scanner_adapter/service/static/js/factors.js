// The four factors in their order, and how a sum of their contributions is drawn and said.

import { svg } from "./dom.js";
import { isNumber, signed } from "./format.js";

const ORDER = ["historical", "market", "fundamental", "technical"];

/** Return the names of `byFactor`, the known factors first, in their order. */
export function factorNames(byFactor) {
  const known = ORDER.filter((name) => name in byFactor);
  return [...known, ...Object.keys(byFactor).filter((name) => !ORDER.includes(name)).sort()];
}

/** Return the CSS class that gives a factor its colour. */
export function factorClass(name) {
  return ORDER.includes(name) ? `factor-${name}` : "factor-other";
}

/**
 * Return what speaks for a symbol, strongest first.
 *
 * @param reasons {factor: {prior, learned}}, in log odds
 * @returns [{name, value}] and today's pattern
 */
export function parts({ reasons, today }) {
  const all = factorNames(reasons ?? {}).map((name) => ({ name, value: reasons[name].learned }));
  all.push({ name: "today", value: today });
  return all
    .filter(({ value }) => isNumber(value) && Math.abs(value) >= 0.005)
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
}

/** Say the strongest `n` of them. */
export function sentence(all, n = 3) {
  return all.slice(0, n).map(({ name, value }) => `${name} ${signed(value, 1)}`).join(", ") || "–";
}

const WIDTH = 100;
const HEIGHT = 10;

/**
 * Draw contributions side by side from a zero line: what speaks for it to the right, what speaks
 * against it to the left.
 *
 * @param scale {against, for}: log odds that the bar has room for on each side
 */
export function bar(all, scale) {
  const unit = WIDTH / (scale.against + scale.for);
  const zero = scale.against * unit;
  const edge = { right: zero, left: zero };
  const shapes = all.map(({ name, value }) => {
    const width = Math.abs(value) * unit;
    const x = value > 0 ? edge.right : edge.left - width;
    if (value > 0) edge.right += width;
    else edge.left -= width;
    return svg("rect", { class: factorClass(name), x, y: 1, width, height: HEIGHT - 2 });
  });
  return svg(
    "svg",
    {
      class: "bar",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    ...shapes,
    svg("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: HEIGHT }),
  );
}

/** Return the scale that has room for every one of these bars, so that they can be compared. */
export function scaleOf(lists) {
  const largest = (sign) =>
    Math.max(
      0.1,
      ...lists.map((all) => all.reduce((sum, { value }) => sum + Math.max(sign * value, 0), 0)),
    );
  return { against: largest(-1), for: largest(1) };
}
