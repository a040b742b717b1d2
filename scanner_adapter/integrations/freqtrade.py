"""An ordered pair list for freqtrade's RemotePairList, learning from its closed trades.

The bot reads a JSON document, ``{"pairs": [...], "refresh_period": seconds}``, from a file
(``"pairlist_url": "file:///..."``) or over HTTP. `PairOrder` writes it: every refresh is a scan
over the pairs, and the trades that close until the next one are its outcomes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Unpack

from bandit.checks import as_count, as_number, as_texts
from bandit.errors import StoreError
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.feed import ResultFeed
from scanner_adapter.inputs.context import ScanOptions
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.jsonio import write_whole
from scanner_adapter.symbol_ranker import SymbolRanker

log = logging.getLogger("scanrank")

_DAY_S = 86_400.0
# Trades that closed before the first refresh are learned in scans of their own, one for each of
# these ages (days): their age counts, and a history of any length costs a few scans.
_AGES = (1.0, 3.0, 10.0, 30.0, 90.0, 365.0)
# Under which name the store notes how far trades were taken.
_NOTE = "freqtrade-trades"
_IDENTITY = ("trade_id", "id", "close_timestamp", "close_date")


class _Trade(NamedTuple):
    closed_s: float
    pair: str
    profit: float


class PairOrder:
    """Keeps the order of a bot's pairs.

    Parameters
    ----------
    ranker : SymbolRanker
        Best opened with ``rewards=Threshold(0.0)``: a hit is a trade that closed with a profit. In
        mode shadow and off the given order stands, always.
    refresh_period_s : int
        Seconds until the bot asks again.
    max_age_days : float, optional
        Trades that closed longer ago do not count.

    Notes
    -----
    Thread-safe. A pair that was not traded between two refreshes has no outcome and teaches
    nothing: it is unknown, not bad. Several trades of a pair count as one outcome, their mean. A
    trade is taken once, also over a restart: the store notes up to which time trades were taken.
    Until something was learned, the given order stands.
    """

    def __init__(
        self,
        ranker: SymbolRanker,
        *,
        refresh_period_s: int = 1800,
        max_age_days: float | None = None,
    ) -> None:
        self._refresh_period_s = as_count(refresh_period_s, "refresh_period_s")
        self._max_age_s = float("inf")
        if max_age_days is not None:
            self._max_age_s = _DAY_S * as_number(max_age_days, "max_age_days", above=0.0)
        self._ranker = ranker
        self._feed = ResultFeed(ranker)
        self._lock = threading.Lock()
        self._pairs: tuple[str, ...] = ()
        self._given: tuple[str, ...] = ()
        self._waiting: list[_Trade] = []
        self._taken: set[tuple[object, float | None]] = set()  # (id, when it closed)
        # The same trades as they were given: most come again in every round, by the thousand.
        self._met: set[tuple[object, ...]] = set()
        self._until_s = self._taken_until()
        self._opened_s = float("inf")  # when the present round began

    @property
    def pairs(self) -> tuple[str, ...]:
        """The present order."""
        return self._pairs

    @property
    def taken_until(self) -> datetime | None:
        """Trades that closed until then were taken; None = none was."""
        return None if self._until_s <= 0.0 else datetime.fromtimestamp(self._until_s, UTC)

    def refresh(
        self, pairs: Sequence[str], *, pinned: Iterable[str] = (), **inputs: Unpack[ScanOptions]
    ) -> tuple[str, ...]:
        """Learn from the trades closed since the last refresh, and order `pairs` anew.

        Parameters
        ----------
        pairs : sequence of str
            Such as "ETH/USDT", in the bot's own order.
        pinned : iterable of str
            Pairs that stay in front, in the bot's order, such as those of open trades.
        **inputs
            `bars` and the like, as for `SymbolRanker.start_scan`.
        """
        with self._lock:
            self._report()
            self._given = as_texts(pairs, "pairs", "ETH/USDT")
            self._opened_s = datetime.now(UTC).timestamp()
            ordered = self._feed.order(self._given, **inputs) if self._given else ()
            self._pairs = self._shown(self._given, ordered, frozenset(pinned))
            return self._pairs

    def reordered(self, pairs: Sequence[str], *, pinned: Iterable[str] = ()) -> tuple[str, ...]:
        """Return `pairs` in the present order, those that are new to it behind."""
        with self._lock:
            return self._shown(tuple(pairs), self._pairs, frozenset(pinned))

    def closed(self, trades: Iterable[object]) -> int:
        """Take closed trades; return how many were new.

        Parameters
        ----------
        trades : iterable
            freqtrade's `Trade` objects, or mappings as its REST API gives them
            (``/api/v1/trades``): `pair`, `close_profit` (a ratio; `profit_ratio` is taken too),
            `trade_id` or `id`, and `close_timestamp` or `close_date`. Open ones are passed over,
            and so are those given before, by id and close time. Pairs that have left the list
            count too.

        Raises
        ------
        InvalidOutcomeError
            For a trade without these fields; nothing was taken.
        """
        now_s = datetime.now(UTC).timestamp()
        with self._lock:
            new: dict[tuple[object, float | None], _Trade] = {}
            met: list[tuple[object, ...]] = []
            for trade in trades:
                as_given = _as_given(trade)
                if as_given in self._met:
                    continue
                trade_id, closed_s = identity = _identity(trade)
                if trade_id is None or not self._is_taken(identity, now_s):
                    read = _read_trade(trade, trade_id, closed_s, now_s)
                    if read is None:
                        continue
                    new[identity] = read
                met.append(as_given)
            self._met.update(met)
            self._taken.update(new)
            self._waiting += new.values()
            return len(new)

    def document(self) -> dict[str, object]:
        """Return what RemotePairList expects."""
        return {"pairs": list(self._pairs), "refresh_period": self._refresh_period_s}

    def write(self, path: str | Path) -> None:
        """Write the document to a file; the bot sees the old one or the new one, never a part."""
        write_whole(Path(path), json.dumps(self.document()))

    @contextmanager
    def served(
        self, *, port: int = 0, host: str = "127.0.0.1", bearer_token: str | None = None
    ) -> Iterator[str]:
        """Serve the document over HTTP inside the block; gives its URL.

        Parameters
        ----------
        port : int
            0 = any free one.
        bearer_token : str, optional
            Asked of the bot (its setting of the same name).
        """
        order = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if bearer_token and self.headers.get("Authorization") != f"Bearer {bearer_token}":
                    self.send_error(401)
                    return
                body = json.dumps(order.document()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the bot asks every few minutes."""

        with ThreadingHTTPServer((host, port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"http://{host}:{server.server_address[1]}/pairs.json"
            finally:
                server.shutdown()
                thread.join()

    def close(self) -> None:
        """Learn from the trades closed since the last refresh and end its scan."""
        with self._lock:
            self._report()
            self._feed.close()

    # -- inside ------------------------------------------------------------------------------

    def _shown(
        self, given: tuple[str, ...], ordered: Sequence[str], pinned: frozenset[str]
    ) -> tuple[str, ...]:
        """Return the given pairs in an order, unless the given one is to stand."""
        front = [pair for pair in given if pair in pinned]
        if self._feed.mode == "on" and self._ranker.n_scans > 0:
            known = set(given)
            rest = [pair for pair in ordered if pair in known]
            given = (*rest, *(pair for pair in given if pair not in set(rest)))
        return tuple(dict.fromkeys((*front, *given)))

    def _is_taken(self, identity: tuple[object, float | None], now_s: float) -> bool:
        closed_s = identity[1]
        if identity in self._taken or closed_s is None:
            return identity in self._taken
        return closed_s <= self._until_s or now_s - closed_s > self._max_age_s

    def _report(self) -> None:
        """Learn from the trades that wait: those of this round in its scan, others in their own."""
        waiting, self._waiting = self._waiting, []
        in_round = set(self._given)
        present: list[_Trade] = []
        others: list[_Trade] = []
        for trade in waiting:
            is_present = trade.pair in in_round and trade.closed_s >= self._opened_s
            (present if is_present else others).append(trade)
        for pair, profit in _mean_profits(present).items():
            self._feed(pair, Outcome(rating=profit))
        self._feed.close()
        self._learn_others(others)
        if waiting:
            self._note_taken(max(trade.closed_s for trade in waiting))

    def _learn_others(self, trades: list[_Trade]) -> None:
        """Learn from trades of no round: from before the first one, or of pairs that have left."""
        now_s = datetime.now(UTC).timestamp()
        by_age: defaultdict[int, list[_Trade]] = defaultdict(list)
        for trade in trades:
            by_age[sum(now_s - trade.closed_s > _DAY_S * age for age in _AGES)].append(trade)
        for _, group in sorted(by_age.items(), reverse=True):  # the oldest first
            profits = _mean_profits(group)
            when = datetime.fromtimestamp(fmean(trade.closed_s for trade in group), UTC)
            with self._ranker.start_scan(tuple(profits), now=when) as scan:
                while batch := scan.next_batch():
                    scan.report({pair: profits[pair] for pair in batch})

    def _taken_until(self) -> float:
        """Up to which close time trades were taken, by the store's note or the last round."""
        store, ruleset = self._ranker.store, self._ranker.ruleset
        with contextlib.suppress(StoreError):
            noted = store.get_control(ruleset, _NOTE).get("taken_until")
            if isinstance(noted, int | float):
                return float(noted)
        # Notes are kept for a month; the belief knows the time of its last scan for ever.
        last = self._ranker.learned.belief.time
        return last * _DAY_S if self._ranker.n_scans > 0 else 0.0

    def _note_taken(self, until_s: float) -> None:
        self._until_s = max(self._until_s, until_s)
        self._taken = {(key, at) for key, at in self._taken if at is None}
        try:
            self._ranker.store.put_control(
                self._ranker.ruleset, _NOTE, {"taken_until": self._until_s}
            )
        except StoreError as error:
            log.warning("trades so far will be counted again after a restart: %s", error)


def _mean_profits(trades: Iterable[_Trade]) -> dict[str, float]:
    profits: defaultdict[str, list[float]] = defaultdict(list)
    for trade in trades:
        profits[trade.pair].append(trade.profit)
    return {pair: sum(each) / len(each) for pair, each in profits.items()}


def _as_given(trade: object) -> tuple[object, ...]:
    """Return the fields that make the identity of a trade, unread."""
    if isinstance(trade, Mapping):
        return tuple(map(trade.get, _IDENTITY))
    return tuple([getattr(trade, name, None) for name in _IDENTITY])


def _identity(trade: object) -> tuple[object, float | None]:
    """Return id and close time (seconds since 1970) of a trade; None = it has none."""
    trade_id = _field(trade, "trade_id", "id")
    stamp = _field(trade, "close_timestamp")  # milliseconds, in the REST API
    if isinstance(stamp, int | float):
        return trade_id, stamp / 1000.0
    date = _field(trade, "close_date")
    if isinstance(date, str):
        with contextlib.suppress(ValueError):
            date = datetime.fromisoformat(date)
    if isinstance(date, datetime):
        return trade_id, date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    return trade_id, None


def _read_trade(
    trade: object, trade_id: object, closed_s: float | None, now_s: float
) -> _Trade | None:
    """Return a closed trade, None of an open one."""
    if _field(trade, "is_open"):
        return None
    pair, profit = _field(trade, "pair"), _field(trade, "close_profit", "profit_ratio")
    if isinstance(pair, str) and trade_id is not None:
        with contextlib.suppress(TypeError, ValueError):
            at = now_s if closed_s is None else closed_s
            return _Trade(at, pair, float(profit))  # type: ignore[arg-type]
    raise InvalidOutcomeError(
        f"trade {trade!r} has pair {pair!r}, id {trade_id!r}, close_profit {profit!r}; expected a "
        "string, a value and a number"
    )


def _field(trade: object, *names: str) -> object:
    """Return the first field of these names that a trade has, else None."""
    read = trade.get if isinstance(trade, Mapping) else partial(getattr, trade)
    return next((value for name in names if (value := read(name, None)) is not None), None)
