"""An ordered pair list for freqtrade's RemotePairList, learning from its closed trades.

The bot reads a JSON document, ``{"pairs": [...], "refresh_period": seconds}``, from a file
(``"pairlist_url": "file:///..."``) or over HTTP. `PairOrder` writes it: every refresh is a scan
over the pairs, and the trades that close until the next one are its outcomes.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Unpack

from scanner_adapter.errors import InvalidContextError, InvalidOutcomeError
from scanner_adapter.feed import ResultFeed
from scanner_adapter.inputs.context import ScanOptions
from scanner_adapter.inputs.outcomes import Outcome
from scanner_adapter.symbol_ranker import SymbolRanker


class PairOrder:
    """Keeps the order of a bot's pairs.

    Parameters
    ----------
    ranker : SymbolRanker
        Best opened with ``rewards=Threshold(0.0)``: a hit is a trade that closed with a profit.
    refresh_period_s : int
        Seconds until the bot asks again.

    Notes
    -----
    Thread-safe. A pair that was not traded between two refreshes has no outcome and teaches
    nothing: it is unknown, not bad. Several trades of a pair count as one outcome, their mean.
    """

    def __init__(self, ranker: SymbolRanker, *, refresh_period_s: int = 1800) -> None:
        if refresh_period_s < 1:
            raise InvalidContextError(
                f"refresh_period_s is {refresh_period_s}; expected at least 1"
            )
        self._feed = ResultFeed(ranker)
        self._refresh_period_s = refresh_period_s
        self._lock = threading.Lock()
        self._pairs: tuple[str, ...] = ()
        self._profits: dict[str, list[float]] = {}
        self._known_trades: set[object] = set()

    @property
    def pairs(self) -> tuple[str, ...]:
        """The present order."""
        return self._pairs

    def refresh(self, pairs: Sequence[str], **inputs: Unpack[ScanOptions]) -> tuple[str, ...]:
        """Learn from the trades closed since the last refresh, and order `pairs` anew.

        Parameters
        ----------
        pairs : sequence of str
            Such as "ETH/USDT", in the bot's own order.
        **inputs
            `bars` and the like, as for `SymbolRanker.start_scan`.
        """
        with self._lock:
            self._report()
            self._pairs = self._feed.order(pairs, **inputs)
            return self._pairs

    def closed(self, trades: Iterable[object]) -> int:
        """Take closed trades; return how many were new and of the present pairs.

        Parameters
        ----------
        trades : iterable
            freqtrade's `Trade` objects, or mappings as its REST API gives them
            (``/api/v1/trades``): `pair`, `close_profit` (a ratio; `profit_ratio` is taken too),
            `trade_id` or `id`. Open ones are passed over, and so are those given before.

        Raises
        ------
        InvalidOutcomeError
            For a trade without these fields; nothing was taken.
        """
        read = [trade for trade in map(_read_trade, trades) if trade is not None]
        n_taken = 0
        with self._lock:
            for trade_id, pair, profit in read:
                if trade_id in self._known_trades or pair not in self._pairs:
                    continue
                self._known_trades.add(trade_id)
                self._profits.setdefault(pair, []).append(profit)
                n_taken += 1
        return n_taken

    def document(self) -> dict[str, object]:
        """Return what RemotePairList expects."""
        return {"pairs": list(self._pairs), "refresh_period": self._refresh_period_s}

    def write(self, path: str | Path) -> None:
        """Write the document to a file; the bot sees the old one or the new one, never a part."""
        target = Path(path)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self.document(), file)
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

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

    def _report(self) -> None:
        for pair, profits in self._profits.items():
            self._feed(pair, Outcome(rating=sum(profits) / len(profits)))
        self._profits = {}


def _read_trade(trade: object) -> tuple[object, str, float] | None:
    """Return (id, pair, profit ratio) of a closed trade, None of an open one."""
    if _field(trade, "is_open"):
        return None
    pair, trade_id = _field(trade, "pair"), _field(trade, "trade_id")
    if trade_id is None:
        trade_id = _field(trade, "id")
    profit = _field(trade, "close_profit")
    if profit is None:
        profit = _field(trade, "profit_ratio")
    if isinstance(pair, str) and trade_id is not None:
        with contextlib.suppress(TypeError, ValueError):
            return trade_id, pair, float(profit)  # type: ignore[arg-type]
    raise InvalidOutcomeError(
        f"trade {trade!r} has pair {pair!r}, id {trade_id!r}, close_profit {profit!r}; expected a "
        "text, a value and a number"
    )


def _field(trade: object, name: str) -> object:
    return trade.get(name) if isinstance(trade, Mapping) else getattr(trade, name, None)
