"""How a scan shows itself: as a table of its symbols, as one line, and in a notebook."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scanner_adapter.scan.scan import Scan

_SHOWN = 10  # rows of a scan in a notebook
_POINTS = 60  # of the curve
COLUMNS = ("rating", "signal", "hit", "place", "tier", "score", "propensity", "reason")


def scan_frame(scan: Scan) -> pd.DataFrame:
    """Return a row for each symbol of a scan, the best first, indexed by symbol.

    Columns: rating, signal and hit of a scanned symbol with its place in the order of reporting;
    tier and score (percentile, 0 to 100) of one that waits; propensity of its batch; and the
    reason: why it came or waits where it does, or what its evaluation failed with.
    """
    rows: dict[str, tuple[object, ...]] = {}
    names = tuple(scan.outcomes)
    hits = scan.are_hits(names)
    for number, (symbol, outcome) in enumerate(scan.outcomes.items()):
        reason = "random share" if scan.is_random(symbol) else "ranked"
        rows[symbol] = (
            outcome.rating, outcome.signal, bool(hits[number]), number + 1, None, math.nan,
            scan.propensity(symbol), outcome.error or reason,
        )  # fmt: skip
    if scan.ranks:
        for waiting in scan.queue.peek(len(scan.symbols)):
            reason = "pinned" if waiting.is_pinned else "waiting"
            rows[waiting.arm] = (
                math.nan, None, None, None, waiting.tier, waiting.score, math.nan, reason,
            )  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    table.index.name = "symbol"
    table = table.astype({"rating": float, "place": "Int64", "hit": "boolean"})
    order = ["hit", "rating", "score", "place"]
    return table.sort_values(order, ascending=[False, False, False, True], na_position="last")


def scan_line(scan: Scan) -> str:
    """Return a scan in one line."""
    found = "" if math.isnan(scan.n_hits) else f", {scan.n_hits:g} high-value"
    return (
        f"Scan({scan.scan_id!r}, mode {scan.mode}: {scan.n_scanned} of {len(scan.symbols)} "
        f"symbols{found})"
    )


def scan_html(scan: Scan) -> str:
    """Return a scan for a notebook: the curve so far, what stopping would miss, the best."""
    n = max(scan.n_scanned, 1)
    found = np.concatenate([[0], np.cumsum(scan.are_hits(tuple(scan.outcomes)))])
    ends = np.unique(np.linspace(0, len(found) - 1, _POINTS).astype(int))
    top = max(float(found[-1]), 1.0)
    points = " ".join(f"{200 * end / n:.1f},{60 - 58 * found[end] / top:.1f}" for end in ends)
    missing = "" if math.isnan(scan.n_hits) else f"<p>{html.escape(repr(scan.estimate()))}</p>"
    best = scan.to_frame().head(_SHOWN).to_html(na_rep="", float_format=lambda v: f"{v:.4g}")
    return (
        f"<p><b>{html.escape(scan_line(scan))}</b></p>"
        '<svg width="200" height="62" role="img" aria-label="high-value results found">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/></svg>'
        f"{missing}{best}"
    )
