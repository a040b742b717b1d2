"""`scanrank compare`: was prioritising worth it? Printed from the journal."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict

from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from scanner_adapter.jsonio import finite
from scanner_adapter.state.comparison import compare


def run_compare(store: str, ruleset: str, *, as_json: bool) -> None:
    """Print the comparison of prioritised and control scans of a ruleset.

    Raises
    ------
    InvalidInputError
        When no finished scan of either kind is in the journal.
    StoreError
        When the store cannot be read.
    """
    with closing(store_from_url(store)) as opened:
        comparison = compare(opened, ruleset)
    if comparison.prioritised.n + comparison.control.n == 0:
        raise InvalidInputError(
            f"no finished scan of ruleset {ruleset!r} in {store}; run some with rollout=0.5"
        )
    if as_json:
        print(json.dumps(finite(asdict(comparison)), indent=2, allow_nan=False))
    else:
        Console(highlight=False).print(f"{ruleset}: {comparison}")
