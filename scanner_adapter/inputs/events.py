"""Read files of events; the columns of each file show its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bandit.errors import InvalidInputError
from features.inputs.event_tables import event_kinds
from features.inputs.events import Events
from features.inputs.tables import OnBad, read_table


def read_events(
    files: Sequence[Path], *, on_bad: OnBad = "raise", tz: str | None = None
) -> Events | None:
    """Read tables of earnings, analysts' ratings and news, one file each.

    Parameters
    ----------
    files : sequence of path
        In any order. Their columns: see `Events.from_frames`.
    on_bad, tz
        See `Events.from_frames`.

    Returns
    -------
    Events or None
        None without files.

    Raises
    ------
    InvalidInputError
        For a file that cannot be read, whose columns fit no kind or two, or two files of one kind.
    InvalidEventsError
        For rows that are not events.
    """
    found: dict[str, tuple[Path, pd.DataFrame]] = {}
    for file in files:
        frame = read_table(file, what="events", error=InvalidInputError)
        kinds = event_kinds(frame)
        if len(kinds) != 1:
            what = " and ".join(kinds) or "no events"
            raise InvalidInputError(
                f"{file} contains {what} according to its columns "
                f"{', '.join(map(str, frame.columns[:8]))}; "
                "expected, besides symbol and date, eps_estimate and eps_actual (earnings), action "
                "(analysts' ratings) or count (news)"
            )
        kind = kinds[0]
        if kind in found:
            raise InvalidInputError(
                f"{found[kind][0]} and {file} both contain {kind}; combine them into one file"
            )
        found[kind] = (file, frame)
    if not found:
        return None
    frames: dict[str, Any] = {kind: frame for kind, (_, frame) in found.items()}
    return Events.from_frames(**frames, on_bad=on_bad, tz=tz)
