"""A live scan, watched from start to stop: a scanner process, a service, a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from live_page import DESKTOP, PHONE, Page
from processes import ScannerProcess, ServeProcess
from servers import Server

Serve = Callable[..., ServeProcess]
StartScanner = Callable[..., ScannerProcess]

N = 800


def test_a_scan_is_watched_from_start_to_stop_across_a_restart_of_the_service(
    page: Page, own_server: Callable[..., Server], serve: Serve, start_scanner: StartScanner
) -> None:
    store = own_server().url
    service = serve(store)
    scanner = start_scanner(store, "breakout", "scan-1", N)  # both start up at the same time
    service.wait()

    page.open(service.url)
    assert scanner.answer() == "0"
    scanner.tell("run")
    page.wait(lambda: page.state == "scan", "the newest scan to be found")
    assert page.text("#scan-title") == "breakout"
    page.wait(lambda: page.n_scanned >= 60, "the scan to go on")
    page.wait(lambda: page.texts("#hits .symbol"), "high-value results")
    assert "live" in page.text("#connection")
    page.wait(lambda: "would miss" in page.text("#stop-text"), "what stopping would miss")
    assert re.search(
        r"Stopping now would miss (about \d+|nothing more) of (about )?\d+ high-value symbols, "
        r"95 %: \d+ to \d+\.",
        page.text("#stop-text"),
    )
    page.screenshot("live")

    service.stop()
    page.wait(lambda: "disconnected since" in page.text("#connection"), "the loss to show")
    assert re.search(r"Disconnected since \d\d:\d\d, trying again", page.text("#notice"))
    assert page.state == "scan", "what is known stays on the page"
    page.screenshot("disconnected")
    before = page.n_scanned
    service.start().wait()
    page.wait(lambda: page.text("#connection") == "live", "the page to come back by itself")
    page.wait(lambda: page.n_scanned > before, "news after the restart")

    page.click("#stop")
    page.wait(lambda: page.focused == "stop-cancel", "the question, the harmless answer first")
    assert "Stopping now would miss" in page.text("#stop-question")
    page.screenshot("stop")
    page.js("document.getElementById('stop-reason').value = 'seen enough'")
    page.click("#stop-confirm")
    scanned = int(scanner.answer())
    assert 60 < scanned < N
    assert "seen enough" in scanner.end()
    page.wait(lambda: page.text("#connection") == "stopped", "the end to show")
    assert "seen enough" in page.text("#stop-text")
    assert page.n_scanned == scanned
    assert not page.one("#stop").is_displayed()
    page.screenshot("stopped")
    page.wait(lambda: "Ended" in page.text("#announcements"), "the end to be said")

    expected = ("net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")
    assert [line for line in page.console() if not any(word in line for word in expected)] == []
    assert page.foreign_requests() == []


def test_the_page_goes_on_to_a_newer_scan_and_to_the_end(
    page: Page, own_server: Callable[..., Server], serve: Serve, start_scanner: StartScanner
) -> None:
    store = own_server().url
    service = serve(store).wait()
    page.open(service.url)
    page.wait(lambda: page.state == "empty", "the page without a scan")
    assert "scanrank scan" in page.text("[data-for=empty]")
    page.screenshot("empty")
    first = start_scanner(store, "breakout", "scan-1", 40)
    first.tell("run")
    assert [first.answer(), first.answer(), first.end()] == ["0", "40", "None"]
    page.wait(lambda: page.text("#connection") == "finished", "the first scan's end")
    assert page.figure("Scanned") == "40"
    assert page.figure("Recall") == "100 %"
    assert page.text("#stop-text") == "Ended: every symbol was scanned."

    second = start_scanner(store, "reversal", "scan-2", 400)
    second.answer()
    second.scan(3)
    page.wait(lambda: page.text("#scan-title") == "reversal", "the newer scan", 20)
    page.wait(lambda: page.n_scanned == 30, "its figures")
    choice = page.one("#scan-choice")
    page.wait(lambda: len(page.texts("#scan-choice option")) == 2, "both in the list")
    page.js(
        """arguments[0].value = "breakout/scan-1";
           arguments[0].dispatchEvent(new Event("change"))""",
        choice,
    )
    page.wait(lambda: page.text("#scan-title") == "breakout", "the scan that was chosen")
    assert page.js("return location.hash") == "#breakout/scan-1"
    assert not page.one("#follow").is_selected()
    page.click("#follow")
    page.wait(lambda: page.text("#scan-title") == "reversal", "the newest again")
    assert page.console() == []


def test_a_store_that_goes_away_shows_and_recovers_by_itself(
    page: Page, own_server: Callable[..., Server], serve: Serve, start_scanner: StartScanner
) -> None:
    server = own_server()
    service = serve(server.url)
    scanner = start_scanner(server.url, "breakout", "scan-1", N)
    scanner.answer()
    scanner.scan(4)
    service.wait()
    page.screen(PHONE, dark=True).open(service.url)
    page.wait(lambda: page.n_scanned == 40, "the scan")
    server.kill()
    page.wait(lambda: "store away" in page.text("#connection"), "the loss to show")
    assert re.search(r"Disconnected since \d\d:\d\d", page.text("#notice"))
    assert page.n_scanned == 40, "what is known stays on the page"
    assert not page.is_scrolled_sideways
    page.screenshot("store-away-phone-dark")
    server.start()
    page.wait(lambda: page.text("#connection") == "live", "the recovery", 30)
    page.screen(DESKTOP)


def test_a_service_that_is_not_there_at_first_is_tried_again(
    page: Page, tmp_path: Path, serve: Serve
) -> None:
    """The service runs, its store does not yet: the page says so and asks on."""
    socket = tmp_path / "none.sock"
    service = serve(f"unix://{socket}").wait()
    page.open(service.url)
    page.wait(lambda: page.state == "error", "the error")
    assert len(page.text("#error-text")) > 10
    page.screenshot("error")
