"""The page works under a path: every link of it is relative, and resolves below the page."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin

import scanner_adapter.service

STATIC = Path(scanner_adapter.service.__file__).parent / "static"
PAGE = "https://desk.example/scans/"


def test_no_link_of_the_page_is_absolute() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:href|src|action)="([^"#]+)"', html)
    assert len(links) >= 8
    for link in links:
        assert urljoin(PAGE, link).startswith(PAGE), link
        if link.startswith("static/"):
            assert (STATIC.parent / link).is_file(), link


def test_no_script_and_no_style_asks_an_absolute_address() -> None:
    for file in [*STATIC.rglob("*.js"), *STATIC.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"[\"'`(]/(api|static|login|logout|metrics)\b", text), file.name
