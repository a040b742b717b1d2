"""The pictures of a replay, drawn without a display: PNG and SVG files, and in notebooks.

Narrow on purpose: a picture of 4.6 inches stays readable on a telephone, and two stand side by
side on a desk. In the SVGs every colour is a CSS variable with the light colour as its default, so
that the page that shows them decides what dark mode looks like.
"""

from __future__ import annotations

import html
import importlib.util
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bandit.choice.explain import GroupWeight
from bandit.errors import InvalidInputError
from scanner_adapter.replay.pictures import figures
from scanner_adapter.replay.report import ReplayReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#23272e", "#d5d9de"
# Colour-blind safe (after Okabe and Ito), each dark enough on white and replaced in dark mode.
COLOURS = {
    "scanrank": "#0b5fb0",
    "last rating": "#b35900",
    "composite": "#1b7f4d",
    "random": "#7a7f87",
    "file order": "#8a5a9e",
    "oracle": "#3a3f46",
}
_FURTHER = ("#b5176b", "#0f7c85", "#6b6b00")
FACTOR_COLOURS = {
    "historical": "#0b5fb0",
    "market": "#b35900",
    "fundamental": "#8a5a9e",
    "technical": "#1b7f4d",
}
_SIZE = (4.6, 3.2)  # inches
_LEAST_POINTS = 10  # of a line over time
_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "scanrank",  # the same picture gives the same bytes
}

Draw = Callable[["Axes"], None]


def is_installed() -> bool:
    """Whether matplotlib and jinja2, the extra `plots`, are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("matplotlib", "jinja2"))


def check_installed() -> None:
    """Raise InvalidInputError if matplotlib or jinja2 is missing."""
    if not is_installed():
        raise InvalidInputError(
            "pictures need matplotlib and jinja2: pip install 'scanrank[plots]'"
        )


def pictures(report: ReplayReport) -> dict[str, tuple[str, Draw]]:
    """Return what can be drawn of a report: title and drawing function by file name.

    Pictures for which the report has no data (nothing was watched, too few scans) are left out.
    """
    found: dict[str, tuple[str, Draw]] = {}

    def add(name: str, title: str, draw: Callable[[Axes, Any], None], data: Any) -> None:
        found[name] = title, lambda axes: draw(axes, data)

    title = "High-value results found against symbols scanned"
    add("recall", title, draw_recall, figures.recall_bands(report))
    first = next(iter(report.results))
    against = [name for name in ("last rating", "composite", "random") if name in report.results]
    against = [name for name in against if name != first]
    if len(report.dates) >= figures.WINDOW + _LEAST_POINTS and against:
        title = f"{first} minus the other orders, found in the first 10%"
        add("gain", title, draw_gain, figures.gains(report, order=first, against=against))
    watch = report.watch
    if watch is not None and watch.weights:
        add(
            "weights",
            "Weights of the factors, seed and learned",
            draw_weights,
            figures.last_weights(watch),
        )
        title = "Learned weights over the scans"
        add("weights-over-time", title, draw_weight_history, figures.weight_histories(watch))
    if watch is not None and watch.checks:
        check = figures.reliability(watch, warmup=int(report.conditions.get("warmup") or 0))
        if check.n.size:
            title = "Estimated recall in mid-scan, and true recall"
            add("reliability", title, draw_reliability, check)
    add("first-hit", "Scans whose first hit came early", draw_first_hit, figures.first_hits(report))
    return found


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a replay, which a notebook shows by itself.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        To change or to save.
    """

    figure: Figure

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        _save(self.figure, stream, "png")
        return stream.getvalue()


def picture(report: ReplayReport, name: str) -> Picture:
    """Return one picture of a report, to be shown by a notebook.

    Parameters
    ----------
    name : str
        ``recall``, ``gain``, ``first-hit``, and after ``replay(..., watch=True)`` ``weights``,
        ``weights-over-time`` and ``reliability``.

    Raises
    ------
    InvalidInputError
        For a name that the report has no picture of, or without matplotlib.
    """
    known = pictures(report)
    if name not in known:
        raise InvalidInputError(
            f"there is no picture {name!r} of this replay; it has {', '.join(known)}. Weights and "
            "reliability need replay(..., watch=True), a gain needs more scans"
        )
    return Picture(_figure(*known[name]))


def write_picture(path: Path, title: str, draw: Draw) -> None:
    """Draw one picture into a PNG file; creates its folder if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(_figure(title, draw), path, "png")


def write_pictures(report: ReplayReport, folder: Path) -> list[Path]:
    """Write every picture as PNG and SVG; return the files.

    Raises
    ------
    InvalidInputError
        If matplotlib, an optional dependency, is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (title, draw) in pictures(report).items():
        figure = _figure(title, draw)
        for kind in ("png", "svg"):
            files.append(folder / f"{name}.{kind}")
            _save(figure, files[-1], kind)
    return files


