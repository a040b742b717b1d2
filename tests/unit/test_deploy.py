"""The folder `deploy/`: what it names exists, and its files parse with the tools that read them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bandit.stores import store_from_url
from scanner_adapter.cli.app import app
from scanrank import SymbolRanker

yaml = pytest.importorskip("yaml")
pytest.importorskip("fastapi")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "scanrank.json").read_text())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def commands() -> Iterator[list[str]]:
    """Every `scanrank ...` that a file of the folder runs."""
    for unit in UNITS:
        (line,) = re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.M)
        yield shlex.split(line)[1:]
    yield COMPOSE["services"]["service"]["command"]
    (script,) = COMPOSE["services"]["scanner"]["command"]
    for line in script.splitlines():
        if line.strip().startswith("scanrank "):
            yield shlex.split(line)[1:]
    for line in (DEPLOY / "README.md").read_text().splitlines():
        if " scanrank doctor" in line:
            yield shlex.split(line.partition(" scanrank ")[2])


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: words[0])
def test_every_command_and_option_exists(words: list[str]) -> None:
    """Parsed by the program itself, which refuses unknown options and missing ones."""
    group: Any = typer.main.get_command(app)
    command = group.commands[words[0]]
    command.make_context(words[0], words[1:], parent=None)


def expressions() -> list[str]:
    rules = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return rules + [t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"]]


def test_every_metric_is_reported_by_the_service() -> None:
    from scanner_adapter.service.metrics import Metrics
    from scanner_adapter.service.store_access import StoreAccess

    store = store_from_url("memory://")
    SymbolRanker.open(store, ruleset="breakout").start_scan(["A"]).run(lambda _: 1.0)
    metrics = Metrics(StoreAccess("memory://", store))
    metrics.requests.labels("/", "GET", "200").inc()
    metrics.refusals.labels("token").inc()
    metrics.started.labels("breakout").inc()
    metrics.exits.labels("breakout", "0").inc()
    metrics.seconds.labels("/").observe(0.1)
    text = metrics.text([("breakout", store.stats("breakout"))]).decode()
    printed = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()}
    named = {name for expr in expressions() for name in re.findall(r"\bscanrank_\w+", expr)}
    assert named
    assert named <= printed
    labels = {name for line in text.splitlines() for name in re.findall(r"[{,](\w+)=", line)}
    shown = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    }
    assert shown <= labels


def test_the_dashboard_can_be_imported() -> None:
    """As Grafana asks: a title, a schema version, panels with distinct ids that do not overlap."""
    assert DASHBOARD["title"] == "scanrank"
    assert DASHBOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids) >= 12
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(ids)


def test_the_store_keeps_what_was_learned() -> None:
    words = " ".join(COMPOSE["services"]["store"]["command"])
    assert "--appendonly yes" in words
    assert "--maxmemory-policy noeviction" in words


def test_the_image_installs_what_the_repository_has() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
    project = (ROOT / "pyproject.toml").read_text()
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    assert "USER scanrank" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_units_are_understood(tmp_path: Path) -> None:
    """`systemd-analyze verify` reads them; the program's path is made to exist."""
    for file in (DEPLOY / "systemd").iterdir():
        text = file.read_text().replace("/opt/scanrank/bin/scanrank", shutil.which("true") or "")
        (tmp_path / file.name).write_text(text)
    names = [str(tmp_path / unit.name) for unit in UNITS]
    names.append(str(tmp_path / "scanrank-scan.timer"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if "scanrank" in line]
    assert complaints == []
    when = "Mon..Fri 17:30 America/New_York"
    assert f"OnCalendar={when}" in (DEPLOY / "systemd" / "scanrank-scan.timer").read_text()
    calendar = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True)
    assert calendar.returncode == 0, calendar.stderr
