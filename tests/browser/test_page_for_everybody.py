"""Readable on a phone, in dark and light, by keyboard alone and by a screen reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live_page import DESKTOP, PHONE, Page
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

JUDGE = Path(__file__).with_name("accessibility.js").read_text()

# Roles that mean nothing without a name.
NAMED = ("button", "link", "textbox", "combobox", "checkbox", "progressbar", "table", "dialog",
         "image", "region", "navigation", "DisclosureTriangle")  # fmt: skip


def problems(page: Page) -> list[str]:
    judged = page.js(JUDGE)
    assert judged["nTexts"] > 5
    return list(judged["problems"])


def nodes(page: Page) -> list[tuple[str, str]]:
    """Role and name of everything in the browser's accessibility tree."""
    tree: dict[str, Any] = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree["nodes"]
        if not node.get("ignored") and "role" in node
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everything_can_be_read_and_pressed(
    held_page: Page, size: tuple[int, int], dark: bool
) -> None:
    held_page.screen(size, dark=dark)
    held_page.screenshot(f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}")
    assert problems(held_page) == []
    assert not held_page.is_scrolled_sideways
    held_page.click("#hits .symbol")
    held_page.wait(lambda: "Track record" in held_page.text("#why-body"), "the reason")
    assert problems(held_page) == []
    wide = "const why = document.getElementById('why'); return why.scrollWidth - why.clientWidth"
    assert held_page.js(wide) == 0
    held_page.js("document.getElementById('why').close()")
    held_page.click("#stop")
    assert problems(held_page) == []
    held_page.click("#stop-cancel")


def test_the_schemes_differ_and_follow_the_system(held_page: Page) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = held_page.screen(DESKTOP).js(ground)
    dark = held_page.screen(DESKTOP, dark=True).js(ground)
    assert light != dark


def test_nothing_moves_for_those_who_do_not_want_it(held_page: Page) -> None:
    moving = """document.querySelector("#hits tr").classList.add("fresh");
                return document.getAnimations().length"""
    assert held_page.js(moving) > 0
    assert held_page.screen(DESKTOP, motion=False).js(moving) == 0


def test_everything_has_a_role_and_a_name(held_page: Page) -> None:
    all_nodes = nodes(held_page)
    assert [role for role, name in all_nodes if role in NAMED and not name.strip()] == []
    roles = {role for role, _ in all_nodes}
    assert {"banner", "main", "navigation", "table", "rowheader", "columnheader"} <= roles
    assert {"button", "combobox", "checkbox", "progressbar", "image"} <= roles
    names = [name for _, name in all_nodes]
    assert any("found after" in name for name in names), "the curve is said in words"
    assert any(name.startswith("Pin ") for name in names)


def test_the_page_can_be_used_by_keyboard_alone(held_page: Page) -> None:
    page = held_page
    page.press(Keys.TAB)
    assert page.focused == "A Skip to the scan"
    page.press(Keys.ENTER, Keys.TAB)
    assert page.focused == "stop", "behind the skipped head"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.js(outline) == "solid", "one sees where one is"

    page.press(Keys.ENTER)
    page.wait(lambda: page.focused == "stop-cancel", "the question")
    seen = set()
    for _ in range(6):
        page.press(Keys.TAB)
        seen.add(page.focused)
    inside = {"stop-reason", "stop-cancel", "stop-confirm"}
    # The browser's own bars may have their turn; the page behind the question never.
    assert inside <= seen
    assert {name for name in seen - inside if not name.startswith("BODY")} == set()
    page.press(Keys.ESCAPE)
    assert page.focused == "stop", "back where one came from"

    page.press(Keys.TAB, Keys.TAB)  # over the table of the curve
    symbol = page.js("return document.activeElement.textContent")
    assert symbol in page.texts("#hits .symbol")
    page.press(Keys.ENTER)
    page.wait(lambda: "Track record" in page.text("#why-body"), "the reason")
    page.press(Keys.ESCAPE)
    assert page.js("return document.activeElement.textContent") == symbol

    n_hits = len(page.texts("#hits .symbol"))
    for _ in range(n_hits):
        page.press(Keys.TAB)
    first = page.js("return document.activeElement.textContent")
    assert first == page.texts("#queue .symbol")[0]
    page.press(Keys.TAB, Keys.SPACE)
    pin = f'[aria-label="Pin {first}"]'
    page.wait(lambda: page.one(pin).get_attribute("aria-pressed") == "true", "the pin")
    assert page.js("return document.activeElement.getAttribute('aria-label')") == f"Pin {first}"
    page.press(Keys.SPACE)
    page.wait(lambda: page.one(pin).get_attribute("aria-pressed") == "false", "no pin")
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    assert page.js("return document.activeElement.textContent") == first


@pytest.mark.parametrize("state", ["loading", "login", "empty", "error", "bare"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_messages_can_be_read_too(held_page: Page, state: str, dark: bool) -> None:
    """The page without a scan: what stands there in each state, put on by hand."""
    held_page.screen(PHONE, dark=dark)
    held_page.js("document.body.dataset.state = arguments[0]", state)
    judged = held_page.js(JUDGE)
    assert judged["problems"] == []
    assert judged["nTexts"] >= 3
    assert not held_page.is_scrolled_sideways
