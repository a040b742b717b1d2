// What is wrong or over, in one line above the scan, and in two words in the page's head.

import { byId, setAttribute, setText } from "./dom.js";
import { clock, moment } from "./format.js";
import { silentSince } from "./state.js";

/** Return {kind, short, text} for a state: kind is one of lost, silent, stopping, ended, live. */
export function describe(state, now) {
  const { lostSince, storeAwaySince, isClosed, control, status } = state;
  if (lostSince !== null && !isClosed) {
    const since = clock(lostSince);
    return {
      kind: "lost",
      short: `disconnected since ${since}`,
      text: `Disconnected since ${since}, trying again. The scan itself continues; this page shows the last known state.`,
    };
  }
  if (storeAwaySince !== null && !isClosed) {
    const since = clock(storeAwaySince);
    return {
      kind: "lost",
      short: `store down since ${since}`,
      text: `Disconnected since ${since}: the store does not answer. The scan itself continues, and the page will reconnect automatically.`,
    };
  }
  if (isClosed) {
    const short = status?.stopped ? "stopped" : "finished";
    return { kind: "ended", short, text: status?.warning ?? "" };
  }
  if (status?.failure) {
    return {
      kind: "silent",
      short: "not prioritised",
      text: `The scan continues in the given order, because scanrank itself failed: ${status.failure}`,
    };
  }
  const silent = silentSince(state, now);
  if (silent !== null) {
    return {
      kind: "silent",
      short: `no update since ${clock(silent)}`,
      text: `No update from the scanner since ${moment(silent, now)}: its batch is slow, or it has stopped.`,
    };
  }
  if (control.stop !== null) {
    return {
      kind: "stopping",
      short: "stopping",
      text: `Stop requested (${control.stop.reason}); the scanner finishes its batch first.`,
    };
  }
  if (status?.warning) return { kind: "silent", short: "check results", text: status.warning };
  return { kind: "live", short: "live", text: "" };
}

export function renderNotice(state, now) {
  const { kind, short, text } = describe(state, now);
  setText(byId("connection"), short);
  setAttribute(byId("connection"), "data-kind", kind);
  const notice = byId("notice");
  setText(notice, text);
  setAttribute(notice, "data-kind", kind);
  notice.hidden = text === "";
}
