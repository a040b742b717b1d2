"""From sub-scores to four factor scores, a composite and tiers; what the user looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_array, as_kind, as_number, as_texts, refusal
from features.errors import FeatureError

FACTORS = ("historical", "market", "fundamental", "technical")
DEFAULT_WEIGHTS: dict[str, float] = {
    "historical": 0.40,
    "market": 0.30,
    "fundamental": 0.20,
    "technical": 0.10,
}
NEUTRAL = 50.0
# What says how far other columns go, the same for every symbol: no part of any factor.
CONDITIONS = ("market.session_done",)
# Tiers by the percentile of the composite within the universe.
_HIGH, _LOW = 70.0, 40.0


def combine(
    sub_scores: NDArray[np.floating[Any]],
    names: Sequence[str],
    weights: Mapping[str, float] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return factor scores and composite of each symbol.

    A factor score is the mean of its known sub-scores; a factor of which nothing is known is
    50, neutral. The composite is their weighted sum.

    Parameters
    ----------
    sub_scores : ndarray, shape (n_symbols, n_sub)
        0 to 100, NaN = unknown.
    names : sequence of str, length n_sub
        Each `factor.measurement`.
    weights : mapping of factor to weight, optional
        Not negative; scaled to sum to one. `DEFAULT_WEIGHTS` by default.

    Returns
    -------
    scores : ndarray of float64, shape (n_symbols, 4)
        In the order of `FACTORS`, 0 to 100.
    composite : ndarray of float64, shape (n_symbols,)
        0 to 100.

    Raises
    ------
    FeatureError
        For a weight of an unknown factor, negative weights, or weights that are all zero.

    Examples
    --------
    >>> import numpy as np
    >>> scores, composite = combine(
    ...     np.array([[80.0, 60.0, np.nan]]), ["market.a", "market.b", "technical.c"])
    >>> scores.tolist(), round(float(composite[0]), 9)
    ([[50.0, 70.0, 50.0, 50.0]], 56.0)
    """
    share = _weights(weights)
    names = as_texts(names, "names")
    sub_scores = as_array(sub_scores, "sub_scores", "an array of numbers")
    if sub_scores.ndim != 2 or sub_scores.shape[1] != len(names):
        raise FeatureError(
            f"sub-scores have shape {sub_scores.shape}; expected (n, {len(names)}): one row per "
            "symbol and one column per name"
        )
    scores = np.full((len(sub_scores), len(FACTORS)), NEUTRAL)
    factor = np.array([name.split(".", 1)[0] for name in names], np.str_)
    unknown = sorted(set(factor.tolist()) - set(FACTORS))
    if unknown:
        raise FeatureError(f"sub-scores of {unknown[0]!r}; expected factors {', '.join(FACTORS)}")
    factor[[name in CONDITIONS for name in names]] = ""
    for k, name in enumerate(FACTORS):
        part = sub_scores[:, factor == name].astype(np.float64)
        known = ~np.isnan(part)
        count = known.sum(axis=1)
        summed = np.where(known, part, 0.0).sum(axis=1)
        scores[:, k] = np.where(count > 0, summed / np.maximum(count, 1), NEUTRAL)
    # Added up by hand: a matrix product may round rows differently, and ties would be lost.
    composite = np.zeros(len(scores))
    for k in range(len(FACTORS)):
        composite += share[k] * scores[:, k]
    return scores, composite


def _weights(weights: Mapping[str, float] | None) -> NDArray[np.float64]:
    chosen = DEFAULT_WEIGHTS
    if weights is not None:
        chosen = dict(as_kind(weights, "weights", Mapping, "a mapping of factor to weight"))
    unknown = [factor for factor in chosen if factor not in FACTORS]
    if unknown:
        raise FeatureError(f"weight of {unknown[0]!r}; expected {', '.join(FACTORS)}")
    share: NDArray[np.float64] = np.array(
        [
            as_number(
                chosen.get(name, 0.0), f"the weight of {name}", "a number, 0 or more", least=0
            )
            for name in FACTORS
        ]
    )
    if share.sum() <= 0:
        raise FeatureError(f"weights {share.tolist()}; expected one above 0")
    total = float(share.sum())
    share /= total
    return share


