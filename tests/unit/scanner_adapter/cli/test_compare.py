"""`scanrank compare`, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bandit.errors import InvalidInputError
from scanner_adapter import SymbolRanker
from scanner_adapter.cli.compare import run_compare

SYMBOLS = [f"S{i}" for i in range(100)]


def test_it_prints_lift_and_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"embedded://{tmp_path}/store"
    with pytest.raises(InvalidInputError, match="no finished scan of ruleset 't'"):
        run_compare(url, "t", as_json=False)
    with SymbolRanker.open(url, ruleset="t", rollout=0.5, seed=4) as ranker:
        for _ in range(8):
            with ranker.start_scan(SYMBOLS) as scan:
                for batch in scan.batches(10):
                    scan.report({s: float(int(s[1:]) * 37 % 101) for s in batch})
    run_compare(url, "t", as_json=False)
    text = capsys.readouterr().out
    assert "lift" in text
    assert "groups drawn at random" in text.replace("\n", " ")
    run_compare(url, "t", as_json=True)
    values = json.loads(capsys.readouterr().out)
    assert values["is_randomised"] is True
    assert values["prioritised"]["n"] + values["control"]["n"] == 8
