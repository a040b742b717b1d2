"""Scans started over HTTP: processes of `scanrank scan`, watched until they end.

A process gets a list of arguments, all from the operator's file, and no shell. It does not belong
to the server: a restart of the server, or its end, leaves the scan running.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import IO

from scanner_adapter.service.metrics import Metrics
from scanner_adapter.service.notes import once
from scanner_adapter.service.problems import NOT_FOUND, TOO_MANY, ProblemError
from scanner_adapter.service.schemas import ScannerRun
from scanner_adapter.service.settings import STORE_VARIABLE, TOKEN_VARIABLE, ServiceSettings
from scanner_adapter.service.store_access import StoreAccess

KEPT_RUNS = 50
MESSAGE_BYTES = 4096  # of the end of a process's error output that are looked at
MESSAGE = 300  # characters of its last line that are shown

log = logging.getLogger("scanrank.service")


@dataclass(slots=True)
class _Run:
    state: ScannerRun  # replaced as a whole when it ends


class Launcher:
    """Starts configured scanners, a bounded number at once."""

    def __init__(self, settings: ServiceSettings, access: StoreAccess, metrics: Metrics) -> None:
        self._settings, self._access, self._metrics = settings, access, metrics
        self._runs: deque[_Run] = deque(maxlen=KEPT_RUNS)
        self._n_running = 0
        self._lock = threading.Lock()

    @property
    def runs(self) -> list[ScannerRun]:
        """What was started, newest first."""
        return [run.state for run in reversed(self._runs)]

    async def start(self, name: str, key: str | None) -> ScannerRun:
        """Start a scan.

        Parameters
        ----------
        name : str
            Of a scanner in the operator's file.
        key : str, optional
            Idempotency key: the same one starts no second scan, on any server of the store.

        Raises
        ------
        ProblemError
            404 unknown name, 409 replayed, 429 too many run.
        StoreError
            Before anything was started.
        """
        scanner = self._settings.scanners.get(name)
        if scanner is None:
            raise ProblemError(
                NOT_FOUND,
                f"scanner {name!r} is not configured; known scanners: "
                f"{', '.join(self._settings.scanners) or 'none'}",
            )
        self._take_room()
        try:
            scan_id = await self._new_scan_id(scanner.ruleset, key)
            command = [sys.executable, "-m", "scanrank", *scanner.arguments(scan_id)]
            # In a thread: making a process stops the one that makes it for some milliseconds.
            process, errors = await asyncio.to_thread(_spawn, command, self._environment())
        except BaseException:
            self._give_room()
            raise
        run = _Run(
            ScannerRun(
                scanner=name, ruleset=scanner.ruleset, scan_id=scan_id, started_at=time.time(),
                state="running", ended_at=None, exit_code=None, message=None,
            )
        )  # fmt: skip
        self._runs.append(run)
        # Not by asyncio, which kills a process when its loop ends.
        threading.Thread(
            target=self._watch, args=(run, process, errors), daemon=True,
            name=f"scanrank-run-{scan_id}",
        ).start()  # fmt: skip
        self._metrics.started.labels(name).inc()
        log.info("scan %s of scanner %s started, process %d", scan_id, name, process.pid)
        return run.state

    def _take_room(self) -> None:
        with self._lock:  # before anything is awaited: two requests must not both find room
            if self._n_running >= self._settings.max_running:
                raise ProblemError(
                    TOO_MANY,
                    f"{self._n_running} scans started here are running, the maximum is "
                    f"{self._settings.max_running}; wait for one to end, or stop it",
                    {"Retry-After": "30"},
                )
            self._n_running += 1

    def _give_room(self) -> None:
        with self._lock:
            self._n_running -= 1

    async def _new_scan_id(self, ruleset: str, key: str | None) -> str:
        if key is None:
            return uuid.uuid4().hex
        # By the key, so that every server meets the same note and only one of them finds it new.
        scan_id = hashlib.sha256(f"{ruleset}\0{key}".encode()).hexdigest()[:32]
        await self._access.call(
            lambda store: store.update_control(ruleset, scan_id, once(key, lambda note: note))
        )
        return scan_id

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        return {**kept, STORE_VARIABLE: self._settings.store}

    def _watch(self, run: _Run, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        with errors:
            code = process.wait()
            message = _last_line(errors) if code else None
        self._give_room()
        run.state = run.state.model_copy(
            update={
                "state": "ended", "ended_at": time.time(), "exit_code": code, "message": message,
            }
        )  # fmt: skip
        self._metrics.exits.labels(run.state.scanner, str(code)).inc()
        log.info("scan %s of scanner %s ended with %d", run.state.scan_id, run.state.scanner, code)


def _spawn(
    command: list[str], environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start a process; its error output goes to a file without a name, as long as it may be."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process has ended)
    try:
        process = subprocess.Popen(  # noqa: S603  (a list of arguments from the operator's file)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C at the server's terminal is not for the scan
        )
    except BaseException:
        errors.close()
        raise
    return process, errors


def _last_line(errors: IO[bytes]) -> str | None:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - MESSAGE_BYTES))
    lines = errors.read().decode("utf-8", "replace").split("\n")
    # Not a rich line with colours, and not the frame of a progress bar.
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in lines]
    return next((line[:MESSAGE] for line in reversed(lines) if line), None)
