"""What a person sees of a scan: the table of its symbols, one line for each object, a notebook."""

from __future__ import annotations

import math
import re

import pytest

from scanrank import RecallReached, SymbolRanker, Threshold

SYMBOLS = [f"S{number:02d}" for number in range(40)]


def rating(symbol: str) -> float:
    return 100.0 - int(symbol[1:])


@pytest.fixture
def scan():  # type: ignore[no-untyped-def]
    ranker = SymbolRanker.open("memory://", ruleset="shown", rewards=Threshold(90.0), seed=1)
    scan = ranker.start_scan(SYMBOLS)
    for _ in range(2):
        batch = scan.next_batch(10)
        scan.report({symbol: rating(symbol) for symbol in batch})
    return scan


def test_the_table_has_every_symbol_once_best_first(scan) -> None:  # type: ignore[no-untyped-def]
    table = scan.to_frame()
    assert sorted(table.index) == SYMBOLS
    scanned = table[table["place"].notna()]
    assert len(scanned) == 20
    assert set(scanned.index) == set(scan.outcomes)
    assert [rating(symbol) for symbol in scanned.index] == scanned["rating"].tolist()
    assert scanned["hit"].tolist() == [rating(symbol) >= 90.0 for symbol in scanned.index]
    assert scanned["hit"].tolist() == sorted(scanned["hit"], reverse=True)
    assert scanned["propensity"].between(0.0, 1.0).all()
    waiting = table[table["place"].isna()]
    assert set(waiting["tier"]) <= {"high", "medium", "low"}
    assert waiting["score"].tolist() == sorted(waiting["score"], reverse=True)
    assert math.isnan(scan.propensity(waiting.index[0]))


def test_every_object_says_what_a_person_wants_to_know(scan) -> None:  # type: ignore[no-untyped-def]
    n_hits = sum(rating(symbol) >= 90.0 for symbol in scan.outcomes)
    assert f"20 of 40 symbols, {n_hits} high-value" in repr(scan)
    assert "high" in repr(scan.queue)
    assert "next: S" in repr(scan.queue)
    assert re.match(r"\d+ high-value found, about \d+ left: recall", repr(scan.estimate()))
    why = scan.explain("S00")
    assert f"of symbols like this one, {why.probability:.0%} are high-value" in repr(why)
    batch = scan.next_batch(5)
    assert re.match(r"Batch 3: 5 symbols, \d random: S\d\d, S\d\d, S\d\d, \.\.\.", repr(batch))


def test_a_summary_prints_as_a_report(scan) -> None:  # type: ignore[no-untyped-def]
    scan.run(rating, until=RecallReached(0.5, confidence=0.5))
    text = str(scan.summary)
    assert text.startswith(f"Scan {scan.scan_id}: ")
    assert "s of it in scanrank; learned from" in text
    assert "saved" in text


def test_a_scan_that_is_still_open_has_not_stopped(scan) -> None:  # type: ignore[no-untyped-def]
    assert scan.summary.stopped is None
    scan.close()
    assert scan.summary.stopped == "20 symbols were not scanned"


def test_the_table_keeps_what_is_out_and_what_is_excluded(scan) -> None:  # type: ignore[no-untyped-def]
    batch = scan.next_batch(3)
    scan.queue.exclude([next(s for s in SYMBOLS if s not in scan.outcomes and s not in batch)])
    table = scan.to_frame()
    assert sorted(table.index) == SYMBOLS
    assert (table["reason"] == "being scanned").sum() == 3
    assert (table["reason"] == "excluded").sum() == 1
    assert table["propensity"].notna().sum() == 23


def test_where_nothing_judges_a_result_is_neither_hit_nor_miss() -> None:
    scan = SymbolRanker.open("memory://", ruleset="off", mode="off").start_scan(SYMBOLS)
    scan.report({symbol: rating(symbol) for symbol in scan.next_batch(10)})
    table = scan.to_frame()
    assert sorted(table.index) == SYMBOLS
    assert table["hit"].isna().all()
    shown = scan._repr_html_()
    assert not re.search("NA|None|nan", shown)


def test_a_notebook_shows_curve_estimate_and_the_best(scan) -> None:  # type: ignore[no-untyped-def]
    shown = scan._repr_html_()
    assert "<polyline" in shown
    assert "high-value found" in shown
    assert shown.count("<tr") == 12  # two heads of pandas, and ten symbols
    assert not re.search("NA|None|nan", shown)


def test_a_ranker_shows_its_symbols_over_all_scans(scan) -> None:  # type: ignore[no-untyped-def]
    ranker = SymbolRanker.open("memory://", ruleset="shown", rewards=Threshold(90.0), seed=1)
    assert ranker.to_frame().empty
    ranker.start_scan(SYMBOLS).run(rating)
    table = ranker.to_frame()
    assert sorted(table.index) == SYMBOLS
    assert table["last_reward"].tolist() == sorted(table["last_reward"], reverse=True)
    assert "1 scan learned" in repr(ranker)
