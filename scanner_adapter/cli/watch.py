"""`scanrank watch`: a running scan of any process, on this terminal."""

from __future__ import annotations

import json
import time
from contextlib import closing, suppress

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from bandit.errors import StoreUnavailableError
from bandit.stores import store_from_url
from scanner_adapter.cli.options import known_rulesets
from scanner_adapter.live.screen import line_text, printable, screen
from scanner_adapter.live.watcher import ScanWatcher, Sight

LOOK_S = 0.25
# Between two lines of a log, where nothing but counters has changed.
LINE_S = 5.0


def run_watch(
    store: str, ruleset: str | None, scan: str | None, *, once: bool, as_json: bool
) -> bool:
    """Show a running scan until it ends, until Ctrl-C, or once; whether there was one.

    Raises
    ------
    InvalidInputError
        Shown once, for a ruleset that the store does not know.
    """
    console = Console(highlight=False)
    # Leaving is not failing: the scan goes on without us.
    with closing(ScanWatcher(store, ruleset, scan)) as watcher, suppress(KeyboardInterrupt):
        if not (once or as_json):
            show = _show_live if console.is_terminal else _log
            show(watcher, console, ends=scan is not None)
            return True
        sight = watcher.look(time.time())
        if not sight.is_connected:
            raise StoreUnavailableError(f"the store does not answer: {sight.notice}")
        if as_json:
            status = None if sight.status is None else sight.status.to_json()
            print(json.dumps(status, indent=2, allow_nan=False))
        else:
            with closing(store_from_url(store)) as opened:
                known_rulesets(opened, ruleset)
            console.print(_picture(sight, console.width, None))
        return sight.status is not None
    return True


def _show_live(watcher: ScanWatcher, console: Console, *, ends: bool) -> None:
    sight = Sight(None, "connecting", is_connected=False)

    def picture() -> RenderableType:
        return _picture(sight, *console.size)  # the size now: terminals are resized

    with Live(
        console=console, get_renderable=picture, screen=True, refresh_per_second=1 / LOOK_S,
        vertical_overflow="crop",
    ):  # fmt: skip
        while not (ends and _has_ended(sight)):
            sight = watcher.look(time.time())
            time.sleep(LOOK_S)
    console.print(_picture(sight, console.width, None))  # the last one stays, on the usual screen


def _log(watcher: ScanWatcher, console: Console, *, ends: bool) -> None:
    last, next_line = "", 0.0
    while True:
        sight, now = watcher.look(time.time()), time.monotonic()
        status = sight.status
        news = f"{sight.notice}{status and (status.scan_id, status.state)}"
        if news != last or (now >= next_line and not (status and status.state == "done")):
            last, next_line = news, now + LINE_S
            text = "" if status is None else line_text(status)
            line = " · ".join(part for part in (sight.notice, text) if part)
            console.print(Text(printable(line)), soft_wrap=True)
        if ends and _has_ended(sight):
            return
        time.sleep(LOOK_S)


def _has_ended(sight: Sight) -> bool:
    return sight.status is not None and sight.status.state == "done"


def _picture(sight: Sight, width: int, height: int | None) -> RenderableType:
    if sight.status is None:
        return Text(printable(sight.notice), "bold yellow")
    return screen(sight.status, now=time.time(), width=width, height=height, notice=sight.notice)
