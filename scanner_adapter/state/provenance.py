"""Provenance of a scan: seed, settings, symbols and facts, recorded in its open entry.

With the same belief and the contexts in its reports, a replay makes the same choices, bit for bit
(`scanner_adapter.replay.journals.journal_scan`). A process that joins or resumes the scan compares
its own provenance with the recorded one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.belief.belief import BeliefSettings
from bandit.errors import InvalidInputError
from features.measures.historical import HISTORICAL
from scanner_adapter.inputs.context import MarketFacts
from scanner_adapter.inputs.loadings import LoadingCodec
from scanner_adapter.options import Mode, check_mode
from scanner_adapter.state.fold import fingerprint

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Mode and generator of a scan.

    Parameters
    ----------
    mode : "on" or "shadow"
    seed : str
        Bit generator, entropy and spawn key of the scan's random numbers, see `seed_text`.
    before_features : int
        Batches handed out before the features were computed.
    """

    mode: Mode
    seed: str
    before_features: int = 0

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Provenance:
        """Read the provenance from the header of an open entry.

        Raises
        ------
        InvalidInputError
            If the entry has no seed.
        """
        if "seed" not in header:
            raise InvalidInputError(
                "the scan's open entry has no seed, so its choices cannot be reproduced; what it "
                "reported can be replayed in other orders"
            )
        n_before = int(header["before_features"])
        return cls(check_mode(header["mode"]), str(header["seed"]), n_before)

    def rng(self) -> np.random.Generator:
        """Return the generator as it was when the scan was opened.

        Examples
        --------
        >>> child = np.random.default_rng(7).spawn(2)[1]
        >>> again = Provenance("on", seed_text(child)).rng()
        >>> bool(again.random() == child.random())
        True
        """
        try:
            kind, entropy, key = self.seed.split(":")
            words = [int(word, 16) for word in entropy.split(",")]
            sequence = np.random.SeedSequence(
                words[0] if len(words) == 1 else words,
                spawn_key=[int(word) for word in key.split(",") if word],
            )
        except ValueError as err:
            raise InvalidInputError(f"{self.seed!r} is not the seed of a scan ({err})") from err
        if kind != "PCG64":
            raise InvalidInputError(
                f"the scan drew from {kind}, this version draws from PCG64; replay it with the "
                "same version of numpy"
            )
        return np.random.Generator(np.random.PCG64(sequence))


def seed_text(rng: np.random.Generator) -> str:
    """Return bit generator, entropy (hexadecimal) and spawn key of a fresh generator.

    Examples
    --------
    >>> seed_text(np.random.default_rng(255).spawn(3)[2])
    'PCG64:ff:2'
    """
    sequence = rng.bit_generator.seed_seq
    if not isinstance(sequence, np.random.SeedSequence):
        return _NONE
    entropy = sequence.entropy
    words = entropy if isinstance(entropy, Sequence) else [entropy or 0]
    return ":".join(
        [
            type(rng.bit_generator).__name__,
            ",".join(f"{int(word):x}" for word in words),
            ",".join(str(key) for key in sequence.spawn_key),
        ]
    )


def opening_header(
    rng: np.random.Generator,
    settings: BeliefSettings,
    symbols: Sequence[str],
    facts: MarketFacts,
    kept: LoadingCodec,
) -> dict[str, Any]:
    """Return the provenance fields of the open entry, about 1 kB per scan."""
    return {
        "scanrank": version("scanrank"),
        "universe": _digest_of(symbols),
        "universe_sorted": _digest_of(sorted(symbols)),
        "seed": seed_text(rng),
        "settings": {
            **fingerprint(settings),
            "exploration": settings.exploration,
            "random_share": settings.random_share,
        },
        "digest": digest(symbols, facts.names, facts.values, facts.loading_names, facts.loadings),
        **kept.header(),
    }


def disagreement(opened: Mapping[str, Any], mine: Mapping[str, Any]) -> str | None:
    """Return a difference that keeps a worker from joining a scan; None if there is none.

    Parameters
    ----------
    opened, mine : mapping
        Header of the scan's open entry, and the header that this worker would have written.

    Notes
    -----
    Rule, settings, learning version, symbols with their order, and the names of the sub-scores
    must be the same, or the results would not be comparable. Exploration and the random share may
    differ, because each propensity is logged with its choice. So may facts, the release of
    scanrank and the mode; see `SymbolRanker.start_scan`.
    """
    theirs, ours = opened["settings"], mine["settings"]
    names = [name for name in ours if name not in ("exploration", "random_share", "expected_share")]
    for name in sorted(names, key=lambda name: (name != "rule", name != "learning_version")):
        if theirs.get(name) != ours[name]:
            return f"{name} = {theirs.get(name)} there and {ours[name]} here"
    if opened["universe"] != mine["universe"]:
        if opened["n_symbols"] != mine["n_symbols"]:
            return f"{opened['n_symbols']} symbols there and {mine['n_symbols']} here"
        if opened["universe_sorted"] == mine["universe_sorted"]:
            return "the same symbols in a different order"
        return f"different symbols, {mine['n_symbols']} in both"
    there, here = set(market_names(opened["columns"])), set(market_names(mine["columns"]))
    if lost := sorted(there - here):
        return f"the sub-score {lost[0]} there but not here"
    if more := sorted(here - there):
        return f"the sub-score {more[0]} here but not there"
    return None


def market_names(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns computed from market facts; the others come from the ranker itself."""
    return tuple(
        name
        for name in columns
        if not name.startswith(("factor.", "row.")) and name not in HISTORICAL
    )


def _digest_of(symbols: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps(list(symbols)).encode(), digest_size=12).hexdigest()


def digest(
    symbols: Sequence[str],
    names: Sequence[str],
    values: NDArray[np.float32],
    loading_names: Sequence[str],
    loadings: NDArray[np.float32],
) -> str:
    """Return a digest of all market facts of a scan's symbols, in their order.

    A stopped scan has no context of symbols it did not reach. If it is computed again from bars,
    an equal digest shows that it is the same.
    """
    words = json.dumps([list(symbols), list(names), list(loading_names)]).encode()
    mark = hashlib.blake2b(words, digest_size=12)
    for array in (values, loadings):
        mark.update(np.ascontiguousarray(array, np.float32).data)
    return mark.hexdigest()
