"""A vendor that answers no more stops the scan; one that says when is waited for, once."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.error import HTTPError

import pytest
import requests

from bandit.errors import InvalidInputError
from scanner_adapter import (
    AnyOf,
    RecallReached,
    ScanSummary,
    SymbolRanker,
    Threshold,
    TimeBudget,
    TooManyErrors,
)
from scanner_adapter.run.vendor_errors import Patient, retry_after_s

SYMBOLS = [f"S{i}" for i in range(200)]


class YFRateLimitError(Exception):
    """As yfinance's, which says no more than its name."""


class RateLimitExceeded(Exception):  # noqa: N818
    """As ccxt's."""


class BinanceRateLimit(RateLimitExceeded):
    """As an exchange's own."""


def http_error(status: int, retry_after: str | None) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = retry_after
    return requests.HTTPError(f"{status}", response=response)


def ranker(**settings: Any) -> SymbolRanker:
    return SymbolRanker.open("memory://", ruleset="t", seed=1, rewards=Threshold(90), **settings)


class Vendor:
    """Answers so many requests, then refuses; some symbols are delisted."""

    def __init__(self, n_answers: float, delisted: Callable[[str], bool] = lambda _: False) -> None:
        self.n_answers = n_answers
        self.asked: Counter[str] = Counter()
        self._delisted = delisted

    def __call__(self, symbol: str) -> float:
        self.asked[symbol] += 1
        if self._delisted(symbol):
            raise ValueError("no data, symbol may be delisted")
        self.n_answers -= 1
        if self.n_answers < 0:
            raise RuntimeError("429 Too Many Requests")
        return float(int(symbol[1:]) % 100)

    async def later(self, symbol: str) -> float:
        await asyncio.sleep(0)
        return self(symbol)


def run(vendor: Vendor, how: str, **more: Any) -> ScanSummary:
    scan = ranker().start_scan(SYMBOLS)
    if how == "coroutines":
        return asyncio.run(scan.arun(vendor.later, concurrency=4, **more))
    if how == "threads":
        with ThreadPoolExecutor(4) as pool:
            return scan.run(vendor, executor=pool, **more)
    return scan.run(vendor, **more)


HOW = ("alone", "threads", "coroutines")


@pytest.mark.parametrize("how", HOW)
def test_a_vendor_that_refuses_stops_the_scan(how: str) -> None:
    vendor = Vendor(60)
    summary = run(vendor, how)
    assert summary.stopped is not None
    assert "errors in a row, and a symbol that had succeeded failed too" in summary.stopped
    assert "429 Too Many Requests" in summary.stopped
    assert 80 <= summary.n_scanned <= 110
    assert summary.n_scanned - summary.n_errors == 60


@pytest.mark.parametrize("how", HOW)
def test_delisted_symbols_at_the_tail_stop_nothing(how: str) -> None:
    vendor = Vendor(10_000, delisted=lambda symbol: int(symbol[1:]) >= 120)
    summary = run(vendor, how)
    assert (summary.stopped, summary.n_scanned, summary.n_errors) == (None, 200, 80)
    assert all(vendor.asked[symbol] == 2 for symbol in SYMBOLS[120:])  # once more at the end
    assert sum(vendor.asked[symbol] - 1 for symbol in SYMBOLS[:120]) <= 8  # those tried again


def test_a_symbol_tried_again_counts_once() -> None:
    vendor = Vendor(10_000, delisted=lambda symbol: int(symbol[1:]) >= 120)
    scan = ranker().start_scan(SYMBOLS)
    seen: Counter[str] = Counter()
    scan.run(vendor, on_result=lambda symbol, _: seen.update([symbol]))
    assert all(seen[symbol] == 1 for symbol in SYMBOLS[:120])
    assert len(scan.outcomes) == 200


def test_a_vendor_that_is_down_from_the_start_stops_a_scan_of_known_symbols() -> None:
    each = ranker()
    each.start_scan(SYMBOLS).run(Vendor(10_000))
    summary = each.start_scan(SYMBOLS).run(Vendor(0))
    assert summary.stopped is not None
    assert "for symbols that succeeded in earlier scans" in summary.stopped
    assert summary.n_scanned <= 50
    assert each.n_scans == 1


def test_what_failed_is_offered_again_by_the_scans_id() -> None:
    each = ranker()
    first = each.start_scan(SYMBOLS, scan_id="day").run(Vendor(60))
    assert first.n_errors == 20
    second = each.start_scan(SYMBOLS, scan_id="day").run(Vendor(10_000))
    assert (second.n_scanned, second.n_errors, second.stopped) == (200, 0, None)


