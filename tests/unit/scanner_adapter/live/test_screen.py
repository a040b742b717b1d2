"""The picture of a running scan: it fits the terminal, and nothing in it steers the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from scanner_adapter.live.screen import because, line_text, missing_text, screen
from scanner_adapter.live.status import (
    LiveEstimate,
    LiveHit,
    LiveStatus,
    LiveWeight,
    NextUp,
    Reason,
    TierCount,
)

REASONS = {"historical": Reason(0.1, 1.2), "market": Reason(0.3, -0.4), "technical": Reason(0, 0)}
STATUS = LiveStatus(
    "9e00941dd3914956b598a866", "breakout", "on", "scanning", None, 1000.0, 1025.0, 0.0, 8,
    5277, 1240, 3, 38.0, 29.5, 0.95, 72.0, "top:0.05", 17.25,
    estimate=LiveEstimate(0.84, 0.71, 0.93, 38.0, 7.2, 2.0, 14.0, 0.95),
    tiers={"high": TierCount(700, 883), "medium": TierCount(1500, 90), "low": TierCount(1980, 131)},
    weights={name: LiveWeight(0.25, 0.3, 0.2, 0.4) for name in ("historical", "market", "x", "y")},
    next=tuple(
        NextUp(f"N{i}", 99.0 - i, "high", 0.8, i == 0, REASONS, 0.3, -3.0) for i in range(20)
    ),
    newest_hits=tuple(
        LiveHit(f"SYM{i}", 20.0 - i / 7, "Long" if i % 3 else None, 1240 - 7 * i, 1020.0, i == 4)
        for i in range(50)
    ),
)  # fmt: skip
NARROW_NAMES = replace(
    STATUS,
    ruleset="r" * 64,
    newest_hits=(LiveHit("株" * 64, 1e12, "x" * 200, 10**6, 1020.0, True),) * 50,
    next=(NextUp("W" * 64, 99.0, "high", 0.8, True, REASONS, 0.3, -3.0),) * 20,
)


def drawn(status: LiveStatus, width: int, height: int | None = None, notice: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(screen(status, now=1026.0, width=width, height=height, notice=notice))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("notice", ["", "disconnected since 18:03:12, trying again"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (200, 60)])
@pytest.mark.parametrize("status", [STATUS, NARROW_NAMES], ids=["usual", "wide names"])
def test_a_picture_fits_the_terminal(
    status: LiveStatus, size: tuple[int, int], notice: str
) -> None:
    lines = drawn(status, *size, notice)
    assert len(lines) < size[1]  # the last line is the cursor's
    console = Console(width=size[0])
    assert max(console.measure(line).maximum for line in lines) <= size[0]


def test_what_a_picture_says() -> None:
    text = "\n".join(drawn(STATUS, 120, 40, "no update for 0:20"))
    for printed in (
        "no update for 0:20",
        "breakout · scan 9e00941dd391 · on · scanning · 0:26",
        "1,240 of 5,277 symbols · 29.5/s · 3 failed",
        "38 high-value (top:0.05: 17.25 or more) · about 84% of all · 95% in 1:12",
        "stopping now would miss about 7 of 45 high-value symbols (95% interval: 2 to 14)",
        "883/1,583",
        "0.25 → 0.30  0.20 to 0.40",
        "SYM4",
        "(random)",
        "▲ N0",
        "historical +1.2, market -0.4",
    ):
        assert printed in text
    early = replace(STATUS, hits_low=12.0, hits_high=264.0)
    assert "38 high-value, provisional: 12 to 264" in "\n".join(drawn(early, 120, 40))
    assert text.index("SYM0") < text.index("SYM1 ") < text.index("SYM2 ")
    assert "expected next" not in "\n".join(drawn(STATUS, 80, 24))


def test_a_narrow_terminal_shows_the_tiers_whole() -> None:
    text = "\n".join(drawn(STATUS, 40, 24))
    assert "883/1,583" in text
    assert "→" not in text, "half a weight says nothing"
    assert "→" in "\n".join(drawn(STATUS, 80, 24))


def test_a_fast_scan_of_everything_reads_plainly() -> None:
    text = "\n".join(drawn(replace(STATUS, n_scanned=5277, rate_per_s=1820.4), 80, 24))
    assert " · 1,820/s" in text
    assert "of all" not in text
    assert "every symbol was scanned" in text


def test_a_scan_that_has_ended_and_one_that_judges_nothing() -> None:
    done = replace(STATUS, state="done", stopped="stopped from outside: enough", eta_s=3.0)
    text = "\n".join(drawn(done, 120, 40))
    assert "done · 0:25 · stopped from outside: enough" in text
    assert "it may have missed about 7 of 45" in text
    assert "95% in 0:" not in text
    assert missing_text(replace(done, n_scanned=5277)) == "every symbol was scanned"
    off = replace(
        STATUS, mode="off", n_hits=None, estimate=None, tiers={}, weights={}, next=(),
        newest_hits=(), rate_per_s=None, n_errors=0,
    )  # fmt: skip
    text = "\n".join(drawn(off, 120, 40))
    for printed in (
        "neither ranked nor judged",
        "none yet",
        "nothing left",
        "not distinguishable",
    ):
        assert printed in text


def test_nothing_in_a_note_steers_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[red]x\r\n"
    status = replace(
        STATUS, ruleset=evil, scan_id=evil, stopped=evil, hit_rule=evil,
        weights={evil: LiveWeight(0.1, 0.2, 0.1, 0.3)},
        newest_hits=(LiveHit(evil, 1.0, evil, 1, 1020.0, False),),
        next=(NextUp(evil, 99.0, "high", 0.8, False, {evil: Reason(1.0, 1.0)}, 0.0, 0.0),),
    )  # fmt: skip
    text = "\n".join([*drawn(status, 160, 40, evil), line_text(status), because(status.next[0])])
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text
    assert "[red]x" in text  # shown as it is, not read as a style


def test_the_full_bar_is_kept_for_the_end() -> None:
    almost = drawn(replace(STATUS, n_scanned=5276), 80)[1]
    assert "─" in almost
    assert "─" not in drawn(replace(STATUS, n_scanned=5277), 80)[1]
