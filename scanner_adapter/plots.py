"""The recall-curve picture, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GRID = np.linspace(0.0, 1.0, 201)
"""Shares of the universe at which curves of scans of different size are averaged."""

_COLOURS = ("#8a8f98", "#0b66c3", "#d1701f", "#3c8d40", "#8856a7", "#b03a48")


def mean_recall(curves: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average recall curves over scans on `GRID`; scans without a hit (NaN) are left out.

    Parameters
    ----------
    curves : list of ndarray, each of shape (n_scanned + 1,)
        Recall after 0, 1, 2, ... symbols of a complete scan, as `metrics.recall_curve`.

    Returns
    -------
    ndarray, shape (201,)
        NaN where no scan has a hit.

    Examples
    --------
    >>> mean_recall([np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])])[[0, 100, 200]]
    array([0. , 0.5, 1. ])
    """
    known = [
        np.interp(GRID, np.linspace(0.0, 1.0, len(curve)), curve)
        for curve in curves
        if not np.isnan(curve).any()
    ]
    return np.mean(known, axis=0) if known else np.full(len(GRID), np.nan)


def write_recall_png(
    path: Path, curves: Mapping[str, NDArray[np.float64]], *, title: str
) -> Path | None:
    """Draw one line per order over the share of the universe scanned, and write a PNG.

    Parameters
    ----------
    path : Path
        Its folder is created where missing.
    curves : mapping of name to ndarray, shape (201,)
        Mean recall on `GRID`, drawn in the order given, the last one on top.
    title : str

    Returns
    -------
    Path or None
        None where matplotlib, an optional dependency, is not installed; nothing is written then.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return None
    # The object interface, not pyplot: no global state, so a server or a notebook is left alone.
    figure = Figure(figsize=(7.2, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, recall), colour in zip(curves.items(), _COLOURS, strict=False):
        axes.plot(100 * GRID, 100 * recall, color=colour, linewidth=2.2, label=name)
    axes.plot([0, 100], [0, 100], color="#b4b8be", linestyle=(0, (2, 3)), label="random order")
    for share in (10, 25):
        axes.axvline(share, color="#e3e5e8", linewidth=1.0, zorder=0)
    axes.set(xlim=(0, 100), ylim=(0, 102), title=title)
    axes.set_xlabel("share of the universe scanned, %")
    axes.set_ylabel("high-value results found, %")
    axes.set_xticks([0, 10, 25, 50, 75, 100])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
