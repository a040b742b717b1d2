"""The live page in a real browser, and what tests ask of it."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement

SCREENSHOTS = Path(__file__).with_name("screenshots")
SETTLE_S = 60.0
DESKTOP, PHONE = (1280, 900), (360, 740)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en",
)


def start_browser(profile: Path) -> webdriver.Chrome:
    """Start Debian's chromium; skip, or fail in CI, where it is not installed."""
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if None in paths:
        reason = "chromium or chromedriver is not installed"
        if os.environ.get("SCANRANK_REQUIRE_SERVERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths[0])
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(str(paths[1])))


class Page:
    """One tab with the live page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    # -- coming and looking ----------------------------------------------------------------------

    def open(self, url: str) -> Page:
        """Open an address afresh, with an empty console and without cookies."""
        self.driver.get("about:blank")
        self.driver.delete_all_cookies()
        self.driver.get_log("browser")
        self.driver.get(url)
        return self

    def screen(self, size: tuple[int, int], *, dark: bool = False, motion: bool = True) -> Page:
        """Pretend to be a screen of this size, with the user's preferences."""
        width, height = size
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                **{"width": width, "height": height, "deviceScaleFactor": 1},
                "mobile": size == PHONE,
            },
        )
        features = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "no-preference" if motion else "reduce",
        }
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": name, "value": value} for name, value in features.items()]},
        )
        return self

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))

    # -- finding ---------------------------------------------------------------------------------

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """Text of an element, also of one that is scrolled out of sight."""
        return str(self.js("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.js(
                "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)",
                selector,
            )
        )

    def js(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def module(self, name: str, script: str, *arguments: object) -> Any:
        """Run `script` with the module `m` of the page, and return what it returns."""
        answer = self.driver.execute_async_script(
            f"""
            const done = arguments[arguments.length - 1];
            const args = [...arguments].slice(0, -1);
            import("/static/js/{name}.js")
              .then((m) => {{ {script} }})
              .then(done, (error) => done({{ error: String(error) }}));
            """,
            *arguments,
        )
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    @property
    def state(self) -> str:
        return str(self.js("return document.body.dataset.state"))

    def figure(self, name: str) -> str:
        """Value of one of the large figures, such as "Scanned"."""
        return str(
            self.js(
                """const row = [...document.querySelectorAll("#figures > div")]
                     .find((row) => row.querySelector("dt").textContent.startsWith(arguments[0]));
                   return row ? row.querySelector(".value").textContent : "";""",
                name,
            )
        )

    @property
    def n_scanned(self) -> int:
        """As shown; 0 before there is a figure."""
        text = self.figure("Scanned").replace(",", "")
        return int(text) if text.isdecimal() else 0

    def settle(self) -> None:
        """Wait until the queue is as new as the count.

        A scanner draws it up only so often that this takes a thousandth of its time: every few
        seconds, after longer on a busy machine.
        """

        def is_settled() -> bool:
            scanned = [text.split(" of ")[0].replace(",", "") for text in self.texts(".tier-count")]
            return self.n_scanned > 0 and sum(map(int, scanned)) == self.n_scanned

        self.wait(is_settled, "the queue to be as new as the count", SETTLE_S)

    # -- doing -----------------------------------------------------------------------------------

    def click(self, selector: str) -> None:
        element = self.one(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def leave(self) -> None:
        """Take the pointer and the focus away from where they are."""
        move = {"type": "mouseMoved", "x": 1, "y": 1}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", move)
        self.js("document.activeElement.blur()")

    @property
    def focused(self) -> str:
        """Id of what has the focus, else its tag and text."""
        return str(
            self.js(
                "const e = document.activeElement; return e.id || `${e.tagName} ${e.textContent}`"
            )
        )

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
        """Poll until `condition` holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                self.screenshot("failed")
                pytest.fail(
                    f"waited {timeout_s} s for {what}; the page is in state {self.state!r}, says "
                    f"{self.text('#connection')!r} and logged {self.console()}"
                )
            time.sleep(0.05)

    # -- judging ---------------------------------------------------------------------------------

    def console(self) -> list[str]:
        """What the browser complained of since the last call or `open`."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def foreign_requests(self) -> list[str]:
        """Addresses outside of the page's own server that it asked for."""
        return list(
            self.js(
                """return performance.getEntriesByType("resource").map((e) => e.name)
                     .filter((name) => new URL(name).origin !== location.origin)"""
            )
        )

    @property
    def is_scrolled_sideways(self) -> bool:
        return bool(self.js("return document.documentElement.scrollWidth > innerWidth"))
