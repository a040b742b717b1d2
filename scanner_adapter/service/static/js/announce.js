// What a screen reader says of new results: one sentence at a time, not each single one.

import { byId } from "./dom.js";
import { count, percent } from "./format.js";
import { stopText } from "./progress.js";

const EVERY_MS = 10_000;
const MOST_NAMES = 3;

export class Announcer {
  constructor() {
    this.scan = null;
    this.isClosed = false;
    this.known = new Set();
    this.fresh = [];
    this.timer = null;
  }

  /** Take note of the state; new results are said within ten seconds, the end at once. */
  announce({ status, isClosed }) {
    const symbols = status.newest_hits.map((hit) => hit.symbol);
    if (this.scan === status.scan_id) {
      this.fresh.unshift(...symbols.filter((symbol) => !this.known.has(symbol)));
    } else {
      this.scan = status.scan_id;
      this.fresh = [];
      this.isClosed = isClosed; // one that had ended before is no news
    }
    this.known = new Set(symbols);
    this.status = status;
    if (isClosed && !this.isClosed) {
      this.isClosed = true;
      this.fresh = [];
      byId("announcements").textContent = stopText(status, true);
    } else if (this.fresh.length > 0) this.timer ??= setTimeout(() => this.#say(), EVERY_MS);
  }

  #say() {
    this.timer = null;
    const n = this.fresh.length;
    if (n === 0) return;
    const names = this.fresh.slice(0, MOST_NAMES).join(", ") + (n > MOST_NAMES ? " and more" : "");
    const recall = this.status.estimate ? `, recall ${percent(this.status.estimate.recall)}` : "";
    byId("announcements").textContent =
      `${n} new high-value ${n === 1 ? "result" : "results"}: ${names}. ` +
      `${count(this.status.n_hits)} found${recall}.`;
    this.fresh = [];
  }
}
