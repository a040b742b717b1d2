// The newest high-value results, newest on top.

import { byId, el, keyed, setText } from "./dom.js";
import { clockWithSeconds, decimal, whole } from "./format.js";

// The scanner's note has no more either; a page open for days must not grow.
const MOST = 50;

let scanShown = null;

/** @param why called with a symbol whose row was chosen */
export function renderHits(status, why) {
  const hits = status.newest_hits.slice(0, MOST);
  const body = byId("hits");
  const isSameScan = scanShown === status.scan_id;
  const fresh = keyed(body, hits, (hit) => hit.symbol, () => row(why), update);
  // Only what arrives while one looks is marked as new.
  if (isSameScan) for (const element of fresh) element.classList.add("fresh");
  scanShown = status.scan_id;
  byId("hits-none").hidden = hits.length > 0;
  const more = status.n_hits > hits.length ? `, ${whole(hits.length)} of ${whole(status.n_hits)}` : "";
  // Places count from 1: what was scanned after the newest hit.
  const since = hits.length > 0 ? status.n_scanned - Math.max(...hits.map(({ rank }) => rank)) : 0;
  const quiet = since > 0 ? `; ${whole(since)} scanned since the last` : "";
  setText(byId("hits-caption"), `Newest first${more}${quiet}`);
}

function row(why) {
  const button = el("button", { type: "button", class: "symbol" });
  button.addEventListener("click", () => why(button.textContent, button));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, button, el("span", { class: "random-mark", hidden: true }, "random")),
    el("td", { class: "number" }),
    el("td", { class: "signal" }),
    el("td", { class: "number" }),
    el("td", { class: "number" }),
  );
}

function update(element, hit) {
  const [, rating, signal, rank, at] = element.cells;
  setText(element.querySelector("button"), hit.symbol);
  element.querySelector(".random-mark").hidden = !hit.is_random;
  setText(rating, decimal(hit.rating));
  setText(signal, hit.signal ?? "–");
  setText(rank, whole(hit.rank));
  setText(at, clockWithSeconds(hit.at));
}
