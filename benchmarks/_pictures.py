"""Pictures of benchmark rows; without matplotlib there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def draw(name: str, rows: Any, folder: Path) -> str:
    """Draw one benchmark's rows; return the file's name, empty where there is no picture of it."""
    kinds: dict[str, Callable[[Any, Any], None]] = {
        "rank": _rank, "scale": _scale, "million": _million,
    }  # fmt: skip
    if name not in kinds:
        return ""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    kinds[name](figure.subplots(), rows)
    figure.savefig(folder / f"{name}.png", dpi=110)
    return f"{name}.png"


def _rank(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Milliseconds a step over the number of arms, ours, numpy and peers."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        arms = float(row["arms"])
        if "peer" in row:
            if row["step_ms"] is not None:
                lines.setdefault(str(row["peer"]), []).append((arms, float(row["step_ms"])))
        else:
            cold = " (cold)" if row["belief"] == "cold" else ""
            lines.setdefault(f"scanrank{cold}", []).append((arms, float(row["ours_ms"])))
            if not cold:
                lines.setdefault("plain numpy", []).append((arms, float(row["numpy_ms"])))
    for label, points in lines.items():
        style = "-o" if label.startswith("scanrank") else "--x"
        axes.loglog(*zip(*sorted(points), strict=True), style, label=label, markersize=4)
    axes.set_xlabel("arms")
    axes.set_ylabel("ms a step")
    axes.legend(fontsize=7)


def _scale(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Share of the ideal, one bar for each way to run."""
    labels = [str(row["what"]) for row in rows]
    axes.barh(labels, [100 * float(row["efficiency"]) for row in rows], color="#3b6ea5")
    axes.axvline(90, color="#999999", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("efficiency, % of the ideal")


def _million(axes: Any, found: dict[str, Any]) -> None:
    """Seconds of every stage."""
    stages = found["stages"]
    axes.barh([s["stage"] for s in stages], [s["seconds"] for s in stages], color="#3b6ea5")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("seconds")
