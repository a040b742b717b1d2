"""Speed and memory of the features, and how far the pattern probabilities can be trusted.

    python -m benchmarks.features                     # the speed table
    python -m benchmarks.features --memory            # peak memory, in a process of its own
    python -m benchmarks.features --calibration DIR   # reliability table, picture into DIR
    python -m benchmarks.features --fit-patterns      # refit features.measures.patterns
    python -m benchmarks.features --fit-gaps          # refit features.measures.gaps
    python -m benchmarks.features --earnings          # what reports do to volume, with intervals

The speed table runs on random walks of the stated size; the rest on real bars (SCANRANK_DATA, or
../shared/data). Everything runs in one thread unless said.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import inspect
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import talib

from benchmarks.calibration import LEAST_CASES, fit_calibration, plot_reliability, reliability
from features import Bars, Events, Panel, factor_scores, sub_score_panel
from features.measures.blocks import blocks
from features.measures.candles import PATTERNS
from features.measures.gaps import gap_measures, raw_gaps
from features.measures.market import market_measures
from features.measures.technical import technical_measures
from features.report import factor_report
from scanner_adapter.scanners.registry import rule_hits

# The size of a US universe, and what a daily scan keeps: above the 280 days that a score reads.
SYMBOLS, DAYS = 5277, 300
# Days at the start without a score to judge: the norms are not full.
_NORM_DAYS = 260
# Periods of the calibration: the fit ends before the judged years begin.
FIT = ("2015-06-01", "2017-12-31")
JUDGED = ("2018-01-01", "2020-01-10")
FIT_GAPS = ("2015-06-01", "2018-12-31")


def random_bars(n_symbols: int, n_days: int = DAYS, seed: int = 7) -> Bars:
    """Return random walks with plausible ranges and volumes; no market, only its size."""
    rng = np.random.default_rng(seed)
    shape = (n_days, n_symbols)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.008, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.006, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.006, shape)))
    volume = np.exp(rng.normal(13.0, 0.5, shape)).round()
    dates = np.datetime64("2018-01-01") + np.arange(n_days)
    symbols = tuple(f"S{i:06d}" for i in range(n_symbols))
    return Bars(dates, symbols, open_, high, low, close, volume)


def random_inputs(bars: Bars, seed: int = 7) -> dict[str, Any]:
    """Return what else a scan has: eight reports and a track record for every symbol."""
    rng = np.random.default_rng(seed)
    n = len(bars.symbols)
    earnings = pd.DataFrame(
        {
            "symbol": np.repeat(np.array(bars.symbols), 8),
            "date": np.tile(bars.dates[-1] - 91 * np.arange(8) - 5, n),
            "eps_estimate": rng.normal(1.0, 0.3, 8 * n),
            "eps_actual": rng.normal(1.0, 0.3, 8 * n),
        }
    )
    keys = ("last_reward", "last_age_days", "fast_mean", "slow_mean", "n_scans", "n_hits")
    return {
        "events": Events.from_frames(earnings=earnings),
        "track_record": {key: rng.random(n) for key in keys},
    }


def best_of(run: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest of some runs in seconds of CPU.

    One thread runs, so on an idle machine that is the time on the clock; on a busy one the clock
    would measure the others.
    """
    seconds = []
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def bare_talib(bars: Bars) -> Callable[[], None]:
    """Return a run of the TA-Lib calls alone, on series that lie ready; results are dropped."""
    bare = inspect.unwrap
    rows = [
        np.ascontiguousarray(x.T) for x in (bars.open, bars.high, bars.low, bars.close, bars.volume)
    ]
    rsi, atr, adx, macd = (bare(f) for f in (talib.RSI, talib.ATR, talib.ADX, talib.MACD))
    plus, minus, stoch = bare(talib.PLUS_DI), bare(talib.MINUS_DI), bare(talib.STOCH)
    ema, mfi = bare(talib.EMA), bare(talib.MFI)
    candles = bare_candles(bars)

    def run() -> None:
        for _, h, lo, c, v in zip(*rows, strict=True):
            rsi(c, 14)
            atr(h, lo, c, 14)
            adx(h, lo, c, 14)
            plus(h, lo, c, 14)
            minus(h, lo, c, 14)
            macd(c, 12, 26, 9)
            stoch(h, lo, c, 14, 3, 0, 3, 0)
            ema(c, 20)
            ema(c, 50)
            ema(c, 200)
            mfi(h, lo, c, v, 14)
        candles()

    return run


