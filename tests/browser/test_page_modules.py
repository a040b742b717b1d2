"""The page's modules one by one, in the browser: numbers, sentences, scales, state, memory."""

from __future__ import annotations

import time
from typing import Any

import pytest
from live_page import Page
from processes import ServeProcess


@pytest.fixture(scope="module")
def plain_page(browser_page: Page, service: ServeProcess) -> Page:
    """The page's own address without its scripts at work: modules are imported one by one."""
    return browser_page.open(f"{service.url}/static/icon.svg").open(f"{service.url}/health")


def estimate(**changes: float) -> dict[str, float]:
    return {
        **{"recall": 0.93, "low": 0.86, "high": 1.0, "confidence": 0.95, "hits_found": 38.0},
        **{"hits_remaining": 3.2, "remaining_low": 0.0, "remaining_high": 7.0},
        **changes,
    }


def status(**changes: Any) -> dict[str, Any]:
    return {
        **{"scan_id": "s", "ruleset": "r", "mode": "on", "state": "scanning", "stopped": None},
        **{"started_at": 0.0, "updated_at": 1.0, "n_symbols": 1000, "n_scanned": 250},
        **{"n_hits": 38.0, "n_errors": 0, "estimate": estimate(), "curve": [[100, 20], [250, 38]]},
        **{"newest_hits": [], "next": [], "tiers": {}, "weights": {}, "pinned": [], "excluded": []},
        **{"target_recall": 0.95, "eta_s": 12.0, "rate_per_s": 3.0, "hit_rule": "top:0.05"},
        **{"hit_limit": 8.4, "workers": 2},
        **changes,
    }


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("m.percent(0.934)", "93%"),
        ("m.percent(0.996)", "99.6%"),
        ("m.percent(0.9999)", "99.9%"),
        ("m.percent(1)", "100%"),
        ("m.percent(0.004)", "0.4%"),
        ("m.percent(0.0001)", "<0.1%"),
        ("m.percent(0)", "0%"),
        ("m.percent(null)", "–"),
        ("m.count(1471)", "1,471"),
        ("m.count(37.46)", "37.5"),
        ("m.count(null)", "–"),
        ("m.signed(-1.234)", "−1.23"),
        ("m.signed(0.001)", "0.00"),
        ("m.signed(0.5, 1)", "+0.5"),
        ("m.duration(0.2)", "under 1 s"),
        ("m.duration(59.6)", "1 min"),
        ("m.duration(185)", "3 min 5 s"),
        ("m.duration(7800)", "2 h 10 min"),
        ("m.duration(null)", "–"),
        ("m.moment(0, 0) === m.clock(0)", True),
    ],
)
def test_numbers_are_written_as_people_read_them(
    plain_page: Page, call: str, expected: object
) -> None:
    assert plain_page.module("format", f"return {call}") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "about 3 of 41 high-value symbols (95% interval: 0 to 7)"),
        (
            {"hits_remaining": 0.3, "remaining_high": 1.0},
            "probably none of 38 high-value symbols (95% interval: 0 to 1)",
        ),
    ],
)
def test_what_stopping_would_miss_is_said_in_one_sentence(
    plain_page: Page, changes: dict[str, float], expected: str
) -> None:
    said = plain_page.module("format", "return m.missed(args[0])", estimate(**changes))
    assert said == expected


@pytest.mark.parametrize(
    ("end", "n", "expected"),
    [
        (87, 4, [0, 50, 100]),
        (41, 4, [0, 20, 40, 60]),
        (1, 4, [0, 1]),
        (0, 4, [0, 1]),
        (1471, 6, [0, 500, 1000, 1500]),
    ],
)
def test_axes_have_round_numbers_up_to_the_largest(
    plain_page: Page, end: float, n: int, expected: list[float]
) -> None:
    assert plain_page.module("curve", "return m.ticks(args[0], args[1])", end, n) == expected


def test_the_curve_starts_at_nothing_and_ends_at_the_newest_number(plain_page: Page) -> None:
    """Found 38, 3.2 expected to be left, 0 to 7 by the interval: a total of 41.2, 38 to 45."""
    late = status(curve=[[100, 20], [200, 31]])
    data = plain_page.module("curve", "return m.curveData(args[0])", late)
    assert data["points"] == [[0, 0], [100, 20], [200, 31], [250, 38]]
    assert (data["total"], data["low"], data["high"]) == (pytest.approx(41.2), 38, 45)


