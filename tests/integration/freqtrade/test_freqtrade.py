"""The freqtrade integration against the real package, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

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
def order() -> PairOrder:
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(0.0))
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


def test_trades_of_the_rest_interface_are_outcomes_once(order: PairOrder) -> None:
    """Two trades of a pair, +4 % and -2 %, are one outcome of +1 %: a hit."""
    order.refresh(PAIRS)
    trades = [
        {"trade_id": 1, "pair": "BTC/USDT", "is_open": False, "close_profit": 0.04},
        {"trade_id": 2, "pair": "BTC/USDT", "is_open": False, "close_profit": -0.02},
        {"trade_id": 3, "pair": "ETH/USDT", "is_open": True, "close_profit": None},
        {"trade_id": 4, "pair": "XRP/USDT", "is_open": False, "close_profit": 0.5},
    ]
    assert order.closed(trades) == 2
    assert order.closed(trades) == 0
    order.close()
    summary = order._feed.summary
    assert summary is not None
    assert (summary.n_scanned, summary.n_hits) == (1, 1.0)
    assert summary.n_errors == 0


def test_a_trade_without_its_fields_is_refused_as_a_whole(order: PairOrder) -> None:
    order.refresh(PAIRS)
    good = {"trade_id": 1, "pair": "BTC/USDT", "close_profit": 0.04}
    with pytest.raises(InvalidOutcomeError, match="close_profit None"):
        order.closed([good, {"trade_id": 2, "pair": "ETH/USDT"}])
    assert order.closed([good]) == 1
