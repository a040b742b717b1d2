"""`JournalFold`: folds a journal into a belief, entry by entry, each outcome once.

A snapshot keeps the belief, the settings it was folded with (`fingerprint`, so that a check that
only knows the store's address folds the journal as its scanners did), and the outcomes it contains
(`Seen`). The store accepts the first outcome of a symbol in a scan only, but a store that has lost
entries has lost that memory too. Entries that are sent again then reach a belief that has already
folded them, so outcomes are identified by scan and symbol, not by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import LEARNING_VERSION, Belief, BeliefSettings
from bandit.errors import CorruptStateError, IncompatibleStateError, InvalidInputError
from bandit.rewards import RewardRule, Signal, TopShare, rule_from_text, rule_text
from bandit.stores import Entry, Snapshot
from scanner_adapter.state.schema import check_entry, check_snapshot, refused

# Scans whose outcomes are remembered: twice as many as a process sends again after a loss.
MOST_SCANS = 128

_Bits = NDArray[np.bool_]


class JournalFold:
    """A belief, and what is known about the journal it was folded from.

    Parameters
    ----------
    ruleset : str
    settings : BeliefSettings

    Attributes
    ----------
    belief : Belief
    as_of : str or None
        Latest `as_of` day of any scan, YYYY-MM-DD; None if no scan had one.
    seen : Seen
        The outcomes it contains.
    """

    def __init__(self, ruleset: str, settings: BeliefSettings) -> None:
        self.ruleset = ruleset
        self.belief = Belief(settings)
        self.as_of: str | None = None
        self.seen = Seen()

    @classmethod
    def of_snapshot(cls, ruleset: str, settings: BeliefSettings, snapshot: Snapshot) -> JournalFold:
        """Continue from a snapshot.

        Raises
        ------
        CorruptStateError, IncompatibleStateError
        """
        where = f"snapshot {snapshot.version} of {ruleset}"
        check_snapshot(snapshot, ruleset)
        fold = cls(ruleset, settings)
        try:
            fold.belief = Belief.from_state(settings, snapshot.header, snapshot.arrays)
        except IncompatibleStateError:
            raise
        except Exception as err:
            raise refused(where, err) from err
        fold.as_of = snapshot.header.get("as_of")
        fold.seen = Seen.restored(snapshot.header.get("seen", []), snapshot.arrays, where)
        return fold

    def add(self, entry: Entry, *, is_checked: bool = False) -> None:
        """Fold the part of an entry that is new.

        Raises
        ------
        CorruptStateError
            If the entry is invalid; the belief is unchanged.
        """
        new = self.seen.new_part(entry)
        if new is None:
            return
        if not is_checked:
            check_entry(new, self.ruleset)
        try:
            self.belief.fold(new.kind, new.header, new.arms, new.arrays, scan_id=new.scan_id)
        except Exception as err:
            where = f"journal {self.ruleset} entry {entry.position}"
            raise refused(where, err) from err
        self.seen.add(new)
        as_of = new.header.get("as_of") if new.kind == "open" else None
        if as_of is not None:
            self.as_of = max(self.as_of or "", as_of)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `of_snapshot` reads; both are copies."""
        header, arrays = self.belief.state()
        seen, bits = self.seen.state()
        return {**header, "as_of": self.as_of, "seen": seen}, arrays | bits

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of scans and of reported symbols that were folded."""
        return self.belief.n_scans, self.belief.n_reports


class Seen:
    """Outcomes of the latest scans, one bit per symbol: 84 kB for 128 scans of 5,277 symbols."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self._arms: dict[str, _Bits] = {}  # scan -> bits by place, all of one length
        self._events: dict[str, set[str]] = {}

    def new_part(self, entry: Entry) -> Entry | None:
        """Return the part of an entry that is new; None if nothing is."""
        if entry.scan_id not in self._arms:
            return entry
        if entry.kind != "report":
            return None if entry.kind in self._events[entry.scan_id] else entry
        places = self._places(entry.arms)  # first, because new symbols lengthen the bits
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
        """Remember an entry."""
        places = self._places(entry.arms)
        self._bits(entry.scan_id)[places] = True
        if entry.kind != "report":
            self._events[entry.scan_id].add(entry.kind)

    def covers(self, other: Seen) -> bool:
        """Whether everything of the other's latest scan is contained here."""
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
            If the arrays do not match each other.
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
                f"{where}: the symbols seen in {len(scans)} scans cannot be read ({err}). It was "
                "not "
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


def fingerprint(settings: BeliefSettings) -> dict[str, Any]:
    """Return the settings that a fold depends on, as JSON.

    Of the reward rule that is only its expected share, because rewards are in the journal. Its text
    is included for readers.
    """
    return {
        "learning_version": LEARNING_VERSION,
        "seed_weights": dict(settings.seed_weights),
        "crossed": list(settings.crossed),
        "half_life_days": settings.half_life_days,
        "fast_days": settings.fast_days,
        "slow_days": settings.slow_days,
        "expected_share": settings.rule.expected_share,
        "rule": rule_text(settings.rule),
    }


def settings_from_fingerprint(stored: Mapping[str, Any]) -> BeliefSettings:
    """Return settings that fold a journal in the same way as those of a fingerprint.

    Examples
    --------
    >>> noted = fingerprint(BeliefSettings(half_life_days=30.0))
    >>> fingerprint(settings_from_fingerprint(noted)) == noted
    True
    """
    share = stored["expected_share"]
    try:
        rule = rule_from_fingerprint(stored)
    except InvalidInputError:  # a rule of the user; a fold only needs its expected share
        rule = Signal() if share is None else TopShare(float(share))
    return BeliefSettings(
        seed_weights={str(name): float(weight) for name, weight in stored["seed_weights"].items()},
        rule=rule,
        crossed=tuple(stored["crossed"]),
        half_life_days=float(stored["half_life_days"]),
        fast_days=float(stored["fast_days"]),
        slow_days=float(stored["slow_days"]),
    )


def rule_from_fingerprint(stored: Mapping[str, Any]) -> RewardRule:
    """Return the reward rule of a fingerprint.

    Raises
    ------
    InvalidInputError
        For a rule of the user, which cannot be made from its text.

    Examples
    --------
    >>> rule_from_fingerprint({"rule": "rating:70"})
    Threshold(minimum=70.0)
    """
    text = str(stored["rule"])
    try:
        return rule_from_text(text)
    except InvalidInputError as err:
        raise InvalidInputError(
            f"the journal was judged by your own rule {text}; pass it as rule=, or define a hit "
            "with --hit or --top"
        ) from err
