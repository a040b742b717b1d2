"""Checks a ruleset's stored state: reads everything, and compares the snapshot with a new fold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bandit.belief.belief import LEARNING_VERSION, BeliefSettings
from bandit.errors import BanditError, CorruptStateError, InvalidInputError, StoreError
from bandit.stores import Problem, Snapshot, Store
from bandit.stores.names import START, position_key
from scanner_adapter.blas_threads import one_blas_thread
from scanner_adapter.state.fold import JournalFold, settings_from_fingerprint

_BESIDE_FOLD = ("settings", "fold_since", "born")  # header fields that are not part of the fold


class Fold(StrEnum):
    """Whether the journal, folded from the start, equals the snapshot."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class Verdict:
    """Result of a check.

    Parameters
    ----------
    ruleset : str
    n_entries : int
        Number of journal entries.
    problems : tuple of Problem
        Entries and snapshots that cannot be read.
    fold : Fold
    explanation : str
        Why the two were not compared, where they differ, or up to which position they agree.
    """

    ruleset: str
    n_entries: int
    problems: tuple[Problem, ...]
    fold: Fold
    explanation: str

    @property
    def is_sound(self) -> bool:
        """Whether everything can be read and no difference was found."""
        return not self.problems and self.fold is not Fold.DIFFERENT


def check(store: Store, ruleset: str) -> Verdict:
    """Read and fold everything of a ruleset; compare its snapshot with a fold of its journal.

    Scans may run meanwhile: entries after the snapshot are folded but not compared.
    """
    problems = {problem.place: problem for problem in store.problems(ruleset)}
    stats = store.stats(ruleset)
    fold, explanation = Fold.NOT_COMPARED, "remove what cannot be read first, see `repair`"
    snapshot = None if "snapshot" in problems else store.load_snapshot(ruleset)
    settings = BeliefSettings()
    if snapshot is not None:
        try:
            settings = settings_from_fingerprint(snapshot.header["settings"])
            JournalFold.of_snapshot(ruleset, settings, snapshot)
        except (BanditError, KeyError, TypeError, ValueError) as err:
            reason = f"it cannot be read ({type(err).__name__}: {err})"
            problems["snapshot"] = Problem("snapshot", reason)
    for problem in _unfoldable(store, ruleset, settings, frozenset(problems)):
        problems[problem.place] = problem
    if not problems:
        fold, explanation = _compare(store, ruleset, snapshot, stats.trimmed_position)
    return Verdict(ruleset, stats.n_entries, tuple(problems.values()), fold, explanation)


@one_blas_thread()
def _unfoldable(
    store: Store, ruleset: str, settings: BeliefSettings, known: frozenset[str]
) -> list[Problem]:
    """Return the entries that can be read but not folded; each one is skipped."""
    found, fold, position = [], JournalFold(ruleset, settings), START
    while True:
        try:
            for entry in store.read(ruleset, after=position):
                position = entry.position
                try:
                    fold.add(entry)
                except CorruptStateError as err:
                    found.append(Problem(f"journal {entry.position}", str(err)))
            return found
        except StoreError:
            later = [place for place in known if place.startswith("journal ")]
            keys = sorted(position_key(place.partition(" ")[2]) for place in later)
            after = [key for key in keys if key > position_key(position)]
            if not after:
                raise
            position = f"{after[0][0]}-{after[0][1]}"


def _compare(
    store: Store, ruleset: str, snapshot: Snapshot | None, trimmed: str
) -> tuple[Fold, str]:
    if snapshot is None:
        return Fold.NOT_COMPARED, "no snapshot yet; the next scan makes one from the journal"
    if trimmed != START:
        return Fold.NOT_COMPARED, (
            f"retention has deleted the journal up to {trimmed}, so a fold from the beginning is "
            "impossible: only the snapshot contains what was learned before"
        )
    if snapshot.header["settings"].get("learning_version") != LEARNING_VERSION:
        return Fold.NOT_COMPARED, (
            "the snapshot was written by a version of scanrank that learns differently; this "
            "version continues from it"
        )
    if snapshot.header["fold_since"] != START:
        return Fold.NOT_COMPARED, (
            f"at {snapshot.header['fold_since']} the settings changed, a damaged entry was "
            "removed, the store lost entries, or a newer scanrank that learns differently "
            "continued: the belief up to there differs from a fold from the beginning"
        )
    try:
        settings = settings_from_fingerprint(snapshot.header["settings"])
        folded = fold_journal(store, ruleset, settings, until=snapshot.position)
    except (BanditError, KeyError, TypeError, ValueError) as err:
        return Fold.DIFFERENT, f"the journal cannot be folded ({type(err).__name__}: {err})"
    different = differences(folded, snapshot)
    if different:
        return Fold.DIFFERENT, "different: " + ", ".join(different)
    return Fold.EQUAL, f"bit for bit up to {snapshot.position}"


