"""What a user asks of a running scan on the page: why a symbol, pin it, leave it out."""

from __future__ import annotations

from typing import Any

from live_page import SETTLE_S, Page
from processes import ScannerProcess


def waiting(page: Page) -> list[str]:
    return page.texts("#queue .symbol")


def why_of(page: Page, symbol: str) -> dict[str, Any]:
    """Return what the service knows of a symbol of the held scan; 404: not scanned, not near."""
    ask = """return m.get(m.paths.symbolInScan(args[0], args[1]))
                    .catch((error) => ({ state: error.status }))"""
    return dict(page.module("api", ask, {"ruleset": "held", "scan_id": "held-1"}, symbol))


def test_the_dialog_says_why_a_waiting_symbol_stands_where_it_does(held_page: Page) -> None:
    held_page.settle()
    symbol = waiting(held_page)[0]
    held_page.click("#queue .symbol")
    held_page.wait(lambda: "In the queue, high tier" in held_page.text("#why-body"), "the reason")
    assert held_page.text("#why-title") == f"Why {symbol}"
    factors = held_page.texts("#why-body tbody th")
    assert {"historical", "market", "technical"} <= set(factors)
    assert "Track record" in held_page.text("#why-body")
    held_page.screenshot("why")
    held_page.click("#why .close")
    assert held_page.js("return document.getElementById('why').open") is False


def test_the_dialog_says_why_a_result_was_scanned(held_page: Page) -> None:
    held_page.click("#hits .symbol")
    held_page.wait(lambda: "Scanned as number" in held_page.text("#why-body"), "the reason")
    assert "high-value" in held_page.text("#why-body")


def test_a_symbol_pinned_on_the_page_comes_with_the_next_batch(
    held_page: Page, held_scan: ScannerProcess
) -> None:
    held_page.settle()
    symbol = waiting(held_page)[-1]
    held_page.click(f'#queue button[aria-label="Pin {symbol}"]')
    held_page.wait(
        lambda: (
            held_page.one(f'[aria-label="Pin {symbol}"]').get_attribute("aria-pressed") == "true"
        ),
        "the pin to show",
    )
    held_scan.wait_until_heard(symbol)
    held_scan.scan(1)
    # The last of 20 would not come in a batch of 10 by itself.
    held_page.wait(lambda: why_of(held_page, symbol)["state"] == "scanned", "the pinned one", 5)
    assert why_of(held_page, symbol)["propensity"] == 1.0
    held_page.leave()  # the order is held while one is in the list
    held_page.wait(
        lambda: symbol not in waiting(held_page), "the pinned symbol to leave the list", SETTLE_S
    )


def test_an_excluded_symbol_is_left_out_until_it_is_included_again(
    held_page: Page, held_scan: ScannerProcess
) -> None:
    held_page.settle()
    symbol = waiting(held_page)[0]
    held_page.click(f'#queue button[aria-label="Exclude {symbol}"]')
    held_page.wait(lambda: symbol in held_page.text("#excluded-list"), "the exclusion to show")
    held_page.leave()
    held_scan.wait_until_heard(symbol)
    held_scan.scan(2)
    held_page.wait(
        lambda: symbol not in waiting(held_page), "the excluded symbol to leave", SETTLE_S
    )
    assert why_of(held_page, symbol)["state"] == 404, "it was scanned all the same"
    held_page.click(f'#excluded-list button[aria-label="Include {symbol} again"]')
    held_page.wait(lambda: symbol not in held_page.text("#excluded-list"), "the way back")


def test_rows_stay_in_their_places_while_one_is_in_the_list(
    held_page: Page, held_scan: ScannerProcess
) -> None:
    before = waiting(held_page)
    held_page.js("document.querySelector('#queue .toggle').focus()")
    n = held_page.n_scanned
    held_scan.scan(1)
    held_page.wait(lambda: held_page.n_scanned > n, "the batch to show")
    assert waiting(held_page) == before
    assert "frozen" in held_page.text("#queue-hint")
    held_page.wait(
        lambda: held_page.texts("#queue .gone .symbol"), "who was handed out to be grey", SETTLE_S
    )
    held_page.leave()
    held_page.wait(lambda: waiting(held_page) != before, "the order to move on")


def test_a_request_that_is_refused_says_so_beside_the_list(held_page: Page) -> None:
    held_page.js(
        """const answer = { detail: "The store does not answer." };
           window.fetch = async () => new Response(JSON.stringify(answer), { status: 503 });"""
    )
    held_page.click("#queue .toggle")
    held_page.wait(lambda: "does not answer" in held_page.text("#queue-error"), "the refusal")
    assert held_page.one("#queue .toggle").get_attribute("aria-pressed") == "false"
