"""Features of a universe in pieces: the same numbers as of all bars at once, or one clear error."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Bars, Events, FeatureError, InvalidBarsError, features_in_pieces
from features.inputs.tables import FIELDS
from features.large.in_order import in_order
from scanner_adapter import SymbolRanker
from scanner_adapter.inputs.context import MarketFacts, market_facts

# Loadings have mean square one. The components of all bars at once are computed in single
# precision, which leaves this much open in the weaker ones; in pieces it is double.
LOADINGS_AGREE = 0.02


def market(n_days: int, n_symbols: int, seed: int = 0, *, with_gaps: bool = True) -> Bars:
    """Symbols that move with the market and their sector; some young, delisted, or halted."""
    rng = np.random.default_rng(seed)
    shape = (n_days, n_symbols)
    sector = rng.normal(0, 0.01, (n_days, 4))[:, np.arange(n_symbols) % 4]
    moves = rng.normal(0, 0.01, (n_days, 1)) + sector + rng.normal(0, 0.01, shape)
    close = 40 * np.exp(np.cumsum(moves, axis=0))
    open_ = close * np.exp(rng.normal(0, 0.006, shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape)))
    fields = [open_, high, low, close, np.floor(np.exp(rng.normal(11, 0.8, shape)))]
    gone = rng.random(shape) < 0.01
    gone[: n_days - 7, 3::11] = True  # listed a week ago
    gone[n_days // 2 :, 5::11] = True  # delisted
    for field in fields:
        field[gone & with_gaps] = np.nan
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    return Bars(dates, tuple(f"S{j:03d}" for j in range(n_symbols)), *fields)


def events_of(bars: Bars, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    n = 4 * len(bars.symbols)

    def frame() -> pd.DataFrame:
        some = rng.choice(bars.symbols[::2], n)  # the others have none
        return pd.DataFrame({"symbol": some, "date": rng.choice(bars.dates, n)})

    return Events.from_frames(
        earnings=frame().assign(
            eps_estimate=rng.normal(1, 0.3, n).round(2), eps_actual=rng.normal(1, 0.3, n).round(2)
        ),
        ratings=frame().assign(action=rng.choice(["up", "down", "reiterate"], n)),
        news=frame().assign(count=rng.poisson(2, n)),
    )


def piece_of(bars: Bars, symbols: tuple[str, ...]) -> Bars:
    """The bars of some symbols on the days on which one of them has a bar, as a file holds them."""
    part = bars.select(symbols)
    traded = part.mask.any(axis=1)
    return Bars(part.dates[traded], symbols, *(getattr(part, f)[traded] for f in FIELDS))


def cut(bars: Bars, n_pieces: int) -> list[Bars]:
    at = np.array_split(np.arange(len(bars.symbols)), n_pieces)
    return [piece_of(bars, tuple(bars.symbols[j] for j in part)) for part in at]


def frame_of(bars: Bars) -> pd.DataFrame:
    rows, columns = np.nonzero(bars.mask)
    numbers = {field: getattr(bars, field)[rows, columns] for field in FIELDS}
    return pd.DataFrame(
        {"date": bars.dates[rows].astype("datetime64[s]"),
         "symbol": np.array(bars.symbols)[columns], **numbers}
    )  # fmt: skip


def sectors_of(bars: Bars) -> dict[str, str]:
    return {s: ("Energy", "Tech", "Health", "")[j % 4] for j, s in enumerate(bars.symbols)}


def assert_same(found: MarketFacts, whole: MarketFacts) -> None:
    assert found.names == whole.names
    assert found.values.tobytes() == whole.values.tobytes()
    assert found.loading_names == whole.loading_names
    is_sector = [name.startswith("sector.") for name in found.loading_names]
    np.testing.assert_array_equal(found.loadings[:, is_sector], whole.loadings[:, is_sector])
    np.testing.assert_allclose(found.loadings, whole.loadings, atol=LOADINGS_AGREE)


@pytest.fixture(scope="module")
def real(market_data: Path) -> Bars:
    """Every third symbol of the real bars, from summer 2018 on."""
    late = pd.read_parquet(
        market_data / "ohlcv.parquet", filters=[("date", ">=", date(2018, 6, 1))]
    )
    bars = Bars.from_frame(late)
    return bars.select(bars.symbols[::3])


@pytest.fixture(scope="module")
def files(real: Bars, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The real bars in five Parquet files."""
    folder = tmp_path_factory.mktemp("pieces")
    paths = [folder / f"{k}.parquet" for k in range(5)]
    for path, part in zip(paths, cut(real, 5), strict=True):
        frame_of(part).to_parquet(path)
    return paths


