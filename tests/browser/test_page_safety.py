"""Symbols are text whatever they look like, and the page talks to nobody but its service."""

from __future__ import annotations

from live_page import Page
from processes import ScannerProcess, ServeProcess
from scanner import HOSTILE


def shown_hostile(page: Page) -> list[str]:
    symbols = page.texts("#hits .symbol") + page.texts("#queue .symbol")
    return [name for name in HOSTILE if name in symbols]


def test_names_that_look_like_markup_are_shown_as_text_and_run_nothing(held_page: Page) -> None:
    held_page.wait(lambda: len(shown_hostile(held_page)) == len(HOSTILE), "the hostile names")
    for name in HOSTILE:
        button = held_page.js(
            """return [...document.querySelectorAll("#hits .symbol, #queue .symbol")]
                 .find((e) => e.textContent === arguments[0])""",
            name,
        )
        held_page.js("arguments[0].click()", button)
        held_page.wait(
            lambda name=name: (
                held_page.text("#why-title") == f"Why {name}"
                and "Track record" in held_page.text("#why-body")
            ),
            f"the reason of {name}",
        )
        assert held_page.texts("#why .problem") == [], f"the service did not find {name!r}"
        held_page.js("document.getElementById('why').close()")
    assert held_page.js("return window.hacked") is None
    assert held_page.js("return document.querySelectorAll('main img, main script').length") == 0
    held_page.screenshot("hostile-names")
    assert held_page.console() == []


def test_the_address_cannot_bring_markup_onto_the_page(
    page: Page, service: ServeProcess, held_scan: ScannerProcess
) -> None:
    assert held_scan.ruleset == "held"
    for hash_ in ("#<img src=x onerror=window.hacked=1>/x", "#%3Cimg%20src=x%3E/y", "#%E0%A4%A"):
        page.open(f"{service.url}/{hash_}")
        page.wait(lambda: page.state == "scan", f"a scan in spite of {hash_}")
        assert page.js("return window.hacked") is None
        assert page.js("return document.querySelectorAll('main img').length") == 0


def test_the_page_asks_nobody_but_its_service(held_page: Page) -> None:
    assert held_page.foreign_requests() == []
    names = held_page.js('return performance.getEntriesByType("resource").map((e) => e.name)')
    assert any(name.endswith("/static/js/main.js") for name in names)
    assert held_page.console() == []


def test_the_policy_forbids_what_the_page_does_not_need(held_page: Page) -> None:
    """Inline scripts, inline styles and other sites are refused by the browser itself."""
    held_page.js(
        """window.refused = [];
           document.addEventListener("securitypolicyviolation",
             (event) => window.refused.push(event.effectiveDirective));
           const script = document.createElement("script");
           script.textContent = "window.hacked = 1";
           document.body.append(script);
           const style = document.createElement("style");
           style.textContent = "body { display: none }";
           document.body.append(style);
           const image = document.createElement("img");
           image.src = "https://example.org/x.png";
           document.body.append(image);"""
    )
    held_page.wait(lambda: len(held_page.js("return window.refused")) == 3, "three refusals")
    assert set(held_page.js("return window.refused")) == {
        "script-src-elem",
        "style-src-elem",
        "img-src",
    }
    assert held_page.js("return window.hacked") is None


def test_a_page_that_was_left_keeps_no_stream(held_page: Page, service: ServeProcess) -> None:
    """A browser opens six connections to a server; a seventh page would wait for a minute."""

    def n_streams() -> float:
        for line in service.read("/metrics").splitlines():
            if line.startswith("scanrank_event_clients "):
                return float(line.split()[1])
        return -1.0

    held_page.wait(lambda: n_streams() == 1.0, "the page's own stream")
    held_page.driver.get(f"{service.url}/openapi.json")
    held_page.wait(lambda: n_streams() == 0.0, "the stream to end", 5)
    held_page.driver.back()
    held_page.wait(lambda: n_streams() == 1.0, "the stream of the page that is back")
    held_page.wait(lambda: held_page.text("#connection") == "live", "the page to be alive")
