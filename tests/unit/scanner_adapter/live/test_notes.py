"""The status and control notes of a scan: what is read back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from bandit.stores.notes import MAX_NOTE_BYTES, dump_note
from bandit.stores.sqlite.store import SqliteStore
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.live.control import (
    ScanControl,
    Stop,
    with_exclusions,
    with_pins,
    with_stop,
    without_exclusions,
    without_pins,
    without_stop,
)
from scanner_adapter.live.status import (
    LiveEstimate,
    LiveHit,
    LiveStatus,
    LiveWeight,
    NextUp,
    Reason,
    TierCount,
    fitted,
)

STATUS = LiveStatus(
    scan_id="s1",
    ruleset="rules",
    mode="on",
    state="scanning",
    stopped=None,
    started_at=1000.5,
    updated_at=1010.25,
    scan_time=900.0,
    workers=None,
    n_symbols=100,
    n_scanned=50,
    n_errors=1,
    n_hits=4.0,
    rate_per_s=5.0,
    target_recall=0.95,
    eta_s=None,
    hit_rule="top:0.05",
    hit_limit=None,
    estimate=LiveEstimate(0.8, 0.6, 1.0, 4.0, 1.0, 0.0, 3.0, 0.95),
    tiers={"high": TierCount(5, 25), "low": TierCount(40, 0)},
    weights={"market": LiveWeight(0.3, 0.4, 0.2, 0.6)},
    next=(NextUp("A", 99.0, "high", 0.5, True, {"market": Reason(0.1, 0.2)}, 0.0, -3.0),),
    newest_hits=(LiveHit("B", 7.0, None, 3, 1009.0, False),),
    curve=((1, 0.0), (50, 4.0)),
    pinned=("A",),
    excluded=("C",),
)


def test_a_status_survives_the_store() -> None:
    store = SqliteStore()
    store.put_status("rules", "s1", STATUS.to_json())
    assert LiveStatus.from_json(store.get_status("rules", "s1")) == STATUS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, but this version reads 1"),
        ({"n_scanned": 1.5}, "status.n_scanned is 1.5; expected a whole number"),
        ({"n_scanned": True}, "status.n_scanned is True"),
        ({"n_hits": "4"}, "status.n_hits is '4'; expected a finite number"),
        ({"eta_s": 10**400}, "status.eta_s is 1000"),
        ({"state": "sleeping"}, "status.state is 'sleeping'; expected one of"),
        ({"estimate": [1]}, "status.estimate is"),
        ({"tiers": {"top": {"waiting": 1, "scanned": 1}}}, "status.tiers is 'top'"),
        ({"tiers": {"high": {"waiting": 1}}}, "status.tiers.high has no 'scanned'"),
        ({"next": {"A": 1}}, "status.next is"),
        ({"curve": [[1, 2, 3]]}, r"status.curve\[0\] is \[1, 2, 3\]; expected a list of 2"),
        ({"pinned": "ABC"}, "status.pinned is 'ABC'; expected a list"),
    ],
)
def test_a_status_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNoteError, match=message):
        LiveStatus.from_json(STATUS.to_json() | change)


def test_a_status_without_a_field_is_refused_and_with_more_is_read() -> None:
    note = STATUS.to_json()
    del note["n_symbols"]
    with pytest.raises(InvalidNoteError, match="status has no 'n_symbols'"):
        LiveStatus.from_json(note)
    assert LiveStatus.from_json(STATUS.to_json() | {"mood": "good"}) == STATUS


def test_long_names_make_the_lists_shorter_and_nothing_else() -> None:
    """64 letters of 3 bytes, 200 of them twice: 77 kB, where a note has 64 KiB."""
    names = tuple(f"{i:03d}" + "株" * 61 for i in range(200))
    note = replace(STATUS, pinned=names, excluded=names).to_json()
    kept = LiveStatus.from_json(fitted(note))
    assert len(dump_note(fitted(note))) <= MAX_NOTE_BYTES
    assert kept.pinned == names[:100]
    unchanged = {f.name for f in fields(LiveStatus)} - {"pinned", "excluded", "next", "newest_hits"}
    assert all(getattr(kept, name) == getattr(STATUS, name) for name in unchanged)


def test_requests_are_merged_and_undone() -> None:
    note: dict[str, Any] = {}
    for change in (
        with_pins(["A", "B"]),
        with_exclusions(["B", "C"]),  # ends the pin of B
        with_stop("enough", at=5.0),
        with_stop("me too", at=6.0),  # the first one stands
        with_pins(["C"]),  # ends the exclusion of C
    ):
        note = json.loads(json.dumps(change(note)))
    assert ScanControl.from_json(note) == ScanControl(Stop("enough", 5.0), ("A", "C"), ("B",), {})
    for change in (without_pins(["A", "X"]), without_exclusions(["B"]), without_stop()):
        note = change(note)
    assert ScanControl.from_json(note) == ScanControl(pin=("C",))


def test_what_a_newer_operator_wrote_stays() -> None:
    assert with_pins(["A"])({"pause": True})["pause"] is True


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ({"pin": "A"}, "control.pin is 'A'; expected a list"),
        ({"stop": True}, "control.stop is True; expected a mapping"),
        ({"stop": {"reason": "x"}}, "control.stop has no 'at'"),
        ({"boost": {"A": 21}}, r"control.boost.A is 21.0; expected log odds in \[-20, 20\]"),
    ],
)
def test_requests_that_do_not_fit_are_refused(note: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNoteError, match=message):
        ScanControl.from_json(note)
    with pytest.raises(InvalidNoteError, match=message):
        with_pins(["A"])(note)
