"""The priority queue: tiers, peek, pins, exclusions and boosts."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.choice.queue import tier_of
from bandit.errors import InvalidInputError
from scanner_adapter import ScanStateError, SymbolRanker
from scanner_adapter.scan.scan import Scan

SYMBOLS = [f"S{i}" for i in range(100)]


def start(mode: str = "on", **settings: float) -> Scan:
    """A cold scan whose composite falls with the symbol's number; greedy unless printed."""
    market = np.linspace(99.0, 0.0, 100)[:, None]
    ranker = SymbolRanker.open(
        "memory://", ruleset="t", seed=1, mode=mode,
        **{"exploration": 0.0, "random_share": 0.0, **settings},
    )  # type: ignore[arg-type] # fmt: skip
    return ranker.start_scan(SYMBOLS, context=(("market.x",), market))


def test_tiers_part_at_70_and_40() -> None:
    """Percentiles of 100 distinct scores are 0.5, 1.5, ..., 99.5: 30 above 70, 40 below 40."""
    queue = start().queue
    tiers = queue.tiers()
    assert {tier: len(symbols) for tier, symbols in tiers.items()} == {
        "high": 30, "medium": 30, "low": 40,
    }  # fmt: skip
    assert tiers["high"] == tuple(SYMBOLS[:30])
    assert queue.peek(1)[0].score == 99.5
    assert (tier_of(70.0), tier_of(40.0)) == ("medium", "medium")


def test_peek_changes_nothing_and_foretells_a_greedy_batch() -> None:
    scan = start()
    expected = [waiting.arm for waiting in scan.queue.peek(10)]
    assert len(scan.queue) == 100
    assert list(scan.next_batch(10)) == expected
    assert len(scan.queue) == 90
    assert scan.queue.peek(1)[0].arm == "S10"


def test_pins_come_first_in_their_order_with_propensity_one() -> None:
    scan = start()
    scan.queue.pin(["S90", "S50"])
    assert scan.queue.pinned == ("S90", "S50")
    assert [w.arm for w in scan.queue.peek(3)] == ["S90", "S50", "S0"]
    batch = scan.next_batch(4)
    assert batch.symbols == ("S90", "S50", "S0", "S1")
    assert batch.propensity[:2].tolist() == [1.0, 1.0]
    assert scan.queue.pinned == ()
    scan.queue.pin(["S90"])  # handed out already
    assert scan.next_batch(1).symbols == ("S2",)


def test_more_pins_than_a_batch_holds_wait_for_the_next() -> None:
    scan = start()
    scan.queue.pin(["S97", "S98", "S99"])
    assert scan.next_batch(2).symbols == ("S97", "S98")
    assert scan.next_batch(2).symbols == ("S99", "S0")
    scan.queue.pin(["S60"])
    scan.queue.unpin(["S60"])
    assert scan.next_batch(1).symbols == ("S1",)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_excluded_symbols_never_come(share: float) -> None:
    scan = start(random_share=share)
    scan.queue.pin(["S1"])
    scan.queue.exclude(SYMBOLS[:40])
    assert scan.queue.pinned == ()
    assert len(scan.queue) == 60
    seen = [symbol for batch in scan.batches(7) for symbol in batch]
    assert sorted(seen) == sorted(SYMBOLS[40:])
    scan.queue.include(["S3"])
    assert scan.next_batch(5).symbols == ("S3",)


def test_boosts_bend_the_order_but_not_the_belief() -> None:
    scan = start()
    before = scan.estimate()
    scan.queue.boost({"S99": 20.0, "S0": -20.0})
    assert scan.estimate() == before
    assert scan.queue.peek(1)[0].arm == "S99"
    assert scan.next_batch(3).symbols == ("S99", "S1", "S2")
    assert scan.queue.peek()[-1].arm == "S0"


def test_wrong_requests_change_nothing() -> None:
    scan = start()
    queue = scan.queue
    queue.exclude(["S5"])
    for wish in (
        lambda: queue.pin(["S1", "OTHER"]),
        lambda: queue.pin(["S1", "S5"]),
        lambda: queue.exclude(["S1", "OTHER"]),
        lambda: queue.boost({"S1": 1.0, "OTHER": 1.0}),
        lambda: queue.boost({"S1": float("nan")}),
        lambda: queue.boost({"S1": 21.0}),
    ):
        with pytest.raises(InvalidInputError):
            wish()
    assert queue.pinned == ()
    assert queue.excluded == ("S5",)
    assert scan.next_batch(2).symbols == ("S0", "S1")


def test_without_a_ranking_there_is_no_queue() -> None:
    with pytest.raises(ScanStateError, match="there is no queue in mode off"):
        _ = start("off").queue
    shadow = start("shadow")
    shadow.queue.pin(["S50"])
    assert shadow.next_batch(1).symbols == ("S0",)  # shadow never changes the order


def test_random_draws_and_pins_share_a_batch_without_doubles() -> None:
    scan = start(random_share=0.5, exploration=1.0)
    scan.queue.pin(SYMBOLS[:15])
    seen = [symbol for batch in scan.batches(10) for symbol in batch]
    assert sorted(seen) == sorted(SYMBOLS)
    assert seen[:15] == SYMBOLS[:15]