def test_real_bars_in_five_files_on_two_processes(
    real: Bars, files: list[Path], market_data: Path, tmp_path: Path
) -> None:
    events = Events.from_frames(
        earnings=pd.read_parquet(market_data / "earnings.parquet"),
        ratings=pd.read_parquet(market_data / "ratings.parquet"),
        news=pd.read_parquet(market_data / "news_counts.parquet"),
    )
    table = pd.read_csv(market_data / "sectors.csv").dropna(subset="sector")
    inputs: dict[str, Any] = {
        "events": events, "sectors": dict(zip(table["symbol"], table["sector"], strict=True)),
        "as_of": "2019-11-20",
    }  # fmt: skip
    # Another order, one that nobody knows, and not all: the market is that of all either way.
    symbols = ("NOBODY", *real.symbols[::-3])
    with ProcessPoolExecutor(2) as pool:
        found = features_in_pieces(
            files, tmp_path / "today.npy", symbols=symbols, executor=pool, **inputs
        )
    whole = market_facts(symbols, bars=real, **inputs)
    assert found.symbols == symbols
    assert found.date == np.datetime64("2019-11-20")
    assert isinstance(found.values, np.memmap)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, np.load(tmp_path / "today.npy"))
    assert_same(market_facts(symbols, context=found.context, loadings=found.loadings), whole)
    assert np.isnan(found.values[0]).all()
    assert not found.loadings.values[0].any()
    assert [p.name for p in tmp_path.iterdir()] == ["today.npy"]

    with SymbolRanker.open("memory://", ruleset="pieces", seed=1) as ranker:
        scan = ranker.start_scan(found.symbols, context=found.context, loadings=found.loadings)
        batch = scan.next_batch(20)
        scan.report(dict.fromkeys(batch, 1.0))
        assert scan.close().n_scanned == 20


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(30, 320),
    st.integers(18, 60),
    st.integers(1, 6),
    st.integers(0, 40),
)
def test_any_cut_of_any_market_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int, n_days: int, n_symbols: int, n_pieces: int, days_before: int,
) -> None:  # fmt: skip
    """Pieces have other days than each other, and symbols that begin after the day asked for."""
    bars = market(n_days, n_symbols, seed)
    as_of = bars.dates[max(n_days - 1 - days_before, 0)]
    inputs: dict[str, Any] = {
        "as_of": as_of, "events": events_of(bars, seed), "sectors": sectors_of(bars)
    }  # fmt: skip
    path = tmp_path_factory.mktemp("cut") / "found.npy"
    found = features_in_pieces(cut(bars, n_pieces), path, **inputs)
    assert found.symbols == bars.symbols
    facts = market_facts(found.symbols, context=found.context, loadings=found.loadings)
    assert_same(facts, market_facts(bars.symbols, bars=bars, **inputs))


def test_components_of_more_symbols_than_days(tmp_path: Path) -> None:
    """400 symbols on 200 days: here the whole is decomposed in memory, the pieces by day."""
    bars = market(200, 400)
    found = features_in_pieces(cut(bars, 7), tmp_path / "found.npy", sectors=sectors_of(bars))
    whole = market_facts(bars.symbols, bars=bars, sectors=sectors_of(bars))
    assert whole.loading_names[-1] == "component.10"
    assert_same(market_facts(bars.symbols, context=found.context, loadings=found.loadings), whole)


def test_the_market_of_many_days_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = market(150, 40)  # relative strength reaches back 120 days
    monkeypatch.setattr("features.large.closes._READ_SIZE", 40 * 7)  # seven days at a time
    found = features_in_pieces(cut(bars, 3), tmp_path / "found.npy")
    whole = market_facts(bars.symbols, bars=bars)
    assert found.values.tobytes() == whole.values.tobytes()


def test_pieces_without_bars_change_nothing(tmp_path: Path) -> None:
    bars = market(60, 30)
    pieces = cut(bars, 3)
    empty = frame_of(pieces[0]).iloc[:0]
    empty.to_parquet(tmp_path / "empty.parquet")
    found = features_in_pieces(
        [
            lambda: None,
            partial(frame_of, pieces[0]),
            str(tmp_path / "empty.parquet"),
            *pieces[1:],
            lambda: empty,
        ],
        tmp_path / "found.npy",
    )
    assert found.symbols == bars.symbols
    assert found.values.tobytes() == market_facts(bars.symbols, bars=bars).values.tobytes()


def test_one_piece_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """When a piece is asked for, in either pass, the bars of no other are alive."""
    bars = market(60, 40)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    met: list[int] = []

    class Opens(np.ndarray[Any, np.dtype[np.float64]]):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def read(part: Bars) -> Bars:
        gc.collect()
        met.append(len(alive))
        opens = part.open.copy().view(Opens)
        alive.add(opens)
        return Bars(part.dates, part.symbols, opens, *(getattr(part, f) for f in FIELDS[1:]))

    features_in_pieces([partial(read, part) for part in cut(bars, 4)], tmp_path / "found.npy")
    assert met == [0] * 8


