"""`scanrank store` and `scanrank journal` on an embedded store that real scans have filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import Server

from bandit.errors import InvalidInputError
from bandit.rewards import Signal
from bandit.stores import Store, store_from_url
from scanner_adapter import SymbolRanker
from scanner_adapter.cli.app import main
from scanner_adapter.replay.logs.outcome_log import OutcomeLog
from scanner_adapter.state.check import Fold, check, fold_journal, repair
from scanner_adapter.state.parquet import (
    export_journal,
    import_journal,
    logged_ratings,
    read_journal,
)

N = 60
SYMBOLS = [f"S{n}" for n in range(N)]
FIRST = datetime(2024, 3, 4, 21, tzinfo=UTC)

Cli = Callable[..., tuple[int, str, str]]


def scan_days(url: str, *, n_days: int = 3, first: int = 0, **settings: float) -> None:
    """Scans whose ratings follow a sub-score; every scan but the last one stops early."""
    with SymbolRanker.open(url, ruleset="rules", seed=1, **settings) as ranker:
        for day in range(first, first + n_days):
            rng = np.random.default_rng(day)
            worth = rng.uniform(0, 100, N)
            context = pd.DataFrame({"market.worth": worth, "technical.noise": 50.0}, SYMBOLS)
            now = FIRST + timedelta(days=day)
            with ranker.start_scan(SYMBOLS, context=context, now=now) as scan:
                for batch in scan.batches(12):
                    scan.report(
                        {
                            symbol: ValueError("no data")
                            if symbol == "S7"
                            else {
                                "rating": worth[int(symbol[1:])],
                                "signal": "Buy" if worth[int(symbol[1:])] > 90 else "Avoid",
                                "volume_ratio": float(day),
                            }
                            for symbol in batch
                        }
                    )
                    if scan.n_scanned == 36 and day < first + n_days - 1:
                        break


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"embedded://{tmp_path}/store"
    scan_days(url)
    return url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = store_from_url(url)
    yield store
    store.close()


@pytest.fixture
def scanrank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["scanrank", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def damage(store: Store, position: str) -> None:
    """Cut a journal entry in two, as a disk might."""
    ms, sub = position.split("-")
    sql = "update entry set blob=substr(blob, 1, 50) where ms=? and sub=?"
    assert store._db.run(sql, ms, sub) == 1  # type: ignore[attr-defined]


# -- backup and copy


def test_a_back_up_is_a_store(
    scanrank: Cli, url: str, store: Store, redis_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    code, out, _ = scanrank("store", "backup", file, "--store", url)
    assert (code, out.split(", ")[0]) == (0, f"{store.address} copied to {file}")
    assert scanrank("store", "check", "--store", f"sqlite://{file}")[1].startswith("rules: sound,")
    code, _, err = scanrank("store", "backup", file, "--store", url)
    assert code == 2
    assert "already exists; give the name of a new file" in err
    err = scanrank("store", "backup", tmp_path / "x.db", "--store", redis_server.url)[2]
    assert f"copy it into one: scanrank store copy ADDRESS sqlite://{tmp_path}/x.db" in err


@pytest.mark.parametrize("is_trimmed", [False, True])
def test_a_copy_believes_the_same(
    scanrank: Cli, url: str, store: Store, redis_server: Server, tmp_path: Path, is_trimmed: bool
) -> None:
    """From a file to a server and back; retention may have deleted the beginning."""
    if is_trimmed:
        store.trim("rules", max_entries=4)
    n = store.stats("rules").n_entries
    other, back = redis_server.url, f"sqlite://{tmp_path}/back.db"
    for source, target in ((url, other), (other, back)):
        code, out, _ = scanrank("store", "copy", source, target)
        assert (code, out.split(" copied")[0]) == (0, f"rules: {n} entries")
        assert scanrank("store", "check", "--store", target)[0] == 0
    states = []
    for address in (url, other, back):
        with SymbolRanker.open(address, ruleset="rules") as ranker:
            header, arrays = ranker.learned.belief.state()
            states.append((header, {name: array.tobytes() for name, array in arrays.items()}))
    assert states[0] == states[1] == states[2]
    assert "already has learned state" in scanrank("store", "copy", url, back)[2]
    store_from_url(other).drop_ruleset("rules")


# -- check and repair


def test_a_sound_store_folds_to_its_snapshot(scanrank: Cli, url: str) -> None:
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert out.startswith("rules: sound, ")
    assert "snapshot and fold from the beginning: equal (bit for bit up to " in out


def test_a_snapshot_that_differs_by_one_bit_is_found_and_made_anew(
    scanrank: Cli, url: str, store: Store
) -> None:
    good = store.load_snapshot("rules")
    assert good is not None
    shift = good.arrays["data_shift"].copy()
    shift[3] = np.nextafter(shift[3], np.inf)
    store.save_snapshot(
        "rules", header=good.header, arrays={**good.arrays, "data_shift": shift},
        position=good.position, expected_version=good.version,
    )  # fmt: skip
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 1
    assert "rules: NOT SOUND" in out
    assert "different (different: data_shift)" in out
    code, out, _ = scanrank("store", "repair", "--store", url)
    assert code == 0
    assert "snapshot: rebuilt from the journal" in out
    again = store.load_snapshot("rules")
    assert again is not None
    assert again.version == good.version + 2
    assert again.arrays["data_shift"].tobytes() == good.arrays["data_shift"].tobytes()
    assert scanrank("store", "check", "--store", url)[0] == 0


def test_a_damaged_entry_is_moved_to_a_file_and_what_it_taught_is_kept(
    scanrank: Cli, url: str, store: Store, tmp_path: Path
) -> None:
    before = store.load_snapshot("rules")
    last = store.stats("rules").last_position
    assert before is not None
    assert before.position == last
    damage(store, last)
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 1
    assert f"cannot be read: journal {last}" in out
    code, out, _ = scanrank("store", "repair", "--store", url, "--out", tmp_path / "removed")
    path = tmp_path / "removed" / f"rules.journal.{last}.bin"
    assert f"journal {last}: 50 bytes moved to {path}" in out
    assert path.stat().st_size == 50
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert f"not compared (at {last} the settings changed, a damaged entry was removed" in out
    kept = store.load_snapshot("rules")
    assert kept is not None
    assert all(kept.arrays[name].tobytes() == a.tobytes() for name, a in before.arrays.items())
    scan_days(url, n_days=1, first=5)  # and scanning goes on from it


def test_nothing_is_removed_where_it_cannot_be_kept(store: Store, tmp_path: Path) -> None:
    last = store.stats("rules").last_position
    damage(store, last)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInputError, match=r"nothing was removed; give another folder"):
        repair(store, check(store, "rules"), tmp_path / "file")
    assert [problem.place for problem in store.problems("rules")] == [f"journal {last}"]


def test_a_trimmed_journal_is_explained(scanrank: Cli, url: str, store: Store) -> None:
    store.trim("rules", max_entries=4)
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert "retention has deleted the journal up to" in out
    assert "the journal begins after 20" in scanrank("store", "stats", "--store", url)[1]


def test_changed_settings_are_explained_until_they_are_all_there_is(
    scanrank: Cli, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "scanrank"):
        scan_days(url, n_days=1, first=4, half_life_days=30.0)
    assert "half_life_days = 30.0 instead of 120.0" in caplog.text
    out = scanrank("store", "check", "--store", url)[1]
    assert "the settings changed" in out


def test_what_a_version_learned_in_another_way_is_explained(
    scanrank: Cli, url: str, store: Store
) -> None:
    """Before the first scan after an upgrade, and after it."""
    old = store.load_snapshot("rules")
    assert old is not None
    settings = {k: v for k, v in old.header["settings"].items() if k != "learning_version"}
    store.save_snapshot(
        "rules",
        header={**old.header, "settings": settings},
        arrays={**old.arrays, "data_shift": old.arrays["data_shift"] + 0.1},
        position=old.position,
        expected_version=old.version,
    )
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert "learns differently" in " ".join(out.split())
    scan_days(url, n_days=1, first=4)
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert f"at {old.position} the settings changed, a damaged" in " ".join(out.split())


def test_a_ruleset_without_snapshot_is_sound(scanrank: Cli, url: str, store: Store) -> None:
    store.append_event("other", "s1", "open", header={"scan_time": 1.0, "columns": []}, arrays={})
    code, out, _ = scanrank("store", "check", "--store", url)
    assert code == 0
    assert "other: sound, 1 journal entries" in out
    assert "no snapshot yet" in out


def test_stats_has_a_line_per_ruleset(scanrank: Cli, url: str) -> None:
    code, out, _ = scanrank("store", "stats", "--store", url)
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["rules", "3", "18"]  # 3 + 3 + 6 reports, 6 events


def test_an_unknown_ruleset_is_one_line(scanrank: Cli, url: str) -> None:
    for command in ("check", "repair", "stats"):
        code, out, err = scanrank("store", command, "--store", url, "--ruleset", "rulez")
        assert (code, out) == (2, "")
        assert "ruleset 'rulez' is not in" in err
        assert "known rulesets: rules" in err


# -- export and import


def test_an_imported_journal_folds_to_the_same_belief(
    scanrank: Cli, url: str, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "rules.parquet"
    code, out, _ = scanrank("journal", "export", file, "--ruleset", "rules", "--store", url)
    assert (code, out) == (0, f"18 entries of rules written to {file}\n")
    target = f"embedded://{tmp_path}/other"
    options = (file, "--ruleset", "copy", "--store", target)
    assert scanrank("journal", "import", *options)[:2] == (
        0,
        f"18 entries of {file} appended to copy\n",
    )
    assert scanrank("journal", "import", *options)[:2] == (
        0,
        f"0 entries of {file} appended to copy\n",
    )
    copy = store_from_url(target)
    snapshot = store.load_snapshot("rules")
    assert snapshot is not None
    with SymbolRanker.open(target, ruleset="copy") as ranker:
        _, arrays = ranker.learned._folded.state()
    assert {name: a.tobytes() for name, a in arrays.items()} == {
        name: a.tobytes() for name, a in snapshot.arrays.items()
    }
    for mine, theirs in zip(store.read("rules"), copy.read("copy"), strict=True):
        assert (mine.kind, mine.scan_id, mine.arms) == (theirs.kind, theirs.scan_id, theirs.arms)
        assert mine.header == theirs.header
        assert mine.arrays.keys() == theirs.arrays.keys()
        for name, array in mine.arrays.items():
            np.testing.assert_array_equal(array, theirs.arrays[name])
    copy.close()


def test_analysts_read_the_export_with_pandas(store: Store, tmp_path: Path) -> None:
    export_journal(store, "rules", tmp_path / "j.parquet")
    frame = pd.read_parquet(tmp_path / "j.parquet")
    reports = frame[frame["kind"] == "report"]
    assert len(reports) == 35 + 36 + 60  # S7 failed on the first day, to be tried at its end
    assert reports["symbol"].notna().all()
    assert (reports["propensity"] > 0).all()
    assert frame[frame["kind"] != "report"]["symbol"].isna().all()


def test_a_replay_reads_the_export(store: Store, tmp_path: Path) -> None:
    export_journal(store, "rules", tmp_path / "j.parquet")
    ratings = logged_ratings(tmp_path / "j.parquet")
    n_failed = sum("S7" in entry.arms for entry in store.read("rules"))
    assert len(ratings) == 35 + 36 + 60 - n_failed
    dates = np.datetime64("2024-03-04") + np.arange(3)
    log = OutcomeLog.read(tmp_path / "j.parquet", dates, SYMBOLS)
    worth = np.random.default_rng(2).uniform(0, 100, N)
    worth[7] = np.nan
    np.testing.assert_array_equal(log.rating[2], worth)
    assert set(log.columns) == {"volume_ratio"}
    assert np.nanmax(log.columns["volume_ratio"][1]) == 1.0
    np.testing.assert_array_equal(log.hits(Signal(words=("GRADE A",)), 2, np.arange(N)), worth > 90)


def test_an_import_does_not_mix_histories(url: str, store: Store, tmp_path: Path) -> None:
    export_journal(store, "rules", tmp_path / "j.parquet")
    scan_days(url, n_days=1, first=7)
    n_entries = store.stats("rules").n_entries
    with pytest.raises(InvalidInputError, match="already has a journal"):
        import_journal(store, "rules", tmp_path / "j.parquet")
    assert store.stats("rules").n_entries == n_entries


def test_files_that_are_no_journal_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no file"):
        next(read_journal(tmp_path / "none.parquet"))
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(InvalidInputError, match="cannot be read as Parquet"):
        next(read_journal(tmp_path / "text.parquet"))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(InvalidInputError, match="not a journal of format 1 "):
        next(read_journal(tmp_path / "foreign.parquet"))


def test_an_export_of_nothing_leaves_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="ruleset 'none' has no journal"):
        export_journal(store, "none", tmp_path / "none.parquet")
    assert list(tmp_path.glob("*none.parquet*")) == []
    with pytest.raises(InvalidInputError, match="no such folder"):
        export_journal(store, "rules", tmp_path / "nowhere" / "j.parquet")


def test_a_verdict_names_the_belief_it_compared(store: Store) -> None:
    verdict = check(store, "rules")
    assert (verdict.fold, verdict.problems, verdict.n_entries) == (Fold.EQUAL, (), 18)
    with SymbolRanker.open("memory://", ruleset="x") as ranker:
        folded = fold_journal(store, "rules", ranker.learned.settings)
    assert folded.belief.n_scans == 3
