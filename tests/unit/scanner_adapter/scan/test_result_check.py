"""One warning, in every place, when a scan's results make no sense; errors alone teach nothing."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from scanner_adapter import Outcome, RowMap, Scan, ScanSummary, SymbolRanker
from scanner_adapter.live.screen import screen
from scanner_adapter.live.status import LiveStatus


class AboveFifty:
    """A rule of the user's own, which looks at ratings."""

    expected_share = None

    def judge(
        self,
        rating: NDArray[np.float64],
        is_signal: NDArray[np.float64],  # noqa: ARG002
        limit: float,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        return np.clip((rating - 50.0) / 50.0, 0.0, 1.0)


SYMBOLS = [f"S{i}" for i in range(120)]


def number(symbol: str) -> int:
    return int(symbol[1:])


def scanned(
    rule: RewardRule, fn: Callable[[str], object], row_map: RowMap | None = None
) -> tuple[SymbolRanker, Scan, ScanSummary]:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=rule, row_map=row_map)
    scan = ranker.start_scan(SYMBOLS)
    return ranker, scan, scan.run(fn)


@pytest.mark.parametrize(
    ("rule", "fn", "message"),
    [
        (Signal(), lambda _: None, "all 50 results are errors.*none_is_no=True"),
        (
            Signal(),
            lambda s: "one" if number(s) % 5 else "two",
            r"was recognised, got 'one' \(\d+ times\), 'two' .*words=\('two',\)",
        ),
        (
            TopShare(),
            lambda s: {"grade": 1.0} if number(s) % 4 else 2.0,
            r"of the first 50 results are errors.*RowMap\(rating=\.\.\.\).*the row has 'grade'",
        ),
        (Signal(), lambda s: "GRADE A" if number(s) % 9 == 0 else "none", r"words=\('GRADE A',\)"),
        (Signal(), lambda _: True, r"all 50 results are equal \(a signal\)"),
        (Signal(), lambda _: False, r"all 120 results are equal \(no signal\)"),
        (HitIf(lambda _: False), lambda _: 1.0, r"all 120 results are equal \(no signal\)"),
        (TopShare(), lambda _: 7.0, r"all 50 results are equal \(rating 7\)"),
        (Signal(), lambda s: number(s) % 5 > 0, "ordering cannot pay here, because 80% of the"),
        (Threshold(20), lambda s: float(number(s)), "ordering cannot pay here, because 83% of"),
        (Threshold(70), lambda s: number(s) % 25, "none of 120 ratings reached the threshold 70"),
        (
            TopShare(),
            lambda _: {"rating": None, "signal": "BUY"},
            "none of 50 results has a rating",
        ),
    ],
)
def test_results_that_make_no_sense_are_warned_of_everywhere(
    rule: RewardRule,
    fn: Callable[[str], object],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "scanrank"):
        _, scan, summary = scanned(rule, fn)
    assert summary.warning is not None
    printed = [record.getMessage() for record in caplog.records]
    assert len(printed) == 1
    assert re.search(message, printed[0]), printed[0]
    status = scan.status()
    assert status.warning == summary.warning == scan.warning
    assert LiveStatus.from_json(status.to_json()).warning == summary.warning
    picture = screen(status, now=0.0, width=400)
    assert summary.warning[:60] in "\n".join(str(part) for part in picture.renderables)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rule", "fn"),
    [
        (Signal(), lambda s: "BUY" if number(s) == 7 else "none"),
        (Signal(none_is_no=True), lambda s: {"price": 1} if number(s) % 9 == 0 else None),
        (HitIf(lambda r: r is not None), lambda s: object() if number(s) % 9 == 0 else None),
        (TopShare(), lambda s: "BUY" if number(s) % 30 == 0 else "HOLD"),
        (TopShare(), lambda s: float(number(s) == 7)),
        (Threshold(20), lambda s: f"{number(s) % 25} %"),
        (AboveFifty(), lambda s: float(number(s))),
    ],
)
def test_results_that_make_sense_are_not(
    rule: RewardRule, fn: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "scanrank"):
        _, _, summary = scanned(rule, fn)
    assert summary.warning is None
    assert not caplog.records
    assert summary.n_errors == 0
    assert summary.n_hits >= 1


def test_hits_that_an_order_brings_early_are_not_called_common() -> None:
    """Of 1,200 symbols 6 % are hits; once learned, they are most of what a stopped scan sees."""
    symbols = [f"S{i}" for i in range(1_200)]
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(1.0))
    for _ in range(4):
        summary = ranker.start_scan(symbols).run(lambda s: float(number(s) < 72))
    scan = ranker.start_scan(symbols)
    for _ in range(2):
        scan.report({symbol: float(number(symbol) < 72) for symbol in scan.next_batch(40)})
    summary = scan.close()
    assert summary.n_hits > 0.5 * summary.n_scanned
    assert summary.warning is None


def test_a_scan_of_errors_alone_teaches_nothing_and_knows_no_recall() -> None:
    ranker, scan, summary = scanned(Signal(), lambda _: None)
    assert (summary.n_errors, summary.n_scans_learned, ranker.n_scans) == (120, 0, 0)
    assert summary.estimate is not None
    assert math.isnan(summary.estimate.recall)
    assert math.isnan(summary.estimate.recall_low)
    assert scan.status().estimate is None
    ranker.start_scan(SYMBOLS).run(lambda s: s == "S7")
    assert ranker.n_scans == 1


def test_a_few_errors_teach_as_before() -> None:
    def fails_at_times(symbol: str) -> bool:
        if number(symbol) % 10 == 0:
            raise ValueError("no data")
        return number(symbol) % 7 == 0

    ranker, _, summary = scanned(Signal(), fails_at_times)
    assert (summary.warning, ranker.n_scans) == (None, 1)
    assert summary.estimate is not None
    assert summary.estimate.recall == 1.0


@pytest.mark.parametrize("then", [True, False])
def test_signals_alone_or_none_are_nothing_odd_where_there_were_some_before(then: bool) -> None:
    """A rare signal in scans that stop early, and an order that puts all signals first."""
    symbols = [f"S{n}" for n in range(120)]
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Signal())
    with ranker.start_scan(symbols) as scan:
        scan.report({s: Outcome(is_hit=s < "S2") for s in scan.next_batch(100)})
    assert scan.summary.n_hits > 0
    with ranker.start_scan(symbols) as scan:
        scan.report({s: Outcome(is_hit=then) for s in scan.next_batch(100)})
        assert scan.warning is None
    assert scan.summary.warning is None or "cannot pay" in scan.summary.warning
