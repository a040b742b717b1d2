"""What a scan tells of itself: right, cheap, and without changing what it does."""

from __future__ import annotations

import time

import numpy as np
import pytest

from scanner_adapter import Outcome, Signal, SymbolRanker, Threshold, TopShare
from scanner_adapter.live.status import MAX_HITS, MAX_NEXT, MAX_POINTS
from scanner_adapter.live.status_builder import _Throttled
from scanner_adapter.scan.scan import Scan

SYMBOLS = [f"S{i}" for i in range(100)]


def start(rewards: object = None, n: int = 100, **settings: object) -> Scan:
    """A cold, greedy scan whose composite falls with the symbol's number."""
    market = np.linspace(99.0, 0.0, n)[:, None]
    ranker = SymbolRanker.open(
        "memory://", ruleset="t", seed=1, rewards=rewards,  # type: ignore[arg-type]
        **{"exploration": 0.0, "random_share": 0.0, **settings},
    )  # fmt: skip
    return ranker.start_scan([f"S{i}" for i in range(n)], context=(("market.x",), market))


def test_a_scan_in_progress_by_hand() -> None:
    """Of 100, 20 are reported and 10 more handed out; S5 and S15 are hits at 70 and more."""
    scan = start(Threshold(70.0))
    scan.next_batch(10)
    scan.report({f"S{i}": 80.0 if i == 5 else 10.0 for i in range(10)})
    scan.next_batch(10)
    scan.report({f"S{i}": 90.0 if i == 15 else ValueError("no data") for i in range(10, 20)})
    scan.next_batch(10)
    scan.queue.pin(["S99"])
    scan.queue.exclude(["S98", "S97"])
    status = scan.status()
    assert (status.n_symbols, status.n_scanned, status.n_errors, status.n_hits) == (100, 20, 9, 2.0)
    assert (status.hit_rule, status.hit_limit, status.state) == ("rating:70", 70.0, "scanning")
    assert [(hit.symbol, hit.rank, hit.rating) for hit in status.newest_hits] == [
        ("S15", 16, 90.0),
        ("S5", 6, 80.0),
    ]
    assert len(status.curve) == 20
    assert [status.curve[i] for i in (0, 4, 5, 15, 19)] == [
        (1, 0.0), (5, 0.0), (6, 1.0), (16, 2.0), (20, 2.0),
    ]  # fmt: skip
    waiting = sum(count.waiting for count in status.tiers.values())
    assert waiting == 100 - 20 - 10 - 2
    assert sum(count.scanned for count in status.tiers.values()) == 20
    assert len(status.next) == MAX_NEXT
    assert status.next[0].symbol == "S99"
    assert status.next[0].is_pinned
    assert (status.pinned, status.excluded) == (("S99",), ("S97", "S98"))
    assert set(status.next[0].reasons) == {"historical", "market", "fundamental", "technical"}
    assert status.weights["market"].prior == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rule", "text", "limit"),
    [(Signal(), "signal", None), (Threshold(50.0), "rating:50", 50.0), (None, "top:0.05", 20.0)],
)
def test_what_counts_as_a_hit(rule: object, text: str, limit: float | None) -> None:
    """All ratings are 10 but one of 20, which starts the best 5 %."""
    scan = start(rule)
    batch = scan.next_batch(20)
    scan.report(
        {s: Outcome(20.0 if s == "S3" else 10.0, "Long" if s == "S3" else None) for s in batch}
    )
    status = scan.status()
    assert (status.hit_rule, status.hit_limit) == (text, limit)
    n = 0 if text == "rating:50" else 1
    assert [hit.symbol for hit in status.newest_hits] == ["S3"][:n]
    assert status.n_hits == n


def test_the_estimate_says_what_stopping_would_miss() -> None:
    scan = start(n=1000)
    scan.report({s: float(1000 - int(s[1:])) for s in scan.next_batch(200)})
    status = scan.status()
    assert status.estimate is not None
    e = status.estimate
    assert e.confidence == 0.95
    assert e.remaining_low <= e.hits_remaining <= e.remaining_high
    assert e.recall == pytest.approx(e.hits_found / (e.hits_found + e.hits_remaining), rel=1e-4)
    # Two-sided 95 %: wider than the one-sided bounds at 95 % on either side.
    narrower = scan.estimate(0.95)
    assert e.remaining_high > narrower.remaining_high
    assert status.eta_s is not None
    assert status.eta_s > 0.0


def test_count_and_estimate_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recall of 0 % beside hits that were found since; none at all before the first result."""
    now = 0.0
    monkeypatch.setattr("scanner_adapter.live.status_builder.time.monotonic", lambda: now)
    scan = start(Threshold(70.0))
    assert scan.status().estimate is None
    counts = []
    for i in range(90):
        scan.report(dict.fromkeys(scan.next_batch(1), 80.0 if i % 3 else 10.0))
        now += 0.1
        status = scan.status()
        found = 0.0 if status.estimate is None else status.estimate.hits_found
        assert found == status.n_hits
        counts.append(found)
    assert len(set(counts)) > 3, "renewed while the scan runs"


def test_the_second_look_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first computation is expensive and shows an empty scan, so it does not count in full."""
    clock = iter([0.0, 0.004, 0.004, 0.008])  # 4 ms each: at this share one in 4 s
    monkeypatch.setattr("scanner_adapter.live.status_builder.time.thread_time", lambda: next(clock))
    part, seen = _Throttled(share=0.001), []
    for now in (0.0, 0.9, 1.1, 2.2, 5.0):
        part.is_stale = True
        seen.append(part.value(lambda now=now: {"at": now}, now, is_last=False)["at"])
    assert seen == [0.0, 0.0, 1.1, 1.1, 1.1]


