"""Does every part of the learner pay for itself? ``python -m benchmarks.ablation``.

Each part is switched off for itself, on the cases of `benchmarks.quality` and the same scans. What
is printed is what the part is worth: found with it minus found without it, in points of recall,
with the 95 % interval of the paired difference. A part may be worth nothing to a scanner, but
nowhere should it cost more than half a point. Draws are switched off by the order "greedy".

Finished parts are kept and shared with `benchmarks.quality`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import _data
from benchmarks._without import PREFIX, WITHOUT
from benchmarks.quality import CASES, is_kept, joined_case, run_part
from scanner_adapter.replay import ReplayReport

WHOLE = "scanrank"
ORDER_OF = {name.removeprefix(PREFIX): name for name in WITHOUT} | {"draws": "greedy"}
MEASURES = ("recall_10", "recall_25")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each part is worth in each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--part", nargs="+", choices=ORDER_OF, default=list(ORDER_OF))
    parser.add_argument("--scans", type=int, default=_data.N_SCANS, help="warm-up included")
    parser.add_argument("--development", action="store_true", help="scans up to the end of 2018")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="parts (case, order) at a time")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument(
        "--kept", action="store_true", help="print what earlier runs have finished; run nothing"
    )
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _data.contexts()
    how = (
        chosen.scans,
        _data.DEVELOPMENT_END if chosen.development else _data.PERIOD_END,
        chosen.seed,
    )
    wanted = {
        name: [p for p in chosen.part if not chosen.kept or is_kept(name, ORDER_OF[p], *how)]
        for name in chosen.case
        if not chosen.kept or is_kept(name, WHOLE, *how)
    }
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    rows = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        orders = {name: [WHOLE, *(ORDER_OF[p] for p in parts)] for name, parts in wanted.items()}
        pending = {
            name: [pool.submit(run_part, name, order, *how) for order in its]
            for name, its in orders.items()
        }
        for name, parts in wanted.items():
            for future in pending[name]:
                future.result()
            report = joined_case(name, orders[name], *how)
            console.print(_table(name, parts, report), "")
            rows += [_row(name, part, report) for part in parts]
            if chosen.json is not None:
                chosen.json.write_text(json.dumps(rows, indent=2, allow_nan=False) + "\n")
    for name in chosen.case:
        if missing := [part for part in chosen.part if part not in wanted.get(name, ())]:
            console.print(f"{name}: not run: {', '.join(missing)}")
    return 0


def _row(case: str, part: str, report: ReplayReport) -> dict[str, object]:
    row: dict[str, object] = {"case": case, "part": part, "scans": len(report.dates)}
    for measure in MEASURES:
        worth = report.difference(WHOLE, ORDER_OF[part], measure)
        row |= {
            f"{measure}": worth.mean, f"{measure}_low": worth.low, f"{measure}_high": worth.high
        }  # fmt: skip
    return row


def _table(name: str, parts: Sequence[str], report: ReplayReport) -> Table:
    shown = Table(
        title=f"{name} · {len(report.dates)} scans: what each part is worth, in points",
        title_justify="left", box=None, padding=(0, 2, 0, 0),
    )  # fmt: skip
    shown.add_column("part", no_wrap=True)
    for heading in ("in 10 %", "in 25 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for part in parts:
        ahead = [report.difference(WHOLE, ORDER_OF[part], measure) for measure in MEASURES]
        shown.add_row(
            part,
            *(f"{100 * d.mean:+.2f} ({100 * d.low:+.2f} to {100 * d.high:+.2f})" for d in ahead),
        )
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
