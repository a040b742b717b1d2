"""The pictures of a replay as plotly figures, for notebooks: the same data as the files show.

`figures` computes; nothing is computed here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import InvalidInputError
from scanner_adapter.replay.pictures.figures import (
    SHARES,
    WINDOW,
    first_hits,
    gains,
    last_weights,
    recall_bands,
    reliability,
    weight_histories,
)
from scanner_adapter.replay.pictures.pictures import FACTOR_COLOURS, INK, colour_of
from scanner_adapter.replay.recorder import Recorder
from scanner_adapter.replay.report import ReplayReport

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Array = NDArray[Any]


def recall_figure(report: ReplayReport) -> Figure:
    """Mean recall curves with their 95 % bands."""
    figure = _figure("High-value results found against symbols scanned")
    for number, (name, band) in enumerate(recall_bands(report).items()):
        colour = colour_of(name, number)
        _band(figure, 100 * SHARES, 100 * band.low, 100 * band.high, colour)
        _line(figure, 100 * SHARES, 100 * band.mean, name, colour)
    return _axes(figure, "symbols scanned, % of the universe", "found, %")


def gain_figure(report: ReplayReport, measure: str = "recall_10") -> Figure:
    """Rolling gain of the first order over the others, in points."""
    order, *others = report.results
    against = [name for name in others if name not in ("oracle", "file order")]
    figure = _figure(f"{order} less others, mean of {WINDOW} scans")
    for name, gain in gains(report, measure, order=order, against=against).items():
        colour, band = colour_of(name, 0), gain.band
        days = gain.dates.astype("datetime64[ms]")
        _band(figure, days, 100 * band.low, 100 * band.high, colour)
        _line(figure, days, 100 * band.mean, f"over {name}", colour)
    figure.add_hline(y=0, line_color=INK, line_width=1)
    return _axes(figure, "", "points")


def weights_figure(report: ReplayReport) -> Figure:
    """Learned weight of each factor with its interval, beside the seed weight."""
    weights = last_weights(_watch(report))
    figure = _figure("Weights of the factors, seed and learned")
    for name, weight in weights.items():
        figure.add_scatter(
            x=[100 * weight.learned],
            y=[name],
            mode="markers",
            marker={"size": 12, "color": FACTOR_COLOURS.get(name, INK)},
            error_x={
                "array": [100 * (weight.high - weight.learned)],
                "arrayminus": [100 * (weight.learned - weight.low)],
            },
            name=f"{name}, learned",
            showlegend=False,
        )
    figure.add_scatter(
        x=[100 * weight.prior for weight in weights.values()],
        y=list(weights),
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 18, "color": INK},
        name="seed",
    )
    figure.update_yaxes(autorange="reversed")
    return _axes(figure, "share of all weight, % (90 % interval)", "")


def weight_history_figure(report: ReplayReport) -> Figure:
    """Learned weights over the scans, seeds as dashes."""
    figure = _figure("Learned weights over the scans")
    for name, each in weight_histories(_watch(report)).items():
        colour = FACTOR_COLOURS.get(name, INK)
        _band(figure, each.scans, 100 * each.low, 100 * each.high, colour)
        _line(figure, each.scans, 100 * each.learned, name, colour)
        figure.add_hline(y=100 * each.prior, line_color=colour, line_dash="dash", line_width=1)
    return _axes(figure, "scans learned from", "share of all weight, %")


def reliability_figure(report: ReplayReport) -> Figure:
    """True recall against the estimate in mid-scan; on the diagonal the estimate is right."""
    check = reliability(_watch(report), warmup=int(report.conditions.get("warmup") or 0))
    figure = _figure("Recall: estimated in mid-scan, and true")
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": INK, "width": 1}, showlegend=False
    )
    figure.add_scatter(
        x=100 * check.estimated,
        y=100 * check.true,
        mode="lines+markers",
        error_y={
            "array": 100 * (check.high - check.true),
            "arrayminus": 100 * (check.true - check.low),
        },
        text=[f"{n} looks" for n in check.n],
        name="true",
        line={"color": colour_of("scanrank", 0)},
        showlegend=False,
    )
    return _axes(figure, "recall as estimated, %", "true recall, %")


def first_hit_figure(report: ReplayReport) -> Figure:
    """Share of scans whose first hit came within so many symbols."""
    figure = _figure("Scans whose first hit came early")
    for number, (name, share) in enumerate(first_hits(report).items()):
        within = np.arange(1, len(share) + 1)
        _line(figure, within, 100 * share, name, colour_of(name, number), shape="hv")
    figure.update_xaxes(type="log", dtick="D2")
    return _axes(figure, "symbols scanned", "scans with a hit, %")


def _watch(report: ReplayReport) -> Recorder:
    if report.watch is None:
        raise InvalidInputError(
            "the replay noted nothing of the ranker; run it with replay(..., watch=True)"
        )
    return report.watch


def _figure(title: str) -> Figure:
    if importlib.util.find_spec("plotly") is None:
        raise InvalidInputError(
            "figures need plotly, which is not installed: pip install 'scanrank[notebooks]'"
        )
    from plotly.graph_objects import Figure

    return Figure(layout={"title": title, "template": "simple_white", "height": 420})


def _line(
    figure: Figure, x: Array, y: Array, name: str, colour: str, shape: str = "linear"
) -> None:
    line: Mapping[str, Any] = {"color": colour, "width": 2, "shape": shape}
    figure.add_scatter(x=x, y=y, mode="lines", name=name, line=line)


def _band(figure: Figure, x: Array, low: Array, high: Array, colour: str) -> None:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _axes(figure: Figure, x: str, y: str) -> Figure:
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure
