// Which scan is shown: the newest of all rulesets, or the one that was chosen from the list. The
// choice stands in the address after the #, so that it can be kept and sent.

import { get, paths } from "./api.js";
import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { count, duration, isNumber, moment, percent, whole } from "./format.js";

const LIMIT = 20; // scans of a ruleset in the list
const MOST_RULESETS = 10; // whose older scans are in the list: each is one request

const keyOf = ({ ruleset, scan_id }) => `${ruleset}/${scan_id}`;

export class Chooser {
  /** @param onChoice called with {ruleset, scan_id} when another scan is to be shown */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.button = byId("scan-choice");
    this.dialog = byId("scans");
    this.follow = byId("follow");
    this.current = fromAddress();
    this.newest = [];
    this.follow.checked = this.current === null;
    this.button.addEventListener("click", () => this.#open());
    this.follow.addEventListener("change", () => this.follow.checked && this.refresh());
    window.addEventListener("hashchange", () => {
      const asked = fromAddress();
      if (asked === null || (this.current && keyOf(asked) === keyOf(this.current))) return;
      this.follow.checked = false;
      this.#choose(asked);
    });
  }

  /** Ask for the scans again; return whether there is one to show. Throws an ApiError. */
  async refresh() {
    const { rulesets } = await get(paths.rulesets);
    this.newest = rulesets
      .filter((ruleset) => ruleset.newest_scan !== null)
      .map(({ name, newest_scan }) => ({ ruleset: name, ...newest_scan }))
      .sort((a, b) => b.started_at - a.started_at);
    if (this.current && !this.newest.some(({ ruleset }) => ruleset === this.current.ruleset)) {
      this.forget();
    }
    if (this.newest.length === 0) return false;
    const isFollowing = this.follow.checked || this.current === null;
    if (isFollowing && (!this.current || keyOf(this.newest[0]) !== keyOf(this.current))) {
      this.#choose({ ruleset: this.newest[0].ruleset, scan_id: this.newest[0].scan_id });
    }
    setText(this.button, `${this.current.ruleset}, ${this.current.scan_id.slice(0, 12)}`);
    if (this.dialog.open) await this.#fill();
    return true;
  }

  /** Forget a scan that the service does not know any more. */
  forget() {
    this.current = null;
    this.follow.checked = true;
    history.replaceState(null, "", location.pathname);
  }

  #choose(scan) {
    this.current = scan;
    // The newest needs no address of its own: whoever opens the page again follows it again.
    const hash = this.follow.checked ? "" : `#${keyOf(scan)}`;
    history.replaceState(null, "", location.pathname + hash);
    this.onChoice(scan);
  }

  async #open() {
    this.dialog.showModal();
    setText(byId("scans-hint"), "Loading.");
    try {
      await this.#fill();
    } catch (error) {
      setText(byId("scans-hint"), error.message);
    }
  }

  async #fill() {
    const lists = await Promise.all(
      this.newest.slice(0, MOST_RULESETS).map(async ({ ruleset }) => {
        const { scans } = await get(paths.scans(ruleset, LIMIT));
        return scans.map((scan) => ({ ruleset, ...scan }));
      }),
    );
    const scans = [...lists.flat(), ...this.newest.slice(MOST_RULESETS)].sort(
      (a, b) => b.started_at - a.started_at,
    );
    setText(byId("scans-hint"), `${whole(scans.length)} scans, the newest first.`);
    keyed(byId("scan-list"), scans, keyOf, (scan) => this.#row(scan), (row, scan) => {
      const cells = figures(scan);
      for (const [place, text] of cells.entries()) setText(row.cells[place + 1], text);
      const isCurrent = this.current !== null && keyOf(scan) === keyOf(this.current);
      setAttribute(row, "aria-current", isCurrent ? "true" : null);
    });
  }

  #row(scan) {
    const choose = () => {
      this.follow.checked = false;
      this.dialog.close();
      this.#choose({ ruleset: scan.ruleset, scan_id: scan.scan_id });
      setText(this.button, `${scan.ruleset}, ${scan.scan_id.slice(0, 12)}`);
    };
    const label = `${scan.ruleset}, ${moment(scan.started_at)}`;
    const number = () => el("td", { class: "number" });
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("button", { class: "symbol", type: "button", onclick: choose }, label),
        " ",
        el("span", { class: "note" }, scan.scan_id.slice(0, 12)),
      ),
      el("td", {}),
      number(),
      number(),
      number(),
      el("td", { class: "number took" }),
    );
  }
}

/** State, share scanned, high-value found, recall, duration: as the list shows them. */
export function figures(scan) {
  const state = scan.is_closed ? (scan.stopped ? "stopped" : "finished") : "running";
  const mode = scan.mode === "on" || !scan.mode ? "" : `, ${scan.mode}`;
  const isWhole = scan.n_symbols !== null && scan.n_scanned >= scan.n_symbols;
  return [
    state + mode,
    scan.n_symbols ? percent(scan.n_scanned / scan.n_symbols) : whole(scan.n_scanned),
    count(scan.n_hits),
    isWhole ? percent(1) : percent(scan.recall),
    isNumber(scan.updated_at) ? duration(scan.updated_at - scan.started_at) : "–",
  ];
}

// Names have none of the characters that an address would escape.
const ADDRESS = /^#([A-Za-z0-9._-]+)\/([A-Za-z0-9._-]+)$/;

function fromAddress() {
  const match = ADDRESS.exec(location.hash);
  return match && { ruleset: match[1], scan_id: match[2] };
}
