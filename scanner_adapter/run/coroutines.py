"""Run a whole scan with a coroutine function, for scanners that wait for the network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bandit.checks import as_count
from scanner_adapter.batch import ScanSummary
from scanner_adapter.run.fetching import Refresh, Refresher
from scanner_adapter.run.pipeline import OnResult, Pipeline, check_run
from scanner_adapter.run.progress import OnProgress
from scanner_adapter.run.protocol import RunnableScan
from scanner_adapter.run.stop_rules import (
    DEFAULT_ERRORS,
    StopRule,
    TooManyErrors,
    error_rule,
    seconds_left,
)
from scanner_adapter.run.vendor_errors import PatientAsync

# Seconds between two looks at what other workers of a shared scan hold.
_IDLE_S = 0.05

AsyncScanFunction = Callable[[str], Awaitable[object]]


async def run_scan_async(
    scan: RunnableScan,
    fn: AsyncScanFunction,
    *,
    concurrency: int = 8,
    batch_size: int | None = None,
    until: StopRule | None = None,
    on_result: OnResult | None = None,
    on_hit: OnResult | None = None,
    on_progress: OnProgress | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    refresh: Refresh | None = None,
    every_s: float = 60.0,
    errors: TooManyErrors | None = DEFAULT_ERRORS,
) -> ScanSummary:
    """Scan symbols with `fn`, `concurrency` at a time, and close the scan.

    The parameters are those of `executor.run_scan`; `refresh` may be a coroutine function too.
    Choosing and learning run in the event loop
    and take some milliseconds per batch. Unlike a thread, a coroutine that times out is cancelled
    and frees its place, and so is every running evaluation when the scan stops. Cancelling the
    task that awaits this function closes the scan and keeps what was learned.
    """
    check_run(fn, timeout_s=timeout_s, retries=retries)
    as_count(concurrency, "concurrency")
    pipeline = Pipeline(
        scan, n_workers=concurrency, batch_size=batch_size, until=until, on_result=on_result,
        on_hit=on_hit, on_progress=on_progress, errors=(limit := error_rule(until, errors)),
        blocks=False,
    )  # fmt: skip
    patient = PatientAsync(fn, 0.0 if limit is None else limit.longest_pause_s)
    places = asyncio.Semaphore(concurrency)

    async def evaluate(symbol: str) -> tuple[str, object]:
        async with places:
            for attempt in range(retries + 1):
                try:
                    async with asyncio.timeout(timeout_s):
                        return symbol, await patient(symbol)
                except Exception as error:
                    # A scanner may fail in any way; the failure is this symbol's outcome.
                    if attempt == retries:
                        return symbol, error
        raise AssertionError("every attempt returns or raises")

    tasks: dict[asyncio.Task[tuple[str, object]], None] = {}
    refresher = Refresher(scan, refresh, every_s, asyncio.get_running_loop())
    with scan, refresher:
        try:
            while True:
                for symbol in pipeline.next_symbols():
                    tasks[asyncio.create_task(evaluate(symbol))] = None
                if pipeline.is_over:
                    break
                if not tasks:  # other workers of a shared scan hold all that remains
                    await asyncio.sleep(_IDLE_S)
                    continue
                wait_s = min(max(seconds_left(until, scan), 0.0), 3600.0)
                done, _ = await asyncio.wait(
                    tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                # In the order in which they were started, so that with one evaluation at a time the
                # batches are the same every time.
                for task in [task for task in tasks if task in done]:
                    pipeline.finish(*task.result())
                    del tasks[task]
                pipeline.ask()
                for symbol in pipeline.probe():
                    tasks[asyncio.create_task(evaluate(symbol))] = None
                if pipeline.is_stopped:
                    await _cancel(tasks, pipeline)
                    pipeline.drop(set(pipeline.in_flight))
            pipeline.end()
        except BaseException:
            pipeline.abort()
            try:
                await _cancel(tasks, pipeline)
            finally:  # when it is cancelled again, too
                pipeline.end()
            raise
        finally:
            patient.end()
    pipeline.announce_rest()
    return scan.summary


async def _cancel(tasks: dict[asyncio.Task[tuple[str, object]], None], pipeline: Pipeline) -> None:
    """Cancel what runs; what has returned meanwhile counts."""
    for task in tasks:
        task.cancel()
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is None:
                pipeline.finish(*task.result())
        tasks.clear()
