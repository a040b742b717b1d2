"""A live scan's journal, replayed, gives the same batches, bit for bit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.rewards import HitIf, RewardRule, Signal, Threshold, TopShare
from bandit.stores import Entry, Store
from bandit.stores.sqlite.store import SqliteStore
from features.inputs.bars import Bars
from features.similarity import Loadings
from scanner_adapter.demo.simulator import simulate
from scanner_adapter.inputs.context import MarketFacts, market_facts
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay import Configuration, Ranked
from scanner_adapter.replay.journals.journal_scan import journal_scans, recorded_log
from scanner_adapter.replay.journals.reproduce import Verdict, replay_again
from scanner_adapter.settings import Settings
from scanner_adapter.state.parquet import export_journal, import_journal, read_journal
from scanner_adapter.symbol_ranker import SymbolRanker

FIRST = datetime(2024, 3, 4, 21, 0, 0, 123457, tzinfo=UTC)
SUB_SCORES = ("market.worth", "technical.noise", "fundamental.rare")


class Day:
    """One day's universe: its facts, and what the scanner would say of each symbol."""

    def __init__(self, seed: int, n: int, *, failures: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.symbols = [f"S{i}" for i in rng.permutation(n + 5)[:n]]
        values = rng.uniform(0, 100, (n, 3)).astype(np.float32)
        values[rng.random((n, 3)) < 0.1] = np.nan
        sector = np.eye(4, dtype=np.float32)[rng.integers(0, 4, n)] * np.float32(1.9)
        sector[rng.random(n) < 0.1] = 0.0
        components = rng.standard_normal((n, 3)).astype(np.float32)
        names = (*(f"sector.{k}" for k in "ABCD"), *(f"component.{k}" for k in "123"))
        self.context = (SUB_SCORES, values)
        self.loadings = Loadings(names, np.column_stack([sector, components]))
        self.now = FIRST + timedelta(days=seed, seconds=seed * 0.77)
        worth = np.nan_to_num(values[:, 0], nan=50.0) + 10 * components[:, 0]
        self.outcomes: dict[str, Outcome] = {}
        for i, symbol in enumerate(self.symbols):
            if rng.random() < failures:
                self.outcomes[symbol] = Outcome.failed("no data")
                continue
            columns = {"volume_ratio": float(rng.random()), "gap": float("nan")}
            if rng.random() < 0.2:
                columns["odd"] = float(i)
            self.outcomes[symbol] = Outcome(
                rating=float(worth[i]) + float(rng.normal()),
                signal="Buy" if worth[i] > 85 else "Avoid",
                alpha=float(rng.random()) if rng.random() < 0.3 else None,
                columns=columns,
            )

    def scan(self, ranker: SymbolRanker, *, batch: int, stop: float = 1.0, late: int = 0) -> None:
        """Scan in batches, each reported `late` batches later, up to a share of the universe."""
        waiting: list[tuple[str, ...]] = []
        with ranker.start_scan(
            self.symbols, context=self.context, loadings=self.loadings, now=self.now
        ) as scan:
            while scan.n_scanned < stop * len(self.symbols):
                symbols = scan.next_batch(batch).symbols
                if symbols:
                    waiting.append(symbols)
                if not waiting:
                    break
                if not symbols or len(waiting) > late:
                    scan.report({s: self.outcomes[s] for s in waiting.pop(0)})


def replayed(store: Store, ruleset: str = "rules", **how: object) -> tuple[Verdict, ...]:
    return replay_again(store.read(ruleset), **how)  # type: ignore[arg-type]


def assert_same(verdicts: tuple[Verdict, ...]) -> None:
    assert verdicts
    for verdict in verdicts:
        assert verdict.is_same is True, verdict


scans = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 25),
        "late": st.integers(0, 2),
        "mode": st.sampled_from(["on", "shadow"]),
        "failures": st.sampled_from([0.0, 0.2, 1.0]),
        "n": st.integers(20, 60),
    }
)


@settings(max_examples=15, deadline=None)
@given(
    days=st.lists(scans, min_size=1, max_size=4),
    rule=st.sampled_from([TopShare(0.1), Signal(), Signal(words=("Avoid",)), Threshold(80.0)]),
    seed=st.integers(0, 2**70) | st.none(),
    reopened=st.booleans(),
)
def test_a_journal_of_complete_scans_comes_out_again(
    days: list[dict[str, object]], rule: RewardRule, seed: int | None, reopened: bool
) -> None:
    """Over modes, batch sizes, late reports, failures, rules, seeds, and restarts in between."""
    store = SqliteStore()
    chosen = Settings().ranker_settings(rule)
    ranker = SymbolRanker(store, ruleset="rules", settings=chosen, seed=seed)
    for number, how in enumerate(days):
        if reopened:
            ranker = SymbolRanker(store, ruleset="rules", settings=chosen, seed=seed)
        ranker.mode = how["mode"]  # type: ignore[assignment]
        day = Day(number, how["n"], failures=how["failures"])  # type: ignore[arg-type]
        day.scan(ranker, batch=how["batch"], late=how["late"])  # type: ignore[arg-type]
    assert_same(replayed(store))


