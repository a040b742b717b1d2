"""`scanrank doctor`: every trouble it knows, met on purpose, with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import Server

from bandit.stores import store_from_url
from scanner_adapter.cli.app import main
from scanner_adapter.cli.doctor import PROBE
from scanner_adapter.demo.simulator import simulate

Doctor = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    monkeypatch.chdir(tmp_path)

    def run(*options: object, code: int = 0) -> dict[str, dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["scanrank", "doctor", "--json", *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert int(ended.value.code or 0) == code
        return {check["name"]: check for check in json.loads(capsys.readouterr().out)}

    return run


def bars_until(last: str, n_days: int = 80) -> pd.DataFrame:
    """Bars of 20 symbols on business days up to `last`."""
    frame = simulate(n_symbols=20, n_days=n_days, seed=3).bars
    days = np.unique(frame["date"])
    dates = pd.bdate_range(end=last, periods=n_days)
    frame["date"] = dates[np.searchsorted(days, frame["date"])]
    return frame.assign(symbol=frame["symbol"].astype(str))


def test_a_healthy_file_store_and_fresh_bars(doctor: Doctor, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    bars_until(str(pd.bdate_range(end=today, periods=2)[0].date())).to_parquet("bars.parquet")
    checks = doctor("--store", f"sqlite:///{tmp_path}/s.db", "--bars", "bars.parquet")
    assert {check["state"] for check in checks.values()} == {"ok"}
    assert "Python 3." in checks["versions"]["found"]
    store = store_from_url(f"sqlite:///{tmp_path}/s.db")
    assert PROBE not in store.list_rulesets(), "the probe is removed"
    store.close()


def test_old_bars_are_a_warning_and_unreadable_ones_an_error(doctor: Doctor) -> None:
    bars_until("2019-12-31").to_parquet("old.parquet")
    check = doctor("--store", "memory://", "--bars", "old.parquet")["bars"]
    assert check["state"] == "warning"
    assert check["mend"] == "download newer bars"
    Path("none.csv").write_text("a,b\n1,2\n")
    assert doctor("--store", "memory://", "--bars", "none.csv", code=1)["bars"]["state"] == "error"


def test_a_store_that_is_not_there_is_an_error_with_a_way_out(doctor: Doctor) -> None:
    check = doctor("--store", "redis://127.0.0.1:1/0", code=1)["store"]
    assert check["state"] == "error"
    assert "scanrank config show" in check["mend"]


def test_a_file_that_may_not_be_written_is_an_error(doctor: Doctor) -> None:
    assert doctor("--store", "sqlite:////proc/s.db", code=1)["store"]["state"] == "error"


def test_a_server_that_forgets_is_a_warning(
    doctor: Doctor, own_server: Callable[..., Server]
) -> None:
    server = own_server()
    server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.call("CONFIG", "SET", "appendonly", "no")
    checks = doctor("--store", server.url)
    assert checks["store settings"]["mend"] == "Set `maxmemory-policy noeviction`."
    assert checks["durability"]["mend"] == "set `appendonly yes`"
    assert checks["clock"]["state"] == "ok"


def test_a_server_that_takes_no_writes_is_an_error_with_its_own_way_out(
    doctor: Doctor, own_server: Callable[..., Server]
) -> None:
    server = own_server()
    server.call("CONFIG", "SET", "maxmemory", 1)
    check = doctor("--store", server.url, code=1)["store"]
    assert "raise `maxmemory`" in check["found"]
    assert check["mend"] == "mend that: scans need to read and write the store"
