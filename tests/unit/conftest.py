"""The real market data, for the tests that want it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real bars and ratings; without it a laptop skips and CI fails."""
    named = os.environ.get("SCANRANK_DATA")
    folder = Path(named or "../shared/data")
    if not (folder / "ohlcv.parquet").is_file():
        reason = f"no ohlcv.parquet in {folder}: point SCANRANK_DATA at the real market data"
        # A wrong path must not silently skip tests.
        if named or os.environ.get("SCANRANK_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder.resolve()