def test_verdicts_of_ones_own_function_come_out_again() -> None:
    store, rule = SqliteStore(), HitIf(lambda result: result.alpha is not None)
    ranker = SymbolRanker(store, ruleset="rules", settings=Settings().ranker_settings(rule), seed=3)
    for number in range(3):
        Day(number, 40).scan(ranker, batch=10)
    assert_same(replayed(store, rule=rule))


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore()


def open_(store: Store, seed: int = 4, **further: float) -> SymbolRanker:
    chosen = Settings(**further)  # type: ignore[arg-type]
    return SymbolRanker(store, ruleset="rules", settings=chosen.ranker_settings(), seed=seed)


def test_the_export_replays_as_the_store_does(store: SqliteStore, tmp_path: Path) -> None:
    ranker = open_(store)
    for number in range(3):
        Day(number, 40, failures=0.1).scan(ranker, batch=7)
    export_journal(store, "rules", tmp_path / "journal.parquet")
    assert_same(replay_again(read_journal(tmp_path / "journal.parquet")))
    moved = SqliteStore()
    import_journal(moved, "elsewhere", tmp_path / "journal.parquet")
    assert_same(replayed(moved, "elsewhere"))


def test_the_same_seed_alone_gives_the_same_batches(store: SqliteStore) -> None:
    """As a log of complete scans, replayed in a new ranker, where only the seed is given."""
    ranker = open_(store, seed=11)
    for number in range(4):
        Day(number, 40).scan(ranker, batch=7)
    journal = journal_scans(store.read("rules"))
    log = recorded_log(journal)
    again = Ranked(Configuration(seed=11).open(TopShare()), batch_size=7)
    other = Ranked(Configuration(seed=12).open(TopShare()), batch_size=7)
    differs = False
    for was, scan in zip(journal, log.scans(log.days()), strict=True):
        visited = again.visit(scan, len(scan.symbols))
        assert tuple(scan.symbols[place] for place in visited) == was.arms
        differs |= other.visit(scan, len(scan.symbols)).tolist() != visited.tolist()
    assert differs


