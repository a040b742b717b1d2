// The page: asks which scans there are, follows one of them, and shows its events.
//
//   chooser   which scan           stream   its events
//   state     what is known of it  progress, curve, hits, queue, weights, notice: panels that show it
//   results   the table of all results, and the search
//   why, stop, login, scanners     what a user can ask for

import { get, paths, put, remove } from "./api.js";
import { Announcer } from "./announce.js";
import { Chooser } from "./chooser.js";
import { Curve } from "./curve.js";
import { byId, setText } from "./dom.js";
import { percent, whole } from "./format.js";
import { renderHits } from "./hits.js";
import { wireLogin } from "./login.js";
import { renderNotice } from "./notice.js";
import { renderProgress } from "./progress.js";
import { Queue } from "./queue.js";
import { ResultsTable, renderComparison } from "./results.js";
import { renderScanners } from "./scanners.js";
import { connected, received, START } from "./state.js";
import { wireStop } from "./stop.js";
import { openStream } from "./stream.js";
import { renderWeights } from "./weights.js";
import { openWhy } from "./why.js";

const LIST_EVERY_MS = 3000;
const HIDDEN_MS = 10_000; // a glance at another tab costs no reconnection

const now = () => Date.now() / 1000;

let state = START;
let stream = null;
let isDrawn = true;
let isListing = false;
let listTimer = null;
let pauseTimer = null;

// -- what is shown --------------------------------------------------------------------------------

function show(name) {
  if (document.body.dataset.state === name) return;
  document.body.dataset.state = name;
  if (name === "login") byId("token").focus();
}

function change(next) {
  state = next;
  if (!isDrawn) return;
  isDrawn = false;
  // One drawing a frame at most, and none while the page is in the background.
  requestAnimationFrame(() => {
    isDrawn = true;
    draw();
  });
}

const curve = new Curve(byId("curve"), byId("curve-table"));
const queue = new Queue({ why, change: changeControl });
const results = new ResultsTable(why);
const announcer = new Announcer();
const renderStop = wireStop(
  () => state,
  (control) => change({ ...state, control }),
);

function draw() {
  if (state.scan === null) return;
  renderNotice(state, now());
  const { status } = state;
  if (status === null) {
    setText(byId("bare-text"), bareText(state));
    show("bare");
    return;
  }
  show("scan");
  renderProgress(state);
  curve.render(status);
  renderHits(status, why);
  queue.render(state);
  renderWeights(status);
  results.render(state);
  renderComparison(state.scan);
  renderStop(state);
  announcer.announce(state);
  const share = status.n_symbols > 0 ? percent(status.n_scanned / status.n_symbols) : "";
  document.title = `${state.isClosed ? "ended" : share} ${status.ruleset} · scanrank`;
}

function bareText({ scan, isClosed }) {
  return (
    `${scan.ruleset}, ${scan.scan_id}: ${whole(scan.n_scanned)} results so far. ` +
    (isClosed
      ? "The status of this scan has expired."
      : "Its scanner does not publish a status: it is an older version, or has only just started.")
  );
}

// -- which scan -----------------------------------------------------------------------------------

function watch(scan) {
  stream?.close();
  const path = paths.scan(scan);
  stream = openStream(paths.events(scan), () => get(path), {
    event: (type, data) => change(received(state, type, data, now())),
    connection: (isOpen) => change(connected(state, isOpen, now())),
    refused: (error) => {
      stream = null;
      if (error.status === 404) chooser.forget();
      else failed(error);
    },
  });
}

// A browser opens six connections to a server at most, and a stream keeps one: a page that nobody
// sees gives its own up, or the seventh tab would wait for ever. A status makes good for the gap.
function pause() {
  clearTimeout(pauseTimer);
  stream?.close();
  stream = null;
  state = { ...state, heardAt: null }; // the silence from here on is our own
}

function resume() {
  clearTimeout(pauseTimer);
  if (document.body.dataset.state !== "login") list();
}

const chooser = new Chooser((scan) => {
  change({ ...START });
  watch(scan);
});

/** Ask which scans there are, now and again every few seconds; not while the log-in waits. */
async function list() {
  if (isListing || document.hidden) return;
  isListing = true;
  clearTimeout(listTimer);
  try {
    const hasScan = await chooser.refresh();
    if (!hasScan) {
      await renderScanners(list);
      show("empty");
    } else if (stream === null) {
      watch(chooser.current); // after a pause or a log-in, or as the address says
    }
    listTimer = setTimeout(list, LIST_EVERY_MS);
  } catch (error) {
    if (error.status !== 401) listTimer = setTimeout(list, LIST_EVERY_MS);
    failed(error);
  } finally {
    isListing = false;
  }
}

function failed(error) {
  if (error.status === 401) {
    stream?.close();
    stream = null;
    show("login");
  } else if (state.scan === null) {
    setText(byId("error-text"), error.message);
    show("error");
  } else if (stream === null) {
    change(connected(state, false, now()));
  }
  // With a scan on the page the stream says what is wrong, above what is still known.
}

// -- what a user asks for -------------------------------------------------------------------------

// For a moment after another scan was chosen the old one is still drawn: then there is no `scan`.

function why(symbol) {
  if (state.scan !== null) openWhy(state.scan, symbol);
}

async function changeControl(what, symbol, isOn) {
  const { scan } = state;
  if (scan === null) return;
  const path = paths.control(scan, what === "pin" ? "pins" : "exclusions", symbol);
  setText(byId("queue-error"), "");
  try {
    const control = await (isOn ? put(path) : remove(path));
    if (state.scan?.scan_id === scan.scan_id) change({ ...state, control });
  } catch (error) {
    setText(byId("queue-error"), `${symbol}: ${error.message}`);
    if (error.status === 401) failed(error);
  }
}

byId("retry").addEventListener("click", list);
wireLogin(list, () => failed({ status: 401 }));
// "No news since" comes with time, not with an event.
setInterval(() => state.scan !== null && renderNotice(state, now()), LIST_EVERY_MS);
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", (event) => event.persisted && resume());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) pauseTimer = setTimeout(pause, HIDDEN_MS);
  else resume();
});
list();