def bare_candles(bars: Bars) -> Callable[[], None]:
    """Return a run of the candlestick calls alone."""
    functions = [inspect.unwrap(getattr(talib, name)) for name in PATTERNS]
    last = (np.ascontiguousarray(x[-23:].T) for x in (bars.open, bars.high, bars.low, bars.close))
    flat = [x.ravel() for x in last]

    def run() -> None:
        for function in functions:
            function(*flat)

    return run


def bare_numpy(bars: Bars) -> Callable[[], None]:
    """Return a run of the array formulas alone, on blocks that lie ready; results are dropped."""
    ready = list(blocks(bars, 1))

    def run() -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            for block in ready:
                market_measures(block)
                technical_measures(block)
                gap_measures(block)

    return run


def groupby_indicators(bars: Bars) -> Callable[[], None]:
    """Return a run of eight of the indicators through pandas groupby, as one usually writes it."""
    n_days = len(bars.dates)
    frame = pd.DataFrame(
        {
            "symbol": np.repeat(np.array(bars.symbols), n_days),
            **{f: getattr(bars, f).T.ravel() for f in ("high", "low", "close", "volume")},
        }
    )

    def run() -> None:
        by = frame.groupby("symbol", sort=False)
        close = by["close"]
        change = close.diff()
        key = frame["symbol"]

        def smooth(x: Any, alpha: float) -> Any:
            return x.groupby(key, sort=False).ewm(alpha=alpha, adjust=False).mean()

        before = close.shift()
        true_range = np.maximum(frame["high"], before) - np.minimum(frame["low"], before)
        smooth(change.clip(lower=0), 1 / 14)  # RSI
        smooth((-change).clip(lower=0), 1 / 14)
        smooth(true_range, 1 / 14)  # ATR
        for span in (12, 26, 20, 50, 200):  # MACD, EMA
            close.ewm(span=span, adjust=False).mean()
        by["high"].rolling(14).max()  # stochastic
        by["low"].rolling(14).min()
        by["volume"].rolling(20).mean()  # volume surge
        close.rolling(20).std()  # bands

    return run


def pandas_ta_indicators(bars: Bars) -> Callable[[], None] | None:
    """Return a run of the eleven indicators through pandas-ta-classic, None if not installed."""
    if importlib.util.find_spec("pandas_ta_classic") is None:
        return None
    ta = importlib.import_module("pandas_ta_classic")  # untyped, and only for this table

    columns = [
        [pd.Series(x) for x in np.ascontiguousarray(getattr(bars, f).T)]
        for f in ("high", "low", "close", "volume")
    ]

    def run() -> None:
        for h, lo, c, v in zip(*columns, strict=True):
            ta.rsi(c, length=14)
            ta.atr(h, lo, c, length=14)
            ta.adx(h, lo, c, length=14)  # with both DI
            ta.macd(c)
            ta.stoch(h, lo, c, k=14, d=3, smooth_k=3)
            ta.ema(c, length=20)
            ta.ema(c, length=50)
            ta.ema(c, length=200)
            ta.mfi(h, lo, c, v, length=14)

    return run


