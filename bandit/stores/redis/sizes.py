"""How large a ruleset is in Redis: what to ask, and how to read the answers.

Kept apart from asking, so that any number of rulesets is asked in one round trip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bandit.errors import CorruptStateError
from bandit.stores.base import RulesetStats
from bandit.stores.names import START
from bandit.stores.redis.keys import piece_keys, ruleset_key


@dataclass(frozen=True)
class SnapshotMeta:
    """Which snapshot is current, its size, and the keys of its pieces, in order."""

    version: int
    position: str
    n_bytes: int
    keys: list[str]


NO_SNAPSHOT = SnapshotMeta(0, START, 0, [])


def snapshot_question(ruleset: str) -> tuple[str, ...]:
    """Return the command whose answer `read_snapshot_meta` reads."""
    key = ruleset_key(ruleset, "snapshot")
    return ("HMGET", key, "version", "position", "id", "pieces", "bytes")


def read_snapshot_meta(ruleset: str, answer: Sequence[bytes | None]) -> SnapshotMeta | None:
    """Return what is known of the current snapshot, None if there is none yet.

    Raises
    ------
    CorruptStateError
        The fields are not ours.
    """
    if answer[0] is None:
        return None
    text = [(field or b"").decode("ascii", "replace") for field in answer]
    match = re.fullmatch(
        r"([0-9]{1,15}) ([0-9-]{3,41}) ([0-9a-f]{32}) ([0-9]{1,6}) ([0-9]{1,15})", " ".join(text)
    )
    if match is None:
        where = ruleset_key(ruleset, "snapshot")
        raise CorruptStateError(f"{where}: unexpected fields {text}. It was not used.")
    keys = piece_keys(ruleset, match[3], int(match[4]))
    return SnapshotMeta(int(match[1]), match[2], int(match[5]), keys)


def size_questions(ruleset: str) -> list[tuple[Any, ...]]:
    """Return the commands whose answers, in order, `read_sizes` reads."""
    journal = ruleset_key(ruleset, "journal")
    return [
        snapshot_question(ruleset),
        ("XLEN", journal),
        ("MEMORY USAGE", journal, "SAMPLES", 0),
        ("XREVRANGE", journal, "+", "-", "COUNT", 1),
        ("ZCARD", ruleset_key(ruleset, "scans")),
        ("HGET", ruleset_key(ruleset, "meta"), "trimmed"),
    ]


def read_sizes(ruleset: str, answers: Sequence[Any]) -> RulesetStats:
    """Return the sizes of a ruleset from the answers to its `size_questions`."""
    snapshot, n_entries, journal_bytes, newest, n_scans, trimmed = answers
    trimmed_position = START if trimmed is None else str(trimmed.decode())
    meta = read_snapshot_meta(ruleset, snapshot) or NO_SNAPSHOT
    return RulesetStats(
        n_entries=int(n_entries),
        last_position=str(newest[0][0].decode()) if newest else trimmed_position,
        journal_bytes=int(journal_bytes or 0),
        snapshot_version=meta.version,
        snapshot_position=meta.position,
        snapshot_bytes=meta.n_bytes,
        n_scans=int(n_scans),
        trimmed_position=trimmed_position,
    )
