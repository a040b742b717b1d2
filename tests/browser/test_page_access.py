"""Who may see the page's data: the token, once, and never in an address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_page import Page
from processes import ScannerProcess, ServeProcess
from selenium.webdriver.common.keys import Keys
from servers import Server

TOKEN = "a-token-for-the-tests-only-0123456789"  # noqa: S105


@pytest.fixture(scope="module")
def guarded(
    held_scan: ScannerProcess, redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """Return a service that asks for a token, beside the scan that waits."""
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    process = ServeProcess(redis_server.url, folder, "--token-file", str(file)).start()
    try:
        yield process.wait()
    finally:
        process.stop()


def test_a_user_logs_in_with_the_token_sees_the_scan_and_logs_out(
    page: Page, guarded: ServeProcess
) -> None:
    page.open(f"{guarded.url}/#held/held-1")
    page.wait(lambda: page.state == "login", "the log-in")
    assert page.focused == "token"
    page.screenshot("login")
    page.press("wrong-token-0123456789012345", Keys.ENTER)
    page.wait(lambda: page.text("#login-error"), "the refusal")
    assert page.state == "login"
    page.screenshot("login-refused")

    page.press(TOKEN, Keys.ENTER)  # what was wrong is selected, and typed over
    page.wait(lambda: page.state == "scan" and page.n_scanned > 0, "the scan")
    assert TOKEN not in page.driver.current_url
    assert TOKEN not in page.driver.page_source
    assert page.js("return document.cookie") == "", "scripts can read the cookie"
    assert (
        page.js("return JSON.stringify([{...localStorage}, {...sessionStorage}])").count(TOKEN) == 0
    )
    (cookie,) = page.driver.get_cookies()
    assert cookie["httpOnly"] is True
    assert cookie["sameSite"] == "Strict"
    assert TOKEN not in cookie["value"]

    page.driver.refresh()
    page.wait(lambda: page.state == "scan", "the scan after a reload")
    page.click("#log-out")
    page.wait(lambda: page.state == "login", "the log-in again")
    assert page.driver.get_cookies() == []
    page.driver.refresh()
    page.wait(lambda: page.state == "login", "the log-in after a reload")
    assert page.foreign_requests() == []
    assert TOKEN not in guarded.log.read_text()


def test_a_session_that_ends_leads_back_to_the_log_in(page: Page, guarded: ServeProcess) -> None:
    page.open(f"{guarded.url}/#held/held-1")
    page.wait(lambda: page.state == "login", "the log-in")
    page.press(TOKEN, Keys.ENTER)
    page.wait(lambda: page.state == "scan", "the scan")
    page.driver.delete_all_cookies()
    page.wait(lambda: page.state == "login", "the log-in")
    page.press(TOKEN, Keys.ENTER)
    page.wait(lambda: page.state == "scan", "the scan again")
