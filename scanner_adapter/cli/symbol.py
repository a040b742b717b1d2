"""`scanrank symbol`: in which scans a symbol was found, and what is believed of it."""

from __future__ import annotations

import json
from contextlib import closing

import pandas as pd
from rich.console import Console

from bandit.errors import InvalidInputError
from bandit.stores import Store, store_from_url
from scanner_adapter.jsonio import finite
from scanner_adapter.service.watching.beliefs import FoldedBelief
from scanner_adapter.state.history import History
from scanner_adapter.tables import plain_table

N_SHOWN = 20
_TRACK = ("last_reward", "fast_mean", "slow_mean", "age_days", "n_scans", "n_hits")


def run_symbol(store: str, ruleset: str | None, symbol: str, *, as_json: bool) -> None:
    """Print what the rulesets of a store know of a symbol.

    Raises
    ------
    InvalidInputError
        When no ruleset has scanned it.
    StoreError
    """
    with closing(store_from_url(store)) as opened:
        names = opened.list_rulesets() if ruleset is None else [ruleset]
        for spelling in dict.fromkeys((symbol, symbol.upper())):
            found = {name: known for name in names if (known := _known(opened, name, spelling))}
            if found:
                break
        address = opened.address
    if not found:
        who = "no ruleset" if ruleset is None else f"no scan of ruleset {ruleset!r}"
        raise InvalidInputError(
            f"{who} in {address} has a result of {symbol!r}; spell it as the scanner reports it"
        )
    if as_json:
        print(json.dumps(finite(found), indent=2, allow_nan=False))
        return
    console = Console(highlight=False)
    for name, known in found.items():
        for part in _shown(name, spelling, known):
            console.print(part)


def _known(store: Store, ruleset: str, symbol: str) -> dict[str, object]:
    stats = store.stats(ruleset)
    if not stats.n_entries:
        return {}
    history = History(store, ruleset)
    frames = list(history.frames(symbol))
    if not frames:
        return {}
    folded = FoldedBelief(store, ruleset, stats)
    # By the clock of the scans: one of last year's bars was not scanned a year ago.
    view = folded.belief.track.view([symbol], now=history.latest)
    columns = ["scan_id", "as_of", "reported_at", "rating", "is_hit", "is_error", "is_random"]
    # The latest result of a scan counts: only an error is reported again.
    table = pd.concat(frames)[columns].drop_duplicates("scan_id", keep="last")
    return {
        "track": {name: float(getattr(view, name)[0]) for name in _TRACK},
        "scans": table[::-1].to_dict("records"),
    }


def _shown(ruleset: str, symbol: str, known: dict[str, object]) -> list[object]:
    scans: list[dict[str, object]] = known["scans"]  # type: ignore[assignment]
    track: dict[str, float] = known["track"]  # type: ignore[assignment]
    n_hits = sum(bool(scan["is_hit"]) for scan in scans)
    table = plain_table(
        f"{symbol} under {ruleset}: high-value in {n_hits} of {len(scans)} scans",
        ("scan", "day"),
        ("rating", "result", "chosen"),
    )
    for scan in scans[:N_SHOWN]:
        result = "error" if scan["is_error"] else "high-value" if scan["is_hit"] else "-"
        table.add_row(
            str(scan["scan_id"])[:12],
            str(scan["as_of"] or str(scan["reported_at"])[:10]),
            f"{scan['rating']:.4g}".replace("nan", "-"),  # of an error, or a signal alone
            result,
            "at random" if scan["is_random"] else "ranked",
        )
    lines: list[object] = [table]
    if len(scans) > N_SHOWN:
        lines.append(f"and {len(scans) - N_SHOWN} earlier scans; --json prints all")
    lines.append(
        f"track record: reward {track['fast_mean']:.2f} recently, {track['slow_mean']:.2f} in the "
        f"long run (0 to 1), last scanned {track['age_days']:.1f} days before the newest scan"
    )
    return lines
