"""Process pools and Ctrl-C, with real processes and a real signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from scanner_adapter import Outcome, SymbolRanker

SYMBOLS = [f"S{i}" for i in range(120)]


def evaluate(symbol: str) -> Outcome:
    """Importable by name, as a process pool needs it; one symbol in ten fails."""
    if symbol.endswith("7"):
        raise ValueError(f"no data for {symbol} in {os.getpid()}")
    return Outcome(rating=float(symbol[1:]), signal="Long", columns={"x": 1.0})


def die(symbol: str) -> float:
    if symbol == "S50":
        os.kill(os.getpid(), signal.SIGKILL)
    # The pool looks at results first: a flood of them would hide the death until the end.
    time.sleep(0.02)
    return float(symbol[1:])


def test_a_process_pool_evaluates_every_symbol_once() -> None:
    scan = SymbolRanker.open("memory://", ruleset="t", seed=1).start_scan(SYMBOLS)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        summary = scan.run(evaluate, executor=pool, batch_size=30)
    assert (summary.n_scanned, summary.n_errors) == (120, 12)
    assert "no data for S" in (summary.first_error or "")
    assert scan.outcomes["S3"].columns == {"x": 1.0}


def test_a_killed_worker_process_ends_the_scan_and_keeps_what_was_learned() -> None:
    """The pool is broken by then: its error comes through, after the scan was closed."""
    ranker = SymbolRanker.open("memory://", ruleset="t", seed=1, mode="shadow")
    scan = ranker.start_scan(SYMBOLS)
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        pytest.raises(Exception, match="terminated abruptly"),
    ):
        scan.run(die, executor=pool, batch_size=10)
    assert scan.summary.n_scanned >= 40
    assert scan.summary.store_status == "saved"
    assert ranker.learned.belief.n_reports >= 30


def test_ctrl_c_commits_what_was_learned(tmp_path: Path) -> None:
    """A scan of 2,000 symbols of 10 ms gets SIGINT: exit by KeyboardInterrupt, scan learned."""
    url = f"embedded://{tmp_path}/store"
    script = textwrap.dedent(
        f"""
        import signal
        import time
        from concurrent.futures import ThreadPoolExecutor
        from scanrank import SymbolRanker

        # Where SIGINT is ignored by inheritance (nohup, a shell's &), so it would be here.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def evaluate(symbol):
            time.sleep(0.01)
            return float(symbol[1:])

        ranker = SymbolRanker.open({url!r}, ruleset="t", seed=1)
        scan = ranker.start_scan([f"S{{i}}" for i in range(2000)])
        seen = []

        def on_result(symbol, outcome):
            seen.append(symbol)
            if len(seen) == 100:
                print("running", flush=True)

        try:
            with ThreadPoolExecutor(4) as pool:
                scan.run(evaluate, executor=pool, on_result=on_result)
        except KeyboardInterrupt:
            print(scan.summary.n_scanned, scan.summary.stopped, flush=True)
            ranker.close()
            raise
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - sent < 10  # the whole scan would take 5 s more at the least
    assert process.returncode == -signal.SIGINT, err
    n_scanned = int(out.split()[0])
    assert 100 <= n_scanned < 2000
    assert "KeyboardInterrupt" in out
    with SymbolRanker.open(url, ruleset="t") as ranker:
        assert ranker.n_scans == 1
        assert ranker.learned.belief.n_reports == n_scanned
