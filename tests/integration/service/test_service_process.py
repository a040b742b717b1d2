"""`scanrank serve` as an operator runs it: a process, its refusals, its end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Server, wait_until
from serving import free_port, open_scan, status_note

from bandit.errors import InvalidInputError
from bandit.stores import store_from_url
from scanner_adapter.cli.app import main
from scanner_adapter.service.server import serve
from scanner_adapter.service.settings import ServiceSettings

COMMAND = [sys.executable, "-m", "scanrank", "serve"]


def test_it_ends_at_once_though_streams_are_open_and_tells_no_secret(
    own_server: Callable[..., Server], tmp_path: Path
) -> None:
    redis = own_server("--requirepass", "store-secret")
    url = redis.url.replace("unix://", "unix://:store-secret@")
    store = store_from_url(url)
    open_scan(store)
    store.put_status("demo", "s1", status_note())
    store.close()
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("token-secret-token-secret")
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--token-file", str(token)],
        env={**os.environ, "SCANRANK_STORE": url}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: _answers(port), "the service to listen", timeout_s=30)
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        shown = {"Authorization": "Bearer token-secret-token-secret"}
        stream.request("GET", "/api/v1/rulesets/demo/scans/s1/events?x=query-secret", headers=shown)
        response = stream.getresponse()
        assert response.status == 200
        assert response.readline() == b"retry: 1000\n"
        refused = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        refused.request("GET", "/metrics", headers={"Authorization": "Bearer guess-secret"})
        assert refused.getresponse().status == 401
        refused.close()
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=10)[1]
        assert time.monotonic() - start < 4
        response.read()  # what was under way, then the end: the stream was not cut
        response.close()
        stream.close()
    finally:
        process.kill()
        process.wait()
    assert "Application shutdown complete" in printed
    for part in ("secret", "Traceback", "ERROR"):
        assert part not in printed


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"port {port}.*in use"):
            serve(ServiceSettings(store="memory://", port=port))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "--token-file"),  # noqa: S104
        (["--token-file", "/nowhere"], "cannot be read"),
        (["--scanners", "/nowhere"], "there is no scanners file /nowhere"),
        (["--allow-host", "*"], "without port"),
        (["--requests-per-s", "0"], "positive"),
    ],
)
def test_a_bad_option_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["scanrank", "serve", "--store", "memory://", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("scanrank: ")
    assert printed.count("\n") == 1
    assert message in printed


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("scanner_adapter.service")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setattr("sys.argv", ["scanrank", "serve", "--store", "memory://"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'scanrank[api]'" in capsys.readouterr().err


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
