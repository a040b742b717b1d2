// Which scan is shown: the newest of all rulesets, or the one that was chosen. The choice stands
// in the address after the #, so that it can be kept and sent.

import { get, paths } from "./api.js";
import { byId, el } from "./dom.js";
import { moment, whole } from "./format.js";

const LIMIT = 20;

const keyOf = ({ ruleset, scan_id }) => `${ruleset}/${scan_id}`;

export class Chooser {
  /** @param onChoice called with {ruleset, scan_id} when another scan is to be shown */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.select = byId("scan-choice");
    this.follow = byId("follow");
    this.current = fromAddress();
    this.follow.checked = this.current === null;
    this.drawn = null;
    this.select.addEventListener("change", () => {
      const [ruleset, scan_id] = this.select.value.split("/");
      this.follow.checked = false;
      this.#choose({ ruleset, scan_id });
    });
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
    const newest = rulesets
      .filter((ruleset) => ruleset.newest_scan !== null)
      .map(({ name, newest_scan }) => ({ ruleset: name, ...newest_scan }))
      .sort((a, b) => b.started_at - a.started_at);
    if (this.current && !newest.some(({ ruleset }) => ruleset === this.current.ruleset)) {
      this.forget();
    }
    if (newest.length === 0) return false;
    const isFollowing = this.follow.checked || this.current === null;
    if (isFollowing && (!this.current || keyOf(newest[0]) !== keyOf(this.current))) {
      this.#choose({ ruleset: newest[0].ruleset, scan_id: newest[0].scan_id });
    }
    await this.#fill(newest);
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

  async #fill(newest) {
    const { ruleset } = this.current;
    const own = (await get(paths.scans(ruleset, LIMIT))).scans;
    const groups = newest.map((scan) => ({
      ruleset: scan.ruleset,
      scans: scan.ruleset === ruleset ? own : [scan],
    }));
    const drawn = JSON.stringify([groups, this.current]);
    // An open list must not change under the user's hand.
    if (drawn === this.drawn || document.activeElement === this.select) return;
    this.drawn = drawn;
    const options = groups.map((group) =>
      el(
        "optgroup",
        { label: group.ruleset },
        ...group.scans.map((scan) =>
          el("option", { value: keyOf({ ...scan, ruleset: group.ruleset }) }, title(scan)),
        ),
      ),
    );
    const key = keyOf(this.current);
    const isListed = groups.some((group) =>
      group.scans.some((scan) => `${group.ruleset}/${scan.scan_id}` === key),
    );
    if (!isListed) options.push(el("option", { value: key }, key));
    this.select.replaceChildren(...options);
    this.select.value = key;
  }
}

function title({ started_at, is_closed, n_scanned, n_symbols, mode }) {
  const of = n_symbols === null ? "" : ` of ${whole(n_symbols)}`;
  const how = is_closed ? "" : ", running";
  return `${moment(started_at)}${how}, ${whole(n_scanned)}${of}${mode === "on" || !mode ? "" : `, ${mode}`}`;
}

// Names have none of the characters that an address would escape.
const ADDRESS = /^#([A-Za-z0-9._-]+)\/([A-Za-z0-9._-]+)$/;

function fromAddress() {
  const match = ADDRESS.exec(location.hash);
  return match && { ruleset: match[1], scan_id: match[2] };
}