@dataclass(frozen=True, repr=False)
class FactorScores:
    """Factor scores of a universe on one day; prints as a table, draws itself in a notebook.

    Parameters
    ----------
    symbols : tuple of str, length n_symbols
    names : tuple of str, length n_sub
        Sub-scores, historical ones first.
    values : ndarray of float32, shape (n_symbols, n_sub)
        0 to 100, NaN = unknown.
    factor_values : ndarray of float64, shape (n_symbols, 4)
    composite_values : ndarray of float64, shape (n_symbols,)
    date : datetime64[D]
        The trading day whose evening the scores describe.
    """

    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    factor_values: NDArray[np.float64]
    composite_values: NDArray[np.float64]
    date: np.datetime64

    @property
    def sub_scores(self) -> pd.DataFrame:
        """Sub-scores by symbol, shape (n_symbols, n_sub)."""
        return pd.DataFrame(self.values, index=self._index, columns=list(self.names))

    @property
    def scores(self) -> pd.DataFrame:
        """The four factor scores by symbol, shape (n_symbols, 4)."""
        return pd.DataFrame(self.factor_values, index=self._index, columns=list(FACTORS))

    @property
    def composite(self) -> pd.Series:
        """Weighted sum of the factor scores by symbol, 0 to 100."""
        return pd.Series(self.composite_values, index=self._index, name="composite")

    @property
    def tiers(self) -> pd.Series:
        """Tier by the percentile of the composite: high > 70, medium 40 to 70, low < 40."""
        percentile = 100.0 * self.composite.rank(pct=True, method="average").to_numpy()
        tier = np.select([percentile > _HIGH, percentile >= _LOW], ["high", "medium"], "low")
        return pd.Series(tier, index=self._index, name="tier")

    @property
    def table(self) -> pd.DataFrame:
        """Factor scores, composite and tier, best composite first."""
        table = self.scores.assign(composite=self.composite, tier=self.tiers)
        return table.sort_values("composite", ascending=False, kind="stable")

    def explain(self, symbol: str) -> pd.DataFrame:
        """Return every sub-score of one symbol with its place in the universe.

        Returns
        -------
        DataFrame
            Index: sub-score. Columns: factor, score (0 to 100, NaN = unknown), percentile
            (within the known values of the universe).

        Raises
        ------
        FeatureError
            If the symbol is not in the universe.
        """
        if not isinstance(symbol, str) or symbol not in self.symbols:
            raise refusal(symbol, "symbol", f"one of {len(self.symbols)} symbols with scores")
        row = self.symbols.index(symbol)
        own = self.values[row]
        known = (~np.isnan(self.values)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            below = (self.values < own).sum(axis=0) + 0.5 * (self.values == own).sum(axis=0)
            percentile = np.where(np.isnan(own), np.nan, 100.0 * below / np.maximum(known, 1))
        return pd.DataFrame(
            {
                "factor": [name.split(".", 1)[0] for name in self.names],
                "score": own.astype(np.float64),
                "percentile": percentile,
            },
            index=pd.Index(self.names, name="sub_score"),
        )

    def __repr__(self) -> str:
        head = self.table.head(10).to_string(float_format=lambda value: f"{value:.1f}")
        return f"FactorScores({len(self.symbols)} symbols, {self.date})\n{head}"

    def _repr_html_(self) -> str:
        shown = self.table.head(20)
        known = 100.0 * float((~np.isnan(self.values)).mean())
        note = (
            f"<p>{len(self.symbols)} symbols on {self.date}; the best {len(shown)} by composite; "
            f"{known:.0f}% of the sub-scores known.</p>"
        )
        return note + shown.to_html(float_format=lambda value: f"{value:.1f}")

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.symbols, name="symbol")
