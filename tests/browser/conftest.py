"""A browser, a service beside a real store, and scanner processes, shared as far as they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_page import DESKTOP, Page, start_browser
from processes import ScannerProcess, ServeProcess
from servers import Server, redis_binary

N_HELD = 400  # symbols of the scan that waits


@pytest.fixture(scope="session")
def browser_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield Page(driver)
    driver.quit()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the whole folder, whose service and scan go on from file to file."""
    server = Server(redis_binary(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def page(browser_page: Page) -> Iterator[Page]:
    """The browser's tab, on a desktop screen in the light scheme, without complaints so far."""
    yield browser_page.screen(DESKTOP)
    browser_page.driver.get("about:blank")  # no stream stays open


@pytest.fixture(scope="session")
def service(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """One service without a token for the tests that leave it as it is."""
    process = ServeProcess(redis_server.url, tmp_path_factory.mktemp("serve")).start()
    try:
        yield process.wait()
    finally:
        process.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServeProcess]]:
    """Return a function that starts a service of the test's own; wait for it with `wait`."""
    processes: list[ServeProcess] = []

    def start(store: str, *options: str) -> ServeProcess:
        processes.append(ServeProcess(store, tmp_path, *options).start())
        return processes[-1]

    yield start
    for process in processes:
        process.stop()


@pytest.fixture
def start_scanner() -> Iterator[Callable[..., ScannerProcess]]:
    """Return a function that starts a scanner process: `start(store, ruleset, scan_id, n)`."""
    processes: list[ScannerProcess] = []

    def start(store: str, ruleset: str, scan_id: str, n: int) -> ScannerProcess:
        processes.append(ScannerProcess(store, ruleset, scan_id, n))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture(scope="session")
def held_scan(redis_server: Server) -> Iterator[ScannerProcess]:
    """A scan in its middle, which waits for orders; tests may let it go on, not end it."""
    process = ScannerProcess(redis_server.url, "held", "held-1", N_HELD)
    try:
        assert process.answer() == "0"
        process.scan(8)
        yield process
    finally:
        process.kill()


@pytest.fixture
def held_page(page: Page, service: ServeProcess, held_scan: ScannerProcess) -> Page:
    """The page with the scan that waits, drawn; its queue may be some seconds older."""
    page.open(f"{service.url}/{held_scan.address}")
    page.wait(lambda: page.state == "scan" and page.n_scanned >= 80, "the scan to be drawn")
    return page