def test_the_curve_is_compared_with_a_random_order(plain_page: Page) -> None:
    """A quarter of the symbols holds a quarter of the 41.2: about 10."""
    said = plain_page.module("curve", "return m.curveText(args[0])", status())
    assert said == (
        "38 found after 250 symbols, where a random order would have found about 10. "
        "Estimated total 41 (95%: 38 to 45)."
    )
    done = status(n_scanned=1000, n_hits=40, curve=[[100, 20], [250, 38]])
    assert plain_page.module("curve", "return m.curveText(args[0])", done) == (
        "40 found after 1,000 symbols, half of them within the first 100 (10%); "
        "a random order needs 50% for that."
    )
    off = status(n_hits=None, estimate=None, curve=[])
    assert "nothing judges" in plain_page.module("curve", "return m.curveText(args[0])", off)


def after(page: Page, events: list[tuple[str, dict[str, Any], float]]) -> dict[str, Any]:
    """Return the state after events (type, data, time), and what the notice says of it."""
    return dict(
        page.module(
            "state",
            """let state = m.START;
               for (const [type, data, now] of args[0]) {
                 state = type === "connection" ? m.connected(state, data.is, now)
                                               : m.received(state, type, data, now);
               }
               return import("/static/js/notice.js").then((notice) =>
                 ({ ...state, said: notice.describe(state, args[0].at(-1)[2]) }));""",
            events,
        )
    )