def test_results_that_cannot_be_read_are_no_vendor() -> None:
    summary = ranker().start_scan(SYMBOLS).run(lambda s: 1.0 if int(s[1:]) < 50 else [1.5])
    assert (summary.stopped, summary.n_errors) == (None, 150)


def test_the_rule_can_be_changed_and_left_out() -> None:
    assert run(Vendor(60), "alone", errors=None).n_scanned == 200
    both = AnyOf(RecallReached(0.99), TooManyErrors(5))
    assert run(Vendor(60), "alone", until=both).n_errors == 5
    assert run(Vendor(60), "alone", errors=TooManyErrors(30)).n_errors == 30
    with pytest.raises(InvalidInputError, match="in_a_row is 0"):
        TooManyErrors(0)
    with pytest.raises(InvalidInputError, match="longest_pause_s is -1"):
        TooManyErrors(longest_pause_s=-1)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (http_error(429, "7"), 7.0),
        (http_error(503, "0.5"), 0.5),
        (http_error(429, None), None),
        (http_error(404, "7"), None),
        (http_error(429, "soon"), None),
        (HTTPError("http://x", 429, "no", {"Retry-After": "3"}, None), 3.0),  # type: ignore[arg-type]
        (YFRateLimitError("Too Many Requests"), 60.0),
        (BinanceRateLimit("418"), 60.0),
        (RuntimeError("429 Too Many Requests"), None),
    ],
)
def test_what_an_error_says_of_when(error: BaseException, seconds: float | None) -> None:
    assert retry_after_s(error) == seconds


def test_a_date_says_when_too() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after_s(http_error(429, soon)) == pytest.approx(30.0, abs=2.0)
    assert retry_after_s(http_error(429, "Wed, 21 Oct 2015 07:28:00 GMT")) == 0.0


class Busy(Exception):  # noqa: N818
    """As aiohttp's ClientResponseError: status and headers are its own."""

    def __init__(self, seconds: str) -> None:
        super().__init__(seconds)
        self.status = 429
        self.headers = {"Retry-After": seconds}


LAST: dict[str, int] = {}


def busy_once(symbol: str) -> float:
    LAST[symbol] = LAST.get(symbol, 0) + 1
    if symbol == "S7" and LAST[symbol] == 1:
        raise Busy("0.2")
    return 1.0


async def busy_once_later(symbol: str) -> float:
    return busy_once(symbol)


@pytest.mark.parametrize("how", ["alone", "threads", "processes", "coroutines"])
def test_an_error_that_says_when_is_waited_for_and_tried_again(how: str) -> None:
    LAST.clear()
    scan = ranker().start_scan(SYMBOLS[:20])
    began = time.monotonic()
    if how == "coroutines":
        summary = asyncio.run(scan.arun(busy_once_later))
    elif how == "alone":
        summary = scan.run(busy_once)
    else:
        with (ThreadPoolExecutor if how == "threads" else ProcessPoolExecutor)(2) as pool:
            summary = scan.run(busy_once, executor=pool)
    assert summary.n_errors == 0
    assert time.monotonic() - began >= 0.2
    assert LAST.get("S7", 2) == 2


def test_nobody_waits_longer_than_allowed_or_in_vain() -> None:
    def refuses(symbol: str) -> float:
        raise Busy("0.1" if symbol != "S3" else "3600")

    began = time.monotonic()
    summary = ranker().start_scan(SYMBOLS[:30]).run(refuses, errors=TooManyErrors(100))
    # One pause; its second try failed too, and nothing has worked since.
    assert 0.1 <= time.monotonic() - began < 1.0
    assert summary.n_errors == 30


def test_a_pause_ends_with_the_scan() -> None:
    def refuses(symbol: str) -> float:
        raise Busy("60")

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        summary = ranker().start_scan(SYMBOLS).run(refuses, executor=pool, until=TimeBudget(0.3))
    assert time.monotonic() - began < 10.0
    assert summary.stopped is not None


def test_a_patient_function_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Patient(busy_once, 1.0)))  # noqa: S301
    LAST.clear()
    assert again("S1") == 1.0


def test_a_loop_of_ones_own_asks_the_rule() -> None:
    each = ranker()
    each.start_scan(SYMBOLS).run(Vendor(10_000))
    rule = TooManyErrors(10)
    with each.start_scan(SYMBOLS) as scan:
        scan.report(dict.fromkeys(scan.next_batch(30), 1.0))
        assert rule.reason(scan) is None
        scan.report({symbol: OSError("down") for symbol in scan.next_batch(9)})
        assert rule.reason(scan) is None
        scan.report({symbol: OSError("down") for symbol in scan.next_batch(3)})
        assert "12 errors in a row, 12 of them" in (rule.reason(scan) or "")
        scan.report(dict.fromkeys(scan.next_batch(1), 1.0))
        assert rule.reason(scan) is None
