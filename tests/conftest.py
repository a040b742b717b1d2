"""What all tests share: hypothesis profiles and real servers.

A test that needs a server which is not installed skips on a laptop; with
``SCANRANK_REQUIRE_SERVERS=1`` (CI sets it) it fails instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from servers import Server, redis_binary, start_cluster

hypothesis.settings.register_profile("laptop", deadline=None, max_examples=50)
# The same examples on every run, so that CI is red only for a reason.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
hypothesis.settings.register_profile("night", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "laptop")
)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One redis-server for the tests of a file: files run in any order, beside each other."""
    server = Server(redis_binary(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis Cluster of three masters."""
    directories = [tmp_path_factory.mktemp(f"master-{number}") for number in range(3)]
    servers, port = start_cluster(directories)
    yield f"redis+cluster://127.0.0.1:{port}"
    for server in servers:
        server.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a redis-server of the test's own, with further settings."""
    servers: list[Server] = []

    def start(*settings: str) -> Server:
        directory = tmp_path / f"redis-{len(servers)}"
        directory.mkdir()
        servers.append(Server(redis_binary(), directory, *settings).start())
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
