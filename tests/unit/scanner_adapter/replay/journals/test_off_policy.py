"""Orders judged from scans that were stopped, and what such a journal cannot answer."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.evaluation.offpolicy import inclusion_weights
from bandit.rewards import Threshold, TopShare
from bandit.stores import Entry
from bandit.stores.sqlite.store import SqliteStore
from benchmarks.offpolicy import facts_of_days
from scanner_adapter.replay import Configuration, Ranked, RecordedLog, bundled_log
from scanner_adapter.replay.journals.journal_scan import FactsOf, journal_scans, recorded_log
from scanner_adapter.replay.journals.off_policy import (
    StoppedScan,
    judge_stopped,
    judgement_table,
    logged_scans,
    with_limits,
)
from scanner_adapter.replay.orders import Composite, by_value

N_SCANS, STOP, QUOTA = 40, 0.4, 0.25


@pytest.fixture(scope="module")
def log() -> RecordedLog:
    return bundled_log(TopShare(0.05))


def stopped(log: RecordedLog, *, quota: float = QUOTA, n: int = N_SCANS) -> list[Entry]:
    ranker = Configuration(seed=1, settings={"random_share": quota}).open(log.rule)
    learner = Ranked(ranker, batch_size=20)
    for scan in log.scans(log.days()[:n]):
        learner.visit(scan, int(STOP * len(scan.symbols)))
    return list(ranker.store.read("replay"))


@pytest.fixture(scope="module")
def journal(log: RecordedLog) -> list[Entry]:
    return stopped(log)


@pytest.fixture(scope="module")
def facts_of(log: RecordedLog) -> FactsOf:
    return facts_of_days(log)


@pytest.fixture(scope="module")
def with_days(journal: list[Entry]) -> list[Entry]:
    """The journal as if the scans had computed their contexts from bars of their day."""
    return [
        replace(entry, header={**entry.header, "as_of": str(day_of(entry))})
        if entry.kind == "open"
        else entry
        for entry in journal
    ]


def day_of(entry: Entry) -> np.datetime64:
    return np.datetime64(0, "D") + int(entry.header["scan_time"] // 1)


@pytest.fixture(scope="module")
def truth(log: RecordedLog) -> dict[tuple[str, float], float]:
    """Recall of each order over the whole scans, the last rating being what was scanned before."""
    found: dict[tuple[str, float], list[float]] = {}
    last: dict[str, float] = {}
    ranker = Configuration(seed=1, settings={"random_share": QUOTA}).open(log.rule)
    learner = Ranked(ranker, batch_size=20)
    for scan in log.scans(log.days()[:N_SCANS]):
        n = len(scan.symbols)
        orders = {
            "last rating": by_value(
                np.array([last.get(symbol, np.nan) for symbol in scan.symbols])
            ),
            "composite": Composite().visit(scan, n),
            "file order": np.arange(n),
        }
        for name, order in orders.items():
            for share in (0.10, 0.25):
                pair = found.setdefault((name, share), [0.0, 0.0])
                pair[0] += float(scan.hits[order[: math.ceil(share * n)]].sum())
                pair[1] += float(scan.hits.sum())
        for place in learner.visit(scan, int(STOP * n)):
            last[scan.symbols[place]] = scan.rating[place]
    return {key: hits / total for key, (hits, total) in found.items()}


def test_the_truth_lies_in_the_intervals(
    with_days: list[Entry], facts_of: FactsOf, truth: dict[tuple[str, float], float]
) -> None:
    """18 intervals of 95 %: three orders, two shares, three methods. They are not independent, so
    that two misses are no surprise and four would be."""
    judged = judge_stopped(with_days, facts_of=facts_of)
    assert len(judged) == 18
    inside = []
    for each in judged:
        assert each.estimate is not None, each
        is_inside = each.estimate.low <= truth[each.order, each.share] <= each.estimate.high
        inside.append(is_inside)
        assert each.estimate.recall == pytest.approx(truth[each.order, each.share], abs=0.12)
    assert sum(inside) >= 15


def test_hits_of_stopped_scans_add_up_to_the_top_share(journal: list[Entry]) -> None:
    """Half of four symbols were seen by chance: the best rating of a scan stands for two hits."""
    half = np.array([0.5, 0.5, np.nan, np.nan])
    scans = [
        StoppedScan(
            np.datetime64("2024-01-02"), np.array([0, 0, -1, -1]), half,
            np.array([float(number == 0), 0.0, np.nan, np.nan]),
            np.array([9.0 - number, 1.0, np.nan, np.nan]), np.full(4, np.nan), None, None,
        )
        for number in range(3)
    ]  # fmt: skip
    rewards = [scan.reward for scan in with_limits(scans, TopShare(0.5))]  # six hits of twelve
    assert [np.nansum(reward) for reward in rewards] == [1.0, 1.0, 1.0]
    assert with_limits(scans, Threshold(9.0)) == scans
    rule = TopShare(0.05)
    real = with_limits(list(logged_scans(journal, None, rule, left_out=[])), rule)
    weights = [inclusion_weights(scan.batch, scan.propensity) for scan in real]
    estimated = sum(
        float(weight @ np.nan_to_num(scan.reward))
        for weight, scan in zip(weights, real, strict=True)
    )
    n_hits = 0.05 * sum(scan.batch.size for scan in real)
    assert abs(estimated - n_hits) <= max(weight.max() for weight in weights) / 2.0


def test_without_facts_only_what_needs_none_is_answered(journal: list[Entry]) -> None:
    for each in judge_stopped(journal):
        is_known = each.order != "composite" and each.method != "dr"
        assert (each.estimate is not None) == is_known
        if not is_known:
            assert "give --bars" in each.refusal


def test_without_random_symbols_there_is_no_answer(log: RecordedLog) -> None:
    judged = judge_stopped(stopped(log, quota=0.0, n=25), orders=["file order"], methods=["snips"])
    for each in judged:
        assert each.estimate is None
        assert "the logging order never chose the rest" in each.refusal


def test_hits_found_by_chance_are_needed(log: RecordedLog) -> None:
    """With 2 % at random a batch of 20 has 0.4 such symbols, and one in thirty is a hit."""
    for each in judge_stopped(
        stopped(log, quota=0.02, n=30), orders=["last rating"], methods=["ips"], shares=[0.25]
    ):
        assert "hits were found by random draws; expected at least 10" in each.refusal


def test_few_scans_give_no_interval(log: RecordedLog) -> None:
    (first, *_) = judge_stopped(stopped(log, n=5), orders=["last rating"], methods=["ips"])
    assert "5 scans are too few" in first.refusal


def test_the_table_fits_80_columns_and_tells_a_refusal_once(journal: list[Entry]) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(judgement_table(judge_stopped(journal)))
    text = console.file.getvalue()
    assert "…" not in text
    assert text.count("composite") == 1


@pytest.fixture(scope="module")
def few(log: RecordedLog) -> list[Entry]:
    return stopped(log, n=2)


class TestBadJournals:
    def changed(self, entries: list[Entry], *, drop: set[str]) -> list[Entry]:
        store = SqliteStore()
        for entry in entries:
            header = {k: v for k, v in entry.header.items() if k not in drop}
            arrays = {k: v for k, v in entry.arrays.items() if k not in drop}
            if entry.kind == "report":
                store.append_report(
                    "r", entry.scan_id, arms=entry.arms, header=header, arrays=arrays
                )
            else:
                store.append_event("r", entry.scan_id, entry.kind, header=header, arrays={})
        return list(store.read("r"))

    def test_missing_propensities(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="journaled without propensity"):
            judge_stopped(self.changed(few, drop={"propensity"}))

    def test_unknown_universe(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="does not list the others"):
            judge_stopped(self.changed(few, drop={"left"}))

    def test_missing_settings_and_places(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="journaled without its settings"):
            judge_stopped(self.changed(few, drop={"settings"}))
        with pytest.raises(InvalidInputError, match="journaled without place"):
            judge_stopped(self.changed(few, drop={"place"}))

    def test_a_gap_at_the_beginning(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="without its opening"):
            journal_scans(few[1:])

    def test_no_complete_scan(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="none of the journal's 2 scans ran to its end"):
            recorded_log(journal_scans(few))

    def test_an_order_that_learns(self, few: list[Entry]) -> None:
        with pytest.raises(InvalidInputError, match="would have seen different outcomes"):
            judge_stopped(few, orders=["scanrank"])
