// Stop a scan, after saying what that would miss.

import { paths, post } from "./api.js";
import { byId, setText } from "./dom.js";
import { stopText } from "./progress.js";

/**
 * Wire the stop button and its dialog.
 *
 * @param current returns the state of the scan that is shown
 * @param onControl called with what the service answers
 */
export function wireStop(current, onControl) {
  const dialog = byId("stop-dialog");
  const confirm = byId("stop-confirm");
  let scan = null; // what the question was about, even if the page goes on to a newer scan

  byId("stop").addEventListener("click", () => {
    scan = current().scan;
    if (scan === null) return; // another one was chosen and is not here yet
    setText(byId("stop-error"), "");
    setText(byId("stop-question"), question(current()));
    dialog.showModal();
    // The harmless answer has the focus: Enter in haste goes on scanning.
    byId("stop-cancel").focus();
  });
  byId("stop-cancel").addEventListener("click", () => dialog.close());
  byId("stop-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (confirm.disabled) return;
    confirm.disabled = true;
    try {
      const reason = byId("stop-reason").value.trim();
      const control = await post(paths.stop(scan), reason === "" ? {} : { reason });
      if (current().scan?.scan_id === scan.scan_id) onControl(control);
      dialog.close();
    } catch (error) {
      setText(byId("stop-error"), `The scan continues: ${error.message}`);
    } finally {
      confirm.disabled = false;
    }
  });

  /** Keep the question true while it is open. */
  return function renderStop(state) {
    if (!dialog.open || state.scan?.scan_id !== scan?.scan_id) return;
    if (state.isClosed) dialog.close();
    else setText(byId("stop-question"), question(state));
  };
}

function question({ scan, status }) {
  const text = status ? stopText(status, false) : "";
  return `${text} The scanner finishes the batch that it is at; what ${scan.ruleset} has learned is kept.`;
}