def speed_table(n_symbols: int, large: int) -> None:
    """Print the speed table: all factors, the bare calls, one more day, linearity, peers."""
    bars = random_bars(n_symbols)
    day, inputs = bars.dates[-1], random_inputs(bars)
    full = best_of(lambda: factor_scores(bars, as_of=day, **inputs))
    bare = best_of(bare_talib(bars))
    formulas = best_of(bare_numpy(bars)) - best_of(bare_candles(bars))
    print(f"simulated bars, {n_symbols:,} symbols x {DAYS} days, seconds of CPU of one thread")
    _row("all four factors of the last day", full, "under 1.0 s")
    _row("the TA-Lib calls in it, alone", bare)
    _row("the numpy formulas in it, alone", formulas)
    print(f"{'all factors / both alone':<44}{full / (bare + formulas):>9.2f} x  (under 2.5)")

    last = bars.until(bars.dates[-2])
    new = Bars(
        bars.dates[-1:],
        bars.symbols,
        *(getattr(bars, f)[-1:] for f in ("open", "high", "low", "close", "volume")),
    )
    _row("append one day to the bars", best_of(lambda: last.append(new)), "under 0.2 s")
    _row(
        "append one day and score it",
        best_of(lambda: factor_scores(last.append(new), as_of=day, **inputs)),
    )
    few = bars.select(bars.symbols[:500])
    share = n_symbols / 500
    _row("8 indicators, pandas groupby (500 scaled)", share * best_of(groupby_indicators(few), 1))
    peer = pandas_ta_indicators(few.select(few.symbols[:100]))
    if peer is None:
        print("pandas-ta-classic is not installed: pip install pandas-ta-classic")
    else:
        _row("11 indicators, pandas-ta-classic (100 scaled)", n_symbols / 100 * best_of(peer, 2))
    if large:
        many = random_bars(large)
        more = random_inputs(many)
        seconds = best_of(lambda: factor_scores(many, as_of=day, **more), 2)
        _row(f"all factors, {large:,} symbols", seconds)
        ratio = (seconds / large) / (full / n_symbols)
        print(f"{'time per symbol against the smaller universe':<44}{ratio:>9.2f} x  (within 20 %)")


def _row(what: str, seconds: float, goal: str = "") -> None:
    print(f"{what:<44}{seconds:>9.3f} s  {f'({goal})' if goal else ''}".rstrip())


def memory_table(n_symbols: int) -> None:
    """Print the peak memory of a scoring process over that of the same process before it."""
    code = (
        "import resource,sys;from benchmarks.features import random_bars,factor_scores,DAYS;"
        f"bars=random_bars({n_symbols});factor_scores(random_bars(50),as_of=bars.dates[-1]);"
        "before=int(open('/proc/self/statm').read().split()[1])*resource.getpagesize();"
        "open('/proc/self/clear_refs','w').write('5');"
        "factor_scores(bars,as_of=bars.dates[-1]);"
        "peak=[int(l.split()[1])*1024 for l in open('/proc/self/status') if l[:5]=='VmHWM'][0];"
        "print(5*bars.close.nbytes, peak-before)"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    size, extra = (int(word) for word in run.stdout.split())
    print(
        f"bars {size / 2**20:.0f} MiB; scoring adds {extra / 2**20:.0f} MiB: peak "
        f"{(size + extra) / size:.2f} x the bars (under 4)"
    )


def data_folder() -> Path:
    """Return the folder of the shared data set."""
    return Path(os.environ.get("SCANRANK_DATA", "../shared/data"))


def real_bars() -> Bars:
    """Return the bars of the shared data set."""
    return Bars.read(data_folder() / "ohlcv.parquet")


def fit_gaps() -> dict[str, tuple[float, float]]:
    """Return median and standard deviation of each gap over the days of `FIT_GAPS`."""
    bars = real_bars().until(np.datetime64(FIT_GAPS[1]))
    n_days = int(np.count_nonzero(bars.dates >= np.datetime64(FIT_GAPS[0])))
    found: dict[str, list[np.ndarray]] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for block in blocks(bars, n_days):
            for name, gap in raw_gaps(block).items():
                values = block.to_days(gap)
                found.setdefault(name, []).append(values[np.isfinite(values)])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: (float(np.median(x)), float(x.std())) for name, x in joined.items()}


