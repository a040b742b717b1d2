// Scanners that the service may start, offered where there is no scan to look at.

import { get, paths, post } from "./api.js";
import { byId, el, setText } from "./dom.js";

/** Fill the list; `onStarted` is called after one was started. Throws an ApiError. */
export async function renderScanners(onStarted) {
  const { scanners } = await get(paths.scanners);
  byId("scanners").hidden = scanners.length === 0;
  byId("scanner-list").replaceChildren(
    ...scanners.map(({ name, ruleset, scanner }) =>
      el(
        "li",
        {},
        el("strong", {}, name),
        ` ${scanner}, ruleset ${ruleset} `,
        el(
          "button",
          {
            type: "button",
            "aria-label": `Start ${name}`,
            onclick: (event) => start(event.currentTarget, name, onStarted),
          },
          "Start",
        ),
      ),
    ),
  );
}

async function start(button, name, onStarted) {
  button.disabled = true;
  setText(byId("scanner-error"), "");
  try {
    await post(paths.start(name));
    onStarted();
  } catch (error) {
    setText(byId("scanner-error"), error.message);
  } finally {
    button.disabled = false;
  }
}
