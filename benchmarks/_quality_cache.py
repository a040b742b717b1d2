"""Finished parts of the quality table on disk, so that hours of replay can be run in pieces.

One file per (case, order): measures, overhead, curves and days as plain arrays. Its name carries a
digest of everything the result depends on: the sources that the order runs through, the versions
of the library it comes from, and what was asked for. A change of any of them computes it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bandit.evaluation.metrics import ScanMetrics
from benchmarks import _without, peers, peers_online
from scanner_adapter.replay import ReplayReport
from scanner_adapter.replay.report import OrderResult

_ROOT = Path(__file__).parents[1]
# What every result depends on, and what else those of ours, without a part, and of peers do.
_COMMON = ("features/**/*.py", "scanner_adapter/inputs/context.py",
           "scanner_adapter/replay/**/*.py",
           "scanner_adapter/scanners/rules.py", "benchmarks/_data.py",
           "bandit/belief/track_record.py", "bandit/evaluation/metrics.py")  # fmt: skip
_OURS = ("bandit/**/*.py", "scanner_adapter/**/*.py")
_PARTS = ("benchmarks/_without.py",)
_PEERS = ("benchmarks/peers.py",)
_ONLINE = (*_PEERS, "benchmarks/peers_online.py")
_LIBRARIES = ("numpy", "lightgbm", "bayesianbandits", "mabwiser", "contextualbandits", "river",
              "vowpalwabbit")  # fmt: skip


def folder() -> Path:
    """Where finished parts are kept: ``SCANRANK_BENCH_CACHE``, or the user's cache."""
    own = os.environ.get("SCANRANK_BENCH_CACHE")
    if own:
        return Path(own)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "scanrank" / "quality"


def key(order: str, *, asked: Mapping[str, Any]) -> str:
    """Return the digest of what a result depends on."""
    digest = hashlib.sha256(json.dumps([order, dict(asked)], sort_keys=True).encode())
    for pattern in (*_COMMON, *_further_sources(order)):
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    if order in peers.PEERS:
        for name in _LIBRARIES:
            digest.update(f"{name} {installed(name)}".encode())
    return digest.hexdigest()[:16]


def installed(library: str) -> str:
    """Return the version of a library; "not installed" where it is not."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _further_sources(order: str) -> tuple[str, ...]:
    if order in peers_online.PEERS:
        return _ONLINE
    if order in peers.PEERS:
        return _PEERS
    return (*_OURS, *_PARTS) if order.startswith(_without.PREFIX) else _OURS


def path_of(case: str, order: str, digest: str) -> Path:
    """Return the file of one part."""
    name = "".join(c if c.isalnum() else "-" for c in f"{case} {order}")
    return folder() / f"{name}.{digest}.npz"


def load(path: Path) -> ReplayReport | None:
    """Return a finished part, None where there is none."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        result = OrderResult(
            metrics=tuple(ScanMetrics(*row) for row in kept["metrics"].tolist()),
            overhead_ms=kept["overhead_ms"],
            scanned=kept["scanned"],
            curves=kept["curves"],
        )
        order, conditions = json.loads(str(kept["header"]))
        return ReplayReport({order: result}, kept["dates"], conditions)


def save(path: Path, report: ReplayReport) -> None:
    """Keep the report of one order; the file appears under its name only when it is whole."""
    ((order, result),) = report.results.items()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(
        unfinished,
        header=np.array(json.dumps([order, dict(report.conditions)])),
        metrics=np.array([[getattr(m, name) for name in m.names()] for m in result.metrics]),
        overhead_ms=result.overhead_ms,
        scanned=result.scanned,
        curves=result.curves,
        dates=report.dates,
    )
    unfinished.replace(path)
