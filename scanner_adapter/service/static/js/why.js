// "Why this one": what speaks for a symbol in this scan, and what it has shown before.

import { get, paths } from "./api.js";
import { byId, el } from "./dom.js";
import { bar, factorClass, factorNames, scaleOf } from "./factors.js";
import { decimal, duration, isNumber, moment, percent, signed, whole } from "./format.js";

const MOST_HISTORY = 8;

let asked = 0;

/** Open the dialog for a symbol of a scan ({ruleset, scan_id}). */
export async function openWhy(scan, symbol) {
  const dialog = byId("why");
  const body = byId("why-body");
  asked += 1;
  const question = asked;
  byId("why-title").textContent = `Why ${symbol}`;
  body.replaceChildren(el("p", { "aria-busy": "true" }, "Loading."));
  if (!dialog.open) dialog.showModal();
  const [inScan, before] = await Promise.allSettled([
    get(paths.symbolInScan(scan, symbol)),
    get(paths.symbol(scan, symbol)),
  ]);
  if (question !== asked || !dialog.open) return; // another symbol was asked for meanwhile
  body.replaceChildren(
    inScan.status === "fulfilled" ? inThisScan(inScan.value) : problem(inScan.reason),
    el(
      "section",
      {},
      el("h3", {}, "Track record"),
      ...(before.status === "fulfilled" ? trackRecord(before.value) : [noRecord(before.reason)]),
    ),
  );
}

function problem(error) {
  return el("p", { class: "problem" }, error.message);
}

function noRecord(error) {
  return error.status === 404 ? el("p", {}, "Not scanned before.") : problem(error);
}

function inThisScan(it) {
  return el(
    "section",
    {},
    el("p", { class: "lead" }, story(it)),
    Object.keys(it.reasons).length > 0 ? reasons(it) : null,
  );
}

function story(it) {
  const chance = isNumber(it.probability)
    ? `Of symbols like this one, ${percent(it.probability)} are high-value. `
    : "";
  if (it.state === "waiting") {
    const pin = it.is_pinned ? "Pinned: it is in the next batch. " : "";
    const tier = it.tier
      ? `In the queue, ${it.tier} tier, priority ${decimal(it.score, 1)} of 100. `
      : "In the queue. ";
    return tier + pin + chance;
  }
  const place = isNumber(it.rank) ? `Scanned as number ${whole(it.rank)}` : "Scanned";
  const when = isNumber(it.reported_at) ? ` at ${moment(it.reported_at)}` : "";
  const rated = isNumber(it.rating) ? `, rating ${decimal(it.rating)}` : "";
  const verdict = it.is_error
    ? ", the evaluation failed"
    : it.is_hit === null
      ? ""
      : it.is_hit
        ? ", high-value"
        : ", not high-value";
  const how = it.is_random ? "Drawn at random, to keep the estimates unbiased. " : "";
  const odds = isNumber(it.propensity)
    ? it.propensity >= 0.9995
      ? "It was certain to be in its batch. "
      : `It was in its batch with a probability of ${percent(it.propensity)}. `
    : "";
  return `${place}${when}${rated}${verdict}. ${how}${odds}${chance}`;
}

function reasons(it) {
  const rows = factorNames(it.reasons).map((name) => ({ name, ...it.reasons[name] }));
  rows.push({ name: "today", prior: null, learned: it.today });
  if (isNumber(it.constant)) {
    rows.push({ name: "all symbols", prior: null, learned: it.constant });
  }
  const scale = scaleOf(rows.map(({ learned }) => [{ value: learned ?? 0 }]));
  return el(
    "table",
    {},
    el("caption", {}, "Contributions to its log odds, initial and learned"),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "Factor"),
        el("th", { scope: "col", class: "number" }, "Before"),
        el("th", { scope: "col", class: "number" }, "Learned"),
        el("th", { scope: "col", class: "reasons" }, "Effect"),
      ),
    ),
    el("tbody", {}, ...rows.map((row) => reasonRow(row, scale))),
  );
}

const NAMES = { today: "today's pattern" };

function reasonRow({ name, prior, learned }, scale) {
  return el(
    "tr",
    {},
    el(
      "th",
      { scope: "row" },
      el("span", { class: `swatch ${factorClass(name)}` }),
      NAMES[name] ?? name,
    ),
    el("td", { class: "number" }, isNumber(prior) ? signed(prior) : "–"),
    el("td", { class: "number strong" }, signed(learned)),
    el("td", { class: "reasons" }, isNumber(learned) ? bar([{ name, value: learned }], scale) : "–"),
  );
}

const scans = (n) => `${whole(n)} ${n === 1 ? "scan" : "scans"}`;

function trackRecord({ track, history, n_scans_read }) {
  const past = history.slice(0, MOST_HISTORY);
  if (track.n_scans === 0 && past.length === 0) return [el("p", {}, "Not scanned before.")];
  const facts = [
    `High-value in ${whole(track.n_hits)} of ${scans(track.n_scans)}`,
    isNumber(track.age_days) ? `last seen ${duration(86400 * track.age_days)} before` : null,
  ];
  return [
    el("p", {}, `${facts.filter(Boolean).join(", ")}.`),
    past.length === 0
      ? el("p", {}, `No result in the latest ${scans(n_scans_read)}.`)
      : historyTable(past, n_scans_read),
  ];
}

function historyTable(past, nScansRead) {
  return el(
    "table",
    {},
    el("caption", {}, `Its results in the latest ${scans(nScansRead)}`),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "When"),
        el("th", { scope: "col", class: "number" }, "Rating"),
        el("th", { scope: "col", class: "number" }, "Reward"),
      ),
    ),
    el(
      "tbody",
      {},
      ...past.map((result) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, moment(result.reported_at)),
          el("td", { class: "number" }, result.is_error ? "failed" : decimal(result.rating)),
          el("td", { class: "number" }, decimal(result.reward)),
        ),
      ),
    ),
  );
}
