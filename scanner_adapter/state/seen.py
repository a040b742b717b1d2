"""Which outcomes of recent scans a belief knows, so that one that comes again teaches nothing.

The store lets the first outcome of a symbol in a scan count once. A store that has lost entries has
forgotten that too: entries that are sent again then stand in its journal a second time for a
belief that had folded them. Outcomes are identified by scan and symbol, not by their position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.errors import CorruptStateError
from bandit.stores import Entry

# Scans that are known one by one. Twice as many as a process sends again after a loss.
MOST_SCANS = 128

_Bits = NDArray[np.bool_]


class Seen:
    """The outcomes of the latest scans: a bit a symbol, 84 kB for 128 scans of 5,277 symbols."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._arms: dict[str, _Bits] = {}  # scan -> by place, as long as the latest place known
        self._events: dict[str, set[str]] = {}

    def new_part(self, entry: Entry) -> Entry | None:
        """Return what of an entry is not known yet; None if all is."""
        if entry.scan_id not in self._arms:
            return entry
        if entry.kind != "report":
            return None if entry.kind in self._events[entry.scan_id] else entry
        places = self._places(entry.arms)  # first: new symbols make room for themselves
        is_new = ~self._arms[entry.scan_id][places]
        if is_new.all():
            return entry
        if not is_new.any():
            return None
        rows = np.flatnonzero(is_new)
        return replace(
            entry,
            arms=tuple(entry.arms[row] for row in rows.tolist()),
            arrays={name: array[rows] for name, array in entry.arrays.items()},
        )

    def add(self, entry: Entry) -> None:
        """Know an entry from now on."""
        places = self._places(entry.arms)
        self._bits(entry.scan_id)[places] = True
        if entry.kind != "report":
            self._events[entry.scan_id].add(entry.kind)

    def covers(self, other: Seen) -> bool:
        """Whether all of the other's latest scan is known here."""
        if not other._arms:
            return True
        scan = next(reversed(other._arms))
        if scan not in self._arms or not other._events[scan] <= self._events[scan]:
            return False
        arms = list(other._place)
        theirs = [arms[place] for place in np.flatnonzero(other._arms[scan]).tolist()]
        places = self._places(theirs)
        return bool(self._arms[scan][places].all())

    def _places(self, arms: Sequence[str]) -> NDArray[np.intp]:
        place = self._place
        found = [place.setdefault(arm, len(place)) for arm in arms]
        if found and self._arms and len(place) > next(iter(self._arms.values())).size:
            self._arms = {scan: _padded(bits, len(place)) for scan, bits in self._arms.items()}
        return np.array(found, np.intp)

    def _bits(self, scan: str) -> _Bits:
        if scan not in self._arms:
            while len(self._arms) >= MOST_SCANS:
                oldest = next(iter(self._arms))
                del self._arms[oldest], self._events[oldest]
            size = next(iter(self._arms.values())).size if self._arms else 0
            self._arms[scan] = _padded(np.zeros(0, bool), max(size, len(self._place)))
            self._events[scan] = set()
        return self._arms[scan]

    def state(self) -> tuple[list[list[str]], dict[str, NDArray[Any]]]:
        """Return scans with their events as JSON, and arrays."""
        scans = [[scan, " ".join(sorted(events))] for scan, events in self._events.items()]
        bits = np.zeros((len(scans), len(self._place)), bool)
        for row, mine in zip(bits, self._arms.values(), strict=True):
            row[: mine.size] = mine[: row.size]
        names = np.frombuffer("\n".join(self._place).encode(), np.uint8)
        return scans, {"seen_arms": names, "seen_bits": np.packbits(bits, axis=1)}

    @classmethod
    def restored(
        cls, scans: Sequence[Sequence[str]], arrays: Mapping[str, NDArray[Any]], where: str
    ) -> Seen:
        """Rebuild what `state` returned.

        Raises
        ------
        CorruptStateError
            When the arrays do not fit together.
        """
        seen = cls()
        try:
            text = arrays["seen_arms"].tobytes().decode()
            packed = arrays["seen_bits"]
            names = text.split("\n") if text else []
            seen._place = {name: place for place, name in enumerate(names)}
            if len(seen._place) != len(names) or packed.shape != (len(scans), -(-len(names) // 8)):
                raise ValueError(f"{len(names)} names and bits of shape {packed.shape}")
            bits = np.unpackbits(packed, axis=1, count=len(names)).astype(bool)
        except (KeyError, ValueError, TypeError) as err:
            raise CorruptStateError(
                f"{where}: what was seen of {len(scans)} scans cannot be read ({err}). It was not "
                "used; see `scanrank store repair`."
            ) from err
        for (scan, events), row in zip(scans, bits, strict=True):
            seen._arms[scan], seen._events[scan] = row.copy(), set(events.split())
        return seen


def _padded(bits: _Bits, n: int) -> _Bits:
    """Return bits for at least `n` places, with room to grow."""
    longer = np.zeros(max(n, 2 * bits.size, 64), bool)
    longer[: bits.size] = bits
    return longer