def inline_svg(name: str, title: str, draw: Draw) -> str:
    """Return a picture as an `<svg>` element for a page: its colours are CSS variables."""
    stream = io.StringIO()
    figure = _figure(None, draw)
    _save(figure, stream, "svg", transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # the same in every picture
    # Definitions have names that are unique in one picture only.
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour in {INK, FAINT, *COLOURS.values(), *_FURTHER, *FACTOR_COLOURS.values()}:
        text = text.replace(colour, f"var(--c{colour[1:]}, {colour})")
    text = re.sub(r'width="[^"]*pt" height="[^"]*pt" ', "", text, count=1)
    text = re.sub(r'height="[^"]*pt" (viewBox="[^"]*") width="[^"]*pt" ?', r"\1 ", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


def draw_recall(axes: Axes, bands: Mapping[str, figures.Band]) -> None:
    """Mean recall curves with their 95 % bands."""
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1.0)
    for number, (name, band) in enumerate(bands.items()):
        _line(axes, 100 * figures.SHARES, band, colour_of(name, number), name)
    axes.set(xlim=(0, 100), ylim=(0, 102))
    axes.set_xlabel("symbols scanned, % of the universe")
    axes.set_ylabel("found, %")
    axes.set_xticks([0, 10, 25, 50, 75, 100])
    _legend(axes, "lower right")


def draw_gain(axes: Axes, found: Mapping[str, figures.Gain]) -> None:
    """Rolling gain over each baseline, in points."""
    axes.axhline(0.0, color=INK, linewidth=0.8)
    for name, gain in found.items():
        _line(axes, gain.dates, gain.band, colour_of(name, 0), f"over {name}")
    axes.set_ylabel(f"points, mean of {figures.WINDOW} scans")
    _dates(axes)
    _legend(axes, "best")


def draw_weights(axes: Axes, weights: Mapping[str, GroupWeight]) -> None:
    """Learned weight of each factor with its interval, beside the seed weight."""
    names = list(weights)[::-1]
    for row, name in enumerate(names):
        weight, colour = weights[name], FACTOR_COLOURS.get(name, INK)
        axes.plot([100 * weight.low, 100 * weight.high], [row, row], color=colour, linewidth=5,
                  alpha=0.3, solid_capstyle="butt")  # fmt: skip
        axes.plot(100 * weight.learned, row, "o", color=colour, markersize=7)
        axes.plot(100 * weight.prior, row, "|", color=INK, markersize=16, markeredgewidth=1.6)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 100), ylim=(-0.6, len(names) - 0.4))
    axes.set_xlabel("share of all weight, %   ( | seed   ● learned, 90% interval)")


def draw_weight_history(axes: Axes, history: Mapping[str, figures.WeightHistory]) -> None:
    """Learned weights over the scans, seeds as dashes."""
    for name, each in history.items():
        colour = FACTOR_COLOURS.get(name, INK)
        _line(axes, each.scans, figures.Band(each.learned, each.low, each.high), colour, name)
        axes.axhline(100 * each.prior, color=colour, linewidth=0.9, linestyle=(0, (4, 4)))
    axes.set_xlabel("scans learned from   (dashes: seed weights)")
    axes.set_ylabel("share of all weight, %")
    axes.set_ylim(0, 100)
    _legend(axes, "upper right")


def draw_reliability(axes: Axes, check: figures.Reliability) -> None:
    """True recall against the estimate; on the diagonal the estimate is right."""
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1.0)
    colour = COLOURS["scanrank"]
    axes.vlines(100 * check.estimated, 100 * check.low, 100 * check.high, color=colour, alpha=0.4,
                linewidth=4)  # fmt: skip
    axes.plot(100 * check.estimated, 100 * check.true, "o-", color=colour, linewidth=1.2)
    axes.set(xlim=(0, 102), ylim=(0, 102))
    axes.set_xlabel("recall as estimated, %")
    axes.set_ylabel("true recall, %")


def draw_first_hit(axes: Axes, found: Mapping[str, Any]) -> None:
    """Share of scans whose first hit came within so many symbols."""
    for number, (name, share) in enumerate(found.items()):
        axes.step(
            np.arange(1, len(share) + 1), 100 * share, where="post", linewidth=1.8,
            color=colour_of(name, number), label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(1, len(next(iter(found.values())))), ylim=(0, 102))
    axes.set_xlabel("symbols scanned")
    axes.set_ylabel("scans with a hit, %")
    _legend(axes, "lower right")


def colour_of(name: str, number: int) -> str:
    """The colour of an order, the same in all pictures."""
    return COLOURS.get(name, _FURTHER[number % len(_FURTHER)])


def _figure(title: str | None, draw: Draw) -> Figure:
    check_installed()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        # The object interface, not pyplot: no global state, so a notebook is left alone.
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if title is not None:
            axes.set_title(title, fontsize=9, loc="left")
    return figure


def _save(
    figure: Figure, to: Path | io.StringIO | io.BytesIO, kind: str, *, transparent: bool = False
) -> None:
    from matplotlib import rc_context

    metadata = {"Date": None} if kind == "svg" else None
    with rc_context(_STYLE):  # how an SVG's text is written is decided here
        figure.savefig(to, format=kind, dpi=200, transparent=transparent, metadata=metadata)


def _line(axes: Axes, at: NDArray[Any], band: figures.Band, colour: str, label: str) -> None:
    """Draw a mean in percent, with its interval as a shade around it."""
    ends = 100 * band.low, 100 * band.high
    axes.fill_between(at, *ends, color=colour, alpha=0.18, linewidth=0)
    axes.plot(at, 100 * band.mean, color=colour, linewidth=1.8, label=label)


def _legend(axes: Axes, where: Any) -> None:
    axes.legend(frameon=False, loc=where, fontsize=7.5, handlelength=1.4, labelspacing=0.3)


def _dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    concise = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(concise)
