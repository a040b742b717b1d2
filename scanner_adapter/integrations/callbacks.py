"""Scanners that take a list of symbols and call back with each result, left as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from scanner_adapter.batch import ScanSummary
from scanner_adapter.errors import InvalidOutcomeError
from scanner_adapter.feed import ResultFeed
from scanner_adapter.inputs.context import ScanOptions
from scanner_adapter.symbol_ranker import SymbolRanker

RunScanner = Callable[[Sequence[str], Callable[..., None]], object]


def run_ordered(
    ranker: SymbolRanker,
    run_scanner: RunScanner,
    symbols: Sequence[str],
    *,
    symbol_key: str = "symbol",
    is_lazy: bool = False,
    **inputs: Unpack[ScanOptions],
) -> ScanSummary:
    """Run a list-plus-callback scanner over `symbols`, best first, and learn from its results.

    Parameters
    ----------
    run_scanner : callable
        Called once with (symbols, on_result). `on_result` may be called from any thread, as
        `on_result(symbol, row)` or as `on_result(row)` with the symbol inside the row.
    symbols : sequence of str
        In the scanner's own order.
    symbol_key : str
        Where a row keeps its symbol, for `on_result(row)`.
    is_lazy : bool
        The scanner takes symbols one by one as it needs them: it gets an iterator, and every
        batch profits from the results before it. Otherwise it gets a list.
    **inputs
        `bars`, `events`, `as_of`, ... as for `SymbolRanker.start_scan`.

    Raises
    ------
    InvalidOutcomeError
        Into the callback, when a row has no `symbol_key`: it belongs to no known symbol.

    Examples
    --------
    >>> def scanner(symbols, on_result):
    ...     for symbol in symbols:
    ...         on_result({"symbol": symbol, "rating": len(symbol)})
    >>> ranker = SymbolRanker.open("memory://", ruleset="demo", seed=1)
    >>> run_ordered(ranker, scanner, ["AAPL", "MSFT", "IBM"]).n_scanned
    3
    """
    with ResultFeed(ranker) as feed:
        order = feed.stream if is_lazy else feed.order

        def on_result(*result: Any) -> None:
            if len(result) == 2:
                feed(*result)
                return
            (row,) = result
            try:
                symbol = row[symbol_key]
            except (KeyError, TypeError, IndexError) as err:
                raise InvalidOutcomeError(
                    f"a result has no {symbol_key!r}: {row!r}; call on_result(symbol, row), or "
                    "give symbol_key="
                ) from err
            feed(symbol, row)

        run_scanner(order(symbols, **inputs), on_result)  # type: ignore[arg-type]
        summary = feed.close()
    if summary is None:
        raise AssertionError("a scan was started")
    return summary