def test_settings_that_changed_in_between_are_followed(store: SqliteStore) -> None:
    for number in range(4):
        ranker = open_(store, half_life_days=5.0 + 20 * (number // 2), exploration=0.1 * number)
        Day(number, 40).scan(ranker, batch=9)
    assert_same(replayed(store))


def test_a_run_over_many_threads_comes_out_again(store: SqliteStore) -> None:
    """Which results were in when a batch was chosen depended on timing; the journal knows."""
    ranker = open_(store)
    for number in range(2):
        day = Day(number, 120)

        def evaluate(symbol: str, day: Day = day) -> Outcome:
            time.sleep(0.0002 * (int(symbol[1:]) % 7))
            return day.outcomes[symbol]

        scan = ranker.start_scan(
            day.symbols, context=day.context, loadings=day.loadings, now=day.now
        )
        with ThreadPoolExecutor(4) as pool:
            scan.run(evaluate, executor=pool)
    assert_same(replayed(store))


@pytest.fixture(scope="module")
def bars() -> Bars:
    return Bars.from_frame(simulate(n_symbols=40, n_days=90, seed=1).bars)


class TestStoppedScans:
    """What a stopped scan did not reach is not in the journal: the bars have it."""

    def live(self, store: Store, bars: Bars) -> None:
        ranker = open_(store)
        for number, share in enumerate((1.0, 0.3, 0.5, 1.0)):
            symbols = bars.symbols[::-1]  # a universe in an order of its own
            with ranker.start_scan(
                symbols, bars=bars, as_of=bars.dates[60 + number],
                now=FIRST + timedelta(days=number),
            ) as scan:  # fmt: skip
                while scan.n_scanned < share * len(symbols):
                    scan.report({s: float(sum(map(ord, s)) % 17) for s in scan.next_batch(6)})

    def facts_of(self, bars: Bars, symbols: object, as_of: str) -> MarketFacts:
        return market_facts(symbols, bars=bars, as_of=as_of)  # type: ignore[arg-type]

    def test_with_the_bars_they_come_out_again(self, store: SqliteStore, bars: Bars) -> None:
        self.live(store, bars)
        assert_same(replayed(store, facts_of=lambda s, day: self.facts_of(bars, s, day)))

    def test_without_them_they_are_learned_from(self, store: SqliteStore, bars: Bars) -> None:
        """So that the complete scans around them still come out bit for bit."""
        self.live(store, bars)
        verdicts = replayed(store)
        assert [v.is_same for v in verdicts] == [True, None, None, True]
        assert "give the bars that it used" in verdicts[1].reason

    def test_other_bars_are_refused(self, store: SqliteStore, bars: Bars) -> None:
        self.live(store, bars)
        other = Bars.from_frame(simulate(n_symbols=40, n_days=90, seed=2).bars)
        verdicts = replayed(store, facts_of=lambda s, day: self.facts_of(other, s, day))
        assert verdicts[1].is_same is None
        assert "used different data as of" in verdicts[1].reason


class TestWhatCannotBeRepeated:
    def reasons(self, store: Store) -> list[str]:
        return [verdict.reason for verdict in replayed(store)]

    def test_pins(self, store: SqliteStore) -> None:
        ranker, day = open_(store), Day(0, 30)
        with ranker.start_scan(day.symbols, context=day.context, now=day.now) as scan:
            scan.queue.pin(day.symbols[-2:])
            for batch in scan.batches(10):
                scan.report({s: day.outcomes[s] for s in batch})
        assert self.reasons(store) == ["symbols were pinned, excluded or boosted by hand"]

    def test_several_workers(self, store: SqliteStore) -> None:
        ranker, day = open_(store), Day(0, 30)
        with ranker.start_scan(
            day.symbols, context=day.context, now=day.now, scan_id="both", shared=True
        ) as scan:
            for batch in scan.batches(10):
                scan.report({s: day.outcomes[s] for s in batch})
        assert self.reasons(store) == ["it was shared by several workers or rulesets"]

    def test_an_interruption(self, store: SqliteStore) -> None:
        day = Day(0, 30)
        for share in (0.5, 1.0):
            scan = open_(store).start_scan(
                day.symbols, context=day.context, now=day.now, scan_id="twice"
            )
            while scan.n_scanned < share * 30:
                scan.report({s: day.outcomes[s] for s in scan.next_batch(5)})
        assert self.reasons(store) == ["it was interrupted and continued"]

    def test_two_scans_at_a_time(self, store: SqliteStore) -> None:
        day = Day(0, 30)
        first, second = (
            open_(store).start_scan(day.symbols, context=day.context, now=day.now) for _ in range(2)
        )
        for scan in (first, second) * 3:
            scan.report({s: day.outcomes[s] for s in scan.next_batch(10)})
        assert "another scan wrote to the journal" in self.reasons(store)[0]

    def test_an_earlier_version(self, store: SqliteStore) -> None:
        """Entries without batches, as scanrank 0.1.0 wrote them, are still learned from."""
        Day(0, 30).scan(open_(store), batch=10)
        old = SqliteStore()
        for entry in store.read("rules"):
            _append(old, entry, without={"handed_out", "seed", "batch", "place"})
        assert "does not record its batches" in self.reasons(old)[0]

    def test_a_version_that_learned_otherwise(self, store: SqliteStore) -> None:
        Day(0, 30).scan(open_(store), batch=10)
        old = SqliteStore()
        for entry in store.read("rules"):
            if entry.kind == "open":
                del entry.header["settings"]["learning_version"]
            _append(old, entry)
        assert self.reasons(old) == [
            "it was written by a version of scanrank that learned differently"
        ]

    def test_other_feature_names(self, store: SqliteStore) -> None:
        """A stopped scan that had sub-scores which the bars of today do not give."""
        day = Day(0, 30)
        day.scan(open_(store), batch=10, stop=0.5)
        named = SqliteStore()
        for entry in store.read("rules"):
            if entry.kind == "open":
                entry.header["as_of"] = "2024-03-01"
            _append(named, entry)
        facts = MarketFacts(
            ("market.other",), np.zeros((30, 1), np.float32), np.zeros((30, 0), np.float32), ()
        )
        (verdict,) = replayed(named, facts_of=lambda _symbols, _as_of: facts)
        assert verdict.is_same is None
        assert "sub-scores have different names" in verdict.reason
        assert "market.other" in verdict.reason

    def test_a_changed_outcome_is_found(self, store: SqliteStore) -> None:
        Day(0, 30).scan(open_(store), batch=10)
        changed = SqliteStore()
        for number, entry in enumerate(store.read("rules")):
            if number == 1:
                entry.arrays["rating"] = entry.arrays["rating"] + 40.0 * (np.arange(10) == 9)
            _append(changed, entry)
        (verdict,) = replayed(changed)
        assert verdict.is_same is False
        assert verdict.reason


def _append(
    store: SqliteStore, entry: Entry, without: frozenset[str] | set[str] = frozenset()
) -> None:
    header = {name: value for name, value in entry.header.items() if name not in without}
    if entry.kind == "report":
        arrays = {name: value for name, value in entry.arrays.items() if name not in without}
        store.append_report("rules", entry.scan_id, arms=entry.arms, header=header, arrays=arrays)
    else:
        store.append_event("rules", entry.scan_id, entry.kind, header=header, arrays={})
