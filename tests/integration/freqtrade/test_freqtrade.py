"""The freqtrade integration against the real package, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from scanner_adapter import InvalidOutcomeError, SymbolRanker, Threshold
from scanner_adapter.integrations.freqtrade import PairOrder

TOKEN = "any"  # noqa: S105
PAIRS = ["BTC/USDT", "ETH/USDT", "SOL/USDT"]


@pytest.mark.slow
def test_freqtrade_itself_reads_our_list_and_loads_our_handler(tmp_path: Path) -> None:
    python = os.environ.get("SCANRANK_FREQTRADE_PYTHON")
    if not python:
        pytest.skip("SCANRANK_FREQTRADE_PYTHON names no Python that has freqtrade")
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [python, str(Path(__file__).with_name("freqtrade_check.py")), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("all passed")


@pytest.fixture
def ranker() -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(0.0))


@pytest.fixture
def order(ranker: SymbolRanker) -> PairOrder:
    return PairOrder(ranker, refresh_period_s=600)


def test_the_file_is_what_the_bot_expects(order: PairOrder, tmp_path: Path) -> None:
    order.refresh(PAIRS)
    order.write(tmp_path / "pairs.json")
    document = json.loads((tmp_path / "pairs.json").read_text())
    assert sorted(document["pairs"]) == PAIRS
    assert document["refresh_period"] == 600
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.json"]


def test_over_http_with_a_token(order: PairOrder) -> None:
    order.refresh(PAIRS)
    with order.served(bearer_token=TOKEN) as url:
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310
        refused.value.close()
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            assert answer.headers["Content-Type"] == "application/json"
            assert sorted(json.load(answer)["pairs"]) == PAIRS


def closed(number: int, pair: str, profit: float, at: datetime | None = None) -> dict[str, object]:
    """Return a closed trade as the REST API gives it."""
    at = datetime.now(UTC) if at is None else at
    return {
        "trade_id": number, "pair": pair, "is_open": False, "close_profit": profit,
        "close_timestamp": int(1000 * at.timestamp()) + 1,
    }  # fmt: skip


def reported(ranker: SymbolRanker) -> list[tuple[str, float, float]]:
    """Return (pair, profit, days since 1970) of what was learned, in order."""
    return [
        (pair, round(float(rating), 6), entry.header["scan_time"])
        for entry in ranker.store.read(ranker.ruleset)
        if entry.kind == "report"
        for pair, rating in zip(entry.arms, entry.arrays["rating"], strict=True)
    ]


def test_trades_of_the_rest_interface_are_outcomes_once(
    ranker: SymbolRanker, order: PairOrder
) -> None:
    """Two trades of a pair, +4 % and -2 %, are one outcome of +1 %: a hit."""
    order.refresh(PAIRS)
    trades = [
        closed(1, "BTC/USDT", 0.04),
        closed(2, "BTC/USDT", -0.02),
        {"trade_id": 3, "pair": "ETH/USDT", "is_open": True, "close_profit": None},
    ]
    assert order.closed(trades) == 2
    assert order.closed(trades) == 0
    order.close()
    assert [(pair, profit) for pair, profit, _ in reported(ranker)] == [
        ("BTC/USDT", pytest.approx(0.01))
    ]
    assert order.closed(trades) == 0


def test_the_same_id_with_another_close_time_is_another_trade(order: PairOrder) -> None:
    """A bot whose database was begun anew counts from 1 again."""
    now = datetime.now(UTC)
    order.refresh(PAIRS)
    assert order.closed([closed(1, "BTC/USDT", 0.04, now)]) == 1
    assert order.closed([closed(1, "BTC/USDT", 0.04, now + timedelta(seconds=5))]) == 1


def test_a_trade_whose_pair_has_left_the_list_is_taken(
    ranker: SymbolRanker, order: PairOrder
) -> None:
    order.refresh([*PAIRS, "XRP/USDT"])
    order.refresh(PAIRS)
    assert order.closed([closed(4, "XRP/USDT", 0.5), closed(5, "ETH/USDT", 0.1)]) == 2
    order.refresh(PAIRS)
    assert {(pair, profit) for pair, profit, _ in reported(ranker)} == {
        ("XRP/USDT", 0.5), ("ETH/USDT", 0.1),
    }  # fmt: skip


def test_trades_are_taken_once_over_a_restart(tmp_path: Path) -> None:
    def opened() -> tuple[SymbolRanker, PairOrder]:
        url = f"sqlite://{tmp_path / 'bot.db'}"
        ranker = SymbolRanker.open(url, ruleset="t", rewards=Threshold(0.0))
        return ranker, PairOrder(ranker)

    now = datetime.now(UTC)
    trades = [closed(i, PAIRS[i % 3], 0.01 * i, now - timedelta(minutes=9 - i)) for i in range(9)]
    ranker, first = opened()
    first.refresh(PAIRS)
    assert first.closed(trades) == 9
    first.close()
    ranker.close()
    ranker, again = opened()
    assert again.closed(trades) == 0
    again.refresh(PAIRS)
    assert again.closed([*trades, closed(10, "BTC/USDT", 0.5)]) == 1
    again.close()
    assert sum(pair == "BTC/USDT" for pair, _, _ in reported(ranker)) == 2
    ranker.close()


def test_old_trades_count_with_their_age_and_some_not_at_all() -> None:
    now = datetime.now(UTC)
    trades = [
        closed(1, "BTC/USDT", 0.1, now - timedelta(days=200)),
        closed(2, "ETH/USDT", 0.2, now - timedelta(days=5)),
        closed(3, "SOL/USDT", 0.3, now - timedelta(days=2)),
    ]
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(0.0))
    order = PairOrder(ranker)
    assert order.closed(trades) == 3
    order.refresh(PAIRS)
    today = now.timestamp() / 86_400
    ages = {pair: today - at for pair, _, at in reported(ranker)}
    assert ages == {
        "BTC/USDT": pytest.approx(200, abs=0.1), "ETH/USDT": pytest.approx(5, abs=0.1),
        "SOL/USDT": pytest.approx(2, abs=0.1),
    }  # fmt: skip
    young = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(0.0))
    assert PairOrder(young, max_age_days=7).closed(trades) == 2


def winners_last(mode: str) -> PairOrder:
    """An order that has learned that the last pair wins."""
    ranker = SymbolRanker.open(
        "memory://", ruleset="t", seed=1, rewards=Threshold(0.0), mode=mode,  # type: ignore[arg-type]
        exploration=0.0, random_share=0.0,
    )  # fmt: skip
    order = PairOrder(ranker)
    for day in range(3):
        order.refresh(PAIRS)
        order.closed(
            closed(10 * day + i, pair, 0.05 if pair == "SOL/USDT" else -0.05)
            for i, pair in enumerate(PAIRS)
        )
    order.refresh(PAIRS)
    return order


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_the_given_order_stands_in_shadow_and_off(mode: str) -> None:
    order = winners_last(mode)
    assert list(order.pairs) == PAIRS
    turned = PAIRS[::-1]  # between two refreshes, too
    assert list(order.reordered(turned)) == turned


def test_what_was_learned_orders_and_new_pairs_come_behind() -> None:
    order = winners_last("on")
    assert order.pairs[0] == "SOL/USDT"
    assert order.reordered(["NEW/USDT", *PAIRS])[0] == "SOL/USDT"
    assert order.reordered(["NEW/USDT", *PAIRS])[-1] == "NEW/USDT"
    assert order.reordered(["ETH/USDT"]) == ("ETH/USDT",)
    pinned = order.refresh(PAIRS, pinned=["ETH/USDT", "XRP/USDT"])
    assert pinned[:2] == ("ETH/USDT", "SOL/USDT")


def test_a_new_bot_keeps_the_given_order_until_something_was_learned() -> None:
    pairs = [f"C{i}/USDT" for i in range(50)]
    order = PairOrder(SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(0.0)))
    for _ in range(3):
        assert list(order.refresh(pairs)) == pairs
    order.closed([closed(1, "C40/USDT", 0.1)])
    assert order.refresh(pairs)[0] == "C40/USDT"


def round_s(path: Path, n_closed: int) -> float:
    """Return the processor time of a round with so many trades that closed before, in seconds."""
    pairs = [f"C{i}/USDT" for i in range(200)]
    ranker = SymbolRanker.open(f"sqlite://{path}", ruleset="t", seed=1, rewards=Threshold(0.0))
    order = PairOrder(ranker)
    start = datetime.now(UTC) - timedelta(days=300)
    trades = [
        SimpleNamespace(
            id=i, pair=pairs[i % 200], is_open=False, close_profit=0.01,
            close_date=(start + timedelta(hours=i)).replace(tzinfo=None),
        )
        for i in range(n_closed)
    ]  # fmt: skip
    order.closed(trades)
    order.refresh(pairs)
    rounds = []
    for number in range(7):
        began = time.thread_time()
        assert order.closed([*trades, closed(10_000 + number, pairs[0], 0.02)]) == 1
        order.refresh(pairs)
        rounds.append(time.thread_time() - began)
    ranker.close()
    return min(rounds)


def test_a_round_costs_little_whatever_the_number_of_closed_trades(tmp_path: Path) -> None:
    """15 ms with 5,000 closed trades and 11 ms with 50, on two cores of a server."""
    many, few = (round_s(tmp_path / f"{n}.db", n) for n in (5_000, 50))
    assert many < 2 * few


def test_a_trade_without_its_fields_is_refused_as_a_whole(order: PairOrder) -> None:
    order.refresh(PAIRS)
    good = {"trade_id": 1, "pair": "BTC/USDT", "close_profit": 0.04}
    with pytest.raises(InvalidOutcomeError, match="close_profit None"):
        order.closed([good, {"trade_id": 2, "pair": "ETH/USDT"}])
    assert order.closed([good]) == 1
