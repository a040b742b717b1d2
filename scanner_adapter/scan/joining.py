"""Who joins a scan, as a worker or to continue it: its own rules against those of the opening."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from scanner_adapter.errors import InvalidContextError
from scanner_adapter.modes import ModeChoice, check_mode
from scanner_adapter.state.provenance import disagreement

log = logging.getLogger("scanrank")


def mode_of(opened: Mapping[str, Any], scan_id: str, mine: ModeChoice) -> ModeChoice:
    """Return the mode of the scan that is joined: a scan has one."""
    theirs = ModeChoice(check_mode(opened["mode"]), opened.get("rollout"))
    if theirs.mode != mine.mode:
        log.warning(
            "scan %s was opened in mode %s and goes on in it; this worker's own would have been %s",
            scan_id, theirs.mode, mine.mode,
        )  # fmt: skip
    return theirs


def check_joins(scan_id: str, opened: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Refuse to join a scan that rests on something else, and say what may differ and does.

    Parameters
    ----------
    opened, mine : mapping
        Headers of the open entry: of the scan, and as this worker would have written it.

    Raises
    ------
    InvalidContextError
        See `scanner_adapter.state.provenance.disagreement`.
    """
    if "settings" not in opened or "settings" not in mine:
        return  # nothing is journaled
    why = disagreement(opened, mine)
    if why is not None:
        raise InvalidContextError(
            f"scan {scan_id} was opened with {why}: give what it was opened with, or another "
            "scan_id"
        )
    if opened["digest"] != mine["digest"]:
        log.warning(
            "scan %s was opened with other facts (as of %s, here %s): bars, events or sectors "
            "differ; each worker ranks by its own", scan_id, opened["as_of"], mine["as_of"],
        )  # fmt: skip
    if opened["scanrank"] != mine["scanrank"]:
        log.warning(
            "scan %s was opened by scanrank %s, this is %s; both learn alike",
            scan_id, opened["scanrank"], mine["scanrank"],
        )  # fmt: skip
