"""Several workers and late results, simulated without a clock of this world."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.errors import InvalidInputError
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.replay import Configuration, Ranked, RecordedLog, bundled_log, replay
from scanner_adapter.replay.pace import Pace, evaluate
from scanner_adapter.replay.pictures.figures import reliability
from scanner_adapter.replay.pictures.pictures import pictures
from scanner_adapter.replay.ranked import Recorder
from scanner_adapter.run.stop_rules import HitsFound
from scanner_adapter.scan.scan import Scan
from scanner_adapter.symbol_ranker import SymbolRanker

SYMBOLS = [f"S{i}" for i in range(40)]
OUTCOMES = {symbol: Outcome(rating=float(i % 7)) for i, symbol in enumerate(SYMBOLS)}


class Spy:
    """Notes how many results a scan knows whenever a batch is chosen."""

    def __init__(self) -> None:
        self.scan = SymbolRanker.open("memory://", ruleset="pace", seed=1).start_scan(SYMBOLS)
        self.known: list[int] = []
        choose = self.scan.next_batch

        def next_batch(k: int | None = None) -> object:
            self.known.append(self.scan.n_scanned)
            return choose(k)

        self.scan.next_batch = next_batch  # type: ignore[method-assign, assignment]

    def run(self, pace: Pace, n_visits: int = 40, **how: object) -> list[str]:
        scan: Scan = self.scan
        return evaluate(
            scan, OUTCOMES, pace, n_visits=n_visits, batch_size=10,
            rng=np.random.default_rng(0), **how,  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.mark.parametrize(
    "pace",
    [
        Pace(workers=4),
        Pace(workers=4, spread=1.0),
        Pace(workers=2, delay_s=0.35),
        Pace(delay_s=5.0, spread=0.5),
        Pace(delay_batches=1),
        Pace(delay_batches=9),
    ],
    ids=str,
)
class TestEveryPace:
    def test_every_symbol_is_evaluated_once_and_reported(self, pace: Pace) -> None:
        spy = Spy()
        visited = spy.run(pace)
        assert sorted(visited) == sorted(SYMBOLS)
        assert spy.scan.n_scanned == 40

    def test_a_budget_is_kept(self, pace: Pace) -> None:
        assert len(Spy().run(pace, n_visits=17)) == 17

    def test_it_depends_on_nothing_but_the_seed(self, pace: Pace) -> None:
        assert Spy().run(pace) == Spy().run(pace)

    def test_a_stop_rule_ends_it(self, pace: Pace) -> None:
        spy = Spy()
        visited = spy.run(pace, until=HitsFound(1))
        assert spy.scan.n_hits >= 1
        assert len(visited) <= 40


class TestWhatIsKnown:
    def test_batches_late_by_hand(self) -> None:
        """One batch late: the third is the first to be chosen with results, those of the first."""
        spy = Spy()
        spy.run(Pace(delay_batches=1))
        assert spy.known[:4] == [0, 0, 10, 20]

    def test_seconds_late_by_hand(self) -> None:
        """One worker, 0.1 s each, results 0.55 s late. The next batch is chosen when the tenth
        symbol ends, at 1.0 s: results of the symbols that ended by 0.45 s are in, four of them."""
        spy = Spy()
        spy.run(Pace(delay_s=0.55))
        assert spy.known[:2] == [0, 4]

    def test_workers_choose_while_results_are_out(self) -> None:
        """Four workers, batches of 10: the next is chosen when 4 + 10 // 4 = 6 are in flight."""
        spy = Spy()
        spy.run(Pace(workers=4))
        assert spy.known[0] == 0
        assert 0 < spy.known[1] <= 4

    def test_one_worker_on_time_is_the_plain_loop(self) -> None:
        log = bundled_log()
        (scan,) = log.scans(log.days()[[5]])
        plain, paced = (Configuration(seed=3).open(log.rule) for _ in range(2))
        order = Ranked(plain, batch_size=30).visit(scan, 200)
        with paced.start_scan(scan.symbols, **scan.inputs()) as live:
            visited = evaluate(
                live, dict(zip(scan.symbols, scan.outcomes, strict=True)), Pace(),
                n_visits=200, batch_size=30, rng=np.random.default_rng(0),
            )  # fmt: skip
        assert visited == [scan.symbols[place] for place in order]


@pytest.mark.parametrize(
    "pace",
    [Pace(workers=8, spread=0.5), Pace(workers=2, delay_s=0.5), Pace(delay_batches=2)],
    ids=str,
)
def test_the_recall_estimate_is_looked_at_as_with_one_worker(pace: Pace) -> None:
    """Each look counts what was reported, not what is under way; the picture is there too.

    A share of 0.75 for bounds that promise 0.9: some 120 looks at 48 scans, which are no
    independent ones; the whole log has 0.84 to 0.90.
    """
    log = bundled_log()
    report = replay(
        log, from_=str(log.dates[-60]), warmup=12, orders=["scanrank"], pace=pace, watch=True
    )
    assert report.watch is not None
    checks = report.watch.checks
    assert {check.scan for check in checks} == set(range(60))
    assert all(0.05 <= check.scanned <= 1.0 for check in checks)
    late = [check for check in checks if check.scanned > 0.4]
    assert np.mean([check.true for check in late]) > 0.8
    found = reliability(report.watch, warmup=12)
    assert found.n.sum() > 100
    np.testing.assert_allclose(found.true, found.estimated, atol=0.1)
    assert min(found.above_low, found.below_high) > 0.75
    assert "reliability" in pictures(report)


def test_looking_changes_no_choice() -> None:
    log = bundled_log()
    (scan,) = log.scans(log.days()[[5]])
    seen, unseen = (
        Ranked(
            Configuration(seed=3).open(log.rule), batch_size=30, pace=Pace(workers=4), watch=watch
        ).visit(scan, 200)
        for watch in (Recorder(), None)
    )
    np.testing.assert_array_equal(seen, unseen)


def test_eight_workers_cost_little(capsys: pytest.CaptureFixture[str]) -> None:
    """A whole universe of 397 in flight at once would cost far more: it is learned from nothing."""
    log: RecordedLog = bundled_log()

    def found(pace: Pace | None) -> float:
        report = replay(log, from_=str(log.dates[-50]), warmup=20, orders=["scanrank"], pace=pace)
        return report.interval("scanrank", "recall_10").mean

    on_time, eight = found(None), found(Pace(workers=8, spread=0.5))
    late = found(Pace(delay_batches=2))
    with capsys.disabled():
        print(f"\nrecall at 10 %: one worker {on_time:.3f}, eight {eight:.3f}, late {late:.3f}")
    assert eight > on_time - 0.03
    assert late > on_time - 0.03


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"spread": -1.0}, "spread is -1.0"),
        ({"delay_s": 1.0, "delay_batches": 1}, "give only one of the two delays"),
    ],
)
def test_bad_paces_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Pace(**settings)  # type: ignore[arg-type]