def test_lists_stay_short_over_a_long_scan() -> None:
    scan = start(Threshold(0.0), n=2000)
    for batch in scan.batches(500):
        scan.report(dict.fromkeys(batch, 1.0))
    scan.close()
    status = scan.status()
    assert (status.state, status.n_scanned, status.stopped) == ("done", 2000, None)
    assert len(status.newest_hits) == MAX_HITS
    assert [hit.rank for hit in status.newest_hits] == list(range(2000, 1950, -1))
    assert len(status.curve) == MAX_POINTS
    assert (status.curve[0], status.curve[-1]) == ((1, 1.0), (2000, 2000.0))
    assert status.next == ()


def test_mode_off_counts_and_judges_nothing() -> None:
    with SymbolRanker.open("memory://", ruleset="t", mode="off").start_scan(SYMBOLS) as scan:
        scan.report(dict.fromkeys(scan.next_batch(30), 1.0))
        status = scan.status()
    assert (status.mode, status.n_scanned, status.n_hits, status.estimate) == (
        "off",
        30,
        None,
        None,
    )
    assert scan.status().stopped == "70 symbols were not scanned"


def test_a_failure_of_ours_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = start()
    monkeypatch.setattr("bandit.choice.open_scan.OpenScan.select", lambda _scan, _k: 1 / 0)
    batch = scan.next_batch(10)
    assert batch.symbols == tuple(SYMBOLS[:10])
    scan.report(dict.fromkeys(batch, 1.0))
    status = scan.status()
    assert status.failure == "ZeroDivisionError: division by zero"
    assert (status.n_scanned, status.n_hits, status.next) == (10, None, ())


def test_telling_changes_nothing_of_the_choice() -> None:
    """The same seed gives the same batches, whether somebody looks or not; dense and bounded."""
    for n in (300, 30_000):
        orders = []
        for looks in (False, True):
            scan = start(n=n, exploration=0.3, random_share=0.1)
            order: list[str] = []
            for _ in range(4):
                batch = scan.next_batch(40)
                order += batch
                if looks:
                    scan.status()
                scan.report({s: float(int(s[1:]) * 37 % 101) for s in batch})
                if looks:
                    scan.status()
            orders.append(order)
        assert orders[0] == orders[1]


def test_a_dear_part_is_computed_seldom() -> None:
    """100 ms of processor time, at 0.5 % at most, pay off in 20 s: 5 times in 100 s, not 400."""
    calls = []

    def compute() -> dict[str, float]:
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass
        calls.append(now)
        return {"n": len(calls)}

    part = _Throttled(share=0.001)
    for now in np.arange(0.0, 100.0, 0.25):
        part.is_stale = True
        part.value(compute, now, is_last=False)
    assert 2 <= len(calls) <= 5
    # At the end it is left as it is; one that costs under 20 ms is computed once more.
    part.is_stale = True
    assert part.value(compute, 100.0, is_last=True) == {"n": len(calls)}
    cheap = _Throttled(share=1e-9)
    assert cheap.value(lambda: {"n": 1}, 0.0, is_last=False) == {"n": 1}
    cheap.is_stale = True
    assert cheap.value(lambda: {"n": 2}, 0.5, is_last=False) == {"n": 1}
    assert cheap.value(lambda: {"n": 2}, 0.5, is_last=True) == {"n": 2}


def test_a_part_without_news_is_not_computed_again() -> None:
    part = _Throttled(share=1.0)
    assert part.value(lambda: {"n": 1}, 0.0, is_last=False) == {"n": 1}
    assert part.value(lambda: {"n": 2}, 9.0, is_last=True) == {"n": 1}


def test_a_count_under_a_top_share_is_provisional_until_the_scan_ends() -> None:
    """Of 100 symbols, 40 are scanned and 10 are the best tenth.

    If the rest is as good, 4 of the 40 stay; if it holds no hit, all 10 are among them.
    """
    ranker = SymbolRanker.open("memory://", ruleset="t", rewards=TopShare(0.1), seed=1)
    with ranker.start_scan([f"S{i}" for i in range(100)]) as scan:
        for batch in (scan.next_batch(20), scan.next_batch(20)):
            scan.report({symbol: float(symbol[1:]) for symbol in batch})
        status = scan.status()
        assert status.n_hits is not None
        assert (status.hits_low, status.hits_high) == (min(4.0, status.n_hits), 10.0)
        assert sum(t.waiting + t.scanned + t.other for t in status.tiers.values()) == 100
    assert scan.status().hits_low is None, "final once the scan has ended"
    signals = SymbolRanker.open("memory://", ruleset="u", rewards=Threshold(50.0), seed=1)
    with signals.start_scan([f"S{i}" for i in range(100)]) as scan:
        scan.report({symbol: float(symbol[1:]) for symbol in scan.next_batch(20)})
        assert scan.status().hits_high is None, "a fixed limit is final at once"
