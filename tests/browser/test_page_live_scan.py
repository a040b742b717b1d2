"""A live scan, watched from start to stop: a scanner process, a service, a browser."""

from __future__ import annotations

import re
from collections.abc import Callable

from live_page import PHONE, Page
from processes import ScannerProcess, ServeProcess
from servers import Server

Serve = Callable[..., ServeProcess]
StartScanner = Callable[..., ScannerProcess]

N = 5000  # some 40 s of scanning: nobody stops it but the test


def test_a_scan_is_watched_from_start_to_stop_across_a_restart_of_the_service(
    page: Page, own_server: Callable[..., Server], serve: Serve, start_scanner: StartScanner
) -> None:
    store = own_server().url
    service = serve(store).wait()
    page.open(service.url)
    page.wait(lambda: page.state == "empty", "the page without a scan")
    assert "scanrank scan" in page.text("[data-for=empty]")
    page.screenshot("empty")

    scanner = start_scanner(store, "breakout", "scan-1", N)
    assert scanner.answer() == "0"
    scanner.send("run")
    page.wait(lambda: page.state == "scan", "the newest scan to be found")
    assert page.text("#scan-title") == "breakout"
    page.wait(lambda: page.n_scanned >= 60, "the scan to go on")
    page.wait(lambda: page.texts("#hits .symbol"), "high-value results")
    assert "live" in page.text("#connection")
    page.wait(lambda: "would miss" in page.text("#stop-text"), "what stopping would miss")
    assert re.search(
        r"Stopping now would miss (about \d+|probably none) of \d+ high-value symbols "
        r"\(95% interval: \d+ to \d+\)\.",
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


def test_the_page_goes_on_to_a_newer_scan_and_to_its_end(
    page: Page, service: ServeProcess, held_scan: ScannerProcess, start_scanner: StartScanner
) -> None:
    newer = start_scanner(service.store, "reversal", "scan-2", 40)
    page.open(service.url)
    page.wait(lambda: page.text("#scan-title") == held_scan.ruleset, "the newest scan")
    newer.send("run")
    assert [newer.answer(), newer.answer(), newer.end()] == ["0", "40", "None"]
    page.wait(lambda: page.text("#scan-title") == "reversal", "the newer scan")
    page.wait(lambda: page.text("#connection") == "finished", "its end")
    assert page.figure("Scanned") == "40"
    assert page.figure("Recall") == "100%"
    assert page.text("#stop-text") == "Ended: every symbol was scanned."
    page.screenshot("finished")

    page.click("#scan-choice")
    page.wait(lambda: len(page.texts("#scan-list tr")) >= 2, "both in the list")
    page.click(f'#scan-list [data-key="{held_scan.address.lstrip("#")}"] button')
    page.wait(lambda: page.text("#scan-title") == held_scan.ruleset, "the scan that was chosen")
    assert page.js("return location.hash") == held_scan.address
    assert not page.one("#follow").is_selected()
    page.click("#follow")
    page.wait(lambda: page.text("#scan-title") == "reversal", "the newest again")
    assert page.console() == []


def test_a_store_that_is_away_shows_and_the_page_recovers_by_itself(
    page: Page, own_server: Callable[..., Server], serve: Serve, start_scanner: StartScanner
) -> None:
    server = own_server()
    service = serve(server.url)
    scanner = start_scanner(server.url, "breakout", "scan-1", N)
    scanner.answer()
    scanner.scan(4)
    service.wait()
    server.kill()
    page.screen(PHONE, dark=True).open(service.url)
    page.wait(lambda: page.state == "error", "the error, with nothing to show yet")
    assert "store" in page.text("#error-text")
    page.screenshot("error-phone-dark")
    server.start()
    page.wait(lambda: page.n_scanned == 40, "the scan", 30)

    server.kill()
    page.wait(lambda: "store down" in page.text("#connection"), "the loss to show")
    assert re.search(r"Disconnected since \d\d:\d\d", page.text("#notice"))
    assert page.n_scanned == 40, "what is known stays on the page"
    assert not page.is_scrolled_sideways
    page.screenshot("store-away-phone-dark")
    server.start()
    page.wait(lambda: page.text("#connection") == "live", "the recovery", 30)
