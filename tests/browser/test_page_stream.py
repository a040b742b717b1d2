"""What EventSource does not do by itself: a refused stream is asked about, and tried again or not.

The browser's EventSource is replaced by one that the tests open, break and close by hand.
"""

from __future__ import annotations

from typing import Any

import pytest
from live_page import Page
from processes import ServeProcess

FAKE = """
const log = [];
const sources = [];
window.EventSource = class extends EventTarget {
  static CLOSED = 2;
  constructor(path) { super(); this.readyState = 0; sources.push(this); log.push("connect"); }
  close() { this.readyState = 2; log.push("close"); }
  say(type, data) { this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) })); }
  refuse() { this.readyState = 2; this.dispatchEvent(new Event("error")); }
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const on = {
  event: (type, data) => log.push(`${type} ${JSON.stringify(data)}`),
  connection: (isOpen) => log.push(isOpen ? "open" : "lost"),
  refused: (error) => log.push(`refused ${error.status}`),
};
"""


@pytest.fixture
def run(browser_page: Page, service: ServeProcess) -> Any:
    """Return a function that plays a script on a page of its own and returns the log."""
    browser_page.open(f"{service.url}/health")

    def play(probe: str, script: str) -> list[str]:
        return list(
            browser_page.module(
                "stream",
                f"""{FAKE}
                const probe = async () => {{ {probe} }};
                const stream = m.openStream("/events", probe, on);
                return (async () => {{ {script}; return log; }})();""",
            )
        )

    return play


def test_a_refused_stream_is_opened_again_when_the_service_is_back(run: Any) -> None:
    log = run(
        "throw { status: 503 }",
        "sources[0].refuse(); await sleep(1500); sources[1].dispatchEvent(new Event('open'))",
    )
    assert log == ["connect", "lost", "close", "connect", "open"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_stream_that_will_never_be_given_is_not_asked_for_again(run: Any, status: int) -> None:
    log = run(f"throw {{ status: {status} }}", "sources[0].refuse(); await sleep(1500)")
    assert log == ["connect", "lost", "close", f"refused {status}"]


def test_too_many_requests_are_waited_out(run: Any) -> None:
    log = run("throw { status: 429 }", "sources[0].refuse(); await sleep(1500)")
    assert log == ["connect", "lost", "close", "connect"]


def test_a_scan_that_ended_meanwhile_is_shown_and_left_alone(run: Any) -> None:
    log = run("return { is_closed: true }", "sources[0].refuse(); await sleep(1500)")
    assert log == ["connect", "lost", "close", 'status {"is_closed":true}', "open"]


def test_the_end_of_the_scan_ends_the_stream(run: Any) -> None:
    log = run("", "sources[0].say('closed', { at: 1 }); await sleep(50)")
    assert log == ["connect", 'closed {"at":1}', "close"]


def test_a_broken_connection_is_left_to_the_browser(run: Any) -> None:
    log = run("", "sources[0].dispatchEvent(new Event('error')); await sleep(1500)")
    assert log == ["connect", "lost"]


def test_nothing_comes_after_the_page_has_closed_the_stream(run: Any) -> None:
    log = run("throw { status: 503 }", "sources[0].refuse(); stream.close(); await sleep(1500)")
    assert log == ["connect", "lost", "close", "close"]


def test_what_is_no_json_is_passed_over(run: Any) -> None:
    log = run(
        "",
        """sources[0].dispatchEvent(new MessageEvent("status", { data: "{" }));
           sources[0].say("status", { n: 1 })""",
    )
    assert log == ["connect", 'status {"n":1}']
