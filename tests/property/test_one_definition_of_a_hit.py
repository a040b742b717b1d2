"""Live, replay, report, tune and off-policy answers agree on every hit, whatever the log."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.rewards import RewardRule, Signal, Threshold, TopShare
from bandit.stores import store_from_url
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay.journals.journal_scan import journal_scans, recorded_log
from scanner_adapter.replay.journals.off_policy import logged_scans
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.state.parquet import export_journal

RULES: list[RewardRule] = [TopShare(0.05), TopShare(0.3), Threshold(1.0), Signal()]
N = 24
SYMBOLS = [f"S{i:02}" for i in range(N)]
FIRST = pd.Timestamp("2024-01-02 21:00", tz="UTC")


@st.composite
def scans(draw: st.DrawFn) -> list[tuple[list[Outcome], float]]:
    """Outcomes of up to four scans, and the share of each that is scanned.

    Ratings with ties, constant ones, missing ones, failures, and signals with and without rating.
    """
    levels = draw(
        st.sampled_from([[0.0], [0.0, 1.0], [-1.0, 0.0, 0.0, 2.5], [0.1 * i for i in range(30)]])
    )
    outcome = st.one_of(
        st.builds(Outcome, rating=st.sampled_from(levels)),
        st.builds(
            Outcome, rating=st.sampled_from(levels), signal=st.sampled_from(["Long", "Avoid"])
        ),
        st.just(Outcome.failed("no data")),
    )
    shares = st.sampled_from([1.0, 1.0, 0.5, 0.25])
    one = st.tuples(st.lists(outcome, min_size=N, max_size=N), shares)
    return draw(st.lists(one, min_size=1, max_size=4))


@settings(deadline=None, max_examples=60)
@given(scans=scans(), rule=st.sampled_from(RULES), seed=st.integers(0, 3))
def test_every_reader_agrees(
    scans: list[tuple[list[Outcome], float]], rule: RewardRule, seed: int
) -> None:
    store = store_from_url("memory://")
    ranker = SymbolRanker.open(store, ruleset="r", rewards=rule, seed=seed, random_share=0.3)
    live: list[dict[str, bool]] = []
    counted: list[float] = []
    for number, (outcomes, share) in enumerate(scans):
        by_symbol = dict(zip(SYMBOLS, outcomes, strict=True))
        with ranker.start_scan(SYMBOLS, now=FIRST + pd.Timedelta(days=number)) as scan:
            while scan.n_scanned < share * N:
                batch = scan.next_batch(6)
                scan.report({symbol: by_symbol[symbol] for symbol in batch})
        known = list(scan.outcomes)
        live.append(dict(zip(known, scan.are_hits(known).tolist(), strict=True)))
        counted.append(scan.summary.n_hits)
    assert counted == [sum(each.values()) for each in live]

    entries = list(store.read("r"))
    journal = journal_scans(entries)
    is_whole = [scan.is_complete for scan in journal]
    assert is_whole == [share == 1.0 for _, share in scans]
    _check_replay(journal, live, rule)
    _check_off_policy(entries, live, rule)
    _check_ratings(store, live, is_whole, rule)


def _check_replay(journal: Any, live: list[dict[str, bool]], rule: RewardRule) -> None:
    """`replay --log` and `tune --log`, with the journal's rule and with the same one said."""
    whole = [hits for scan, hits in zip(journal, live, strict=True) if scan.is_complete]
    if not whole:
        return
    for asked in (None, rule):
        log = recorded_log(journal, asked)
        found = [dict(zip(s.symbols, s.hits.tolist(), strict=True)) for s in log.scans(log.days())]
        assert found == whole


def _check_off_policy(entries: Any, live: list[dict[str, bool]], rule: RewardRule) -> None:
    left_out: list[str] = []
    stopped = list(logged_scans(entries, None, rule, left_out=left_out))
    assert not left_out
    for scan, hits in zip(stopped, live, strict=True):
        seen = np.flatnonzero(scan.batch >= 0)
        assert {SYMBOLS[i]: bool(scan.reward[i]) for i in seen.tolist()} == hits


def _check_ratings(
    store: Any, live: list[dict[str, bool]], is_whole: list[bool], rule: RewardRule
) -> None:
    """`replay --ratings` and `factors report --ratings` on the exported journal."""
    if not any(outcome for hits in live for outcome in hits):
        return
    dates = np.datetime64("2024-01-01") + np.arange(len(live) + 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j.parquet"
        export_journal(store, "r", path)
        log = OutcomeLog.read(path, dates, SYMBOLS)
    assert log.is_stopped is not None
    for day, (hits, whole) in enumerate(zip(live, is_whole, strict=True), start=1):
        places = np.flatnonzero(~np.isnan(log.rating[day]))
        assert bool(log.is_stopped[day]) == (not whole and places.size > 0)
        if whole:
            found = dict(
                zip((SYMBOLS[i] for i in places), log.hits(rule, day, places), strict=True)
            )
            assert all(found.get(symbol, False) == hit for symbol, hit in hits.items())


@pytest.mark.parametrize("rule", RULES)
def test_another_rule_judges_a_journal_anew(rule: RewardRule) -> None:
    """Judged live by the top 5 %, replayed by another rule: as if that one had been live."""
    rng = np.random.default_rng(0)
    rating = dict(zip(SYMBOLS, rng.normal(size=N), strict=True))
    hits = []
    for judged in (TopShare(0.05), rule):
        store = store_from_url("memory://")
        ranker = SymbolRanker.open(store, ruleset="r", rewards=judged, seed=1)
        with ranker.start_scan(SYMBOLS, now=FIRST) as scan:
            while batch := scan.next_batch(6):
                scan.report({s: Outcome(rating[s], "Long" if s < "S03" else None) for s in batch})
        log = recorded_log(journal_scans(store.read("r")), rule)
        hits.append(next(log.scans(log.days())).hits)
    np.testing.assert_array_equal(*hits)