@one_blas_thread()  # several threads sum in another order, which changes the last bits
def fold_journal(
    store: Store, ruleset: str, settings: BeliefSettings, *, until: str | None = None
) -> JournalFold:
    """Fold a ruleset's journal from its first entry up to a position, by default the end."""
    fold = JournalFold(ruleset, settings)
    for entry in store.read(ruleset):
        if until is not None and position_key(entry.position) > position_key(until):
            break
        fold.add(entry)
    return fold


def differences(fold: JournalFold, snapshot: Snapshot) -> list[str]:
    """Return the names of fields and arrays in which fold and snapshot differ, bit for bit."""
    header, arrays = fold.state()
    theirs: dict[str, Any] = {
        name: value for name, value in snapshot.header.items() if name not in _BESIDE_FOLD
    }
    names = [name for name in {**header, **theirs} if header.get(name) != theirs.get(name)]
    for name in {**arrays, **snapshot.arrays}:
        mine, stored = arrays.get(name), snapshot.arrays.get(name)
        if (
            mine is None
            or stored is None
            or (mine.shape, mine.dtype) != (stored.shape, stored.dtype)
            or mine.tobytes() != stored.tobytes()  # NaN equals NaN, and 0.0 is not -0.0
        ):
            names.append(name)
    return names


def repair(store: Store, verdict: Verdict, folder: Path) -> list[str]:
    """Move what cannot be read to files, and rebuild a snapshot that does not match.

    Parameters
    ----------
    folder : path
        Created if missing. Each problem gets a file, which no later repair overwrites.

    Returns
    -------
    list of str
        What was done, one line each.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written; nothing is deleted then.
    """
    done = []
    for problem in verdict.problems:
        path = folder / f"{verdict.ruleset}.{problem.place.replace(' ', '.')}.bin"
        # Opened before the store deletes, so that no bytes are lost to a full or missing disk.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except OSError as err:
            raise InvalidInputError(
                f"{path} cannot be written ({err.strerror}); nothing was removed; give another "
                "folder with --out"
            ) from err
        with file:
            blob = store.repair(verdict.ruleset, problem)
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        done.append(f"{problem.place}: {len(blob)} bytes moved to {path}")
    snapshot = store.load_snapshot(verdict.ruleset) if not verdict.is_sound else None
    if snapshot is None:
        return done
    header, arrays = dict(snapshot.header), dict(snapshot.arrays)
    if verdict.fold is Fold.DIFFERENT:
        settings = settings_from_fingerprint(header["settings"])
        folded = fold_journal(store, verdict.ruleset, settings, until=snapshot.position)
        belief, arrays = folded.state()
        header |= belief
        what = f"snapshot: rebuilt from the journal up to {snapshot.position}"
    elif any(_is_covered(problem, snapshot) for problem in verdict.problems):
        # The snapshot learned from the entry while it was readable, and keeps what it learned.
        header["fold_since"] = snapshot.position
        what = "snapshot: keeps what was learned from the removed entries"
    else:
        return done
    is_saved = store.save_snapshot(
        verdict.ruleset, header=header, arrays=arrays, position=snapshot.position,
        expected_version=snapshot.version,
    )  # fmt: skip
    return [
        *done,
        what if is_saved else "snapshot: a scan wrote a new one in the meantime; check again",
    ]


def _is_covered(problem: Problem, snapshot: Snapshot) -> bool:
    what, _, position = problem.place.partition(" ")
    return what == "journal" and position_key(position) <= position_key(snapshot.position)