class Changing:
    """A piece that is other bars each time it is read."""

    def __init__(self, *readings: object) -> None:
        self._readings = iter(readings)

    def __call__(self) -> object:
        return next(self._readings)


def interrupt() -> object:
    raise KeyboardInterrupt


GOOD = market(60, 30, with_gaps=False)
A, B, C = cut(GOOD, 3)
LATER = Bars(B.dates + 3, B.symbols, *(getattr(B, f) for f in FIELDS))


def broken() -> pd.DataFrame:
    return frame_of(B).assign(close=-1.0)


@pytest.mark.parametrize(
    ("pieces", "inputs", "message"),
    [
        ([A, B, C, A.select(["S004"])], {}, "S004 is in piece 0 and in piece 3; all bars of"),
        ([A, broken], {}, "piece 1: .*S010 on 2018-01-01 has a price that is not positive"),
        ([A, "nowhere.parquet"], {}, r"piece 1: no file nowhere\.parquet"),
        ([A, lambda: 3], {}, "piece 1: bars are a int; expected a pandas"),
        ([A, Changing(B, C)], {}, "piece 1 returned different bars when read again"),
        ([A, Changing(B, None)], {}, "piece 1 returned different bars when read again"),
        ([Changing(A, A), Changing(B, LATER)], {}, "piece 1 returned different bars when read"),
        ([A], {"as_of": "2017-12-31"}, "as_of 2017-12-31 is before the first bar; expected 2018"),
        ([A], {"as_of": "soon"}, "'soon' is not a date"),
        ([lambda: None, lambda: None], {}, "no bars in any of the 2 pieces"),
        ([], {}, "no bars in any of the 0 pieces"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(
    pieces: list[Any], inputs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidBarsError, match=message):
        features_in_pieces(pieces, tmp_path / "found.npy", **inputs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("symbols", "message"), [(["S001", "S001"], "2, 1 of them distinct"), ([], "symbols are 0")]
)
def test_rows_wanted_twice_or_not_at_all_are_refused(
    symbols: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match=message):
        features_in_pieces([A], tmp_path / "found.npy", symbols=symbols)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"no folder .*/nowhere for found\.npy"):
        features_in_pieces([A], tmp_path / "nowhere" / "found.npy")


def test_an_interrupted_run_leaves_the_file_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "found.npy"
    before = features_in_pieces([A, B], path).values.copy()

    def second(bars: Bars) -> Callable[[], object]:
        readings = iter([lambda: bars, interrupt])
        return lambda: next(readings)()

    with pytest.raises(KeyboardInterrupt):
        features_in_pieces([A, second(C)], path)
    np.testing.assert_array_equal(np.load(path), before)
    assert [p.name for p in tmp_path.iterdir()] == ["found.npy"]


def test_a_killed_process_leaves_the_file_of_the_run_before(tmp_path: Path) -> None:
    """It dies while the second of three pieces is scored, when rows are written already."""
    path = tmp_path / "found.npy"
    before = features_in_pieces([A, B], path).values.copy()
    bars = tmp_path / "bars.parquet"
    frame_of(GOOD).to_parquet(bars)
    code = f"""
        import os, signal
        from features import Bars, features_in_pieces

        whole = Bars.read({str(bars)!r})
        parts = [whole.select(whole.symbols[k::3]) for k in range(3)]
        readings = iter([lambda: parts[1], lambda: os.kill(os.getpid(), signal.SIGKILL)])
        features_in_pieces([parts[0], lambda: next(readings)(), parts[2]], {str(path)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    np.testing.assert_array_equal(np.load(path), before)
    assert len([p for p in tmp_path.iterdir() if p.name.startswith(".found.npy-")]) == 1


def test_a_file_in_use_is_replaced_and_not_overwritten(tmp_path: Path) -> None:
    """A scan that has yesterday's file mapped goes on reading yesterday's numbers."""
    yesterday = features_in_pieces([A, B], tmp_path / "found.npy", as_of="2018-02-01")
    kept = yesterday.values.copy()
    today = features_in_pieces([A, B], tmp_path / "found.npy")
    np.testing.assert_array_equal(yesterday.values, kept)
    assert not np.array_equal(today.values, kept, equal_nan=True)


class OnlyTheFirst(Executor):
    """Finishes the first call; the others wait for ever."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(fn(*args, **kwargs))
        return self.futures[-1]


def test_results_come_in_the_order_asked_for() -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(in_order([partial(pow, 2, n) for n in range(20)], pool))
    assert results == [2**n for n in range(20)]


def test_few_calls_are_under_way_and_the_rest_is_cancelled() -> None:
    """Two for each worker: with two, a hundred calls stand at four until a result is taken."""
    executor = OnlyTheFirst()
    results = in_order((partial(pow, n, 2) for n in range(5, 105)), executor, workers=2)
    assert next(results) == 25
    assert len(executor.futures) == 4
    results.close()
    assert [future.cancelled() for future in executor.futures] == [False, True, True, True]
