"""Pictures of benchmark rows; without matplotlib there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_SIZES = {"quality": (8.0, 4.4), "ablation": (8.0, 6.0)}
# What does not learn is too far left to see the others apart; the oracle too far right.
_NO_LEARNERS = ("until 95%", "random", "file order", "composite", "last rating", "oracle")


def draw(name: str, rows: Any, folder: Path) -> str:
    """Draw one benchmark's rows; return the file's name, empty where there is no picture of it."""
    kinds: dict[str, Callable[[Any, Any], None]] = {
        "quality": _quality, "ablation": _ablation, "rank": _rank, "scale": _scale,
        "million": _million,
    }  # fmt: skip
    if name not in kinds:
        return ""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=_SIZES.get(name, (6.4, 3.6)), layout="constrained")
    kinds[name](figure.subplots(), rows)
    figure.savefig(folder / f"{name}.png", dpi=110)
    return f"{name}.png"


def _quality(axes: Any, rows: list[dict[str, Any]]) -> None:
    """How far every learner is from scanrank in the first 10 %, in points, with its interval."""
    measured = [row for row in rows if row.get("scanrank_ahead_recall_10") is not None]
    shown = [row for row in measured if row["order"] not in _NO_LEARNERS]
    _points(
        axes,
        [
            (
                str(row["case"]),
                str(row["order"]),
                *(-row[f"scanrank_ahead_recall_10{end}"] for end in ("", "_high", "_low")),
            )
            for row in shown
        ],
    )
    axes.set_xlabel("points found in the first 10 % more (right) or less (left) than scanrank")


def _ablation(axes: Any, rows: list[dict[str, Any]]) -> None:
    """What each part is worth in the first 10 %, in points, with its interval."""
    _points(
        axes,
        [
            (
                str(row["case"]),
                str(row["part"]),
                *(row[f"recall_10{end}"] for end in ("", "_low", "_high")),
            )
            for row in rows
        ],
    )
    axes.axvspan(-0.5, 0.0, color="#eeeeee", zorder=0)
    axes.set_xlabel("points that the part adds in the first 10 %; grey: costs up to half a point")


def _points(axes: Any, found: list[tuple[str, str, float, float, float]]) -> None:
    """A line for each case, a colour for each label: (case, label, mean, low, high) as shares."""
    cases = list(dict.fromkeys(case for case, *_ in found))
    labels = list(dict.fromkeys(label for _, label, *_ in found))
    for i, label in enumerate(labels):
        own = [(case, mean, low, high) for case, its, mean, low, high in found if its == label]
        axes.errorbar(
            [100 * mean for _, mean, _, _ in own],
            [cases.index(case) + 0.7 * ((i + 0.5) / len(labels) - 0.5) for case, *_ in own],
            xerr=[
                [100 * (mean - low) for _, mean, low, _ in own],
                [100 * (high - mean) for _, mean, _, high in own],
            ],
            fmt="o", markersize=3, linewidth=1, label=label,
        )  # fmt: skip
    axes.axvline(0, color="#999999", linewidth=1)
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.4)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


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
