"""The one way from a journal to a belief: checked, each outcome once, entry by entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from bandit.belief.belief import Belief, BeliefSettings
from bandit.errors import IncompatibleStateError
from bandit.stores import Entry, Snapshot
from scanner_adapter.state.schema import check_entry, check_snapshot, refused
from scanner_adapter.state.seen import Seen


class JournalFold:
    """A belief, and what else is known of the journal that it was folded from.

    Parameters
    ----------
    ruleset : str
    settings : BeliefSettings

    Attributes
    ----------
    belief : Belief
    as_of : str or None
        Newest day whose facts a scan saw, YYYY-MM-DD; None = none did.
    seen : Seen
        The outcomes that it knows.
    """

    def __init__(self, ruleset: str, settings: BeliefSettings) -> None:
        self.ruleset = ruleset
        self.belief = Belief(settings)
        self.as_of: str | None = None
        self.seen = Seen()

    @classmethod
    def of_snapshot(cls, ruleset: str, settings: BeliefSettings, snapshot: Snapshot) -> JournalFold:
        """Go on from a snapshot.

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
        """Fold what of an entry is not known yet.

        Raises
        ------
        CorruptStateError
            It means nothing; the belief is what it was.
        """
        new = self.seen.new_part(entry)
        if new is None:
            return
        if not is_checked:
            check_entry(new, self.ruleset)
        try:
            self.learn(new)
        except Exception as err:
            where = f"journal {self.ruleset} entry {entry.position}"
            raise refused(where, err) from err
        self.seen.add(new)

    def learn(self, entry: Entry) -> None:
        """Fold an entry that is known to be new and sound."""
        self.belief.fold(entry.kind, entry.header, entry.arms, entry.arrays, scan_id=entry.scan_id)
        as_of = entry.header.get("as_of") if entry.kind == "open" else None
        if as_of is not None:
            self.as_of = max(self.as_of or "", as_of)

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Fold entries in their order."""
        for entry in entries:
            self.add(entry)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `of_snapshot` reads; both are copies."""
        header, arrays = self.belief.state()
        seen, bits = self.seen.state()
        return {**header, "as_of": self.as_of, "seen": seen}, arrays | bits

    @property
    def size(self) -> tuple[int, int]:
        """How much it was made from: scans, and reported symbols."""
        return self.belief.n_scans, self.belief.n_reports
