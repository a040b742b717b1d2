"""A scan in a process of its own, watched and steered from this one over a real server."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Server, wait_until

from bandit.stores import Store, store_from_url
from scanner_adapter import SymbolRanker
from scanner_adapter.cli.app import main
from scanner_adapter.live.control import with_exclusions, with_pins, with_stop
from scanner_adapter.live.status import LiveStatus
from scanner_adapter.live.watcher import ScanWatcher

SCANNER = """
import json, sys, time
from scanner_adapter import SymbolRanker

url, scan_id = sys.argv[1:]
order = []

def evaluate(symbol):
    time.sleep(0.005)
    order.append(symbol)
    return float(int(symbol[1:]) * 37 % 101)

with SymbolRanker.open(url, ruleset="rules", seed=1) as ranker:
    scan = ranker.start_scan([f"S{i}" for i in range(5000)], scan_id=scan_id)
    summary = scan.run(evaluate, batch_size=10)
print(json.dumps({"order": order, "stopped": summary.stopped, "failure": summary.failure}))
"""


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    return own_server()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    opened = store_from_url(server.url)
    yield opened
    opened.close()


@pytest.fixture
def start_scanner(server: Server, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen]]:
    running: list[subprocess.Popen] = []

    def start(scan_id: str) -> subprocess.Popen:
        environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", SCANNER, server.url, scan_id],
                stdout=subprocess.PIPE,
                env=environment,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def printed(process: subprocess.Popen) -> dict:
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return json.loads(out)


def n_scanned(store: Store, scan_id: str) -> int:
    note = store.get_status("rules", scan_id)
    return LiveStatus.from_json(note).n_scanned if note else -1


def test_a_scan_elsewhere_is_pinned_excluded_and_stopped(
    store: Store, start_scanner: Callable[[str], subprocess.Popen]
) -> None:
    process = start_scanner("s1")
    wait_until(lambda: n_scanned(store, "s1") > 0, "the scan to publish", 30)
    status = LiveStatus.from_json(store.get_status("rules", "s1"))
    waiting = [up.symbol for up in status.next]
    store.update_control("rules", "s1", with_pins(["S4999"]))
    store.update_control("rules", "s1", with_exclusions([f"S{i}" for i in range(2500)]))
    wait_until(lambda: store.get_status("rules", "s1")["excluded"], "the exclusions to be seen")
    n = n_scanned(store, "s1")
    wait_until(lambda: n_scanned(store, "s1") > n + 30, "three more batches")
    store.update_control("rules", "s1", with_stop("seen enough"))
    said = printed(process)
    assert said["stopped"] == "stopped from outside: seen enough"
    assert said["failure"] is None
    assert "S4999" in said["order"]
    assert len(said["order"]) < 5000
    assert all(int(symbol[1:]) >= 2500 for symbol in said["order"][-20:])
    assert waiting
    last = LiveStatus.from_json(store.get_status("rules", "s1"))
    assert (last.state, last.stopped) == ("done", said["stopped"])
    assert last.n_scanned == len(said["order"])
    assert store.list_scans("rules")[0].is_closed


def test_a_scan_is_watched_over_the_death_of_its_server(
    server: Server, store: Store, start_scanner: Callable[[str], subprocess.Popen]
) -> None:
    """Nothing yet, scanning, gone, back again (the scan went on), done; then the next scan."""
    watcher = ScanWatcher(server.url)
    sight = watcher.look(time.time())
    assert (sight.status, sight.is_connected) == (None, True)
    assert "waiting for one to start" in sight.notice

    def n_seen() -> int:
        nonlocal sight
        sight = watcher.look(time.time())
        return -1 if sight.status is None or sight.notice else sight.status.n_scanned

    process = start_scanner("s1")
    wait_until(lambda: n_seen() > 0, "the scan to be seen", 30)
    server.kill()
    at = time.time()
    lost = [watcher.look(at + i) for i in range(3)]
    since = time.strftime("%H:%M:%S", time.localtime(at))
    assert {seen.notice for seen in lost} == {f"disconnected since {since}, trying again"}
    assert not any(seen.is_connected for seen in lost)
    assert lost[-1].status == sight.status  # the last that was known
    n_before = lost[-1].status.n_scanned if lost[-1].status else 0
    server.start()
    wait_until(lambda: n_seen() > n_before, "the scan to be seen again", 30)
    store.update_control("rules", "s1", with_stop("enough"))
    printed(process)
    wait_until(lambda: n_seen() >= 0 and sight.status.state == "done", "the end", 40)  # type: ignore[union-attr]
    # Long after the end a silent scan is no news; while scanning it is.
    assert ScanWatcher(server.url).look(time.time() + 3600).notice == ""
    with SymbolRanker.open(server.url, ruleset="others") as ranker:
        with ranker.start_scan(["A", "B"], scan_id="s2") as scan:
            scan.next_batch(1)
            wait_until(lambda: n_seen() == 0 and sight.status.scan_id == "s2", "the next scan")  # type: ignore[union-attr]
            assert watcher.look(time.time() + 40).notice.startswith("no update for 0:")
        # Its last status may get lost, as when the process dies after the journal is closed.
        store.put_status("others", "s2", {**store.get_status("others", "s2"), "state": "scanning"})
        assert "has ended" in watcher.look(time.time() + 40).notice
    watcher.close()


def watch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["scanrank", "watch", *arguments])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_the_command_prints_one_picture_or_the_status(
    server: Server,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        return watch(monkeypatch, capsys, "--store", server.url, *arguments)

    with SymbolRanker.open(server.url, ruleset="rules", seed=1) as ranker:
        with ranker.start_scan([f"S{i}" for i in range(300)], scan_id="s1") as scan:
            scan.report(dict.fromkeys(scan.next_batch(50), 1.0))
            wait_until(lambda: n_scanned(store, "s1") == 50, "the scan to publish")
            code, out, _ = run("--ruleset", "rules", "--once")
            assert code == 0
            assert "rules · scan s1 · on · scanning" in out
            assert "50 of 300 symbols" in out
            assert "\x1b" not in out
        # The log of a scan that is followed to its end, without a terminal.
        code, out, _ = run("--scan", "s1")
        assert (code, out.count("\n")) == (0, 1)
        assert "50 of 300 symbols" in out
    _, out, _ = run("--json")
    assert LiveStatus.from_json(json.loads(out)).state == "done"
    code, out, _ = run("--ruleset", "nothing", "--json")
    assert (code, json.loads(out)) == (1, None)
    code, _, err = run("--scan", "nobody", "--once")
    assert code == 2
    assert "scan 'nobody' does not belong to any ruleset" in err
    server.kill()
    code, _, err = run("--once")
    assert code == 2
    assert err.startswith("scanrank: the store does not answer: disconnected since")
    assert err.count("\n") == 1


def test_the_command_shows_a_dead_server_coming_to_life(server: Server) -> None:
    """On a terminal of its own: disconnected, then waiting for a scan; Ctrl-C leaves."""
    server.kill()
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scanrank", "watch", "--store", server.url],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        start_new_session=True,
        # Where SIGINT is ignored by inheritance (nohup, a shell's &), so it would be there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def shows(text: str) -> bool:
        nonlocal seen
        try:
            while select.select([terminal], [], [], 0.0)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the other end was closed
            return text in seen
        return text in seen

    try:
        wait_until(lambda: shows("disconnected since"), "the notice", 30)
        server.start()
        wait_until(lambda: shows("waiting for one to start"), "the server to be seen", 30)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: shows("\x1b[?1049l") and process.poll() is not None, "the end", 40)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
