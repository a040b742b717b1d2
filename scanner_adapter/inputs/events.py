"""From files of events to tables: the columns of each tell which kind it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bandit.errors import InvalidInputError
from features.inputs.events import Events
from features.inputs.layouts import read_table

EventFrames = Mapping[str, pd.DataFrame]
"""Tables by kind: keyword arguments of `features.inputs.events.Events.from_frames`."""

# What only this kind has. A scanner's own log, which is called ratings as well, has none of them.
KINDS = {"earnings": {"eps_estimate", "eps_actual"}, "ratings": {"action"}, "news": {"count"}}


def read_events(files: Sequence[Path]) -> EventFrames:
    """Read tables of earnings, analysts' ratings and news, one file each, `.parquet` or `.csv`.

    Parameters
    ----------
    files : sequence of path
        In any order; none is no events. Their columns: see `Events.from_frames`.

    Raises
    ------
    InvalidInputError
        For a file that cannot be read, whose columns are of no kind or of two, or two files of
        one kind.
    InvalidEventsError
        For rows that are no events. Everything is looked at here, before a long replay begins.
    """
    found: dict[str, tuple[Path, pd.DataFrame]] = {}
    for file in files:
        frame = read_table(file, what="events", error=InvalidInputError)
        kind = _kind(file, frame)
        if kind in found:
            raise InvalidInputError(
                f"{found[kind][0]} and {file} both hold {kind}; put them into one file"
            )
        found[kind] = (file, frame)
    frames = {kind: frame for kind, (_, frame) in found.items()}
    Events.from_frames(**frames)
    return frames


def _kind(file: Path, frame: pd.DataFrame) -> str:
    columns = {str(name).strip().lower() for name in frame.columns}
    fitting = [kind for kind, own in KINDS.items() if own <= columns]
    if len(fitting) != 1:
        what = " and ".join(fitting) or "no events"
        raise InvalidInputError(
            f"{file} holds {what} by its columns {', '.join(map(str, frame.columns[:8]))}; "
            "expected, beside symbol and date, eps_estimate and eps_actual (earnings), action "
            "(analysts' ratings) or count (news)"
        )
    return fitting[0]