def earnings_table() -> None:
    """Print the lift of the earnings sub-scores on volume surges, and the surges by report age."""
    folder = data_folder()
    bars = real_bars()
    events = Events.from_frames(earnings=pd.read_parquet(folder / "earnings.parquet"))
    panel = sub_score_panel(bars, events, dates=bars.dates[_NORM_DAYS:])
    kept = [k for k, name in enumerate(panel.names) if name.startswith("fundamental.re")]
    kept += [panel.names.index("fundamental.surprise")]
    names = tuple(panel.names[k] for k in kept)
    panel = Panel(panel.values[:, :, kept], names, panel.dates, panel.symbols)
    hits = rule_hits("volume_surge", bars)[0][_NORM_DAYS:]
    for day_old, what in ((False, "the same day"), (True, "the next day")):
        report = factor_report(panel, hits, day_old=day_old)
        print(f"lift of the top decile on a volume surge of {what} (95 % interval)")
        for name, row in report.table.sort_values("lift", ascending=False).iterrows():
            if row["coverage"] > 0:
                print(f"  {name:<28}{row.lift:>6.2f}  [{row.lift_low:.2f}, {row.lift_high:.2f}]")
    assert events.earnings is not None
    days = panel.dates.astype(np.int64)
    age = days[:, None] - np.take(
        np.append(events.earnings.day, -(10**6)), events.earnings.last(panel.symbols, days)
    )
    covered = age < 200
    base = hits[covered].mean()
    print(f"volume surges among covered symbols: {100 * base:.1f} % of days")
    rng = np.random.default_rng(0)
    for n in range(4):
        case = age == n
        by_day = np.stack([(hits & case).sum(axis=1), case.sum(axis=1)], axis=1)
        drawn = rng.multinomial(len(days), np.full(len(days), 1 / len(days)), size=1000) @ by_day
        low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5]) / base
        rate = by_day[:, 0].sum() / by_day[:, 1].sum()
        print(
            f"  {n} days after a report is known: {100 * rate:4.1f} %, "
            f"lift {rate / base:.2f} [{low:.2f}, {high:.2f}], {case.sum():,} cases"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--large", type=int, default=50_000, help="0 leaves the large run out")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--calibration", type=Path, metavar="DIR")
    parser.add_argument("--fit-patterns", action="store_true")
    parser.add_argument("--fit-gaps", action="store_true")
    parser.add_argument("--earnings", action="store_true")
    chosen = parser.parse_args()
    if chosen.fit_patterns:
        for pattern, line in fit_calibration(real_bars(), from_=FIT[0], to=FIT[1]).items():
            print(f'    "{pattern}": ({", ".join(f"{c:.3f}" for c in line)}),')
    elif chosen.fit_gaps:
        for name, (centre, spread) in fit_gaps().items():
            print(f'    "{name}": ({centre:.2f}, {spread:.2f}),')
    elif chosen.calibration:
        table = reliability(real_bars(), from_=JUDGED[0], to=JUDGED[1])
        print(table.to_string(index=False, float_format=lambda x: f"{x:.1f}"))
        worst = table.loc[table["cases"] >= LEAST_CASES, "difference"].abs().max()
        print(f"largest difference in deciles of {LEAST_CASES} or more cases: {worst:.1f} points")
        chosen.calibration.mkdir(parents=True, exist_ok=True)
        picture = chosen.calibration / "pattern_reliability.png"
        plot_reliability(table).savefig(picture, dpi=120)
        print(f"picture: {picture}")
    elif chosen.earnings:
        earnings_table()
    elif chosen.memory:
        memory_table(chosen.symbols)
    else:
        speed_table(chosen.symbols, chosen.large)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory of this process {peak:.1f} GiB")


if __name__ == "__main__":
    main()
