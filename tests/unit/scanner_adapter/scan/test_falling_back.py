"""An order worse than "last rating first" is noticed, said, and replaced until it is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bandit.belief.belief import Belief
from bandit.belief.standing import RIVALS, Judged, Standing
from bandit.choice.open_scan import OpenScan
from bandit.choice.scores import SharedScores
from scanner_adapter import SymbolRanker
from scanner_adapter.batch import ScanSummary

SYMBOLS = [f"S{i:03}" for i in range(300)]
WORTH = np.random.default_rng(1).normal(size=len(SYMBOLS))


@contextmanager
def broken() -> Iterator[None]:
    """The learner's scores point the wrong way."""
    draw, means = SharedScores.next_draw, OpenScan._means
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedScores, "next_draw", lambda self: -draw(self))
        patch.setattr(OpenScan, "expected_scores", property(lambda self: -means(self)))
        yield


def scan_days(
    ranker: SymbolRanker, days: range, *, share: float = 1.0, noise: float = 0.3
) -> list[ScanSummary]:
    """Ratings are the symbol's worth and some noise: last rating first is a good order."""
    summaries = []
    for day in days:
        rng = np.random.default_rng(day)
        rating = dict(zip(SYMBOLS, WORTH + noise * rng.normal(size=len(SYMBOLS)), strict=True))
        context = ["market.x"], rng.uniform(0, 100, (len(SYMBOLS), 1))
        now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
        with ranker.start_scan(SYMBOLS, context=context, now=now) as scan:
            while scan.n_scanned < share * len(SYMBOLS):
                scan.report({symbol: rating[symbol] for symbol in scan.next_batch(15)})
        summaries.append(scan.summary)
    return summaries


def found_early(ranker: SymbolRanker) -> list[float]:
    closes = [e.header for e in ranker.store.read("r") if e.kind == "close"]
    return [float(header["found_early"]) for header in closes]


@pytest.mark.parametrize(("share", "random_share"), [(1.0, 0.02), (0.4, 0.3)])
def test_a_bad_order_gives_way_until_it_has_caught_up(
    share: float, random_share: float, caplog: pytest.LogCaptureFixture
) -> None:
    ranker = SymbolRanker.open("memory://", ruleset="r", seed=1, random_share=random_share)
    scan_days(ranker, range(2))  # a complete one first: every symbol has a last rating
    with broken(), caplog.at_level(logging.WARNING, "scanrank"):
        summaries = scan_days(ranker, range(2, 16), share=share)
    warned = [m for m in caplog.messages if "would have; the next scans use that order" in m]
    assert len(warned) == 1
    printed = [summary.warning or "" for summary in summaries]
    first = next(i for i, text in enumerate(printed) if text.startswith("ordered by last"))
    assert 3 <= first <= 8
    assert all(text.startswith("ordered by last") for text in printed[first:])
    early = found_early(ranker)[2:]
    assert np.mean(early[first:]) > np.mean(early[:first]) + 5
    caplog.clear()
    with caplog.at_level(logging.WARNING, "scanrank"):
        last = scan_days(ranker, range(16, 30), share=share)[-1]
    assert sum("has caught up" in message for message in caplog.messages) == 1
    assert last.warning is None


def test_a_good_order_and_a_scanner_of_noise_do_not_fall_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for noise in (0.3, 1000.0):
        ranker = SymbolRanker.open("memory://", ruleset="r", seed=2)
        with caplog.at_level(logging.WARNING, "scanrank"):
            scan_days(ranker, range(30), noise=noise)
        standing = ranker.learned.belief.standing
        assert standing.fallback == ""
        assert standing.says_nothing == (noise > 1.0)
    assert not [m for m in caplog.messages if "use that order" in m]


class TestStanding:
    def scans(self, own: float, rival: float, n: int) -> Standing:
        standing = Standing()
        for _ in range(n):
            standing = standing.learn(Judged(own, 2.0, (rival, 1.0), own + rival))
        return standing

    def test_four_in_a_row_by_hand(self) -> None:
        """20 hits, 2 early at random. 12 to 4: 32 more in four scans, standard error 8."""
        assert self.scans(4.0, 12.0, 3).fallback == ""
        assert self.scans(4.0, 12.0, 4).fallback == RIVALS[0]
        assert self.scans(11.0, 12.0, 9).fallback == "", "4 more in four scans, standard error 9.6"

    def test_one_good_scan_in_between_starts_anew(self) -> None:
        standing = self.scans(4.0, 12.0, 3)
        standing = standing.learn(Judged(12.0, 2.0, (12.0, 1.0), 24.0))
        for _ in range(3):
            standing = standing.learn(Judged(4.0, 2.0, (12.0, 1.0), 16.0))
        assert standing.fallback == ""

    def test_it_is_part_of_the_state(self) -> None:
        belief = Belief()
        belief.standing = self.scans(4.0, 12.0, 4).learn(Judged(1.0, 2.0, (3.0, 4.0), 5.0))
        again = Belief.from_state(belief.settings, *belief.state())
        assert again.standing == belief.standing
        assert again.standing.fallback == RIVALS[0]
