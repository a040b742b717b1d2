"""The real market data, for the tests that want it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanner_adapter.inputs.bars import find_market_data


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real bars and ratings; without it a laptop skips and CI fails."""
    folder = find_market_data()
    if folder is None:
        reason = "real market data is absent: point SCANRANK_DATA at its folder"
        if os.environ.get("SCANRANK_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder.resolve()
