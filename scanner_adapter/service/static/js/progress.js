// Which scan this is, how far it is, and what stopping now would miss.

import { curveData } from "./curve.js";
import { byId, el, keyed, setAttribute, setText } from "./dom.js";
import { count, decimal, duration, isNumber, missed, moment, percent, whole } from "./format.js";

const TIERS = ["high", "medium", "low"];

export function renderProgress(state) {
  const { status } = state;
  setText(byId("scan-title"), status.ruleset);
  setText(byId("scan-facts"), facts(status, state.isClosed));
  keyed(byId("figures"), figures(status, state.isClosed), (f) => f.name, figure, update);
  byId("tiers").hidden = !TIERS.some((tier) => tier in status.tiers);
  keyed(byId("tiers"), TIERS, (tier) => tier, tierRow, (row, tier) =>
    updateTier(row, tier, status.tiers[tier]),
  );
  setText(byId("stop-text"), stopText(status, state.isClosed));
  byId("stop").hidden = state.isClosed;
}

function facts(status, isClosed) {
  const parts = [status.scan_id, `mode ${status.mode}`];
  if (isNumber(status.workers) && status.workers > 1) parts.push(`${status.workers} workers`);
  parts.push(`started ${moment(status.started_at)}`);
  if (isClosed) parts.push(`ended ${moment(status.updated_at)}`);
  parts.push(`high-value: ${hitRule(status)}`);
  return parts.join(" · ");
}

// "signal", "top:0.05" and "rating:70" are how the command line names the rules.
function hitRule({ hit_rule, hit_limit }) {
  const [kind, number] = hit_rule.split(":");
  if (kind === "top") {
    const limit = isNumber(hit_limit) ? `, now from ${decimal(hit_limit)}` : "";
    return `top ${percent(Number(number))} by rating${limit}`;
  }
  if (kind === "rating") return `a rating of ${number} or more`;
  return kind === "signal" ? "a signal" : hit_rule;
}

function figures(status, isClosed) {
  const { estimate } = status;
  const share = status.n_symbols > 0 ? status.n_scanned / status.n_symbols : null;
  const { total } = curveData(status);
  const isAll = status.n_scanned >= status.n_symbols;
  return [
    {
      name: "Scanned",
      value: whole(status.n_scanned),
      note: `of ${whole(status.n_symbols)}, ${percent(share)}`,
    },
    {
      name: "High-value found",
      value: count(status.n_hits),
      note: foundNote(status, isAll, total),
    },
    {
      name: "Recall",
      value: isAll ? percent(1) : percent(estimate?.recall),
      note: isAll ? "" : estimate ? interval(estimate) : "no estimate yet",
    },
    isClosed
      ? {
          name: "Took",
          value: duration(status.updated_at - status.started_at),
          note: errors(status),
        }
      : {
          name: `Time to ${percent(status.target_recall ?? 0.95)} recall`,
          value: eta(status),
          note: errors(status),
        },
  ];
}

// Under a top share the limit settles when the scan ends: until then the count may grow.
function foundNote({ hits_low, hits_high }, isAll, total) {
  if (isAll) return "of all";
  if (isNumber(hits_low) && isNumber(hits_high)) {
    return `provisional: ${whole(hits_low)} to ${whole(hits_high)}`;
  }
  return total === null ? "" : `of about ${count(Math.round(total))}`;
}

function interval({ low, high, confidence }) {
  return `${percent(low)} to ${percent(high)} (${percent(confidence)})`;
}

function eta(status) {
  const { estimate } = status;
  if (estimate && isNumber(status.target_recall) && estimate.recall >= status.target_recall) {
    return "reached";
  }
  return duration(status.eta_s);
}

function errors(status) {
  const rate = isNumber(status.rate_per_s) ? `${decimal(status.rate_per_s, 1)} symbols/s` : "";
  if (!status.n_errors) return rate;
  const failed = `${whole(status.n_errors)} failed`;
  return rate ? `${rate}, ${failed}` : failed;
}

function figure() {
  return el(
    "div",
    {},
    el("dt"),
    el("dd", {}, el("span", { class: "value" }), " ", el("span", { class: "note" })),
  );
}

function update(row, { name, value, note }) {
  setText(row.querySelector("dt"), name);
  setText(row.querySelector(".value"), value);
  setText(row.querySelector(".note"), note);
}

function tierRow(tier) {
  const label = `${tier[0].toUpperCase()}${tier.slice(1)} priority`;
  return el(
    "div",
    { class: `tier tier-${tier}` },
    el("span", { class: "tier-name", id: `tier-${tier}` }, label),
    el("progress", { "aria-labelledby": `tier-${tier}`, max: 1, value: 0 }),
    el("span", { class: "tier-count number" }),
  );
}

function updateTier(row, tier, numbers) {
  const scanned = numbers?.scanned ?? 0;
  const all = scanned + (numbers?.waiting ?? 0) + (numbers?.other ?? 0);
  const bar = row.querySelector("progress");
  setAttribute(bar, "max", Math.max(all, 1));
  setAttribute(bar, "value", scanned);
  setText(row.querySelector(".tier-count"), `${whole(scanned)} of ${whole(all)}`);
}

/** The sentence beside the stop button; also asked in its dialog. */
export function stopText(status, isClosed) {
  const { estimate } = status;
  if (isClosed) {
    const why = status.stopped ?? "every symbol was scanned";
    if (!estimate || status.n_scanned >= status.n_symbols) return `Ended: ${why}.`;
    return `Ended: ${why}. It left out ${missed(estimate)}.`;
  }
  if (!estimate && status.mode === "off") return "There is no estimate in mode off.";
  if (!estimate) return "There is no estimate yet of what stopping now would miss.";
  return `Stopping now would miss ${missed(estimate)}.`;
}