def scan(
    *, closed: bool = False, stop: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    control = {"stop": stop, "pin": [], "exclude": [], "boost": {}}
    note = status(**changes)
    return {
        **{"ruleset": "r", "scan_id": "s", "started_at": 0.0, "n_scanned": note["n_scanned"]},
        **{"is_closed": closed, "status": note, "control": control},
    }


def test_an_older_note_does_not_turn_the_page_back(plain_page: Page) -> None:
    newer, older = scan(updated_at=5.0, n_scanned=300), scan(updated_at=4.0, n_scanned=250)
    state = after(plain_page, [("status", newer, 5.0), ("status", older, 6.0)])
    assert state["status"]["n_scanned"] == 300


def test_the_first_moment_of_a_loss_is_the_one_that_is_shown(plain_page: Page) -> None:
    lost = ("connection", {"is": False})
    state = after(plain_page, [("status", scan(), 1.0), (*lost, 10.0), (*lost, 99.0)])
    assert state["lostSince"] == 10.0
    assert state["said"]["kind"] == "lost"
    back = after(
        plain_page, [("status", scan(), 1.0), (*lost, 10.0), ("connection", {"is": True}, 11.0)]
    )
    assert back["lostSince"] is None
    assert back["said"]["kind"] == "live"


def test_a_status_ends_what_is_said_of_a_store_that_was_away(plain_page: Page) -> None:
    away = ("disconnected", {"since": 7.0, "detail": "no answer"}, 8.0)
    state = after(plain_page, [("status", scan(), 1.0), away])
    assert state["said"]["short"].startswith("store down since")
    assert after(plain_page, [away, ("status", scan(), 9.0)])["said"]["kind"] == "live"


def test_a_scanner_that_falls_silent_is_said_to_be_silent(plain_page: Page) -> None:
    events = [("status", scan(updated_at=1.0), 1.0), ("status", scan(updated_at=1.0), 40.0)]
    assert after(plain_page, events)["said"]["kind"] == "live"
    silent = after(plain_page, [*events, ("status", scan(updated_at=1.0), 47.0)])
    assert silent["said"]["kind"] == "silent"
    assert after(plain_page, [*events, ("closed", {}, 47.0)])["said"]["short"] == "finished"


def test_a_stop_that_was_asked_for_shows_until_the_end(plain_page: Page) -> None:
    asked = scan(stop={"reason": "lunch", "at": 2.0})
    state = after(plain_page, [("status", asked, 2.0)])
    assert "lunch" in state["said"]["text"]
    ended = scan(closed=True, state="done", stopped="stopped from outside: lunch", updated_at=3.0)
    assert after(plain_page, [("status", asked, 2.0), ("status", ended, 3.0)])["said"] == {
        "kind": "ended",
        "short": "stopped",
        "text": "",
    }


# Draws statuses `first` to `last` with every panel: new results, new waiting symbols, more curve.
DRAW = """
const [first, last, note] = args;
const [curves, queues, progress, weights, state] = await Promise.all(
  ["curve", "queue", "progress", "weights", "state"].map((name) => import(`/static/js/${name}.js`)),
);
window.panels ??= {
  curve: new curves.Curve(document.createElement("figure"), document.createElement("tbody")),
  queue: new queues.Queue({ why() {}, change() {} }),
};
const reasons = { market: { prior: 0.1, learned: 0.2 } };
const list = (n, make) => Array.from({ length: n }, (_, i) => make(i));
for (let n = first; n < last; n += 1) {
  const now = {
    ...note, n_scanned: n, n_hits: n, n_symbols: 5000,
    newest_hits: list(60, (i) => ({ symbol: `H${n - i}`, rating: n, signal: null, rank: n,
                                    at: n, is_random: false })),
    next: list(20, (i) => ({ symbol: `N${n + i}`, score: 90, tier: "high", probability: 0.1,
                             is_pinned: false, reasons, today: n / 1000 })),
    curve: list(200, (i) => [(n * (i + 1)) / 200, i]),
    weights: { market: { prior: 0.5, learned: n / 5000, low: 0.1, high: 0.9 } },
  };
  const all = { ...state.START, scan: { ruleset: "r", scan_id: "s" }, status: now };
  m.renderHits(now, () => {});
  progress.renderProgress(all);
  weights.renderWeights(now);
  window.panels.queue.render(all);
  window.panels.curve.render(now);
}
return ["hits", "queue"].map((id) => document.getElementById(id).rows.length);
"""


@pytest.mark.slow
def test_a_long_scan_does_not_fill_the_browser(held_page: Page) -> None:
    """800 statuses of all-new results leave less than a node and 400 bytes each; a leak, a row.

    What a browser keeps for a while, a panel let go and the code it compiled, is more than a tenth
    of the page but does not grow.
    """

    def draw(first: int, last: int) -> tuple[int, int]:
        script = f"return (async () => {{ {DRAW} }})()"
        assert held_page.module("hits", script, first, last, status()) == [50, 20]
        # One collection may leave nodes that were let go a moment ago: what stays is the least.
        taken = [in_use() for _ in range(5)]
        return min(nodes for nodes, _ in taken), min(heap for _, heap in taken)

    def in_use() -> tuple[int, int]:
        run = held_page.driver.execute_cdp_cmd
        time.sleep(0.1)
        run("HeapProfiler.collectGarbage", {})
        heap = run("Runtime.getHeapUsage", {})
        return int(run("Memory.getDOMCounters", {})["nodes"]), int(heap["usedSize"])

    nodes, heap = draw(100, 1200)
    nodes_later, heap_later = draw(1200, 2000)
    assert nodes_later - nodes < 800
    assert heap_later - heap < 800 * 400


def test_a_configured_scanner_can_be_started_from_the_empty_page(held_page: Page) -> None:
    """The service's answers are put in its place: it has no scanners in these tests."""
    asked = held_page.module(
        "scanners",
        """const asked = [];
           const all = { scanners: [{ name: "a/b", ruleset: "r", scanner: "<b>x</b>" }], runs: [] };
           window.fetch = async (path, options) => {
             asked.push(`${options.method} ${path}`);
             return new Response(JSON.stringify(all), { status: 200 });
           };
           return m.renderScanners(() => asked.push("started")).then(async () => {
             document.querySelector("#scanner-list button").click();
             await new Promise((resolve) => setTimeout(resolve, 50));
             return asked;
           });""",
    )
    start = "POST api/v1/scanners/a%2Fb/scans"
    assert [line for line in asked if "scanners" in line or line == "started"] == [
        "GET api/v1/scanners",
        start,
        "started",
    ]
    assert "a/b <b>x</b>, ruleset r" in held_page.text("#scanner-list")
