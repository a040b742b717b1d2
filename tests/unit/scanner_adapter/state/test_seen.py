"""Which outcomes are known: symbols and events of the latest scans."""

from __future__ import annotations

import numpy as np
import pytest

from bandit.errors import CorruptStateError
from bandit.stores import Entry
from scanner_adapter.state.fold import MOST_SCANS, Seen


def report(scan: str, *arms: str) -> Entry:
    arrays = {"rating": np.arange(len(arms), dtype=np.float32)}
    return Entry("1-0", "report", scan, {}, arrays, arms)


def known(seen: Seen, scan: str, *arms: str) -> list[str]:
    new = seen.new_part(report(scan, *arms))
    return [arm for arm in arms if new is None or arm not in new.arms]


def test_a_symbol_counts_once_a_scan() -> None:
    seen = Seen()
    for first in range(0, 300, 50):  # the table of symbols grows on the way
        entry = report("s", *(f"A{n}" for n in range(first, first + 50)))
        assert seen.new_part(entry) is entry
        seen.add(entry)
    assert seen.new_part(report("s", "A0", "A299")) is None
    part = seen.new_part(report("s", "A0", "NEW", "A7", "MORE"))
    assert part is not None
    assert part.arms == ("NEW", "MORE")
    assert part.arrays["rating"].tolist() == [1.0, 3.0]
    assert known(seen, "other", "A0") == []


def test_an_event_counts_once_a_scan() -> None:
    seen = Seen()
    opened, closed = (Entry("1-0", kind, "s", {}, {}, ()) for kind in ("open", "close"))
    seen.add(opened)
    assert seen.new_part(opened) is None
    assert seen.new_part(closed) is closed


def test_what_was_stored_is_the_same_again() -> None:
    seen = Seen()
    for n in range(3):
        seen.add(Entry("1-0", "open", f"s{n}", {}, {}, ()))
        seen.add(report(f"s{n}", *(f"A{k}" for k in range(n, 70 * n, 3))))
    scans, arrays = seen.state()
    again = Seen.restored(scans, arrays, "here")
    assert again.covers(seen)
    assert seen.covers(again)
    assert again.state()[0] == scans
    for name, array in again.state()[1].items():
        assert array.tobytes() == arrays[name].tobytes()
    again.add(report("s2", "MORE"))
    assert again.covers(seen)
    assert not seen.covers(again)
    for name in arrays:
        with pytest.raises(CorruptStateError, match="here: the symbols seen in 3 scans cannot be"):
            Seen.restored(scans, {**arrays, name: arrays[name][:1]}, "here")


def test_the_oldest_scans_are_forgotten() -> None:
    seen = Seen()
    for n in range(MOST_SCANS + 2):
        seen.add(report(f"s{n}", "A"))
    assert [known(seen, f"s{n}", "A") for n in (0, 1, 2)] == [[], [], ["A"]]
    assert len(seen.state()[0]) == MOST_SCANS
