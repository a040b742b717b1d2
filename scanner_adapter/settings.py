"""Settings of a ranker as a small TOML file that people can read, change and keep in git.

`scanrank tune` writes it; `SymbolRanker.open(settings=PATH)`, `scanrank scan --settings` and
`scanrank replay --settings` read it. What the file does not name keeps its default; what it names
wrongly is refused, because a misspelt setting that is silently ignored looks like a tuned one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bandit.belief.belief import BeliefSettings
from bandit.checks import as_count, as_flag, as_path
from bandit.errors import InvalidInputError
from bandit.rewards import RewardRule
from features.factors import DEFAULT_WEIGHTS, FACTORS
from scanner_adapter.inputs.context import CROSSED, seed_weights
from scanner_adapter.jsonio import read_toml

FORMAT = 1

_DEFAULT = BeliefSettings()

# What the file says of each setting, next to it.
_MEANING = {
    "half_life_days": "days after which what was learned counts half",
    "fast_days": "half-life of the fast mean of a symbol's results, days",
    "slow_days": "half-life of the slow mean, days",
    "exploration": "width of the posterior draws: 0 = none, 1 = the whole posterior",
    "random_share": "share of each batch that is drawn at random",
    "batch_size": "symbols per batch, unless the scanner's loop sets it",
    "products": "whether products of some sub-scores are features too",
    "similarity": "whether a scan learns which sectors and similar symbols have hits",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a ranker that can be tuned.

    Attributes
    ----------
    weights : mapping of factor to weight
        Where learning starts; scaled to sum to one.
    half_life_days, fast_days, slow_days, exploration, random_share : float
        See `bandit.belief.belief.BeliefSettings`.
    batch_size : int
        Symbols per batch where the caller does not say.
    products : bool
        Whether products of the columns in `inputs.context.CROSSED` are features too.
    similarity : bool
        Whether a scan learns over sectors and components of returns as well.

    Raises
    ------
    InvalidInputError, InvalidContextError
        For a value outside its range.

    Examples
    --------
    >>> Settings(half_life_days=60.0).half_life_days
    60.0
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    half_life_days: float = _DEFAULT.half_life_days
    fast_days: float = _DEFAULT.fast_days
    slow_days: float = _DEFAULT.slow_days
    exploration: float = _DEFAULT.exploration
    random_share: float = _DEFAULT.random_share
    batch_size: int = 50
    products: bool = True
    similarity: bool = True

    def __post_init__(self) -> None:
        as_count(self.batch_size, "batch_size")
        as_flag(self.products, "products")
        as_flag(self.similarity, "similarity")
        self.ranker_settings()

    def ranker_settings(self, rule: RewardRule | None = None) -> BeliefSettings:
        """Return the settings of the belief, with the reward rule `rule`."""
        return BeliefSettings(
            seed_weights=seed_weights(self.weights),
            rule=_DEFAULT.rule if rule is None else rule,
            crossed=CROSSED if self.products else (),
            half_life_days=self.half_life_days,
            fast_days=self.fast_days,
            slow_days=self.slow_days,
            exploration=self.exploration,
            random_share=self.random_share,
        )

    def arguments(self) -> dict[str, Any]:
        """Return them as keyword arguments of `SymbolRanker.open`."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def read(cls, path: str | Path) -> Settings:
        """Read a settings file.

        Raises
        ------
        InvalidInputError
            When there is no such file, it is no TOML, its format is another one, or it names a
            setting that is unknown, of a wrong kind or out of its range.
        """
        path = as_path(path, "settings")
        try:
            table = read_toml(path)
        except FileNotFoundError as err:
            raise InvalidInputError(
                f"no settings file {path}; `scanrank tune --out {path}` writes one"
            ) from err
        try:
            return cls(**_known(table))
        except ValueError as err:
            raise InvalidInputError(f"{path}: {err}") from err

    @classmethod
    def of(cls, given: Settings | str | Path | None) -> Settings:
        """Return settings as they are, from a file, or the defaults for None."""
        if given is None:
            return cls()
        return given if isinstance(given, Settings) else cls.read(given)

    def to_toml(self, remarks: Sequence[str] = ()) -> str:
        """Return the text of a settings file; `remarks` stand above as comments."""
        lines = [f"# {' '.join(remark.split())}" for remark in remarks]
        lines += ["", f"format = {FORMAT}", ""]
        for name, meaning in _MEANING.items():
            # bool and float are written by Python nearly as TOML wants them.
            lines.append(f"{f'{name} = {getattr(self, name)!r}'.lower():<28}# {meaning}")
        lines += ["", "# initial factor weights; scaled to sum to one", "[weights]"]
        lines += [f"{name} = {float(self.weights.get(name, 0.0))!r}" for name in FACTORS]
        return "\n".join(lines).lstrip("\n") + "\n"


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a file holds; `Settings` checks the value of each."""
    if table.get("format") != FORMAT:
        raise InvalidInputError(
            f"format is {table.get('format', 'missing')}; expected format = {FORMAT}, the one this "
            "version reads and writes"
        )
    given = {name: value for name, value in table.items() if name != "format"}
    known = [each.name for each in fields(Settings)]
    for name in given:
        if name not in known:
            raise InvalidInputError(
                f"{name!r} is not a setting; known settings: {', '.join(known)}"
            )
    weights = given.get("weights", DEFAULT_WEIGHTS)
    if not isinstance(weights, dict) or set(weights) != set(FACTORS):
        met = ", ".join(map(str, weights)) if isinstance(weights, dict) else repr(weights)
        raise InvalidInputError(
            f"[weights] has {met or 'nothing'}; expected a weight for each of {', '.join(FACTORS)}"
        )
    return given
