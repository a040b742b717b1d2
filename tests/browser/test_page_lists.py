"""The lists of the page: scans with their figures, results to sort, filter, find and download."""

from __future__ import annotations

import csv
import http.client
from collections.abc import Iterator

import pytest
from live_page import DESKTOP, Page
from processes import ScannerProcess, ServeProcess
from servers import Server, redis_binary

LIST = "#scan-list tr"
NARROW = (390, 844)
LOOKS = (
    ("", DESKTOP, False), ("-dark", DESKTOP, True),
    ("-phone", NARROW, False), ("-phone-dark", NARROW, True),
)  # fmt: skip


def cells(page: Page, selector: str) -> list[list[str]]:
    return list(
        page.js(
            """return [...document.querySelectorAll(arguments[0])]
                 .map((row) => [...row.cells].map((cell) => cell.textContent))""",
            selector,
        )
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A service over a store of its own: a finished scan of 40 symbols, and one that waits."""
    server = Server(redis_binary(), tmp_path_factory.mktemp("lists-store")).start()
    waiting = ScannerProcess(server.url, "waits", "waits-1", 100)
    scanner = ScannerProcess(server.url, "lists", "lists-1", 40)
    service = ServeProcess(server.url, tmp_path_factory.mktemp("lists-serve")).start()
    try:
        assert waiting.answer() == "0"
        waiting.scan(2)
        scanner.send("run")
        assert [scanner.answer(), scanner.answer(), scanner.end()] == ["0", "40", "None"]
        yield service.wait()
    finally:
        service.stop()
        waiting.kill()
        scanner.kill()
        server.kill()


@pytest.fixture
def finished(page: Page, desk: ServeProcess) -> Page:
    """The page with the finished scan."""
    page.open(f"{desk.url}/#lists/lists-1")
    page.wait(lambda: page.state == "scan" and page.n_scanned == 40, "the scan to be drawn")
    return page


def test_scans_are_listed_with_their_figures(finished: Page) -> None:
    page = finished
    page.click("#scan-choice")
    page.wait(lambda: len(cells(page, LIST)) >= 2, "the scans")
    rows = {row[0].partition(",")[0]: row for row in cells(page, LIST)}
    _, state, scanned, found, recall, took = rows["lists"]
    assert (state, scanned, recall) == ("finished", "100%", "100%")
    assert float(found) >= 1
    assert took.endswith(" s")
    assert rows["waits"][1] == "running"
    assert page.js("return document.querySelector('#scan-list [aria-current]').dataset.key") == (
        "lists/lists-1"
    )
    for name, size, dark in LOOKS:
        page.screen(size, dark=dark).screenshot(f"scans{name}")
        assert not page.is_scrolled_sideways
        assert page.js(
            "const box = document.querySelector('#scans .scroll');"
            "return box.scrollWidth <= box.clientWidth"
        ), "every figure is in sight, on a phone too"
    page.click('#scan-list [data-key="waits/waits-1"] button')
    page.wait(lambda: page.text("#scan-title") == "waits", "the scan that was chosen")
    assert page.js("return location.hash") == "#waits/waits-1"
    assert page.console() == []


def test_results_are_sorted_filtered_and_downloaded(finished: Page, desk: ServeProcess) -> None:
    page = finished
    page.click("#results-all summary")
    page.wait(lambda: len(cells(page, "#results tr")) == 40, "all results")
    page.click("#sort-rating")
    ratings = [float(row[1]) for row in cells(page, "#results tr")]
    assert ratings == sorted(ratings, reverse=True)
    page.click("#sort-rating")
    assert [float(row[1]) for row in cells(page, "#results tr")] == sorted(ratings)
    for name, size, dark in LOOKS:
        page.screen(size, dark=dark)
        page.js("document.querySelector('.results').scrollIntoView()")
        page.screenshot(f"results{name}")
        assert not page.is_scrolled_sideways
    page.screen(DESKTOP)
    page.one("#results-filter").send_keys("sym3")
    page.wait(lambda: "of 40 results" in page.text("#results-hint"), "the count")
    shown = [row[0] for row in cells(page, "#results tr")]
    assert shown
    assert all(symbol.startswith("SYM3") for symbol in shown)
    page.one("#results-filter").clear()
    page.click("#results-hits")
    assert all(row[2] == "high-value" for row in cells(page, "#results tr"))

    path = page.js("return document.getElementById('results-csv').href").partition("/api")[2]
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=10)
    connection.request("GET", f"/api{path}")
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/csv; charset=utf-8"
    table = list(csv.DictReader(answer.read().decode().splitlines()))
    connection.close()
    assert [row["rank"] for row in table] == [str(rank) for rank in range(1, 41)]
    assert page.console() == []


def test_a_symbol_is_found_by_typing_in_any_case(finished: Page) -> None:
    page = finished
    page.one("#find").send_keys("sym30\n")  # at once, before its name can have been loaded
    page.wait(lambda: "Scanned as number" in page.text("#why-body"), "its place")
    assert page.text("#why-title") == "Why SYM30"
    names = page.js(
        "return [...document.querySelectorAll('#find-names option')].map((o) => o.value)"
    )
    assert len(names) == 40
    assert "Track record" in page.text("#why-body")
    page.click("#why .close")
    page.one("#find").clear()
    page.one("#find").send_keys("nobody\n")
    page.wait(lambda: "was not scanned" in page.text("#why-body"), "that it is not there")


def test_what_prioritising_was_worth_is_said_with_its_interval(finished: Page) -> None:
    finished.wait(lambda: finished.texts("#comparison li"), "the comparison")
    said = " ".join(finished.texts("#comparison li"))
    assert "prioritised" in said
    assert "no scans in the given order to compare with" in said


def test_sorting_leaves_the_unknown_to_the_end(finished: Page) -> None:
    results = [
        {"symbol": "B", "rating": None, "is_hit": False},
        {"symbol": "A", "rating": 2.0, "is_hit": True},
        {"symbol": "C", "rating": 7.0, "is_hit": True},
    ]
    ask = "return m.arranged(args[0], args[1]).map((it) => it.symbol)"
    plain = {"text": "", "hitsOnly": False, "column": "rating", "isDescending": True}
    for changes, expected in (
        ({}, ["C", "A", "B"]),
        ({"isDescending": False}, ["A", "C", "B"]),
        ({"hitsOnly": True, "column": "symbol"}, ["C", "A"]),
        ({"text": " b"}, ["B"]),
    ):
        assert finished.module("results", ask, results, plain | changes) == expected
    meant = "return m.meant(args[0], args[1])"
    assert finished.module("results", meant, " brk/b ", ["BRK/B"]) == "BRK/B"
    assert finished.module("results", meant, "XYZ", ["BRK/B"]) == "XYZ"
