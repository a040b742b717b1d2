"""Belief about one ruleset's scanner, and scans opened on it. Read this first.

    belief   a Gaussian over shared weights (`weights`), a track record per arm (`track_record`),
             steps that the weights cannot follow (`cells`), and a handful of learned strengths
             (`pattern`, `recall`, `coverage`); together they are the *state*
    fold     the state is a deterministic fold over the journal: `fold(entry)` is the only way to
             change it, live and in replay alike. Reports are kept (`pending`) until their scan is
             over; then the whole of it is learned from once, with final labels
    choice   `bandit.choice.open_scan` draws from the belief and hands out batches; nothing here
             depends on it

Arms are opaque strings and contexts are arrays of sub-scores; their meaning is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit as to_logit

from bandit.belief import pending as pending_scans
from bandit.belief.cells import CellLayout, CellWeights, level_of, sums
from bandit.belief.expansion import Expansion, Kind
from bandit.belief.pattern import learned_variances
from bandit.belief.pending import MOST_ARMS, MOST_SCANS, PendingScan, Report
from bandit.belief.recall import Coverage, RecallModel
from bandit.belief.standing import Judged, Standing
from bandit.belief.track_record import TrackRecord
from bandit.belief.weights import WeightPosterior, laplace_update, learn_prior_precision
from bandit.checks import as_kind, as_number, as_texts
from bandit.errors import IncompatibleStateError, InvalidInputError
from bandit.rewards import RewardRule, TopShare, as_rule, final_rewards

Array = NDArray[np.float64]

STATE_FORMAT = 1
# Grows when the same journal is folded into another belief than before.
LEARNING_VERSION = 1

# Prior of the logit: this many logits between a composite of 50 and one of 100. A composite's
# spread over a universe is about 8 points, so one spread is worth about a factor of 2 in odds.
_PRIOR_SLOPE = 4.0
# Prior standard deviations in logits, before empirical Bayes has seen anything.
_PRIOR_SD = {
    Kind.CONSTANT: 3.0,
    Kind.PLAIN: 1.0,
    Kind.LINE: 0.7,
    Kind.HINGE: 0.7,
    Kind.PRODUCT: 0.4,
}
_PRECISION_BOUNDS = (0.1, 1e4)
# What a snapshot keeps of the shared weights; the prior's mean follows the settings.
_POSTERIOR = ("prior_precision", "data_precision", "data_shift")
# Prior precisions are learned anew before each of the first scans, and later before some: one scan
# of hundreds hardly moves them.
_EARLY_SCANS, _PRIOR_EVERY = 20, 4

# While the belief rests on fewer reports than this (ten scans of 1,500 symbols), the shared weights
# learn within a scan too; later that brings nothing.
_YOUNG_BELOW = 15_000


@dataclass(frozen=True, slots=True)
class BeliefSettings:
    """What a user may set; everything else is learned.

    Parameters
    ----------
    seed_weights : mapping of column name to weight
        Prior weights of these context columns (the factor scores). At a cold start without
        exploration, arms are ordered exactly by the weighted sum of these columns.
    rule : RewardRule
        What an outcome is worth.
    crossed : tuple of str
        Columns whose products are features too.
    half_life_days : float
        Time after which the data behind the shared weights count half.
    fast_days, slow_days : float
        Half-lives of the track record's two means.
    exploration : float
        Scale of the posterior draws (Chapelle and Li's posterior reshaping): 1 = the posterior
        itself, 0 = greedy. Over batches of 50 the whole posterior costs 1.5 points of recall on
        real scans and 0.3 costs 0.1: each batch already explores fifty symbols. Draws are
        narrower where scans run to their end, see `bandit.belief.recall.Coverage`.
    random_share : float
        Share of each batch that is drawn uniformly from what remains; a quarter of it where scans
        run to their end, see `bandit.belief.recall.Coverage`.
    """

    seed_weights: Mapping[str, float] = field(default_factory=dict)
    rule: RewardRule = field(default_factory=TopShare)
    crossed: tuple[str, ...] = ()
    half_life_days: float = 120.0
    fast_days: float = 4.0
    slow_days: float = 60.0
    exploration: float = 0.3
    random_share: float = 0.02

    def __post_init__(self) -> None:
        for name in ("half_life_days", "fast_days", "slow_days"):
            as_number(getattr(self, name), name, "a positive number of days", above=0.0)
        as_number(self.exploration, "exploration", "0 to 10", least=0.0, most=10.0)
        as_number(self.random_share, "random_share", "0 to 1", least=0.0, most=1.0)
        as_kind(self.seed_weights, "seed_weights", Mapping, "a mapping of column to weight")
        as_texts(tuple(self.seed_weights), "seed_weights", "factor.market")
        for name, weight in self.seed_weights.items():
            as_number(weight, f"the weight of {name}")
        as_texts(self.crossed, "crossed", "market.high_20")
        as_rule(self.rule)


class Belief:
    """Belief about which arms pay, learned from reports.

    Notes
    -----
    Not thread safe. `fold` either applies a whole entry or raises and changes nothing.
    """

    # Replaced by the ablation study, which leaves the hinges out.
    _expansion_of: Callable[..., Expansion] = Expansion

    def __init__(self, settings: BeliefSettings | None = None) -> None:
        self.settings = settings or BeliefSettings()
        self.track = TrackRecord(
            fast_days=self.settings.fast_days, slow_days=self.settings.slow_days
        )
        self.pattern_variances: Mapping[str, float] = {}
        self.recall = RecallModel()
        self.coverage = Coverage()
        self.standing = Standing()
        self.limit = float("nan")
        self.time = -np.inf
        self.n_scans = 0
        self.n_reports = 0
        self.pending: Mapping[str, PendingScan] = {}
        self._set_columns(tuple(self.settings.seed_weights))
        self.cells = CellWeights.empty(self.layout.n_cells)
        self.posterior = WeightPosterior.from_prior(*self._prior())

    # -- fold --------------------------------------------------------------------------------

    def fold(
        self,
        kind: str,
        header: Mapping[str, Any],
        arms: Sequence[str],
        arrays: Mapping[str, Any],
        *,
        scan_id: str = "",
    ) -> None:
        """Apply one journal entry: an opened scan, a report, or a finished scan.

        Parameters
        ----------
        scan_id : str
            Scan that the entry belongs to. Each scan is learned from as a whole, apart from others
            in progress.

        Raises
        ------
        InvalidInputError
            For an entry that cannot be read; the belief is unchanged.
        """
        # The new belief is built beside the old one, so that an error leaves the old one as it
        # was. They share the track record only, which changes last, when nothing can fail.
        beside = type(self).__new__(type(self))  # `copy` takes three times as long
        vars(beside).update(vars(self))
        if kind == "open":
            beside._fold_open(scan_id, header)
        elif kind == "report":
            beside._fold_report(scan_id, header, arms, arrays)
        elif kind == "close":
            beside._fold_close(scan_id, header)
        else:
            raise InvalidInputError(f"journal entry kind {kind!r}; expected open, report or close")
        vars(self).update(vars(beside))

    def _fold_open(self, scan_id: str, header: Mapping[str, Any]) -> None:
        time = float(header["scan_time"])
        self._advance(time)
        self._add_columns(header["columns"])
        # Scans that were never closed are learned from after a day, or earlier to make room.
        others = {key: scan for key, scan in self.pending.items() if key != scan_id}
        for i, (key, scan) in enumerate(others.items()):
            if len(others) - i >= MOST_SCANS or time - scan.time >= 1.0:
                self._settle(key)
        self.pending = {**self.pending, scan_id: self.pending.get(scan_id) or PendingScan(time)}
        is_due = self.n_scans < _EARLY_SCANS or self.n_scans % _PRIOR_EVERY == 0
        if is_due and self.posterior.n_observed > 0:
            self.posterior = replace(
                self.posterior, prior_precision=self._learned_prior_precision()
            )

    def _fold_report(
        self,
        scan_id: str,
        header: Mapping[str, Any],
        arms: Sequence[str],
        arrays: Mapping[str, Any],
    ) -> None:
        scan_time = float(header["scan_time"])
        self._advance(scan_time)
        columns, row_columns = header["columns"], tuple(header.get("row_columns", ()))
        self._add_columns(columns)
        context = self.align(np.asarray(arrays["context"]), columns, len(arms))
        report = Report.of(arms, context, arrays, row_columns)
        if report is None:
            return
        scan = self.pending.get(scan_id) or PendingScan(scan_time)
        scan = scan.add(report, _known(header.get("hit_limit")))
        self.pending = {**self.pending, scan_id: scan}
        self.n_reports += len(report.arms)
        if header.get("is_late"):  # the scan was closed, then resumed: no other close will follow
            self._settle(scan_id)
        elif scan.n_arms >= MOST_ARMS:
            self._settle(scan_id)
            self.pending = {**self.pending, scan_id: PendingScan(scan_time)}

    def _fold_close(self, scan_id: str, header: Mapping[str, Any]) -> None:
        if header.get("is_judged") is False:  # every evaluation failed: nothing to learn
            self.pending = {key: scan for key, scan in self.pending.items() if key != scan_id}
            return
        if header.get("limit") is not None:
            self.limit = float(header["limit"])
        self.pattern_variances = learned_variances(
            self.pattern_variances, header.get("pattern", {})
        )
        self.recall = self.recall.learn(header.get("recall", ()))
        if header.get("n_total"):
            self.coverage = self.coverage.learn(header["n_scanned"], header["n_total"])
        if header.get("judged"):
            self.standing = self.standing.learn(Judged.from_json(header["judged"]))
        self.n_scans += 1
        self._settle(scan_id, _known(header.get("hit_limit")))

    def _settle(self, scan_id: str, hit_limit: float | None = None) -> None:
        """Learn from a whole scan, judged by the limit that it ended with.

        Nothing is refused here: reports were checked when they arrived.
        """
        scan = self.pending.get(scan_id)
        self.pending = {key: value for key, value in self.pending.items() if key != scan_id}
        if scan is None or not scan.reports:
            return
        context, X, reward = self._lesson(scan, hit_limit)
        places, predicted = self.layout.cells_of(context), X @ self.posterior.mean
        level = level_of(predicted + sums(self.cells.worth, places), reward)
        self.cells = self.cells.learn(places, reward, predicted + level)
        # What was learned before predicts a scan well: the step by less than a logit is the last.
        self.posterior = laplace_update(self.posterior, X, reward, most_moved=1.0)
        for arms, columns, rows, at in scan.tables():
            self.track.update(arms, now=scan.time, rewards=reward[at], columns=columns, rows=rows)

    def _lesson(self, scan: PendingScan, hit_limit: float | None) -> tuple[Any, Array, Array]:
        """Return context, features and rewards of everything that a scan reported."""
        limit = scan.hit_limit if hit_limit is None else hit_limit
        reward = final_rewards(
            self.settings.rule, scan.all_of("rating"), scan.all_of("reward"), limit
        )
        context = scan.contexts(len(self.columns))
        return context, np.asarray(self.expansion.transform(context, np.float64)), reward

    @property
    def is_young(self) -> bool:
        """Whether so little is known that open scans update the shared weights provisionally."""
        return self.posterior.n_observed < _YOUNG_BELOW

    def with_provisional(self, scan_id: str) -> Belief:
        """Return the belief that an open scan uses, which has learned from its reports so far.

        It is for reading only: do not fold entries into it.
        """
        scan = self.pending.get(scan_id)
        if scan is None or not scan.reports or not self.is_young:
            return self
        _, X, reward = self._lesson(scan, None)
        serving = copy(self)
        serving.posterior = laplace_update(self.posterior, X, reward)
        return serving

    def _advance(self, time: float) -> None:
        if not np.isfinite(time):
            raise InvalidInputError(f"scan time {time}; expected days since the epoch")
        elapsed = time - self.time
        if elapsed <= 0:
            return
        if np.isfinite(elapsed):
            factor = 0.5 ** (elapsed / self.settings.half_life_days)
            self.posterior = self.posterior.decay(factor)
            self.cells = self.cells.decay(factor)
        self.time = time

    def _learned_prior_precision(self) -> Array:
        kind, column_of = self.expansion.kind, self.expansion.column_of
        is_row = np.array([name.startswith("row.") for name in self.columns] + [False])
        return learn_prior_precision(
            self.posterior,
            kind + len(Kind) * is_row[column_of],
            bounds=_PRECISION_BOUNDS,
            fixed=kind <= Kind.PLAIN,
        )

    # -- columns -----------------------------------------------------------------------------

    def _set_columns(self, columns: Sequence[str]) -> None:
        settings = self.settings
        n_plain = len(settings.seed_weights)
        self.columns = tuple(columns)
        self.expansion = self._expansion_of(columns, n_plain=n_plain, crossed=settings.crossed)
        self.layout = CellLayout(columns, n_plain=n_plain, crossed=settings.crossed)

    def _prior(self) -> tuple[Array, Array]:
        """Return prior mean and variance of the shared weights, each of shape (d,)."""
        kind = self.expansion.kind
        mean = np.zeros(kind.size)
        mean[0] = to_logit(self.settings.rule.expected_share or 0.05)
        seed = np.array(list(self.settings.seed_weights.values()), np.float64)
        mean[1 : 1 + seed.size] = _PRIOR_SLOPE * seed
        sd = np.array([_PRIOR_SD[Kind(int(each))] for each in kind])
        return mean, sd**2

    def _add_columns(self, columns: Sequence[str]) -> None:
        added = [name for name in columns if name not in self.columns]
        if not added:
            return
        self._set_columns((*self.columns, *added))
        self.cells = self.cells.grow(self.layout.n_cells)
        mean, variance = self._prior()
        old = self.posterior
        d = old.prior_mean.size
        extra = mean.size - d
        self.posterior = replace(
            old,
            prior_mean=np.concatenate([old.prior_mean, mean[d:]]),
            prior_precision=np.concatenate([old.prior_precision, 1.0 / variance[d:]]),
            data_precision=np.pad(old.data_precision, ((0, extra), (0, extra))),
            data_shift=np.pad(old.data_shift, (0, extra)),
        )

    def align(
        self, context: NDArray[np.floating], columns: Sequence[str], n_arms: int
    ) -> NDArray[np.floating]:
        """Return `context` in the order of this ranker's columns; absent ones are unknown.

        A column that no open entry has announced carries no weight yet and is left out.
        """
        if context.shape != (n_arms, len(columns)):
            raise InvalidInputError(
                f"context has shape {context.shape}, expected ({n_arms}, {len(columns)}): one row "
                "per symbol and one column per name"
            )
        if np.isinf(context).any():
            row, column = np.argwhere(np.isinf(context))[0]
            raise InvalidInputError(
                f"{columns[column]} in row {row} of the context is {context[row, column]}; "
                "sub-scores run from 0 to 100, NaN = unknown"
            )
        if tuple(columns) == self.columns:
            return context
        place = {name: i for i, name in enumerate(self.columns)}
        known = [i for i, name in enumerate(columns) if name in place]
        aligned = np.full((n_arms, len(self.columns)), np.nan, context.dtype)
        aligned[:, [place[columns[i]] for i in known]] = context[:, known]
        return aligned

    # -- state -------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the whole belief as a JSON header and plain arrays; both are copies."""
        trust = self.cells.trust
        listed, pending = pending_scans.state(self.pending)
        header = {
            "format": STATE_FORMAT,
            "columns": list(self.columns),
            "seed_weights": dict(self.settings.seed_weights),
            "arms": list(self.track.arms),
            "row_columns": list(self.track.columns),
            "pattern": dict(self.pattern_variances),
            "recall": self.recall.state(),
            "coverage": list(astuple(self.coverage)),
            "standing": self.standing.to_json(),
            "trust": [float(trust.data_precision[0, 0]), float(trust.data_shift[0])],
            "pending": listed,
            "limit": None if np.isnan(self.limit) else self.limit,
            "time": None if np.isinf(self.time) else self.time,
            "n_scans": self.n_scans,
            "n_reports": self.n_reports,
            "n_observed": self.posterior.n_observed,
        }
        arrays = {name: getattr(self.posterior, name).copy() for name in _POSTERIOR}
        cells = {"cell_precision": self.cells.precision, "cell_shift": self.cells.shift}
        arrays |= {name: array.copy() for name, array in cells.items()}
        return header, {**arrays, **pending, **self.track.state()}

    @classmethod
    def from_state(
        cls,
        settings: BeliefSettings,
        header: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
    ) -> Belief:
        """Rebuild a belief from what `state` returned.

        Raises
        ------
        IncompatibleStateError
            When the state was made by a newer format or with other seed columns.
        """
        if header.get("format") != STATE_FORMAT:
            raise IncompatibleStateError(
                f"the stored state has format {header.get('format')}, this version reads "
                f"{STATE_FORMAT}; upgrade scanrank, or use another ruleset name"
            )
        if list(header["seed_weights"]) != list(settings.seed_weights):
            raise IncompatibleStateError(
                f"the stored state was seeded with {list(header['seed_weights'])}, the settings "
                f"say {list(settings.seed_weights)}; use another ruleset name"
            )
        belief = cls(settings)
        belief._set_columns(header["columns"])
        # The prior mean follows the settings, so that changed seed weights take effect.
        mean, _ = belief._prior()
        if mean.size != len(arrays["data_shift"]):
            raise IncompatibleStateError(
                f"the stored state has {len(arrays['data_shift'])} weights, the settings need "
                f"{mean.size}: they cross other columns; use the former setting, or another "
                "ruleset name"
            )
        p0, data, shift = (np.array(arrays[name], np.float64) for name in _POSTERIOR)
        belief.posterior = WeightPosterior(mean, p0, data, shift, float(header["n_observed"]))
        _ = belief.posterior.cholesky  # raises where the stored precision has none
        belief.cells = CellWeights.empty(belief.layout.n_cells).restored(
            arrays["cell_precision"], arrays["cell_shift"], header["trust"]
        )
        belief.pending = pending_scans.restored(header["pending"], arrays)
        belief.track.restore(header["arms"], header["row_columns"], arrays)
        belief.pattern_variances = dict(header["pattern"])
        belief.recall = RecallModel.restored(header["recall"])
        belief.coverage = Coverage(*header["coverage"])
        belief.standing = Standing.from_json(header["standing"])
        if header["limit"] is not None:
            belief.limit = float(header["limit"])
        if header["time"] is not None:
            belief.time = float(header["time"])
        belief.n_scans = int(header["n_scans"])
        belief.n_reports = int(header["n_reports"])
        return belief


def _known(value: Any) -> float | None:
    return None if value is None else float(value)
