// All results of a scan: find one by its name, sort and filter the table, download it.

import { get, paths } from "./api.js";
import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { clockWithSeconds, decimal, whole } from "./format.js";

const MOST_ROWS = 200; // drawn at a time
const MOST_RESULTS = 5000; // asked for: ten pages of the service
const COLUMNS = ["symbol", "rating", "is_hit", "rank", "reported_at"];

/** The results that fit, sorted; unknown values come last in either direction. Pure. */
export function arranged(results, { text, hitsOnly, column, isDescending }) {
  const wanted = text.trim().toLowerCase();
  const kept = results.filter(
    (it) => (!hitsOnly || it.is_hit) && it.symbol.toLowerCase().includes(wanted),
  );
  const sign = isDescending ? -1 : 1;
  return kept.sort((a, b) => {
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y) : Number(x) - Number(y));
  });
}

/** The symbol that was meant: one that is known in whatever case, else what was typed. */
export function meant(typed, known) {
  const wanted = typed.trim();
  return known.find((name) => name.toLowerCase() === wanted.toLowerCase()) ?? wanted;
}

export class ResultsTable {
  /** @param why called with a symbol */
  constructor(why) {
    this.why = why;
    this.scan = null;
    this.results = [];
    this.status = null;
    this.order = { column: "rank", isDescending: true };
    this.loaded = null;
    byId("find-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      await this.loaded; // names in their own case, which a person need not type
      const symbol = meant(byId("find").value, this.#names());
      if (symbol) why(symbol);
    });
    byId("find").addEventListener("focus", async () => {
      if (this.results.length !== this.status?.n_scanned) this.loaded = this.#load();
      await this.loaded;
      this.#suggest();
    });
    byId("results-all").addEventListener("toggle", () => this.#loadIfOpen());
    byId("results-again").addEventListener("click", () => this.#load());
    for (const id of ["results-filter", "results-hits"]) {
      byId(id).addEventListener("input", () => this.#draw());
    }
    for (const column of COLUMNS) {
      byId(`sort-${column}`).addEventListener("click", () => {
        const isSame = this.order.column === column;
        this.order = { column, isDescending: isSame ? !this.order.isDescending : column !== "symbol" };
        this.#draw();
      });
    }
  }

  /** Show the results of this scan from now on; asks for them when the table is open. */
  render({ scan, status }) {
    this.status = status;
    if (this.scan?.scan_id === scan.scan_id && this.scan.ruleset === scan.ruleset) return;
    this.scan = { ruleset: scan.ruleset, scan_id: scan.scan_id };
    this.results = [];
    setAttribute(byId("results-csv"), "href", paths.csv(this.scan));
    setAttribute(byId("results-csv"), "download", `${scan.ruleset}-${scan.scan_id}.csv`);
    this.#loadIfOpen();
  }

  #loadIfOpen() {
    if (byId("results-all").open) this.#load();
  }

  async #load() {
    if (this.scan === null) return;
    const { scan } = this;
    const found = [];
    let after = null;
    try {
      do {
        const page = await get(paths.results(scan, after));
        found.push(...page.results);
        after = page.next;
      } while (after !== null && found.length < MOST_RESULTS);
    } catch (error) {
      setText(byId("results-hint"), error.message);
      return;
    }
    if (this.scan !== scan) return; // another scan was chosen meanwhile
    this.results = found;
    this.#draw();
  }

  #draw() {
    const rows = arranged([...this.results], {
      text: byId("results-filter").value,
      hitsOnly: byId("results-hits").checked,
      ...this.order,
    });
    for (const column of COLUMNS) {
      const isSorted = column === this.order.column;
      const direction = this.order.isDescending ? "descending" : "ascending";
      setAttribute(byId(`sort-${column}`).parentElement, "aria-sort", isSorted ? direction : null);
    }
    const shown = rows.slice(0, MOST_ROWS);
    const cut = rows.length > shown.length ? `, ${whole(shown.length)} of them shown` : "";
    setText(byId("results-hint"), `${whole(rows.length)} of ${whole(this.results.length)} results${cut}`);
    keyed(byId("results"), shown, (it) => it.symbol, () => row(this.why), update);
  }

  #names() {
    const { newest_hits = [], next = [] } = this.status ?? {};
    return [...this.results, ...newest_hits, ...next].map(({ symbol }) => symbol);
  }

  #suggest() {
    const names = [...new Set(this.#names())].sort();
    byId("find-names").replaceChildren(...names.map((value) => el("option", { value })));
  }
}

function row(why) {
  const button = el("button", { type: "button", class: "symbol" });
  button.addEventListener("click", () => why(button.textContent));
  const number = () => el("td", { class: "number" });
  return el("tr", {}, el("th", { scope: "row" }, button), number(), el("td", {}), number(), number());
}

function update(element, result) {
  const [, rating, verdict, rank, at] = element.cells;
  setText(element.querySelector("button"), result.symbol);
  setText(rating, decimal(result.rating));
  setText(verdict, result.is_error ? "failed" : result.is_hit ? "high-value" : "–");
  setText(rank, whole(result.rank));
  setText(at, clockWithSeconds(result.reported_at));
}

let compared = null;

/** Say whether prioritising is worth it; asked once for each scan that is shown. */
export async function renderComparison({ ruleset, scan_id }) {
  const key = `${ruleset}/${scan_id}`;
  if (compared === key) return;
  compared = key;
  let lines;
  try {
    lines = (await get(paths.comparison(ruleset))).text.split("\n").filter(Boolean);
  } catch (error) {
    lines = [error.message];
  }
  if (compared !== key) return;
  if (lines.length === 0) lines = ["No finished scan yet."];
  byId("comparison").replaceChildren(...lines.map((line) => el("li", {}, line)));
}
