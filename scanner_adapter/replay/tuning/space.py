"""What `tune` may change, how far, and the way from its parameters to settings and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from features.factors import FACTORS
from scanner_adapter.settings import Settings

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

# Ranges, each searched on the scale of its logarithm. The defaults lie inside. Below, a learner
# forgets within a week; above, within the length of any log that people have.
_DAYS = {"half_life_days": (15.0, 1000.0), "fast_days": (1.0, 15.0), "slow_days": (20.0, 250.0)}
_EXPLORATION = (0.0, 1.0)
# Without random symbols nobody would notice what the ranker misses, and no recall estimate could be
# checked. Recall itself cannot see what they are good for, so the search may not save them.
_RANDOM_SHARE = (0.01, 0.05)
_BATCH_SIZES = (25, 50, 100)
# A factor of weight w has a share u = exp(-w), so that equal shares of u give every point of the
# simplex the same chance (a flat Dirichlet law).
_LEAST_SHARE = 1e-6
_DIGITS = 3


def suggest(trial: BaseTrial, batch_size: int | None = None) -> Settings:
    """Return the settings of a trial.

    Parameters
    ----------
    trial : optuna.trial.BaseTrial
    batch_size : int, optional
        The only batch size to try.

    References
    ----------
    L. Devroye (1986). Non-uniform random variate generation, XI.4: a flat Dirichlet law from
    exponential variates.
    """
    shares = {name: trial.suggest_float(f"weight.{name}", _LEAST_SHARE, 1.0) for name in FACTORS}
    days = {name: trial.suggest_float(name, *ends, log=True) for name, ends in _DAYS.items()}
    return Settings(
        weights=_on_the_simplex(shares),
        half_life_days=_rounded(days["half_life_days"]),
        fast_days=_rounded(days["fast_days"]),
        slow_days=_rounded(days["slow_days"]),
        exploration=round(trial.suggest_float("exploration", *_EXPLORATION), _DIGITS),
        random_share=round(trial.suggest_float("random_share", *_RANDOM_SHARE), _DIGITS),
        batch_size=batch_size or int(trial.suggest_categorical("batch_size", _BATCH_SIZES)),
        products=bool(trial.suggest_categorical("products", (True, False))),
        similarity=bool(trial.suggest_categorical("similarity", (True, False))),
    )


def parameters_of(settings: Settings, batch_size: int | None = None) -> dict[str, float | bool]:
    """Return the parameters for which `suggest` gives these settings."""
    total = sum(settings.weights.values())
    parameters: dict[str, float | bool] = {
        f"weight.{name}": math.exp(-settings.weights.get(name, 0.0) / total) for name in FACTORS
    }
    for name in (*_DAYS, "exploration", "random_share", "batch_size", "products", "similarity"):
        parameters[name] = getattr(settings, name)
    if batch_size is not None:
        del parameters["batch_size"]
    return parameters


def _on_the_simplex(shares: dict[str, float]) -> dict[str, float]:
    weights = {name: -math.log(share) for name, share in shares.items()}
    total = sum(weights.values())
    if total == 0.0:  # every share 1: no factor stands out
        return dict.fromkeys(weights, 1.0 / len(weights))
    # Of three digits, because people read and change the file; replayed as written.
    return {name: round(weight / total, _DIGITS) for name, weight in weights.items()}


def _rounded(days: float) -> float:
    return float(f"{days:.{_DIGITS}g}")
