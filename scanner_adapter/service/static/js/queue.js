// What waits, best first, with what speaks for it; pin and exclude.

import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { bar, parts, scaleOf, sentence } from "./factors.js";
import { decimal, percent } from "./format.js";

// Thousands may be excluded by a program; the page shows the first ones.
const MOST_EXCLUDED = 100;

// After so long without a move a pointer or focus that rests in the list holds it no more.
const HOLD_MS = 20_000;

/**
 * The table keeps its order while somebody is at work in it: a row must not move away under the
 * finger that presses its button.
 */
export class Queue {
  /** @param on callbacks: `why(symbol)`, `change(what, symbol, isOn)` */
  constructor(on) {
    this.on = on;
    this.body = byId("queue");
    this.scan = null;
    this.held = null; // the rows of the moment when the holding began, as last known
    this.state = null;
    const panel = this.body.closest("table");
    this.isPointed = false;
    this.movedAt = -Infinity;
    panel.addEventListener("pointerenter", (event) => this.#point(event.pointerType === "mouse"));
    panel.addEventListener("pointerleave", () => this.#point(false));
    panel.addEventListener("focusout", () => setTimeout(() => this.#again()));
    for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      panel.addEventListener(type, () => this.#moved());
    }
  }

  #point(isPointed) {
    this.isPointed = isPointed;
    this.#moved();
  }

  #moved() {
    this.movedAt = performance.now();
    if (this.held === null || !this.isPointed) this.#again();
  }

  #again() {
    if (this.state !== null) this.render(this.state);
  }

  #isHeld() {
    const isInside = this.isPointed || this.body.contains(document.activeElement);
    return isInside && performance.now() - this.movedAt < HOLD_MS;
  }

  render(state) {
    this.state = state;
    // The scanner draws its queue up less often than it counts results.
    const found = new Set(state.status.newest_hits.map((hit) => hit.symbol));
    const next = state.status.next.filter(({ symbol }) => !found.has(symbol));
    const isHeld = this.#isHeld();
    if (!isHeld || this.scan !== state.status.scan_id) this.held = null;
    this.scan = state.status.scan_id;
    if (isHeld) this.held ??= next;
    const shown = this.held === null ? next : this.#inHeldOrder(next);
    const sums = shown.map(parts);
    const scale = scaleOf(sums);
    keyed(
      this.body,
      shown.map((waiting, i) => ({ waiting, sum: sums[i] })),
      ({ waiting }) => waiting.symbol,
      ({ waiting }) => this.#row(waiting.symbol),
      (row, { waiting, sum }) => this.#update(row, waiting, sum, scale),
    );
    byId("queue-none").hidden = shown.length > 0;
    this.body.closest("table").hidden = shown.length === 0;
    setText(
      byId("queue-hint"),
      this.held === null ? "" : "The order is frozen while you are in the list.",
    );
    this.#renderExcluded();
  }

  // A symbol that was handed out meanwhile stays in its place, greyed, with what was last known.
  #inHeldOrder(next) {
    const now = new Map(next.map((waiting) => [waiting.symbol, waiting]));
    this.held = this.held.map((was) => now.get(was.symbol) ?? { ...was, isGone: true });
    return this.held;
  }

  #row(symbol) {
    const toggle = (what, label) =>
      el(
        "button",
        {
          type: "button",
          class: `toggle ${what}`,
          "aria-label": `${label} ${symbol}`,
          onclick: (event) => this.#press(event.currentTarget, what, symbol),
        },
        label,
      );
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("button", { type: "button", class: "symbol", onclick: () => this.on.why(symbol) }, symbol),
        " ",
        el("span", { class: "tier-mark" }),
      ),
      el("td", { class: "number" }),
      el("td", { class: "reasons" }, el("span", { class: "bar-place" }), el("span", { class: "words" })),
      el("td", { class: "actions" }, toggle("pin", "Pin"), toggle("exclude", "Exclude")),
    );
  }

  #update(row, waiting, sum, scale) {
    const chance = row.cells[1];
    const tier = row.querySelector(".tier-mark");
    row.classList.toggle("gone", waiting.isGone === true);
    const isExcluded = this.state.control.exclude.includes(waiting.symbol);
    const gone = isExcluded ? "excluded" : "handed out";
    setText(tier, waiting.isGone ? gone : waiting.tier);
    setAttribute(tier, "data-tier", waiting.isGone ? "" : waiting.tier);
    setAttribute(tier, "title", `priority score ${decimal(waiting.score, 1)}`);
    setText(chance, percent(waiting.probability));
    const words = sentence(sum);
    const drawn = `${words} ${scale.against} ${scale.for}`;
    if (row.dataset.drawn !== drawn) {
      row.dataset.drawn = drawn;
      row.querySelector(".bar-place").replaceChildren(bar(sum, scale));
      setText(row.querySelector(".words"), words);
    }
    for (const button of row.querySelectorAll(".toggle")) {
      const isPin = button.classList.contains("pin");
      const { pin: pinned, exclude: excluded } = this.state.control;
      const isOn = (isPin ? pinned : excluded).includes(waiting.symbol);
      setAttribute(button, "aria-pressed", String(isOn));
      // Not `disabled`: that would take the focus away from who is on it.
      setAttribute(button, "aria-disabled", String(waiting.isGone === true || this.state.isClosed));
    }
  }

  #press(button, what, symbol) {
    if (button.getAttribute("aria-disabled") === "true") return;
    this.on.change(what, symbol, button.getAttribute("aria-pressed") !== "true");
  }

  #renderExcluded() {
    const { control, isClosed } = this.state;
    const symbols = control.exclude.slice(0, MOST_EXCLUDED);
    byId("excluded").hidden = symbols.length === 0;
    const more = control.exclude.length - symbols.length;
    setText(byId("excluded-title"), more > 0 ? `Excluded, and ${more} more` : "Excluded");
    keyed(
      byId("excluded-list"),
      symbols,
      (symbol) => symbol,
      (symbol) =>
        el(
          "li",
          {},
          symbol,
          " ",
          el(
            "button",
            {
              type: "button",
              "aria-label": `Include ${symbol} again`,
              onclick: () => this.on.change("exclude", symbol, false),
            },
            "Include",
          ),
        ),
      (item) => setAttribute(item.querySelector("button"), "disabled", isClosed ? "" : null),
    );
  }
}
